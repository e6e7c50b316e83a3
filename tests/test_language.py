"""What the modelling language can say: deterministic nodes, bijectors, shapes, other data."""

import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from conftest import compilations
from scipy.stats import lognorm, norm, poisson
from tensorflow_probability.substrates import jax as tfp

from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.inference.predictions import predict
from bamopipe.target import compile_target, minibatch, precision_context

tfb, tfd = tfp.bijectors, tfp.distributions

X = np.array([0.0, 1.0, 2.0, 3.0])
Y = np.array([0.1, 1.2, 1.9, 3.2])


@pytest.fixture(autouse=True)
def x64():
    with precision_context("float64"):
        yield


def make_regression(x=X, y=Y, missing="drop") -> Model:
    """A line with a deterministic node, and a constant that can be replaced."""
    model = Model("line", coords={"point": list("abcd")})
    a = model.add_node("a", distribution=dx.Normal(0.0, 1.0))
    b = model.add_node("b", distribution=dx.Normal(0.0, 1.0))
    x = model.add_node("x", observations=x, dims="point")
    line = model.add_node(
        "line", parents=dict(a=a, b=b, x=x), link_fn=lambda a, b, x: a + b * x, dims="point"
    )
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(loc=line, scale=0.5),
        observations=y,
        dims="point",
        missing=missing,
    )
    return model


def test_a_deterministic_node_passes_on_what_it_is_computed_from():
    model = make_regression()
    assert model.nodes["line"].is_deterministic
    assert (model.latent, model.deterministic, model.observed) == (("a", "b"), ("line",), ("y",))
    target = compile_target(model)
    position = {"a": 0.3, "b": 0.9}
    np.testing.assert_allclose(target.deterministics(position)["line"], 0.3 + 0.9 * X)
    np.testing.assert_allclose(
        target.log_likelihood(position), norm.logpdf(Y, 0.3 + 0.9 * X, 0.5).sum()
    )
    assert target.touching(["b"]) == ("b", "y")
    everything = target.sample_prior_predictive(jax.random.key(0))
    assert list(everything) == ["a", "b", "line", "y"]
    np.testing.assert_allclose(everything["line"], everything["a"] + everything["b"] * X)


def test_chains_of_deterministic_nodes_and_several_leaves():
    model = Model()
    a = model.add_node("a", distribution=dx.Normal(0.0, 1.0))
    rate = model.add_node("rate", parents=dict(a=a), link_fn=lambda a: jnp.exp(a))
    twice = model.add_node("twice", parents=dict(rate=rate), link_fn=lambda rate: 2 * rate)
    model.add_node("k", distribution=tfd.Poisson, parents=dict(rate=rate), observations=[1, 2])
    model.add_node("n", distribution=tfd.Poisson, parents=dict(rate=twice), observations=3)
    target = compile_target(model)
    rate = np.exp(0.4)
    np.testing.assert_allclose(
        target.log_likelihood({"a": 0.4}),
        poisson.logpmf([1, 2], rate).sum() + poisson.logpmf(3, 2 * rate),
    )
    assert target.touching(["a"]) == ("a", "k", "n")


def test_a_deterministic_node_of_an_observed_one_follows_new_predictions():
    model = Model()
    mu = model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
    y = model.add_node("y", dx.Normal, 1.0, parents=dict(loc=mu, scale=1.0))
    shifted = model.add_node("shifted", parents=dict(y=y), link_fn=lambda y: y + 100.0)
    model.add_node("z", dx.Normal, 101.0, parents=dict(loc=shifted, scale=1e-6))
    target = compile_target(model)
    drawn = target.predict(jax.random.key(5), {"mu": 0.0})
    np.testing.assert_allclose(drawn["z"], drawn["y"] + 100, atol=1e-4)
    assert abs(drawn["y"] - 1.0) > 1e-3


@pytest.mark.parametrize("bijector", [tfb.Exp(), dx.Lambda(jnp.exp)], ids=["tfp", "distrax"])
@pytest.mark.parametrize("family", [dx.Normal, tfd.Normal], ids=["distrax", "tfp"])
def test_a_bijector_on_any_node(family, bijector):
    model = Model()
    s = model.add_node("s", distribution=family(0.0, 1.0), bijector=bijector)  # an instance
    t = model.add_node(
        "t", distribution=family, parents=dict(loc=s, scale=1.0), bijector=bijector, shape=2
    )
    model.add_node("y", distribution=dx.Normal, parents=dict(loc=t, scale=1.0), observations=[1, 2])
    target = compile_target(model)
    factors = target.log_factors({"s": 0.5, "t": np.array([1.0, 2.0])})
    np.testing.assert_allclose(factors["s"], lognorm.logpdf(0.5, 1))
    np.testing.assert_allclose(factors["t"], lognorm.logpdf([1.0, 2.0], 1, scale=np.exp(0.5)).sum())
    assert target.log_factors({"s": -0.5, "t": np.ones(2)})["s"] == -np.inf


def test_sample_shapes_that_are_clear():
    model = Model()
    loc = model.add_node("loc", distribution=dx.Normal(np.zeros(4), np.ones(4)))
    shapes = {
        "own": dict(),
        "three": dict(shape=3),
        "on_top": dict(shape=(4, ...)),
    }
    for name, shape in shapes.items():
        model.add_node(name, distribution=dx.Normal, parents=dict(loc=loc, scale=1.0), **shape)
    rows = model.add_node("rows", distribution=tfd.Dirichlet(np.ones(3)), shape=3)
    assert model.outlines[rows.name].shape == (3, 3)
    assert {n: model.outlines[n].shape for n in shapes} == {
        "own": (4,),
        "three": (3, 4),
        "on_top": (4, 4),
    }


@pytest.mark.parametrize("shape", [4, (4,), (5, 4), (1, 4), (4, 1)])
def test_a_sample_shape_that_seems_to_include_the_batch_is_refused(shape):
    model = Model()
    loc = model.add_node("loc", distribution=dx.Normal(np.zeros(4), np.ones(4)))
    with pytest.raises(UserError, match=r"leave `shape` out .* or write shape=\(.*, \.\.\.\)"):
        model.add_node("x", distribution=dx.Normal, parents=dict(loc=loc, scale=1.0), shape=shape)


def test_a_function_that_returns_a_distribution():
    def mixture(weight, loc):
        return tfd.MixtureSameFamily(
            tfd.Categorical(probs=jnp.stack([weight, 1 - weight])),
            tfd.Normal(jnp.stack([loc, -loc]), jnp.ones(2)),
        )

    model = Model()
    weight = model.add_node("weight", distribution=dx.Beta(2.0, 2.0))
    model.add_node(
        "y", distribution=mixture, parents=dict(weight=weight, loc=2.0), observations=[0.5, 1.0]
    )
    value = compile_target(model).log_likelihood({"weight": 0.3})
    density = 0.3 * norm.pdf([0.5, 1.0], 2) + 0.7 * norm.pdf([0.5, 1.0], -2)
    np.testing.assert_allclose(value, np.log(density).sum())


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (
            lambda m: m.add_node("k", tfd.Poisson, [1, 2.5], parents=dict(rate="a")),
            r"'k' are impossible: 2.5 at index \(1,\) is outside the support of Poisson",
        ),
        (
            lambda m: m.add_node("k", tfd.Binomial, [3, 9], parents=dict(total_count=5, probs=0.5)),
            r"9 at index \(1,\) is outside the support of Binomial",
        ),
        (lambda m: m.add_node("a", dx.Normal(0.0, 1.0)), "already has a node 'a'"),
        (lambda m: m.add_node("point", dx.Normal(0.0, 1.0)), "the name of a dimension"),
        (
            lambda m: m.add_node("c", parents=dict(a="a"), link_fn=lambda a: dict(loc=a)),
            "deterministic node 'c' must return its value, an array; got dict",
        ),
        (
            lambda m: m.add_node("c", dx.Normal, parents=dict(a="a"), link_fn=lambda a: a),
            "'c' must return the arguments of its distribution",
        ),
        (
            lambda m: m.add_node("c", parents=dict(a="a", z=1.0), link_fn=lambda a, zz: a),
            "the link_fn of node 'c' has no argument 'z'; did you mean 'zz'",
        ),
        (
            lambda m: m.add_node("c", parents=dict(a="a"), link_fn=lambda a: a @ np.ones(3)),
            r"the link_fn of node 'c' failed with a of shape \(\)",
        ),
        (
            lambda m: m.add_node("c", link_fn=lambda: 1.0),
            "'c' is deterministic, but has no parents",
        ),
        (
            lambda m: m.add_node("c", observations=1.0, bijector=tfb.Exp()),
            "no distribution to tran",
        ),
        (lambda m: m.add_node("c", dx.Normal(0.0, 1.0), bijector=jnp.exp), "expected one of TFP"),
        (lambda m: m.add_node("chain", dx.Normal(0.0, 1.0)), "the name of a dimension"),
        (lambda m: m.add_node("c", dx.Normal, parents="a"), "expected a dict"),
        (
            lambda m: m.add_node("c", tfd.Sample, parents=dict(distribution=tfd.Normal(0.0, 1.0))),
            "is a distribution; give a function",
        ),
        (
            lambda m: m.add_node("c", parents=dict(a="a"), link_fn=lambda a: np.log(a)),
            "use jax.numpy for numpy",
        ),
        (
            lambda m: m.add_node("c", parents=dict(a="a"), link_fn=lambda a: undefined),  # noqa: F821
            "failed with a of shape .*: NameError",
        ),
        (lambda m: m.add_node("c", dx.Normal(0.0, 1.0), shape=2.5), "expected whole numbers"),
        (lambda m: m.add_node("c", dx.Normal(0.0, 1.0), shape=(..., 3)), "at the end only"),
        (lambda m: m.add_node("c", dx.Normal(0.0, 1.0), []), "'c' are empty"),
        (
            lambda m: m.add_node("c", dx.Normal(0.0, 1.0), [1.0, None]),
            r"at index \(1\) there is None",
        ),
        (lambda m: m.add_node("c", dx.Normal(0.0, 1.0), [1 + 2j]), "their type is complex128"),
        (
            lambda m: m.add_node("c", dx.Normal(0.0, 1.0), np.array([1], "timedelta64[s]")),
            "their type is timedelta64",
        ),
        (
            lambda m: m.add_node("c", dx.Normal, parents=dict(loc="a", scale=-1.0)),
            r"Normal cannot have scale=-1.0, which is out of its range",
        ),
        (
            lambda m: m.add_node("c", tfd.Bernoulli, parents=dict(probs=[0.5, 1.2])),
            "Bernoulli cannot have probs=",
        ),
        (
            lambda m: m.add_node("c", tfd.Normal(np.array([0, 1]), np.array([1, 2]))),
            "was made from arrays of whole numbers",
        ),
        (
            lambda m: m.add_node("c", dx.Normal, parents=dict(a="a", b="b")),
            "no parameter 'a'; known: loc, scale .* needs a link_fn",
        ),
        (lambda m: m.add_node("c", parents=dict(x="a"), link_fn=jnp.exp), "wrap it, lambda x: "),
        (
            lambda m: m.add_node(
                "c", dx.Normal, np.ones((4, 3)), dict(loc=np.ones((4, 1)), scale=1.0)
            ),
            "parameters are not stretched",
        ),
        (lambda m: m.add_node("c", dx.Normal(0.0, 1.0), [1.0, 2], shape=3), "leave `shape` out"),
    ],
)
def test_mistakes_are_found_when_they_are_made(add, message):
    model = make_regression()
    before = dict(model.nodes)
    with pytest.raises(UserError, match=message):
        add(model)
    assert model.nodes == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Model({"g": ["a"]}), "the name of a model is"),
        (lambda: Model(coords=["a"]), "expected a dict"),
        (lambda: Model(coords={"g": 3}), "expected a sequence with a label for each index"),
        (lambda: Model(coords={"g": "abc"}), "expected a sequence"),
        (lambda: Model(coords={"g": ["a", "a"]}), "the same label twice"),
    ],
)
def test_mistakes_of_the_model_itself(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_arrays_with_names_are_brought_into_order():
    model = Model(coords=dict(a=["p", "q"], b=["r", "s"]))
    data = xr.DataArray(
        [[1.0, 2.0], [3.0, 4.0]], dims=("b", "a"), coords=dict(b=["r", "s"], a=["q", "p"])
    )
    node = model.add_node("y", dx.Normal(0.0, 1.0), data, dims=("a", "b"))
    np.testing.assert_array_equal(node.value, [[2.0, 4.0], [1.0, 3.0]])
    for other, message in (
        (data.rename(a="c"), "have the dimensions"),
        (data.assign_coords(a=["q", "x"]), "other labels along 'a'"),
    ):
        with pytest.raises(UserError, match=message):
            model.add_node("z", dx.Normal(0.0, 1.0), other, dims=("a", "b"))
    again = model.with_data({"y": 10 * data})
    np.testing.assert_array_equal(again.nodes["y"].value, [[20.0, 40.0], [10.0, 30.0]])
    with pytest.raises(UserError, match="no dimension 'bb'; did you mean 'b'"):
        model.with_data({"y": data}, coords={"bb": ["r", "s"]})


def test_an_observation_whose_support_hangs_on_a_latent_variable_is_let_through():
    model = Model()
    top = model.add_node("top", distribution=tfd.Exponential(1.0))
    model.add_node("y", tfd.Uniform, 3.0, parents=dict(low=0.0, high=top))
    assert compile_target(model).log_likelihood({"top": 2.0}) == -np.inf


def test_other_data_for_the_same_model():
    model = make_regression()
    new = model.with_data({"x": [10.0, 20.0]}, coords={"point": ["k", "l"]})
    assert new.outlines["line"].shape == new.outlines["y"].shape == (2,)
    assert new.coords["point"].tolist() == ["k", "l"]
    position = {"a": 1.0, "b": 2.0}
    draws = jax.vmap(lambda key: compile_target(new).predict(key, position)["y"])(
        jax.random.split(jax.random.key(2), 4000)
    )
    # 4000 draws with standard deviation 0.5
    assert np.abs(draws.mean(0) - np.array([21.0, 41.0])).max() < 4 * 0.5 / 4000**0.5
    both = model.with_data({"x": 2 * X, "y": Y + 1})
    np.testing.assert_allclose(
        compile_target(both).log_likelihood(position),
        norm.logpdf(Y + 1, 1 + 4 * X, 0.5).sum(),
    )
    with pytest.raises(UserError, match="has no data 'z'"):
        model.with_data({"z": 1.0})


def test_models_of_one_form_share_what_is_compiled():
    traces = []

    @jax.jit
    def evaluate(target, position):
        traces.append(1)
        return target.log_likelihood(position)

    position = {"a": jnp.asarray(0.1), "b": jnp.asarray(1.0)}
    for shift in (0.0, 1.0):
        # link functions are new objects each time, and the data differ
        target = compile_target(make_regression(X + shift, Y))
        expected = norm.logpdf(Y, 0.1 + X + shift, 0.5).sum()
        np.testing.assert_allclose(evaluate(target, position), expected)
    assert len(traces) == 1
    steeper = Model("other")
    steeper.add_node("a", distribution=dx.Normal(0.0, 1.0))
    steeper.add_node("y", dx.Normal, Y, parents=dict(loc="a", scale=0.5))
    evaluate(compile_target(steeper), {"a": jnp.asarray(0.1)})
    assert len(traces) == 2


def test_looking_at_other_data_compiles_nothing():
    make_regression(X, Y).with_data({"x": 3 * X, "y": Y - 1})
    with compilations() as compiled:
        make_regression(2 * X, Y + 1).with_data({"x": 4 * X, "y": Y - 2})
    assert compiled == []


def test_arrays_that_a_link_function_closes_over_are_not_shared():
    def make(weights):
        model = Model()
        mu = model.add_node("mu", distribution=tfd.Exponential(1.0))
        model.add_node(
            "y",
            distribution=dx.Normal,
            parents=dict(mu=mu),
            link_fn=lambda mu: dict(loc=mu * weights, scale=1.0),
            observations=[1.0, 2.0],
        )
        return compile_target(model)

    @jax.jit
    def evaluate(target):
        position, _ = target.constrain({"mu": jnp.asarray(0.0)})
        return target.log_likelihood(position)

    for weights in (np.array([1.0, 2.0]), np.array([3.0, 4.0])):
        target = make(weights)
        mu = target.constrain({"mu": jnp.asarray(0.0)})[0]["mu"]
        np.testing.assert_allclose(evaluate(target), norm.logpdf([1, 2], mu * weights).sum())


def loc_by_jit(weights):
    return jax.jit(lambda mu: dict(loc=mu * weights, scale=1.0))


def loc_by_callback(weights):
    shape = jax.ShapeDtypeStruct((2,), float)

    def link(mu):
        return dict(loc=jax.pure_callback(lambda m: m * weights, shape, mu), scale=1.0)

    return link


@pytest.mark.parametrize("make_link", [loc_by_jit, loc_by_callback])
def test_what_a_program_hides_inside_is_not_shared(make_link):
    @jax.jit
    def evaluate(target):
        return target.log_likelihood({"mu": 0.5})

    for weights in (np.array([1.0, 2.0]), np.array([3.0, 4.0])):
        model = Model()
        model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
        model.add_node("y", dx.Normal, [1.0, 2], dict(mu="mu"), link_fn=make_link(weights))
        found = evaluate(compile_target(model))
        np.testing.assert_allclose(found, norm.logpdf([1, 2], 0.5 * weights).sum())


def rule_forward(slope):
    @jax.custom_jvp
    def rule(x):
        return x

    rule.defjvp(lambda primals, tangents: (primals[0], slope * tangents[0]))
    return rule


def rule_backward(slope):
    @jax.custom_vjp
    def rule(x):
        return x

    rule.defvjp(lambda x: (x, None), lambda _, g: (slope * g,))
    return rule


@pytest.mark.parametrize("make_rule", [rule_forward, rule_backward])
def test_rules_of_differentiation_are_not_shared(make_rule):
    @jax.jit
    def gradient(target):
        return jax.grad(lambda mu: target.log_likelihood({"mu": mu}))(0.0)

    for slope in (1.0, 5.0):
        rule = make_rule(slope)
        model = Model()
        model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
        model.add_node(
            "y",
            dx.Normal,
            2.0,
            dict(mu="mu"),
            link_fn=lambda mu, f=rule: dict(loc=f(mu), scale=1.0),
        )
        np.testing.assert_allclose(gradient(compile_target(model)), 2 * slope)


def test_other_data_are_checked_as_the_first_ones():
    def make(missing):
        model = Model()
        mu = model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
        y = model.add_node("y", tfd.Exponential, [1.0, 5], dict(rate=1.0), missing=missing)
        model.add_node("z", dx.Normal, [0.0, 1], parents=dict(loc=y, scale=1.0))
        model.add_node("k", dx.Normal, parents=dict(loc=mu, scale=1.0))
        return model

    with pytest.raises(UserError, match="has missing observations"):
        make("drop").with_data({"y": [1.0, np.nan]})
    assert make("impute").with_data({"y": [1.0, np.nan]}).latent == ("mu", "y_missing", "k")
    with pytest.raises(UserError, match=r"-2.0 at index \(1,\) is outside the support"):
        make("drop").with_data({"y": [1.0, -2.0]})
    gaps = make("impute").with_data({"y": [1.0, np.nan]})
    assert gaps.with_data({"z": [2.0, 3.0]}).latent == gaps.latent


def test_later_changes_of_an_array_change_nothing():
    y = np.array([1.0, 2.0])
    model = Model()
    model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
    model.add_node("y", dx.Normal, y, parents=dict(loc="mu", scale=1.0))
    y[:] = 100
    np.testing.assert_allclose(
        compile_target(model).log_likelihood({"mu": 0.0}), norm.logpdf([1, 2]).sum()
    )


@pytest.mark.parametrize(
    ("family", "arguments", "values"),
    [
        (dx.Normal, dict(loc=0.0, scale=1.0), [1, 2]),
        (tfd.Poisson, dict(rate=2.0), [1, 2]),
        (tfd.Bernoulli, dict(probs=0.5), [0, 1]),
        (tfd.Bernoulli, dict(probs=0.5), [0.0, 1.0]),
    ],
)
def test_an_observed_parent_of_any_type(family, arguments, values):
    model = Model()
    x = model.add_node("x", family, values, parents=arguments)
    mu = model.add_node("mu", distribution=dx.Normal, parents=dict(loc=x, scale=1.0))
    model.add_node("y", dx.Normal, [1.0, 2], parents=dict(loc=mu, scale=1.0))
    model.add_node("w", dx.Normal, [1, 2], dict(x=x), link_fn=lambda x: dict(loc=2 * x, scale=1.0))
    target = compile_target(model)
    np.testing.assert_allclose(target.log_prior({"mu": np.zeros(2)}), norm.logpdf(0, values).sum())
    np.testing.assert_allclose(
        target.log_factors({"mu": [0, 0]})["w"], norm.logpdf([1, 2], 2 * np.array(values)).sum()
    )
    drawn = target.sample_prior_predictive(jax.random.key(0))
    assert all(np.all(np.isfinite(value)) for value in drawn.values())


def test_predictions_at_new_data_belong_together():
    model = Model(coords={"row": list("ab")})
    b = model.add_node("b", distribution=dx.Normal(0.0, 1.0))
    x = model.add_node("x", observations=[1.0, 2.0], dims="row")
    y = model.add_node(
        "y", dx.Normal, [1.1, 1.9], dict(b=b, x=x),
        link_fn=lambda b, x: dict(loc=b * x, scale=0.1), dims="row",
    )  # fmt: skip
    model.add_node("twice", parents=dict(y=y), link_fn=lambda y: 2 * y, dims="row")
    draws = xr.Dataset({"b": (("chain", "draw"), np.ones((1, 5)))}, {"chain": [0]})
    tree = xr.DataTree.from_dict({"posterior": draws})
    for new in ([100.0, 200.0], [100.0, 200.0, 300.0]):
        found = predict(tree, model, {"x": new})["predictions"]
        np.testing.assert_allclose(found["twice"], 2 * found["y"])
        assert np.abs(found["y"].values - new).max() < 1
        assert found["row"].values.tolist() == list(range(len(new)))  # not the labels of old rows
    with pytest.raises(UserError, match="no draws of latent variable 'b'"):
        predict(xr.DataTree.from_dict({"posterior": draws.rename(b="c")}), model, {"x": [1.0]})


def make_constrained() -> Model:
    """Supports of several kinds, one of which hangs on another variable."""
    model = Model()
    top = model.add_node("top", distribution=tfd.Exponential(1.0))
    model.add_node("u", distribution=tfd.Uniform, parents=dict(low=0.0, high=top), shape=3)
    model.add_node("p", distribution=tfd.Dirichlet(np.ones(3)), shape=2)
    model.add_node("z", distribution=dx.Normal, parents=dict(loc=top, scale=1.0))
    model.add_node("s", distribution=dx.Gamma(2.0, 1.0), bijector=tfb.Shift(1.0))
    return model


def test_the_way_to_real_vectors_and_back():
    target = compile_target(make_constrained())
    position = jax.tree.map(np.asarray, target.sample_prior(jax.random.key(4)))
    free = jax.tree.map(np.asarray, target.unconstrain(position))
    assert {name: value.shape for name, value in free.items()} == {
        "top": (), "u": (3,), "p": (2, 2), "z": (), "s": ()
    }  # fmt: skip
    back, log_det = target.constrain(free)
    for name, value in position.items():
        np.testing.assert_allclose(back[name], value, rtol=1e-9)

    # The Jacobian by autodiff: of a simplex the last coordinate follows from the others.
    names = sorted(free)
    sizes = [free[n].size for n in names]

    def forward(flat):
        parts = jnp.split(flat, np.cumsum(sizes)[:-1])
        moved, _ = target.constrain(
            {n: part.reshape(free[n].shape) for n, part in zip(names, parts, strict=True)}
        )
        return jnp.concatenate(
            [(moved[n][:, :-1] if n == "p" else moved[n]).ravel() for n in names]
        )

    jacobian = jax.jacfwd(forward)(jnp.concatenate([free[n].ravel() for n in names]))
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], rtol=1e-9)


def test_discrete_variables_cannot_be_unconstrained():
    model = Model()
    model.add_node("k", distribution=tfd.Poisson(3.0))
    target = compile_target(model)
    assert target.program.discrete == {"k"}
    with pytest.raises(UserError, match="'k' cannot be moved in unconstrained space"):
        target.constrain({"k": 1.0})


def test_minibatches_are_unbiased():
    model = make_regression(y=np.where(np.arange(4) == 2, np.nan, Y))
    batches = minibatch(model, size=2, names=["x", "y"])
    position = {"a": 0.1, "b": 0.7}
    pairs = [(i, j) for i in range(4) for j in range(i)]
    estimates = [batches.log_likelihood(position, jnp.array(pair)) for pair in pairs]
    np.testing.assert_allclose(np.mean(estimates), batches.full.log_likelihood(position))
    assert np.std(estimates) > 0.1
    gradient = jax.grad(lambda b: batches.log_likelihood({"a": 0.1, "b": b}, jnp.array([1, 2])))(
        0.7
    )
    np.testing.assert_allclose(gradient, 4 / 2 * (Y[1] - 0.8) / 0.25)
    with pytest.raises(UserError, match="one number of rows each"):
        minibatch(model, 2, ["x", "scale_y"])
    with pytest.raises(UserError, match="'w' is no data"):
        minibatch(model, 2, ["w"])
    with pytest.raises(UserError, match="'y' has another shape with fewer rows"):
        minibatch(model, 2, ["x"])
    with pytest.raises(UserError, match="expected 1 to 4 rows"):
        minibatch(model, 9, ["x", "y"])
    with pytest.raises(UserError, match="got 1 rows; expected 2"):
        batches.log_likelihood(position, jnp.array([1]))


def test_explain_names_the_fault():
    target = compile_target(make_constrained())
    position = target.sample_prior(jax.random.key(4))
    assert target.explain(position).faults == ()
    found = target.explain({**position, "u": np.array([0.1, -3.0, 0.1])})
    (fault,) = found.faults
    assert fault.startswith("u: -3. at index (1,) is outside the support of Uniform, with low=0")
    model = Model()
    model.add_node("x", distribution=dx.Normal(0.0, 1.0))
    model.add_node("y", dx.Normal, 0.0, parents=dict(x="x"), link_fn=lambda x: dict(loc=x, scale=x))
    (fault,) = compile_target(model).explain({"x": -1.0}).faults
    assert fault == "y: 0. has a log density that is not a number, with x=-1."
    with pytest.raises(UserError, match="lacks the latent variable 'x'"):
        compile_target(model).explain({})
    with pytest.raises(UserError, match=r"'x' has shape \(2,\) in the position; expected \(\)"):
        compile_target(model).explain({"x": np.zeros(2)})


def test_positions_are_numbers_of_the_right_kind_and_precision():
    model = Model("coins")
    model.add_node("g", distribution=tfd.Bernoulli(probs=0.3), shape=3)
    model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
    target = compile_target(model)
    position = dict(g=np.array([0, 1, 0]), mu=1)
    assert np.isfinite(target.log_prior(position))
    with pytest.raises(UserError, match="'g' takes whole numbers, but is of type float64"):
        target.log_prior({**position, "g": np.array([0.5, 1, 0])})
    with pytest.raises(UserError, match="expected numbers"):
        target.log_prior({**position, "mu": "1"})
    with precision_context("float32"), pytest.raises(UserError, match="precision_context"):
        target.sample_prior(jax.random.key(0))
    line = compile_target(make_regression())
    with pytest.raises(UserError, match=r"'a' has shape \(2,\) in the position; expected \(\)"):
        line.unconstrain(dict(a=np.ones(2), b=1.0))

"""The model as inference sees it: factors, blankets, tempering, data that are arguments."""

import blackjax
import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import lognorm, norm
from tensorflow_probability.substrates import jax as tfp

import exact
from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.samplers import gibbs_sampler
from bamopipe.target import compile_target, precision_context, tempered

tfd = tfp.distributions


@pytest.fixture(autouse=True)
def x64():
    with precision_context("float64"):
        yield


POSITION = {"mu": 4.0, "tau": 7.0, "theta": np.arange(8.0)}


def test_factors_are_the_densities_of_the_nodes(eight_schools):
    factors = compile_target(eight_schools).log_factors(POSITION)
    expected = {
        "mu": norm.logpdf(4.0, 0, 10),
        "tau": lognorm.logpdf(7.0, 1, scale=np.exp(5)),
        "theta": norm.logpdf(np.arange(8.0), 4.0, 7.0).sum(),
        "y": norm.logpdf(exact.EFFECTS, np.arange(8.0), exact.ERRORS).sum(),
    }
    assert list(factors) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(factors[name], value, rtol=1e-12)


def test_prior_and_likelihood_are_sums_of_factors(eight_schools):
    target = compile_target(eight_schools)
    factors = target.log_factors(POSITION)
    np.testing.assert_allclose(
        target.log_prior(POSITION), factors["mu"] + factors["tau"] + factors["theta"]
    )
    np.testing.assert_allclose(target.log_likelihood(POSITION), factors["y"])


def test_markov_blankets(eight_schools):
    target = compile_target(eight_schools)
    assert target.touching(["mu"]) == ("mu", "theta")
    assert target.touching(["theta"]) == ("theta", "y")
    assert target.touching(["mu", "tau", "theta"]) == ("mu", "tau", "theta", "y")
    with pytest.raises(UserError, match="'thetas' is no latent variable; did you mean 'theta'"):
        target.touching(["thetas"])


def test_only_observed_factors_are_tempered(eight_schools):
    target = compile_target(eight_schools)
    factors = target.log_factors(POSITION)
    np.testing.assert_allclose(
        tempered(target, factors, jnp.asarray(0.25)),
        factors["mu"] + factors["tau"] + factors["theta"] + 0.25 * factors["y"],
    )
    factors["y"] = jnp.asarray(-jnp.inf)
    assert np.isfinite(tempered(target, factors, jnp.asarray(0.0)))


def test_outside_the_support_all_is_minus_infinity_and_nothing_nan(eight_schools):
    target = compile_target(eight_schools)
    factors = target.log_factors({**POSITION, "tau": -1.0})
    assert factors["tau"] == -np.inf
    assert factors["theta"] == -np.inf  # Normal with a negative scale: not a number by itself
    assert np.isfinite(factors["mu"])


def test_a_nan_inside_the_support_stays_visible():
    model = Model()
    x = model.add_node("x", distribution=dx.Normal(0.0, 1.0))
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(x=x),
        link_fn=lambda x: dict(loc=jnp.log(x), scale=1.0),
        observations=0.0,
    )
    factors = compile_target(model).log_factors({"x": -1.0})
    assert np.isfinite(factors["x"])
    assert np.isnan(factors["y"])


def test_observed_variable_with_a_child_counts():
    model = Model()
    mu = model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
    x = model.add_node(
        "x", distribution=dx.Normal, parents=dict(loc=mu, scale=1.0), observations=2.0
    )
    model.add_node("y", distribution=dx.Normal, parents=dict(loc=x, scale=1.0), observations=3.0)
    target = compile_target(model)
    np.testing.assert_allclose(
        target.log_likelihood({"mu": 0.5}), norm.logpdf(2.0, 0.5) + norm.logpdf(3.0, 2.0)
    )


def test_arrays_in_link_functions_are_arguments_of_the_program():
    def make(weights):
        model = Model()
        mu = model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
        model.add_node(
            "y",
            distribution=dx.Normal,
            parents=dict(mu=mu),
            link_fn=lambda mu: dict(loc=mu * weights, scale=1.0),
            observations=[1.0, 2.0, 3.0],
        )
        return compile_target(model)

    weights = jnp.asarray([1.0, 10.0, 100.0])
    target = make(weights)
    np.testing.assert_allclose(
        target.log_likelihood({"mu": 0.3}), norm.logpdf([1, 2, 3], 0.3 * weights).sum()
    )
    leaves = jax.tree.leaves(target)
    assert any(leaf.shape == (3,) and np.array_equal(leaf, weights) for leaf in leaves)
    text = jax.jit(lambda t: t.log_likelihood({"mu": 0.3})).lower(target).as_text()
    assert "100" not in text  # it would be a constant of the program


def test_library_of_the_distribution_does_not_matter():
    values = []
    for normal, exponential in (
        (dx.Normal, tfd.Exponential(2.0)),
        (tfd.Normal, tfd.Exponential(2)),
    ):
        model = Model()
        scale = model.add_node("scale", distribution=exponential)
        model.add_node(
            "y", distribution=normal, parents=dict(loc=1, scale=scale), observations=[1, 2]
        )
        target = compile_target(model)
        value = target.log_prior({"scale": 0.5}) + target.log_likelihood({"scale": 0.5})
        assert value.dtype == jnp.float64
        values.append(float(value))
    expected = np.log(2) - 1 + norm.logpdf([1, 2], 1, 0.5).sum()
    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_precision_is_that_of_the_argument(eight_schools):
    with precision_context("float32"):
        target = compile_target(eight_schools, "float32")
        assert target.log_prior(POSITION).dtype == jnp.float32
        assert target.sample_prior(jax.random.key(0))["theta"].dtype == jnp.float32


def test_prior_draws_have_the_moments_of_the_prior(eight_schools):
    target = compile_target(eight_schools)
    draws = jax.vmap(target.sample_prior)(jax.random.split(jax.random.key(7), 20_000))
    # 20,000 draws: standard errors 10 / sqrt(n) for mu, 1 / sqrt(n) for log tau
    assert abs(draws["mu"].mean()) < 4 * 10 / 20_000**0.5
    assert abs(jnp.log(draws["tau"]).mean() - 5) < 4 / 20_000**0.5
    scaled = (draws["theta"] - draws["mu"][:, None]) / draws["tau"][:, None]
    assert abs(scaled.std() - 1) < 4 / (2 * 160_000) ** 0.5


def test_predictions_follow_the_likelihood(eight_schools):
    target = compile_target(eight_schools)
    draws = jax.vmap(lambda key: target.predict(key, POSITION)["y"])(
        jax.random.split(jax.random.key(3), 20_000)
    )
    assert draws.shape == (20_000, 8)
    z = (draws.mean(0) - np.arange(8.0)) / exact.ERRORS * 20_000**0.5
    assert np.abs(z).max() < 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            dict(parents=dict(mean="mu", scale=1.0)),
            "node 'y': Normal has no parameter 'mean'; known: loc, scale",
        ),
        (
            dict(distribution=tfd.StudentT, parents=dict(df=3.0, loc="mu", scales=1.0)),
            "StudentT has no parameter 'scales'; did you mean 'scale'",
        ),
        (dict(parents=dict(loc="mu")), "node 'y': Normal needs the parameter 'scale'"),
        (
            dict(distribution=tfd.Bernoulli, parents=dict(probs="mu", logits=0.0)),
            "'y' could not be made from logits of shape .*, but not both",
        ),
        (
            dict(parents=dict(loc=np.zeros(3), scale=np.ones(4))),
            r"parents of node 'y' do not fit one another: loc \(3,\), scale \(4,\)",
        ),
        (
            dict(parents=dict(loc="mu", scale=np.ones(4)), observations=np.ones(3)),
            r"observations of node 'y' have shape \(3,\)",
        ),
        (
            dict(distribution=lambda loc: 3.0, parents=dict(loc="mu")),
            "'y'.*expected .* to return a distrax or TFP distribution",
        ),
    ],
)
def test_mistakes_name_the_node(arguments, message):
    model = Model()
    model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
    with pytest.raises(UserError, match=message):
        model.add_node("y", **{"distribution": dx.Normal, "observations": 1.0, **arguments})
    assert list(model.nodes) == ["mu"]


def test_mistakes_in_a_node_before_its_parents_are_found_when_they_are_there():
    model = Model()
    model.add_node("y", distribution=dx.Normal, parents=dict(mean="mu", scale=1.0), observations=1)
    model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
    with pytest.raises(UserError, match="'y': Normal has no parameter 'mean'"):
        compile_target(model)


def test_a_model_without_latent_variables_is_refused():
    model = Model("empty")
    model.add_node("y", distribution=dx.Normal(0.0, 1.0), observations=1.0)
    with pytest.raises(UserError, match="nothing to infer"):
        compile_target(model)


@pytest.mark.parametrize(
    ("coords", "dims", "message"),
    [
        ({}, ("theta",), "also the name of"),
        ({}, ("chain",), "a dimension of all results"),
        ({}, ("a", "b"), r"has dims \('a', 'b'\) but shape \(3,\)"),
        ({"school": list("AB")}, ("school",), "has size 3"),
    ],
)
def test_dims_have_to_fit(coords, dims, message):
    model = Model(coords=coords)
    with pytest.raises(UserError, match=message):
        model.add_node("theta", distribution=dx.Normal(0.0, 1.0), shape=3, dims=dims)


def test_a_random_walk_refuses_whole_numbers():
    model = Model()
    model.add_node("k", distribution=tfd.Bernoulli(probs=0.3))
    kernel = gibbs_sampler(model, dict(k=blackjax.normal_random_walk), dict(k=dict(sigma=1.0)))
    with pytest.raises(UserError, match="walk cannot move variable 'k', which takes whole"):
        kernel.check(compile_target(model))

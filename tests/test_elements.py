"""Independence of elements, and kernels that make use of it."""

import blackjax
import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernels import run
from scipy.stats import gamma, norm
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.samplers import gibbs_sampler
from bamopipe.samplers.base import LOG_SCALE, Block, Kernel
from bamopipe.samplers.elementwise_walk import ElementwiseWalk
from bamopipe.samplers.tuned_random_walk import TunedRandomWalk
from bamopipe.target import (
    compile_target,
    element_log_factors,
    independent_axes,
    precision_context,
)

GROUP = np.array([0, 2, 2, 1, 0, 2])
TRIL = np.array([[1.5, 0.0], [0.5, 1.0]], np.float32)  # exactly, in either precision
VECTORS = tfd.MultivariateNormalTriL(np.zeros(2, np.float32), TRIL)


def make(prior, link_fn=None, observations=None, shape=(3,), distribution=dx.Normal, **parents):
    """A model of x with some prior, and y given x."""
    model = Model()
    x = model.add_node("x", distribution=prior, shape=shape)
    for name, value in parents.items():
        parents[name] = model.add_node(name, distribution=value) if callable(value) else value
    model.add_node(
        "y",
        distribution=distribution,
        parents=dict(x=x, **parents),
        link_fn=link_fn,
        observations=np.zeros(3) if observations is None else observations,
    )
    return model


def normal(compute, **settings):
    """y is normal around what is computed from x."""
    settings = {"prior": dx.Normal(0.0, 1.0), **settings}
    return make(link_fn=lambda x: dict(loc=compute(x), scale=1.0), **settings)


def scanned(x):
    """A recursion for each element."""
    return jax.lax.scan(lambda carry, row: (0.5 * carry + row * x, carry), x, jnp.ones((4, 3)))[1]


INDEPENDENT = {
    "one to one": (normal(lambda x: x), (0,)),
    "functions of it": (normal(lambda x: jnp.exp(x) / (1 + x**2) - 3 * jnp.maximum(x, 0)), (0,)),
    "a jitted function": (normal(jax.jit(jax.nn.softplus)), (0,)),
    "rows": (normal(lambda x: x[:, None] * jnp.ones((3, 4)), observations=np.zeros((3, 4))), (0,)),
    "columns": (normal(lambda x: x * jnp.ones((4, 1)), observations=np.zeros((4, 3))), (0,)),
    "groups": (normal(lambda x: x[GROUP], observations=np.zeros(6)), (0,)),
    "groups, some beyond the end": (
        normal(
            lambda x: jnp.take(x, GROUP * 3, mode="clip") + jnp.arange(6.0),
            observations=np.zeros(6),
        ),
        (0,),
    ),
    "flattened": (
        normal(lambda x: (x[:, None] + jnp.arange(2.0)).ravel(), observations=np.zeros(6)),
        (0,),
    ),
    "flattened and back": (
        normal(
            lambda x: (x + jnp.zeros((2, 3))).ravel().reshape(2, 3), observations=np.zeros((2, 3))
        ),
        (0,),
    ),
    "a loop": (normal(scanned, observations=np.zeros((4, 3))), (0,)),
    "a matrix": (
        normal(lambda x: x.T, shape=(3, 2), observations=np.zeros((2, 3))),
        (0, 1),
    ),
    "rows of a matrix": (
        normal(lambda x: x @ jnp.array([1.0, 2.0]), shape=(3, 2)),
        (0,),
    ),
    "draws of vectors": (
        normal(
            lambda x: x,
            prior=VECTORS,
            observations=np.zeros((3, 2)),
        ),
        (0,),
    ),
    "missing observations": (normal(lambda x: x, observations=[1.0, np.nan, 2.0]), (0,)),
    "a running sum over data": (
        normal(
            lambda x: jnp.cumsum(x[:, None] * jnp.ones(4), axis=1), observations=np.zeros((3, 4))
        ),
        (0,),
    ),
}
DEPENDENT = {
    "a sum": normal(lambda x: jnp.sum(x), observations=0.0),
    "differences": normal(lambda x: x - x[::-1]),
    "a running sum": normal(jnp.cumsum),
    "a regression": normal(lambda x: jnp.ones((3, 3)) @ x),
    "neighbours": normal(lambda x: x + jnp.roll(x, 1)),
    "softmax": normal(jax.nn.softmax),
    "sorted": normal(jnp.sort),
    "one element": normal(lambda x: x[0] * jnp.ones(3)),
    "an index that depends on it": normal(lambda x: x[jnp.argsort(x)]),
    "its own transpose": normal(lambda x: x + x.T, shape=(3, 3), observations=np.zeros((3, 3))),
    "a correlated prior": normal(
        lambda x: x, prior=tfd.MultivariateNormalTriL(jnp.zeros(3), jnp.eye(3)), shape=()
    ),
    "a loop along it": normal(lambda x: jax.lax.scan(lambda c, row: (c + row, c + row), 0.0, x)[1]),
    "a choice by it": normal(lambda x: jax.lax.cond(x[0] > 0, lambda: x, lambda: -x)),
    "length one": normal(lambda x: x * jnp.ones(3), shape=(1,)),
    "a density of all": make(
        tfd.Normal(0.0, 1.0),
        lambda x: dict(loc=x, scale_tril=jnp.eye(3)),
        distribution=tfd.MultivariateNormalTriL,
    ),
}


@pytest.mark.parametrize("name", INDEPENDENT)
def test_elements_are_apart(name):
    """The sums are those of the factors, and an element moves what is its own only."""
    model, expected = INDEPENDENT[name]
    target = compile_target(model)
    with precision_context("float64"):
        assert independent_axes(target, "x") == expected
        position, other = (target.sample_prior(jax.random.key(i)) for i in (1, 2))
        before = element_log_factors(target, position, "x", expected)
        whole = target.log_factors(position)
        for factor, values in before.items():
            assert values.shape == tuple(position["x"].shape[axis] for axis in expected)
            assert float(jnp.sum(values)) == pytest.approx(float(whole[factor]), rel=1e-12)
        moved = position["x"].at[(0,) * len(expected)].set(other["x"][(0,) * len(expected)])
        after = element_log_factors(target, {**position, "x": moved}, "x", expected)
    for factor, values in before.items():
        changed = np.asarray(after[factor] != values)
        assert changed.ravel()[0]
        assert not changed.ravel()[1:].any()


@pytest.mark.parametrize("name", DEPENDENT)
def test_elements_that_are_not_apart_are_seen(name):
    assert independent_axes(compile_target(DEPENDENT[name]), "x") == ()


def test_both_children_count():
    """Elements that one child keeps apart and another mixes are dependent."""
    model = normal(lambda x: x)
    model.add_node(
        "z", distribution=dx.Normal, parents=dict(x="x"), observations=0.0,
        link_fn=lambda x: dict(loc=jnp.sum(x), scale=1.0),
    )  # fmt: skip
    assert independent_axes(compile_target(model), "x") == ()


def test_gibbs_moves_independent_elements_by_themselves_unless_told_otherwise(capsys):
    model = make(
        dx.Normal(0.0, 1.0),
        lambda x: dict(rate=jnp.exp(x[GROUP])),
        COUNTS,
        distribution=tfd.Poisson,
    )
    kernel = gibbs_sampler(model)
    assert kernel.blocks[0].update == ElementwiseWalk((0,))
    kernel.describe()
    assert capsys.readouterr().out == (
        "Updates\n\n"
        "    x  random walk that tunes itself, by element: they are independent given the rest\n"
    )
    named = gibbs_sampler(model, dict(x=blackjax.normal_random_walk))
    assert named.blocks[0].update == TunedRandomWalk()
    assert gibbs_sampler(DEPENDENT["softmax"]).blocks[0].update == TunedRandomWalk()


def test_a_kernel_of_another_model_is_refused():
    target = compile_target(DEPENDENT["a regression"])
    with pytest.raises(UserError, match=r"'x'.*not independent"):
        elementwise("x").check(target)


def elementwise(name):
    """A kernel that is asked for, whatever the model."""
    return Kernel((Block(name, (name,), ElementwiseWalk((0,))),), {name: {LOG_SCALE: 0.0}})


COUNTS = np.array([3.0, 0.0, 5.0, 1.0, 9.0, 2.0])


def rates() -> Model:
    """Conjugate, in groups of unequal size."""
    return make(
        dx.Gamma(2.0, 1.0),
        lambda x: dict(rate=x[GROUP]),
        COUNTS,
        distribution=tfd.Poisson,
    )


def rates_uniform(x, temperature):
    counts = np.bincount(GROUP, COUNTS)
    sizes = np.bincount(GROUP)
    return [
        gamma(2 + temperature * c, scale=1 / (1 + temperature * n)).cdf(row)
        for row, c, n in zip(x, counts, sizes, strict=True)
    ]


POINTS = np.array([[1.0, -2.0], [0.5, 3.0], [4.0, 0.0]])


def points() -> Model:
    """Conjugate, each element a vector whose coordinates depend on each other."""
    return normal(lambda x: x, prior=VECTORS, observations=POINTS)


def points_uniform(x, temperature):
    posterior = np.linalg.inv(np.linalg.inv(TRIL @ TRIL.T) + temperature * np.eye(2))
    found = []
    for element, point in zip(x, POINTS, strict=True):
        residual = element - (posterior @ (temperature * point))[:, None]
        white = np.linalg.solve(np.linalg.cholesky(posterior), residual)
        found += [norm.cdf(row) for row in white]
    return found


@pytest.mark.parametrize(
    ("make_model", "uniform"), [(rates, rates_uniform), (points, points_uniform)]
)
def test_posterior_at_two_temperatures(make_model, uniform):
    """Whole distributions, with 4,000 particles and the errors of uniform numbers."""
    model, temperatures = make_model(), (1.0, 0.5)
    with precision_context("float64"):
        positions = run(elementwise("x"), compile_target(model), temperatures, 8)
    for temperature, position in zip(temperatures, positions, strict=True):
        for numbers in uniform(np.asarray(position["x"]), temperature):
            root = len(numbers) ** 0.5
            assert abs(np.mean(numbers) - 1 / 2) < 4 * (1 / 12) ** 0.5 / root
            assert abs(np.mean(numbers**2) - 1 / 3) < 4 * (4 / 45) ** 0.5 / root


def test_known_log_densities_stay_those_of_the_position():
    """The state after a step holds what an evaluation from scratch finds."""
    model = rates()
    target, kernel = compile_target(model), elementwise("x")
    with precision_context("float64"):
        keys = jax.random.split(jax.random.key(0), 50)
        state = kernel.init(target, jax.vmap(target.sample_prior, out_axes=-1)(keys))
        parameters = kernel.tune(kernel.parameters, state.position, target)
        moved, infos = kernel.step(jax.random.key(1), state, jnp.asarray(0.7), parameters, target)
        fresh = kernel.init(target, moved.position)
        known, expected = jax.device_get((moved.log_factors, fresh.log_factors))
        rates_of_acceptance = jax.device_get(infos["x"].acceptance_rate)
    assert 0.1 < rates_of_acceptance.mean() < 0.95
    for name, factor in known.items():
        np.testing.assert_allclose(factor, expected[name], rtol=1e-12)

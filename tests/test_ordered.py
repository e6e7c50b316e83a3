"""Order statistics against their known laws."""

import itertools

import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from tensorflow_probability.substrates import jax as tfp

from bamopipe.base import Model
from bamopipe.distributions import adapter
from bamopipe.distributions.bijectors import unconstraining
from bamopipe.distributions.ordered import Ordered
from bamopipe.errors import UserError
from bamopipe.target import compile_target, precision_context

tfb, tfd = tfp.bijectors, tfp.distributions

BASES = {
    "normal": (lambda: dx.Normal(1.0, 2.0), stats.norm(1.0, 2.0)),
    "exponential": (lambda: tfd.Exponential(0.5), stats.expon(scale=2.0)),
    "beta": (lambda: tfd.Beta(2.0, 3.0), stats.beta(2.0, 3.0)),
    "uniform": (lambda: dx.Uniform(-1.0, 3.0), stats.uniform(-1.0, 4.0)),
    "a truncated normal": (
        lambda: tfd.TruncatedNormal(0.0, 1.0, 0.5, float("inf")),
        stats.truncnorm(0.5, float("inf")),
    ),
    "minus a logistic": (
        lambda: tfd.TransformedDistribution(tfd.Logistic(-1.0, 2.0), tfb.Scale(-1.0)),
        stats.logistic(1.0, 2.0),
    ),
    "half-Cauchy above 1": (lambda: tfd.HalfCauchy(1.0, 2.0), stats.halfcauchy(1.0, 2.0)),
}


@pytest.fixture(autouse=True)
def x64():
    with precision_context("float64"):
        yield


def make(name, size):
    return adapter.cast(Ordered(BASES[name][0](), size), jnp.float64)


@pytest.mark.parametrize("name", BASES)
def test_density_is_that_of_the_order_statistics(name):
    reference = BASES[name][1]
    values = np.sort(reference.rvs((5, 4), random_state=1), axis=-1)
    expected = reference.logpdf(values).sum(-1) + np.log(24)
    distribution = make(name, 4)
    np.testing.assert_allclose(adapter.log_prob(distribution, values), expected, rtol=1e-12)


@pytest.mark.parametrize("name", BASES)
def test_density_is_zero_where_elements_decrease_or_leave_the_support(name):
    distribution = make(name, 3)
    inside = np.quantile(BASES[name][1].rvs(100, random_state=2), [0.2, 0.5, 0.7])
    log_prob = jax.value_and_grad(lambda x: adapter.log_prob(distribution, x))
    for order in itertools.permutations(range(3)):
        value, gradient = log_prob(jnp.asarray(inside[list(order)]))
        assert np.isfinite(value) == (order == (0, 1, 2))
        assert np.all(np.isfinite(gradient))
    if name not in ("normal", "minus a logistic"):
        value, gradient = log_prob(jnp.asarray([-9.0, inside[1], inside[2]]))
        assert value == -np.inf
        assert np.all(np.isfinite(gradient))


def test_density_integrates_to_one():
    distribution = make("normal", 2)
    density = jax.jit(lambda a, b: jnp.exp(adapter.log_prob(distribution, jnp.stack([a, b]))))
    total, _ = integrate.dblquad(lambda b, a: float(density(a, b)), -15, 17, lambda a: a, 17)
    np.testing.assert_allclose(total, 1.0, atol=1e-7)


@pytest.mark.parametrize("name", BASES)
def test_draws_are_order_statistics(name):
    """The k-th of n, through the base's distribution function, is Beta(k, n + 1 - k)."""
    size, n = 4, 5_000
    draws = np.asarray(adapter.sample(make(name, size), jax.random.key(3), (n,)))
    assert draws.shape == (n, size)
    assert np.all(np.diff(draws, axis=-1) >= 0)
    for k in range(1, size + 1):
        uniform = BASES[name][1].cdf(draws[:, k - 1])
        # 20 tests in all with a seed chosen beforehand
        assert stats.kstest(uniform, stats.beta(k, size + 1 - k).cdf).pvalue > 1e-4


@pytest.mark.parametrize("name", BASES)
def test_unconstraining_gives_every_increasing_vector(name):
    distribution = make(name, 3)
    bijector = unconstraining(distribution)
    for z in np.random.default_rng(4).normal(size=(5, 3)):
        x = np.asarray(bijector.forward(jnp.asarray(z)))
        assert np.all(np.diff(x) > 0)
        assert np.isfinite(adapter.log_prob(distribution, x))
        back = np.asarray(bijector.inverse(jnp.asarray(np.array(x))))  # past the bijector's cache
        np.testing.assert_allclose(back, z, rtol=1e-8, atol=1e-8)
        jacobian = jax.jacobian(bijector.forward)(jnp.asarray(z))
        np.testing.assert_allclose(
            bijector.forward_log_det_jacobian(jnp.asarray(z), 1),
            np.linalg.slogdet(jacobian)[1],
            rtol=1e-10,
            atol=1e-10,
        )


def test_under_vmap_with_parents():
    scales = jnp.array([0.5, 2.0])
    value = jnp.array([-1.0, 0.2, 0.9])
    found = jax.jit(jax.vmap(lambda s: adapter.log_prob(Ordered(dx.Normal(0.0, s), 3), value)))(
        scales
    )
    expected = [stats.norm(0, s).logpdf(value).sum() + np.log(6) for s in (0.5, 2.0)]
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_as_the_cutpoints_of_an_ordinal_regression():
    model = Model("ordinal regression")
    cutpoints = model.add_node("cutpoints", distribution=Ordered(dx.Normal(0.0, 3.0), size=3))
    model.add_node(
        "y",
        distribution=lambda cutpoints: tfd.OrderedLogistic(cutpoints=cutpoints, loc=0.4),
        parents=dict(cutpoints=cutpoints),
        observations=np.array([0, 3, 1, 2, 2]),
    )
    target = compile_target(model)
    value = jnp.array([-1.0, 0.5, 2.0])
    above = np.concatenate([[1.0], stats.logistic.sf(np.asarray(value) - 0.4), [0.0]])
    expected = np.log(above[:-1] - above[1:])[[0, 3, 1, 2, 2]].sum()
    found = target.log_likelihood(dict(cutpoints=value))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    draw = target.sample_prior(jax.random.key(0))["cutpoints"]
    assert draw.shape == (3,)
    assert np.all(np.diff(draw) > 0)


def test_mistakes_are_told():
    with pytest.raises(UserError, match="positive whole number"):
        Ordered(dx.Normal(0.0, 1.0), 0)
    with pytest.raises(UserError, match="positive whole number"):
        Ordered(dx.Normal(0.0, 1.0), True)
    with pytest.raises(UserError, match="an instance such as"):
        Ordered(dx.Normal, 2)
    with pytest.raises(UserError, match="got a discrete one"):
        Ordered(tfd.Poisson(3.0), 2)
    with pytest.raises(UserError, match=r"got one of shape \(2,\)"):
        Ordered(dx.Normal(jnp.zeros(2), 1.0), 2)

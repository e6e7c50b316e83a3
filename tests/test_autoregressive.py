"""Autoregressive series against loops and joint Gaussians in numpy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from tensorflow_probability.substrates import jax as tfp

from bamopipe.base import Model
from bamopipe.distributions import adapter
from bamopipe.distributions.autoregressive import AutoRegressive
from bamopipe.distributions.bijectors import unconstraining
from bamopipe.errors import UserError
from bamopipe.target import compile_target, precision_context

tfd = tfp.distributions

# Orders 1 to 3, with coefficients that differ, so that a wrong order of lags shows.
COEFFICIENTS = {1: [0.7], 2: [0.9, -0.4], 3: [0.2, 0.1, 0.5]}
INITIAL = {1: [2.0], 2: [2.0, -1.0], 3: [2.0, -1.0, 0.5]}
SCALE, INTERCEPT, LENGTH = 0.6, 0.3, 9


@pytest.fixture(autouse=True)
def x64():
    with precision_context("float64"):
        yield


def make(order, **changes):
    parameters = dict(
        coefficients=COEFFICIENTS[order],
        scale=SCALE,
        initial=INITIAL[order],
        length=LENGTH,
        intercept=INTERCEPT,
    )
    return AutoRegressive(**{**parameters, **changes})


def expectation(order, past):
    """Mean of the next value, from a list of all past ones."""
    return INTERCEPT + sum(COEFFICIENTS[order][k - 1] * past[-k] for k in range(1, order + 1))


def joint(order):
    """Mean and covariance of the whole series, from its moving-average form."""
    past = list(INITIAL[order])
    for _ in range(LENGTH):
        past.append(expectation(order, past))
    response = np.eye(LENGTH)  # of value t to the innovation at s
    for t in range(LENGTH):
        for k in range(1, min(order, t) + 1):
            response[t] += COEFFICIENTS[order][k - 1] * response[t - k]
    return np.array(past[order:]), SCALE**2 * response @ response.T


@pytest.mark.parametrize("order", [1, 2, 3])
def test_density_is_a_product_of_conditionals(order):
    value = np.random.default_rng(1).normal(size=LENGTH)
    past, expected = list(INITIAL[order]), 0.0
    for y in value:
        expected += stats.norm(expectation(order, past), SCALE).logpdf(y)
        past.append(y)
    np.testing.assert_allclose(make(order).log_prob(value), expected, rtol=1e-13)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_density_is_the_joint_gaussian(order):
    reference = stats.multivariate_normal(*joint(order))
    value = reference.rvs(4, random_state=2)
    np.testing.assert_allclose(make(order).log_prob(value), reference.logpdf(value), rtol=1e-12)


# 20,000 draws; every mean and covariance within five of its own standard errors.
@pytest.mark.parametrize("order", [1, 2, 3])
def test_draws_have_the_moments_of_the_joint_gaussian(order):
    mean, covariance = joint(order)
    n = 20_000
    draws = np.asarray(adapter.sample(make(order), jax.random.key(3), (n,)))
    variance = np.diag(covariance)
    np.testing.assert_array_less(np.abs(draws.mean(0) - mean), 5 * np.sqrt(variance / n))
    found = (draws - mean).T @ (draws - mean) / n
    error = np.sqrt((np.outer(variance, variance) + covariance**2) / n)
    np.testing.assert_array_less(np.abs(found - covariance), 5 * error)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_draws_go_on_from_the_initial_values(order):
    """Almost without noise, a draw is the recursion: the initial values are no part of it."""
    draw = make(order, scale=1e-14).sample(seed=jax.random.key(0))
    np.testing.assert_allclose(draw, joint(order)[0], rtol=1e-11)


def test_intercept_and_scale_may_change_over_time():
    intercept, scale = np.linspace(-1, 1, LENGTH), np.linspace(0.5, 2, LENGTH)
    value = np.random.default_rng(4).normal(size=LENGTH)
    series = make(1, intercept=intercept, scale=scale)
    before = np.append(2.0, value[:-1])
    expected = stats.norm(intercept + 0.7 * before, scale).logpdf(value).sum()
    np.testing.assert_allclose(series.log_prob(value), expected, rtol=1e-13)
    steady = make(1, intercept=intercept, scale=1e-14).sample(seed=jax.random.key(0))
    np.testing.assert_allclose(steady, intercept + 0.7 * np.append(2.0, steady[:-1]), atol=1e-11)


def test_leading_dimensions_are_a_batch():
    coefficients = np.array([[0.9, -0.4], [0.1, 0.2], [0.5, 0.3]])
    initial = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    scale = np.array([[0.5], [1.0], [1.5]])
    batch = AutoRegressive(coefficients, scale, initial, LENGTH)
    assert (batch.batch_shape, batch.event_shape) == ((3,), (LENGTH,))
    draws = batch.sample(seed=jax.random.key(0), sample_shape=(4,))
    assert draws.shape == (4, 3, LENGTH)
    found = batch.log_prob(draws)
    for i in range(3):
        one = AutoRegressive(coefficients[i], scale[i, 0], initial[i], LENGTH)
        np.testing.assert_allclose(found[:, i], one.log_prob(draws[:, i]), rtol=1e-12)
    shared = AutoRegressive(coefficients[0], 1.0, initial, LENGTH)
    assert shared.sample(seed=jax.random.key(0)).shape == (3, LENGTH)


def test_maps_and_gradients():
    value = np.random.default_rng(5).normal(size=LENGTH)

    def log_prob(theta):
        return make(2, coefficients=theta[:2], scale=theta[2], initial=theta[3:]).log_prob(value)

    thetas = jnp.array([[0.3, 0.2, 1.1, 0.0, 0.4], [-0.3, 0.9, 0.4, 1.0, -2.0]])
    mapped = jax.jit(jax.vmap(log_prob))(thetas)
    np.testing.assert_allclose(mapped, [log_prob(t) for t in thetas], rtol=1e-13)
    step = 1e-5
    for theta in thetas:
        differences = [
            (log_prob(theta + step * e) - log_prob(theta - step * e)) / (2 * step)
            for e in jnp.eye(5)
        ]
        np.testing.assert_allclose(jax.grad(log_prob)(theta), differences, rtol=1e-7, atol=1e-7)


def test_unconstraining_is_the_identity():
    value = jnp.arange(float(LENGTH))
    np.testing.assert_array_equal(unconstraining(make(2)).forward(value), value)


def test_as_a_node():
    series = np.array([0.0, 1.0, 0.5, 1.2, 0.3, 0.9])
    model = Model("AR(2)")
    phi = model.add_node("phi", distribution=tfd.Normal(0.0, 0.5), shape=(2,))
    sigma = model.add_node("sigma", distribution=tfd.HalfNormal(1.0))
    model.add_node(
        "y",
        distribution=partial(AutoRegressive, length=4),
        parents=dict(coefficients=phi, scale=sigma, initial=series[:2]),
        observations=series[2:],
    )
    target = compile_target(model)
    found = target.log_likelihood(dict(phi=jnp.array([0.9, -0.4]), sigma=0.5))
    expected = stats.norm(0.9 * series[1:-1] - 0.4 * series[:-2], 0.5).logpdf(series[2:]).sum()
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    draw = target.predict(jax.random.key(0), target.sample_prior(jax.random.key(1)))
    assert draw["y"].shape == (4,)


def test_mistakes_are_told():
    with pytest.raises(UserError, match="one initial value for each coefficient"):
        make(2, initial=[1.0, 2.0, 3.0])
    with pytest.raises(UserError, match="one initial value for each coefficient"):
        make(1, initial=1.0)
    for length in (4.0, True, np.True_, 0, -1, "4"):
        with pytest.raises(UserError, match=r"functools.partial\(AutoRegressive, length"):
            make(1, length=length)


@pytest.mark.parametrize("length", [4, np.int64(4), np.array(4), jnp.asarray(4)])
def test_any_whole_number_is_a_length(length):
    series = make(1, length=length)
    assert series.event_shape == (4,)
    assert series.sample(seed=jax.random.key(0)).shape == (4,)

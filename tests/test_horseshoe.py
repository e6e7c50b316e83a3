"""The horseshoe's density against quadrature, and the regularised horseshoe's scale."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import exp1
from tensorflow_probability.substrates import jax as tfp

from bamopipe.base import Model
from bamopipe.distributions import adapter
from bamopipe.distributions.bijectors import unconstraining
from bamopipe.distributions.horseshoe import Horseshoe, regularized_scale
from bamopipe.target import compile_target, precision_context

tfd = tfp.distributions


@pytest.fixture(autouse=True)
def x64():
    with precision_context("float64"):
        yield


def by_quadrature(x, scale):
    """Integrate the normal density over the logarithm of the half-Cauchy local scale."""

    def integrand(u):
        local = np.exp(u)
        return stats.norm.pdf(x, 0, scale * local) * stats.halfcauchy.pdf(local) * local

    peak = np.log(abs(x) / scale)
    value, error = integrate.quad(
        integrand, -40, 40, points=[0, peak - 2, peak, peak + 2], epsabs=0, epsrel=1e-11, limit=500
    )
    assert error < 1e-10 * value
    return np.log(value)


@pytest.mark.parametrize("x", [1e-3, 0.1, -0.9, 1.99, 2.01, -6.0, 40.0])
def test_density_is_the_mixture(x):
    found = Horseshoe(jnp.asarray(0.7)).log_prob(jnp.asarray(x))
    np.testing.assert_allclose(found, by_quadrature(x, 0.7), rtol=0, atol=1e-11)


def test_density_is_the_exponential_integral():
    z = np.concatenate([np.geomspace(1e-30, 500.0, 200), 2.0 + np.array([-1e-9, 0.0, 1e-9])])
    exact = np.log(exp1(z)) + z - 0.5 * np.log(2 * np.pi**3)
    found = Horseshoe(1.0).log_prob(jnp.sqrt(2 * z))
    # exp1 and the square root are rounded, and log(exp1(z)) + z cancels
    np.testing.assert_allclose(found, exact, rtol=0, atol=3e-13)


def test_far_tails_follow_the_inverse_square():
    x = np.array([1e3, 1e5, 1e8, 1e40])
    z = x**2 / 2
    expected = -np.log(z) + np.log1p(-1 / z + 2 / z**2) - 0.5 * np.log(2 * np.pi**3)
    np.testing.assert_allclose(Horseshoe(1.0).log_prob(jnp.asarray(x)), expected, rtol=1e-13)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_density_and_gradient_are_finite_but_at_zero(precision):
    with precision_context(precision):
        x = jnp.asarray([-1e15, -50.0, -2.0, -1e-4, 1e-12, 1.0, 3.0, 1e4, 1e15])
        value, gradient = jax.vmap(jax.value_and_grad(Horseshoe(1.0).log_prob))(x)
        assert value.dtype == precision
        assert np.all(np.isfinite(value))
        assert np.all(np.isfinite(gradient))
        assert Horseshoe(1.0).log_prob(jnp.asarray(0.0)) == np.inf


@pytest.mark.parametrize(("precision", "far"), [("float32", 1e19), ("float64", 1e160)])
def test_ratios_whose_square_overflows(precision, far):
    """Near zero E1(z) is -log(z) - gamma, far out exp(z) E1(z) is 1 / z."""
    rtol = 1e-6 if precision == "float32" else 1e-13
    constant = 0.5 * np.log(2 * np.pi**3)
    near = 2 * np.log(far) + np.log(2.0) - np.euler_gamma  # E1 at a half square of far**-2 / 2
    with precision_context(precision):
        one = jnp.asarray(1.0)

        def density(x, scale):
            return adapter.log_prob(Horseshoe(scale), x)

        both = jax.value_and_grad(density, argnums=(0, 1))
        for x, scale in [(far, 1.0), (-far, 1.0), (1.0, 1 / far)]:
            value, gradient = both(x * one, scale * one)
            expected = np.log(2 * scale) - 2 * np.log(abs(x)) - constant
            np.testing.assert_allclose(value, expected, rtol=rtol)
            np.testing.assert_allclose(gradient, [-2 / x, 1 / scale], rtol=rtol)
        for x, scale in [(1 / far, 1.0), (-1 / far, 1.0), (1.0, far)]:
            value, gradient = both(x * one, scale * one)
            np.testing.assert_allclose(value, np.log(near / scale) - constant, rtol=rtol)
            expected = [-2 / (x * near), (2 / near - 1) / scale]
            np.testing.assert_allclose(gradient, expected, rtol=rtol)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_gradient_far_out_and_for_small_scales(precision):
    with precision_context(precision):
        for x in (1e10, 1e15):
            gradient = jax.grad(Horseshoe(1.0).log_prob)(jnp.asarray(x))
            np.testing.assert_allclose(gradient, -2 / x, rtol=1e-6)
        gradient = jax.grad(lambda s: adapter.log_prob(Horseshoe(s), 1.0))(jnp.asarray(1e-10))
        np.testing.assert_allclose(gradient, 1e10, rtol=1e-6)


def power_integral(z, k):
    return integrate.quad(lambda t: np.exp(-t) / (z + t) ** k, 0, 100, epsabs=0, epsrel=1e-11)[0]


def test_gradient():
    """The derivative of exp(z) E1(z) is that minus 1 / z, which for large z is an integral."""
    x = np.array([1e-3, 0.5, 1.4, 1.9, 2.0, 2.1, 9.0, 300.0])  # at 2.0 the method changes
    z = x**2 / 2
    ratio = 1 - 1 / (z[:3] * np.exp(z[:3]) * exp1(z[:3]))
    for large in z[3:]:
        first, second = (power_integral(large, k) for k in (1, 2))
        ratio = np.append(ratio, -second / first)
    found = jax.vmap(jax.grad(Horseshoe(1.0).log_prob))(jnp.asarray(x))
    np.testing.assert_allclose(found, x * ratio, rtol=1e-10)


def test_density_integrates_to_one():
    def mass(low, high):
        return integrate.quad(lambda u: float(by_log(u)), low, high, epsabs=1e-11, limit=200)[0]

    @jax.jit
    def by_log(u):
        return jnp.exp(Horseshoe(jnp.asarray(0.7)).log_prob(jnp.exp(u)) + u)

    total = 2 * (mass(-40, -5) + mass(-5, 0) + mass(0, 5) + mass(5, 40))
    np.testing.assert_allclose(total, 1.0, atol=1e-9)


def test_draws_follow_the_density():
    # P(|x| < c) = E[2 Phi(c / local) - 1]; 40,000 draws, five standard errors
    n = 40_000
    draws = np.abs(Horseshoe(1.0).sample(n, seed=jax.random.key(2)))
    for c in (0.05, 0.5, 3.0, 20.0):
        expected = integrate.quad(
            lambda a, c=c: (2 * stats.norm.cdf(c / np.tan(a)) - 1) * 2 / np.pi, 0, np.pi / 2
        )[0]
        error = np.sqrt(expected * (1 - expected) / n)
        assert abs(np.mean(draws < c) - expected) < 5 * error


def test_tfp_has_only_an_approximation():
    """If this fails, TFP's own Horseshoe will do."""
    z = 0.5
    exact = np.log(exp1(z)) + z - 0.5 * np.log(2 * np.pi**3)
    assert abs(tfd.Horseshoe(jnp.asarray(1.0)).log_prob(np.sqrt(2 * z)) - exact) > 1e-4


def test_as_a_node():
    model = Model("sparse")
    tau = model.add_node("tau", distribution=tfd.HalfCauchy(0.0, 0.1))
    model.add_node("beta", distribution=Horseshoe, parents=dict(scale=tau), shape=(3,))
    target = compile_target(model)
    beta = jnp.array([0.1, -2.0, 1e-3])
    expected = stats.halfcauchy(0, 0.1).logpdf(0.3) + sum(by_quadrature(b, 0.3) for b in beta)
    np.testing.assert_allclose(
        target.log_prior(dict(tau=jnp.asarray(0.3), beta=beta)), expected, atol=1e-8
    )
    draws = jax.vmap(target.sample_prior)(jax.random.split(jax.random.key(0), 10))
    assert draws["beta"].shape == (10, 3)
    distribution = adapter.cast(Horseshoe(0.3), jnp.float64)
    assert unconstraining(distribution).forward(jnp.asarray(-3.0)) == -3.0


def test_regularized_scale():
    tau, local, c = 0.1, np.array([1e-3, 1.0, 20.0, 1e6]), 2.0
    shrunk = c**2 * local**2 / (c**2 + tau**2 * local**2)  # equation 2.8 of the paper
    np.testing.assert_allclose(regularized_scale(tau, local, c), tau * np.sqrt(shrunk), rtol=1e-14)
    # a product of the horseshoe and of a normal slab: precisions add up
    found = regularized_scale(tau, local, c)
    np.testing.assert_allclose(1 / found**2, 1 / (tau * local) ** 2 + 1 / c**2, rtol=1e-13)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_regularized_scale_with_extreme_local_scales(precision):
    with precision_context(precision):
        local = jnp.asarray([1e-30, 1e30])
        found = regularized_scale(1.0, local, 2.0)
        np.testing.assert_allclose(found, [1e-30, 2.0], rtol=1e-6)
        gradient = jax.grad(lambda x: jnp.sum(regularized_scale(1.0, x, 2.0)))(local)
        np.testing.assert_allclose(gradient, [1.0, 0.0], rtol=1e-6, atol=1e-20)

"""Gaussian processes, dense and sparse, against the textbook's formulas in numpy and scipy."""

import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from scipy import stats
from tensorflow_probability.substrates import jax as tfp
from tinygp import kernels, transforms

from bamopipe.base import Model
from bamopipe.distributions import adapter
from bamopipe.distributions.bijectors import unconstraining
from bamopipe.distributions.gaussian_process import GaussianProcess
from bamopipe.distributions.sparse_gaussian_process import SparseGaussianProcess
from bamopipe.errors import UserError
from bamopipe.inference.predictions import predict
from bamopipe.target import compile_target, precision_context

tfd = tfp.distributions

AMPLITUDE, LENGTHSCALE, NOISE, SLOPE = 1.7, 0.6, 0.3, -0.8
RNG = np.random.default_rng(20)
X = np.sort(RNG.uniform(-1.0, 2.0, 12))
X_NEW = np.array([-1.5, 0.1, 0.15, 1.0, 3.0])
Y = np.sin(2 * X) + SLOPE * X + NOISE * RNG.normal(size=12)
INDUCING = np.array([-0.9, 0.2, 0.7, 1.6])


@pytest.fixture(autouse=True)
def x64():
    with precision_context("float64"):
        yield


def kernel(amplitude, lengthscale):
    return amplitude**2 * kernels.Matern32(lengthscale)


def mean(x, slope):
    return slope * x


def covariance(a, b, amplitude=AMPLITUDE, lengthscale=LENGTHSCALE):
    r = np.sqrt(3) * np.abs(a[:, None] - b[None, :]) / lengthscale
    return amplitude**2 * (1 + r) * np.exp(-r)


def process(noise_scale=NOISE, jitter=0.0, **changes):
    hyperparameters = dict(amplitude=AMPLITUDE, lengthscale=LENGTHSCALE, slope=SLOPE) | changes
    return GaussianProcess(kernel, X, noise_scale, mean, jitter, **hyperparameters)


def sparse(x=X, inducing=INDUCING, noise_scale=NOISE, jitter=0.0, **changes):
    hyperparameters = dict(amplitude=AMPLITUDE, lengthscale=LENGTHSCALE, slope=SLOPE) | changes
    return SparseGaussianProcess(kernel, x, inducing, noise_scale, mean, jitter, **hyperparameters)


def textbook(y, k_xx, k_xn, k_nn, noise_variance):
    """Rasmussen and Williams (2006), equations 2.38 and 2.24."""
    inverse = np.linalg.inv(k_xx + np.diag(noise_variance))
    return (
        SLOPE * X_NEW + k_xn.T @ inverse @ (y - SLOPE * X),
        k_nn - k_xn.T @ inverse @ k_xn,
    )


def fitc_covariance(x, z=INDUCING):
    k_zz, k_zx = covariance(z, z), covariance(z, x)
    q = k_zx.T @ np.linalg.inv(k_zz) @ k_zx
    return q + np.diag(np.diag(covariance(x, x) - q))


def assert_moments(draws, mean, covariance, sigmas=5.0):
    """Compare with exact Gaussian moments, within Monte Carlo error."""
    n = len(draws)
    variance = np.diag(covariance)
    np.testing.assert_array_less(
        np.abs(draws.mean(0) - mean), sigmas * np.sqrt(variance / n) + 1e-12
    )
    error = np.sqrt((np.outer(variance, variance) + covariance**2) / n)
    found = (draws - mean).T @ (draws - mean) / n
    np.testing.assert_array_less(np.abs(found - covariance), sigmas * error + 1e-12)


def test_density_of_observations_is_the_multivariate_normal():
    scale = np.linspace(0.1, 0.9, 12)
    for noise_scale in (NOISE, scale):
        reference = stats.multivariate_normal(
            SLOPE * X, covariance(X, X) + np.eye(12) * noise_scale**2
        )
        y = reference.rvs(3, random_state=1)
        found = process(noise_scale).log_prob(y)
        np.testing.assert_allclose(found, reference.logpdf(y), rtol=1e-12)


def test_density_of_the_function_has_a_jitter_in_proportion_to_its_variance():
    jitter = np.sqrt(np.finfo(float).eps)
    for amplitude in (1e-4, 1.0, 1e4):
        k = covariance(X, X, amplitude)
        reference = stats.multivariate_normal(SLOPE * X, k + jitter * amplitude**2 * np.eye(12))
        f = reference.rvs(random_state=1)
        found = process(None, None, amplitude=amplitude).log_prob(f)
        np.testing.assert_allclose(found, reference.logpdf(f), rtol=1e-9)
    linear = GaussianProcess(kernels.DotProduct(), X, jitter=0.01)
    expected = np.outer(X, X) + 0.01 * np.mean(X**2) * np.eye(12)
    np.testing.assert_allclose(linear.covariance(), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_default_jitter_is_enough_for_smooth_functions(precision):
    with precision_context(precision):
        x = jnp.linspace(0.0, 1.0, 300)

        def run(lengthscale):
            smooth = GaussianProcess(
                lambda a, ell: a**2 * kernels.ExpSquared(ell), x, a=1e3, ell=lengthscale
            )
            f = smooth.sample(seed=jax.random.key(0))
            new = smooth.condition(f, jnp.linspace(-0.2, 1.5, 100))
            return smooth.log_prob(f), new.mean(), new.sample(seed=jax.random.key(1))

        for found in jax.jit(jax.vmap(run))(jnp.array([0.1, 1.0, 1e3])):
            assert found.dtype == precision
            assert np.all(np.isfinite(found))


def test_mean_is_a_number_an_array_or_a_function():
    values = 3.0 + 0.1 * X
    for given, expected in [(2.0, np.full(12, 2.0)), (values, values), (lambda x: x**2, X**2)]:
        gp = GaussianProcess(kernels.Matern32(0.5), X, 0.1, given)
        np.testing.assert_allclose(gp.mean(), expected, rtol=1e-15)
    with pytest.raises(UserError, match="known only at the inputs"):
        GaussianProcess(kernels.Matern32(0.5), X, 0.1, values).condition(Y, X_NEW)


@pytest.mark.parametrize("new_noise", [None, 0.4])
def test_conditioning_on_observations_follows_the_textbook(new_noise):
    new = process().condition(Y, X_NEW, new_noise)
    expected_mean, expected_covariance = textbook(
        Y, covariance(X, X), covariance(X, X_NEW), covariance(X_NEW, X_NEW), np.full(12, NOISE**2)
    )
    added = 0.0 if new_noise is None else new_noise**2
    np.testing.assert_allclose(new.mean(), expected_mean, rtol=1e-11)
    np.testing.assert_allclose(
        new.covariance(), expected_covariance + added * np.eye(5), rtol=1e-10, atol=1e-13
    )


def test_conditioning_on_the_function_adds_jitter_to_variances_only():
    jitter = 1e-3
    f = SLOPE * X + np.cos(X)
    white = jitter * AMPLITUDE**2
    x_new = np.append(X_NEW[:4], X[3])  # also at an old input
    new = process(None, jitter).condition(f, x_new)
    inverse = np.linalg.inv(covariance(X, X) + white * np.eye(12))
    k = covariance(X, x_new)
    np.testing.assert_allclose(
        new.mean(), SLOPE * x_new + k.T @ inverse @ (f - SLOPE * X), rtol=1e-11
    )
    expected = covariance(x_new, x_new) - k.T @ inverse @ k + white * np.eye(5)
    np.testing.assert_allclose(new.covariance(), expected, rtol=1e-10, atol=1e-13)


def test_conditional_times_marginal_is_joint():
    everywhere = np.concatenate([X, X_NEW])
    noise = np.concatenate([np.full(12, NOISE), np.zeros(5)])
    joint = stats.multivariate_normal(
        SLOPE * everywhere, covariance(everywhere, everywhere) + np.diag(noise**2)
    )
    value = joint.rvs(random_state=3)
    gp = process()
    found = gp.log_prob(value[:12]) + gp.condition(value[:12], X_NEW).log_prob(value[12:])
    np.testing.assert_allclose(found, joint.logpdf(value), rtol=1e-10)


def test_conditioning_takes_many_values_at_once():
    y = np.stack([Y, -Y, Y**2])
    together = process().condition(y, X_NEW)
    assert together.batch_shape == (3,)
    for i in range(3):
        np.testing.assert_allclose(together.mean()[i], process().condition(y[i], X_NEW).mean())


def test_inputs_of_several_dimensions():
    x = RNG.normal(size=(7, 3))
    x_new = RNG.normal(size=(4, 3))
    scales = np.array([0.5, 1.0, 2.0])

    def k(a, b):
        return np.exp(-0.5 * np.sum(((a[:, None] - b[None]) / scales) ** 2, -1))

    gp = GaussianProcess(
        lambda scales: transforms.Linear(1 / scales, kernels.ExpSquared()),
        x,
        NOISE,
        jitter=0.0,
        scales=scales,
    )
    y = RNG.normal(size=7)
    inverse = np.linalg.inv(k(x, x) + NOISE**2 * np.eye(7))
    reference = stats.multivariate_normal(np.zeros(7), k(x, x) + NOISE**2 * np.eye(7))
    np.testing.assert_allclose(gp.log_prob(y), reference.logpdf(y), rtol=1e-12)
    np.testing.assert_allclose(gp.condition(y, x_new).mean(), k(x_new, x) @ inverse @ y, rtol=1e-11)


# 20,000 draws; every entry of a mean or covariance within five of its own standard errors.
@pytest.mark.parametrize("make", [process, lambda: process(None, None), sparse])
def test_draws_have_the_right_moments(make):
    distribution = make()
    draws = np.asarray(adapter.sample(distribution, jax.random.key(4), (20_000,)))
    assert_moments(draws, SLOPE * X, np.asarray(distribution.covariance()))


def test_predictive_draws_are_joint():
    new = process().condition(Y, X_NEW)
    draws = np.asarray(new.sample(seed=jax.random.key(5), sample_shape=(20_000,)))
    expected_mean, expected_covariance = textbook(
        Y, covariance(X, X), covariance(X, X_NEW), covariance(X_NEW, X_NEW), np.full(12, NOISE**2)
    )
    assert_moments(draws, expected_mean, expected_covariance)
    assert np.corrcoef(draws[:, 1], draws[:, 2])[0, 1] > 0.9  # neighbours move together


@pytest.mark.parametrize("make", [process, sparse])
def test_maps_and_gradients_over_all_hyperparameters(make):
    def log_prob(theta):
        amplitude, lengthscale, slope, noise = theta
        gp = make(amplitude=amplitude, lengthscale=lengthscale, slope=slope, noise_scale=noise)
        return gp.log_prob(Y)

    one = jax.jit(log_prob)
    thetas = jnp.array([[1.0, 0.5, 0.3, 0.2], [2.0, 1.5, -0.4, 0.7], [0.4, 0.1, 0.0, 1.1]])
    mapped = jax.jit(jax.vmap(log_prob))(thetas)
    np.testing.assert_allclose(mapped, [one(t) for t in thetas], rtol=1e-12)

    gradient = jax.jit(jax.grad(log_prob))
    step = 1e-5  # central differences: error of order step**2, relative rounding 1e-11
    for theta in thetas:
        differences = [
            (one(theta + step * e) - one(theta - step * e)) / (2 * step) for e in jnp.eye(4)
        ]
        np.testing.assert_allclose(gradient(theta), differences, rtol=1e-6, atol=1e-6)


def test_kernels_are_evaluated_in_double_precision():
    r = np.abs(X[:, None] - X[None, :])
    cases = [
        (kernels.ExpSquared(0.7), np.exp(-0.5 * (r / 0.7) ** 2)),
        (kernels.Matern32(0.7), (1 + np.sqrt(3) * r / 0.7) * np.exp(-np.sqrt(3) * r / 0.7)),
        (kernels.Exp(0.7), np.exp(-r / 0.7)),
        (0.3 * kernels.Cosine(0.7) + 0.1, 0.3 * np.cos(2 * np.pi * r / 0.7) + 0.1),
        (
            kernels.ExpSineSquared(0.7, gamma=1.3) * kernels.Exp(2.1),
            np.exp(-1.3 * np.sin(np.pi * r / 0.7) ** 2 - r / 2.1),
        ),
        (kernels.RationalQuadratic(0.7, alpha=1.1), (1 + (r / 0.7) ** 2 / 2.2) ** -1.1),
    ]
    for k, expected in cases:
        found = GaussianProcess(k, X, 1.0, jitter=0.0).covariance() - jnp.eye(12)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_what_a_kernel_function_can_be():
    by_class = GaussianProcess(kernels.Matern32, X, NOISE, scale=LENGTHSCALE)
    by_instance = GaussianProcess(kernels.Matern32(LENGTHSCALE), X, NOISE)
    by_any_name = GaussianProcess(lambda **h: kernels.Matern32(h["a"]), X, NOISE, a=LENGTHSCALE)
    with_default = GaussianProcess(lambda a=LENGTHSCALE: kernels.Matern32(a), X, NOISE)
    for gp in (by_instance, by_any_name, with_default):
        np.testing.assert_array_equal(gp.covariance(), by_class.covariance())


def test_mistakes_are_told():
    with pytest.raises(UserError, match=r"'lengthscal' .* did you mean 'lengthscale'"):
        GaussianProcess(kernel, X, amplitude=1.0, lengthscale=1.0, lengthscal=1.0)
    with pytest.raises(UserError, match="takes 'lengthscale', which is not given"):
        GaussianProcess(kernel, X, amplitude=1.0)
    with pytest.raises(UserError, match="takes 'slope', which is not given"):
        GaussianProcess(kernels.Exp(1.0), X, mean=mean)
    with pytest.raises(UserError, match="to return a tinygp kernel"):
        GaussianProcess(lambda scale: scale, X, scale=1.0)
    with pytest.raises(UserError, match=r"'jitter', a name that GaussianProcess takes itself"):
        GaussianProcess(lambda jitter: kernels.Matern32(jitter), X, jitter=1.0)
    with pytest.raises(UserError, match=r"'inducing', a name that SparseGaussianProcess takes"):
        SparseGaussianProcess(lambda inducing: kernels.Exp(inducing), X, INDUCING, NOISE)
    with pytest.raises(UserError, match="takes 'inducing', which is not given"):
        GaussianProcess(lambda inducing: kernels.Exp(inducing), X)


def test_shapes_are_checked_when_it_is_made():
    k = kernels.Matern32(1.0)
    for wrong in (dict(mean=np.zeros(5)), dict(noise_scale=np.ones(5))):
        with pytest.raises((TypeError, ValueError), match="5"):
            GaussianProcess(k, X, **wrong)
        with pytest.raises((TypeError, ValueError), match="5"):
            SparseGaussianProcess(k, X, INDUCING, **dict(noise_scale=1.0) | wrong)


def test_inputs_have_one_dimension():
    one, two, three = np.zeros(5), np.zeros((5, 2)), np.zeros((5, 3))
    k = kernels.Matern32(1.0)
    for x, other in [(one, two), (two, one), (two, three), (two, np.zeros((5, 1))), (one, 0.0)]:
        shapes = rf"has shape {np.shape(other)} and x has shape {x.shape}"
        shapes = shapes.replace("(", r"\(").replace(")", r"\)")
        with pytest.raises(UserError, match=f"x_new {shapes}"):
            GaussianProcess(k, x, NOISE).condition(one, other)
        with pytest.raises(UserError, match=f"x_new {shapes}"):
            SparseGaussianProcess(k, x, x, NOISE).condition(one, other)
        with pytest.raises(UserError, match=f"inducing {shapes}"):
            SparseGaussianProcess(k, x, other, NOISE)


@pytest.mark.parametrize("family", [GaussianProcess, SparseGaussianProcess])
def test_precision_is_that_of_now(family):
    """An instance that was made in single precision is as good as one that was not."""
    x, x_new, key = np.linspace(0.0, 1.0, 50), np.array([0.33, 1.2]), jax.random.key(0)
    y = np.sin(7 * x)

    def amplified(amplitude, scale):
        return jnp.square(amplitude) * kernels.ExpSquared(scale)

    def make(x):
        inducing = {} if family is GaussianProcess else dict(inducing=x[::3])
        return family(
            amplified, x, noise_scale=0.01, mean=0.1, amplitude=1.1, scale=0.3, **inducing
        )

    with precision_context("float32"):
        made_in_single = make(x)
        assert made_in_single.log_prob(y).dtype == np.float32
    assert make(x).log_prob(y).dtype == np.float64
    with precision_context("float32"):
        assert make(x).log_prob(y).dtype == np.float32
    rounded = x.astype(np.float32)
    for made, exact in [(made_in_single, make(x)), (make(rounded), make(rounded.astype(float)))]:
        found = adapter.cast(made, jnp.float64)
        assert adapter.log_prob(found, y).dtype == np.float64
        np.testing.assert_allclose(found.log_prob(y), exact.log_prob(y), rtol=1e-12)
        np.testing.assert_allclose(found.covariance(), exact.covariance(), rtol=1e-12)
        np.testing.assert_allclose(found.sample(seed=key), exact.sample(seed=key), rtol=1e-9)
        found, exact = found.condition(y, x_new), exact.condition(y, x_new)
        np.testing.assert_allclose(found.mean(), exact.mean(), rtol=1e-9)
        np.testing.assert_allclose(found.covariance(), exact.covariance(), rtol=1e-9)


def test_an_instance_in_a_model_made_in_single_precision():
    with precision_context("float32"):
        gp = GaussianProcess(kernels.ExpSquared(0.3), X, NOISE)
    model = Model("instance")
    scale = model.add_node("scale", distribution=tfd.HalfNormal(1.0))
    model.add_node("f", distribution=gp)
    model.add_node("y", distribution=tfd.Normal, parents=dict(loc="f", scale=scale), observations=Y)
    target = compile_target(model)
    found = target.log_prior(dict(scale=jnp.asarray(1.0), f=jnp.asarray(Y)))
    k = np.exp(-0.5 * ((X[:, None] - X) / 0.3) ** 2) + (NOISE**2 + 2.0**-26) * np.eye(12)
    expected = stats.multivariate_normal(np.zeros(12), k).logpdf(Y) + stats.halfnorm.logpdf(1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_process_is_a_multivariate_normal():
    normal = process().normal()
    np.testing.assert_allclose(normal.scale_tri @ normal.scale_tri.T, process().covariance())
    np.testing.assert_allclose(process().variance(), normal.variance(), rtol=1e-12)
    np.testing.assert_array_equal(process().log_prob(Y), normal.log_prob(Y))


def test_sparse_density_in_single_precision_does_not_cancel():
    x, inducing = np.linspace(0.0, 6.0, 2000), np.linspace(0.0, 6.0, 8)
    k = 10.0**2 * kernels.ExpSquared(1.0)

    def density():
        gp = SparseGaussianProcess(k, x, inducing, noise_scale=0.1, jitter=1e-4)
        return np.float64(gp.log_prob(10.0 + np.sin(x)))

    expected = density()
    with precision_context("float32"):
        np.testing.assert_allclose(density(), expected, atol=0.05)


def test_sparse_density_is_the_multivariate_normal_with_fitc_covariance():
    scale = np.linspace(0.1, 0.9, 12)
    for noise_scale in (NOISE, scale):
        full = fitc_covariance(X) + np.eye(12) * noise_scale**2
        reference = stats.multivariate_normal(SLOPE * X, full)
        y = reference.rvs(3, random_state=1)
        found = sparse(noise_scale=noise_scale)
        np.testing.assert_allclose(found.log_prob(y), reference.logpdf(y), rtol=1e-11)
        np.testing.assert_allclose(found.covariance(), full, rtol=1e-11)
        np.testing.assert_allclose(found.variance(), np.diag(full), rtol=1e-11)


def test_sparse_is_exact_where_the_inducing_inputs_are_the_inputs():
    same, dense = sparse(inducing=X), process()
    np.testing.assert_allclose(same.log_prob(Y), dense.log_prob(Y), rtol=1e-11)
    new, expected = same.condition(Y, X_NEW), dense.condition(Y, X_NEW)
    np.testing.assert_allclose(new.mean(), expected.mean(), rtol=1e-10)
    np.testing.assert_allclose(new.covariance(), expected.covariance(), rtol=1e-9, atol=1e-12)


def test_sparse_predictions_follow_from_the_dense_joint_distribution():
    """Under FITC the function at old and new inputs shares only the inducing points."""
    k_zz = covariance(INDUCING, INDUCING)
    k_zx, k_zn = covariance(INDUCING, X), covariance(INDUCING, X_NEW)
    q_xn = k_zx.T @ np.linalg.inv(k_zz) @ k_zn
    for new_noise in (None, 0.4):
        expected_mean, expected_covariance = textbook(
            Y, fitc_covariance(X), q_xn, covariance(X_NEW, X_NEW), np.full(12, NOISE**2)
        )
        added = 0.0 if new_noise is None else new_noise**2
        new = sparse().condition(Y, X_NEW, new_noise)
        np.testing.assert_allclose(new.mean(), expected_mean, rtol=1e-10)
        np.testing.assert_allclose(
            new.covariance(), expected_covariance + added * np.eye(5), rtol=1e-10, atol=1e-12
        )


def test_sparse_density_has_a_gradient_in_the_inducing_inputs():
    def log_prob(z):
        return sparse(inducing=z).log_prob(Y)

    step = 1e-5
    differences = [
        (log_prob(INDUCING + step * e) - log_prob(INDUCING - step * e)) / (2 * step)
        for e in np.eye(4)
    ]
    found = jax.grad(log_prob)(jnp.asarray(INDUCING))
    np.testing.assert_allclose(found, differences, rtol=1e-6, atol=1e-6)


def test_sparse_never_makes_a_matrix_of_all_pairs():
    n, m = 1000, 10
    x = jnp.linspace(0.0, 1.0, n)

    def run(key, noise):
        gp = sparse(x, jnp.linspace(0.0, 1.0, m), noise, None)
        y = gp.sample(seed=key)
        return gp.log_prob(y), gp.condition(y, X_NEW).mean()

    compiled = jax.jit(run).lower(jax.random.key(0), 0.1).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 8 * n * n / 4


def test_unconstraining_is_the_identity():
    for distribution in (process(), sparse()):
        np.testing.assert_array_equal(unconstraining(distribution).forward(jnp.asarray(Y)), Y)
        assert unconstraining(distribution).forward_log_det_jacobian(jnp.asarray(Y), 1) == 0.0


@pytest.mark.parametrize("family", [GaussianProcess, SparseGaussianProcess])
def test_as_a_node_with_hyperparameters_to_infer(family):
    model = Model("regression")
    amplitude = model.add_node("amplitude", distribution=tfd.HalfNormal(2.0))
    lengthscale = model.add_node("lengthscale", distribution=tfd.LogNormal(0.0, 1.0))
    noise = model.add_node("noise", distribution=tfd.HalfNormal(1.0))
    options = {} if family is GaussianProcess else dict(inducing=X)
    model.add_node(
        "y",
        distribution=family,
        parents=dict(
            kernel=kernel, x=X, amplitude=amplitude, lengthscale=lengthscale, noise_scale=noise
        )
        | options,
        observations=Y,
    )
    target = compile_target(model)
    position = dict(amplitude=AMPLITUDE, lengthscale=LENGTHSCALE, noise=NOISE)
    reference = stats.multivariate_normal(
        np.zeros(12), covariance(X, X) + (NOISE**2 + 1.5e-8 * AMPLITUDE**2) * np.eye(12)
    )
    np.testing.assert_allclose(target.log_likelihood(position), reference.logpdf(Y), rtol=1e-7)
    assert target.predict(jax.random.key(0), position)["y"].shape == (12,)


def test_as_a_latent_node_under_another_likelihood():
    model = Model("classification")
    f = model.add_node(
        "f",
        distribution=GaussianProcess,
        parents=dict(kernel=kernel, x=X, amplitude=AMPLITUDE, lengthscale=LENGTHSCALE),
        shape=(2,),
    )
    model.add_node(
        "y",
        distribution=dx.Bernoulli,
        parents=dict(logits=f),
        observations=np.tile(X > 0, (2, 1)).astype(int),
    )
    target = compile_target(model)
    position = jax.jit(target.sample_prior)(jax.random.key(0))
    assert position["f"].shape == (2, 12)
    reference = stats.multivariate_normal(
        np.zeros(12), covariance(X, X) + np.finfo(float).eps ** 0.5 * AMPLITUDE**2 * np.eye(12)
    )
    np.testing.assert_allclose(
        target.log_prior(position), reference.logpdf(position["f"]).sum(), rtol=1e-7
    )


@pytest.mark.parametrize("family", [GaussianProcess, SparseGaussianProcess])
def test_predictions_at_new_data_are_given_the_observations(family):
    """The mean and variance of many draws against those of the exact conditional."""
    x, x_new = np.linspace(0.0, 3.0, 12), np.array([0.5, 1.5, 3.5])
    y, noise = np.sin(2 * x), 0.1
    sparse = {"inducing": x} if family is SparseGaussianProcess else {}
    model = Model()
    model.add_node("lengthscale", distribution=tfd.LogNormal(0.0, 1.0))
    parents = dict(kernel=kernels.ExpSquared, x=x, scale="lengthscale", noise_scale=noise, **sparse)
    model.add_node("y", distribution=family, parents=parents, observations=y)
    draws = xr.Dataset(
        {"lengthscale": (("chain", "draw"), np.full((1, 4000), 0.8))}, {"chain": [0]}
    )
    tree = predict(xr.DataTree.from_dict({"posterior": draws}), model, {"x_y": x_new})
    found = tree["predictions"]["y"].values[0]
    process = GaussianProcess(kernels.ExpSquared(0.8), x, noise)
    exact = process.condition(y, x_new, noise)
    error = exact.stddev() / 4000**0.5
    assert np.all(np.abs(found.mean(0) - exact.mean()) < 4 * error)
    # the relative error of a standard deviation is 1 / sqrt(2 n)
    assert np.all(np.abs(found.std(0) / exact.stddev() - 1) < 4 / 8000**0.5)


def test_derivatives_of_the_density_are_those_through_the_cholesky_factor():
    y = np.stack([Y, Y + 1])

    def density(values, of):
        made = process(values["noise"], lengthscale=values["lengthscale"], slope=values["slope"])
        return jnp.sum(of(made, y + values["shift"]))

    values = {"noise": NOISE, "lengthscale": LENGTHSCALE, "slope": SLOPE, "shift": 0.1}
    for derivative in (jax.grad, jax.jacfwd, jax.hessian):
        found, expected = (
            derivative(lambda v, of=of: density(v, of))(values)
            for of in (GaussianProcess.log_prob, lambda made, y: made.normal().log_prob(y))
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), found, expected)

"""Bijectors lead from real vectors to the support of each distribution, and back."""

import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import CASES, bijector_name, is_integrated
from scipy import stats
from tensorflow_probability.substrates import jax as tfp

from bamopipe.distributions import adapter
from bamopipe.distributions.bijectors import unconstraining
from bamopipe.distributions.transforms import Interval, Stereographic
from bamopipe.errors import UserError
from bamopipe.target import precision_context

tfb, tfd = tfp.bijectors, tfp.distributions
INF = float("inf")
QUICK = {"xla_backend_optimization_level": 0}
CONTINUOUS = [name for name, case in CASES.items() if not case.is_discrete and bijector_name(name)]


@pytest.fixture(autouse=True)
def x64():
    with precision_context("float64"):
        yield


def double_exponential_grid(size):
    """Return points and log weights of a quadrature over all real vectors of a size.

    Along each axis the points are ±exp(π/2 sinh t) for equidistant t, which copes with heavy tails
    and with a kink or a singularity at 0 (Takahasi and Mori 1974). Twice as many points change no
    integral of the catalogue by more than 1e-7.
    """
    steps = {1: 1001, 2: 121, 3: 25}[size]
    t, step = np.linspace(-3.5, 3.5, steps, retstep=True)
    right = np.exp(np.pi / 2 * np.sinh(t))
    log_weight = np.log(step * np.pi / 2 * np.cosh(t) * right)
    points, log_weights = np.concatenate([-right, right]), np.tile(log_weight, 2)
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*[points] * size)], axis=-1)
    return grid, sum(axis.ravel() for axis in np.meshgrid(*[log_weights] * size))


class Unconstrained:
    """A distribution seen from vectors of real numbers, batch and event in one."""

    def __init__(self, distribution):
        self.distribution = distribution
        self.bijector = adapter.cast(unconstraining(distribution), jnp.float64)
        self.batch, event = tuple(distribution.batch_shape), tuple(distribution.event_shape)
        self.real = tuple(self.bijector.inverse_event_shape(event))
        self.shape = self.batch + self.real
        self.size = int(np.prod(self.shape))

    def forward(self, u):
        """Return values of shape (..., *batch, *event) for u of shape (..., size)."""
        return self.bijector.forward(jnp.reshape(u, u.shape[:-1] + self.shape))

    def log_det(self, u):
        leading = u.shape[:-1]
        u = jnp.reshape(u, leading + self.shape)
        log_det = self.bijector.forward_log_det_jacobian(u, event_ndims=len(self.real))
        return self._over_batch(jnp.broadcast_to(log_det, leading + self.batch))

    def log_prob(self, x):
        return self._over_batch(adapter.log_prob(self.distribution, x))

    def inverse(self, x):
        u = self.bijector.inverse(x)
        return jnp.reshape(u, (*u.shape[: u.ndim - len(self.shape)], self.size))

    def _over_batch(self, a):
        return jnp.sum(a, axis=tuple(range(-len(self.batch), 0)))


def log_jacobian(jacobian, surface):
    if surface:  # the volume that the columns span
        return 0.5 * np.linalg.slogdet(np.swapaxes(jacobian, -1, -2) @ jacobian)[1]
    return np.linalg.slogdet(jacobian)[1]


@pytest.mark.parametrize("name", CONTINUOUS)
def test_bijector(name):
    case = CASES[name]
    view = Unconstrained(adapter.cast(case.make(), jnp.float64))
    u = np.random.default_rng(0).normal(size=(7, view.size))
    on_grid = is_integrated(case)
    grid, log_weights = double_exponential_grid(view.size) if on_grid else (u, None)
    free = jnp.ravel if not callable(case.free) else case.free

    def evaluate(u, grid):
        x = view.forward(u)
        jacobian = jax.vmap(jax.jacfwd(lambda u: free(view.forward(u))))(u)
        # Without the sum, TFP would remember whence the values came.
        density = view.log_prob(view.forward(grid) + 0.0) + view.log_det(grid)
        return x, jacobian, view.log_det(u), view.log_prob(x + 0.0), density

    evaluate = jax.jit(evaluate, compiler_options=QUICK)
    x, jacobian, log_det, log_prob, density = map(np.array, evaluate(u, grid))
    assert x.dtype == log_det.dtype == np.float64
    assert np.all(np.isfinite(log_prob))

    np.testing.assert_allclose(view.inverse(jnp.array(x)), u, rtol=1e-9, atol=1e-11)
    if case.free != "unlike":
        expected = log_jacobian(jacobian, surface=case.free is None)
        np.testing.assert_allclose(log_det, expected, rtol=1e-9, atol=1e-11)
    if x[0].size == view.size == 1:
        order = np.argsort(u.ravel())
        assert np.all(np.diff(x.ravel()[order]) > 0)
    if on_grid:
        # Far out, TFP's densities can overflow to NaN.
        far = np.max(np.abs(grid), axis=-1) > 50
        density = np.where(np.isnan(density) & far, -np.inf, density)
        assert abs(np.sum(np.exp(density + log_weights)) - 1) < case.mass


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.3, 2.0), (0.3, INF), (-INF, 0.3), (-INF, INF), (-1e3, 1e3)],
)
def test_interval(low, high):
    u = jnp.array([-30.0, -2.0, 0.0, 1.5, 30.0])
    bijector = Interval(low, high)
    x = np.array(bijector.forward(u))
    assert np.all((low <= x) & (x <= high) & np.isfinite(x))
    np.testing.assert_allclose(bijector.inverse(jnp.array(x[1:-1])), u[1:-1], rtol=1e-9, atol=1e-11)
    slope = jax.vmap(jax.grad(bijector.forward))(u)
    np.testing.assert_allclose(bijector.forward_log_det_jacobian(u), np.log(slope), rtol=1e-9)
    # also where a branch that is not taken overflows
    for far in (-1e4, 1e4):
        assert np.isfinite(jax.grad(bijector.forward_log_det_jacobian)(far))
        if np.isfinite(low) and np.isfinite(high):
            assert np.isfinite(jax.grad(bijector.forward)(far))


def test_bounds_may_differ_between_members_and_be_traced():
    low, high = jnp.array([0.0, 1.0, -INF, -INF]), jnp.array([1.0, INF, 2.0, INF])
    u = jnp.array([[-1.0] * 4, [0.5] * 4])

    @jax.jit
    def constrain(low, high, u):
        bijector = unconstraining(tfd.TruncatedNormal(jnp.float64(0.0), 1.0, low, high))
        return bijector.forward(u), bijector.forward_log_det_jacobian(u)

    x, log_det = constrain(low, high, u)
    for i in range(4):
        alone = Interval(low[i], high[i])
        np.testing.assert_allclose(x[:, i], alone.forward(u[:, i]), rtol=1e-14)
        np.testing.assert_allclose(log_det[:, i], alone.forward_log_det_jacobian(u[:, i]))


def test_single_precision():
    with precision_context("float32"):
        for make in (
            lambda: tfd.Uniform(0.1, 2.0),
            lambda: dx.Dirichlet(jnp.ones(3)),
            lambda: tfd.LKJ(3, 1.0),
            lambda: tfd.SphericalUniform(3),
        ):
            distribution = make()
            bijector = unconstraining(distribution)
            real = bijector.inverse_event_shape(distribution.event_shape)
            x = bijector.forward(jnp.full((5, *real), 0.3))
            assert x.dtype == jnp.float32
            assert np.all(np.isfinite(adapter.log_prob(distribution, x)))


@pytest.mark.parametrize(("precision", "rtol"), [("float32", 1e-6), ("float64", 1e-14)])
def test_spheres_near_the_pole(precision, rtol):
    bijector = Stereographic()
    with precision_context(precision):
        size = jnp.geomspace(1e-8, 1e8, 33)[:, None]
        u = size * jnp.array([[0.6, -0.8]])
        # Without the sum, TFP would remember whence the values came.
        y = bijector.forward(u) + 0.0
        np.testing.assert_allclose(bijector.inverse(y), u, rtol=rtol)
        for pole in (jnp.array([0.0, 0.0, 1.0]), jnp.array([0.0, 0.0, -1.0])):
            found = bijector.forward(bijector.inverse(pole) + 0.0)
            np.testing.assert_allclose(found, pole, rtol=rtol, atol=rtol)
            assert np.all(np.isfinite(jax.jacobian(bijector.inverse)(pole)))
        slopes = jax.vmap(jax.jacobian(bijector.inverse))(y)
        assert np.all(np.isfinite(slopes))
        concentrated = adapter.cast(tfd.VonMisesFisher([0.0, 0.0, 1.0], 1e6), precision)
        draws = concentrated.sample(1000, seed=jax.random.key(0))
        u = unconstraining(concentrated).inverse(draws)
        assert np.all(np.isfinite(u))
        np.testing.assert_allclose(bijector.forward(u + 0.0), draws, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("normal", "exp"),
    [
        (dx.Normal(0.25, 0.5), tfb.Exp()),
        (tfd.Normal(0.25, 0.5), tfb.Exp()),
        (dx.Normal(0.25, 0.5), dx.Lambda(jnp.exp)),
        (tfd.Normal(0.25, 0.5), dx.Lambda(jnp.exp)),
    ],
)
def test_transformed_mixes_libraries(normal, exp):
    log_normal = adapter.cast(adapter.transformed(normal, exp), jnp.float64)
    x = np.array([0.2, 1.0, 3.0])
    reference = stats.lognorm(0.5, scale=np.exp(0.25)).logpdf(x)
    np.testing.assert_allclose(adapter.log_prob(log_normal, x), reference, rtol=1e-12)
    assert adapter.log_prob(log_normal, -1.0) == -np.inf
    u = jnp.array([-1.0, 0.3])
    bijector = unconstraining(log_normal)
    np.testing.assert_allclose(bijector.forward(u), np.exp(u), rtol=1e-12)
    np.testing.assert_allclose(bijector.forward_log_det_jacobian(u), u, rtol=1e-12)


@pytest.mark.parametrize(
    "normals",
    [
        dx.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2)),
        tfd.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2)),
    ],
)
def test_transformed_acts_on_each_element_or_on_vectors(normals):
    x = np.array([0.5, 2.0])
    for exp in (tfb.Exp(), dx.Lambda(jnp.exp)):
        elementwise = adapter.cast(adapter.transformed(normals, exp), jnp.float64)
        found = adapter.log_prob(elementwise, x)
        np.testing.assert_allclose(found, stats.lognorm(1.0).logpdf(x).sum(), rtol=1e-12)
    ascending = adapter.cast(adapter.transformed(normals, tfb.Ascending()), jnp.float64)
    # the second is the first plus exp(z), so z = log(1.5), and the Jacobian is 1.5
    reference = stats.norm.logpdf([0.5, np.log(1.5)]).sum() - np.log(1.5)
    np.testing.assert_allclose(adapter.log_prob(ascending, x), reference, rtol=1e-12)
    assert adapter.log_prob(ascending, x[::-1]) == -np.inf


def test_a_bijector_of_vectors_needs_a_distribution_of_vectors():
    for normals in (dx.Normal(jnp.zeros(2), 1.0), tfd.Normal([0.0, 0.0], 1.0)):
        with pytest.raises(UserError, match=r"ascending acts on arrays with 1 dimensions"):
            adapter.transformed(normals, tfb.Ascending())


def test_what_has_no_bijector_says_what_to_do():
    class Stranger:
        pass

    with pytest.raises(UserError, match=r"support of the distribution .*Stranger is not known"):
        unconstraining(Stranger())
    for discrete in (tfd.Poisson(1.0), dx.Independent(dx.Bernoulli(probs=jnp.ones(2)), 1)):
        with pytest.raises(UserError, match=r"is discrete, .* choose a kernel for discrete"):
            unconstraining(discrete)
    with pytest.raises(UserError, match=r"unconstraining.register\(ClippedNormal\)"):
        unconstraining(dx.ClippedNormal(0.0, 1.0, -1.0, 1.0))


@pytest.mark.parametrize(
    "make",
    [
        lambda weights: tfd.MixtureSameFamily(weights, tfd.Uniform([0.0, 5.0], [1.0, 6.0])),
        lambda weights: tfd.MixtureSameFamily(
            weights, dx.Transformed(dx.Beta(jnp.ones(2), 1.0), dx.ScalarAffine(jnp.array([0, 5.0])))
        ),
        lambda weights: tfd.Mixture(weights, [tfd.Normal(0.0, 1.0), tfd.Gamma(1.0, 1.0)]),
        lambda weights: tfd.Mixture(weights, [tfd.Uniform(0.0, 1.0), tfd.Uniform(5.0, 6.0)]),
        lambda weights: tfd.Sample(tfd.Uniform([0.0, 5.0], [1.0, 6.0]), 2),
    ],
)
def test_parts_with_different_supports_have_no_bijector(make):
    with pytest.raises(UserError, match="may have different supports"):
        unconstraining(make(tfd.Categorical(probs=[0.5, 0.5])))


def test_parts_with_one_bound_in_common_have_a_bijector():
    weights = tfd.Categorical(probs=[0.5, 0.5])
    mixture = tfd.MixtureSameFamily(weights, tfd.HalfCauchy(2.0, [1.0, 5.0]))
    assert float(unconstraining(mixture).forward(np.float32(0.0))) == 3.0
    assert unconstraining(tfd.Sample(tfd.Uniform(1.0, 3.0), 2)).forward(0.0) == 2.0

"""Densities are -inf outside the support in value and finite in gradient, in both libraries."""

import difflib
from functools import partial
from pathlib import Path

import catalogue
import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import CASES
from jax.scipy.special import logsumexp
from scipy import stats
from scipy.special import expit, log_expit
from tensorflow_probability.substrates import jax as tfp

from bamopipe.distributions import adapter, from_text, regions, text
from bamopipe.distributions.support import support
from bamopipe.errors import UserError
from bamopipe.target import precision_context

tfb, tfd = tfp.bijectors, tfp.distributions
INF = float("inf")
# Compiling takes most of the time here, and running next to none.
QUICK = {"xla_backend_optimization_level": 0}


@pytest.fixture(autouse=True)
def x64():
    with precision_context("float64"):
        yield


def as_given(distribution, points):
    """Return points in the type that the library expects."""
    return points if jnp.issubdtype(distribution.dtype, jnp.floating) else points.astype(int)


@pytest.mark.parametrize("name", CASES)
def test_support(name):
    case = CASES[name]
    distribution = adapter.cast(case.make(), jnp.float64)
    points = [*case.inside, *case.outside, *(case.values or ())]
    inside, outside, values = np.split(
        np.arange(len(points)), np.cumsum([len(case.inside), len(case.outside)])
    )

    def evaluate(points):
        def total(x):
            found = adapter.log_prob(distribution, x)
            return jnp.sum(found), found

        gradients, found = jax.grad(total, has_aux=True)(points)
        return found, gradients, distribution.log_prob(as_given(distribution, points[inside]))

    found, gradients, library = jax.jit(evaluate, compiler_options=QUICK)(
        jnp.array(np.array(points, float))
    )
    assert np.all(np.isfinite(found[inside]))
    np.testing.assert_allclose(found[inside], library, rtol=1e-9, atol=1e-12)
    assert np.all(found[outside] == -np.inf)
    assert np.all(np.isfinite(gradients))
    assert support(distribution).discrete == case.is_discrete
    if case.is_discrete:
        assert abs(np.sum(np.exp(found[values])) - 1) < case.mass


def has_bounds(name):
    return support.dispatch(type(CASES[name].make())) is not regions.real


@pytest.mark.parametrize("name", [name for name in CASES if "," not in name and has_bounds(name)])
def test_draws_are_inside(name):
    distribution = adapter.cast(CASES[name].make(), jnp.float64)

    def evaluate(key):
        draws = adapter.sample(distribution, key, (50,)).astype(float)
        return adapter.log_prob(distribution, draws)

    evaluate = jax.jit(evaluate, compiler_options=QUICK)
    assert np.all(evaluate(jax.random.key(1)) > -np.inf)


# Distributions of shape (2,) made from two arrays, and single numbers or vectors around their
# bounds. The batch has to stay apart from draws and from the event.
BATCHES = {
    "Uniform": (tfd.Uniform, [0.0, 1.0], [1.0, 3.0]),
    "distrax's Uniform": (dx.Uniform, [0.0, 1.0], [1.0, 3.0]),
    "TruncatedNormal": (lambda a, b: tfd.TruncatedNormal(0.5, 1.0, a, b), [0.0, -INF], [INF, 1.0]),
    "HalfCauchy": (tfd.HalfCauchy, [0.0, 1.0], [1.0, 2.0]),
    "Pareto": (lambda a, b: tfd.Pareto(a, scale=b), [2.0, 3.0], [1.0, 2.5]),
    "GeneralizedPareto": (lambda a, b: tfd.GeneralizedPareto(a, 1.0, b), [0.0, 1.0], [0.5, -1.0]),
    "GeneralizedExtremeValue": (
        lambda a, b: tfd.GeneralizedExtremeValue(a, 1.0, b), [0.0, 1.0], [0.5, -1.0],
    ),
    "Triangular": (lambda a, b: tfd.Triangular(a, b, (a + b) / 2), [0.0, 1.0], [1.0, 3.0]),
    "Clipped": (lambda a, b: dx.Clipped(dx.Normal(a, 1.0), a, b), [0.0, 1.0], [1.0, 3.0]),
    "Binomial": (lambda a, b: tfd.Binomial(a, probs=b), [1.0, 2.0], [0.5, 0.4]),
    "Deterministic": (lambda a, b: tfd.Deterministic(a, atol=b), [0.0, 1.0], [0.1, 0.2]),
    "QuantizedDistribution": (
        lambda a, b: tfd.QuantizedDistribution(tfd.Normal(a, 1.0), a, b), [0.0, 1.0], [1.0, 3.0],
    ),
    "Transformed": (
        lambda a, b: dx.Transformed(dx.Beta(2 + 0 * a, 3.0), dx.ScalarAffine(a, b - a)),
        [0.0, 1.0],
        [1.0, 3.0],
    ),
    "TransformedDistribution": (
        lambda a, b: tfd.TransformedDistribution(
            tfd.Beta(2.0, 3.0 + 0 * a), tfb.Chain([tfb.Shift(a), tfb.Scale(b - a)])
        ),
        [0.0, 1.0],
        [1.0, 3.0],
    ),
    "MixtureSameFamily": (
        lambda a, b: tfd.MixtureSameFamily(
            tfd.Categorical(probs=jnp.array([0.4, 0.6])),
            tfd.Uniform(jnp.stack([a, b], -1), jnp.stack([a + 0.5, b + 0.5], -1)),
        ),
        [0.0, 1.0],
        [1.0, 3.0],
    ),
    "Mixture": (
        lambda a, b: tfd.Mixture(
            tfd.Categorical(probs=jnp.stack([0.4 + 0 * a, 0.6 + 0 * a], -1)),
            [tfd.Uniform(a, a + 0.5), tfd.Uniform(b, b + 0.5)],
        ),
        [0.0, 1.0],
        [1.0, 3.0],
    ),
    "BatchReshape": (
        lambda a, b: tfd.BatchReshape(tfd.Uniform(a[..., None], b[..., None]), a.shape),
        [0.0, 1.0],
        [1.0, 3.0],
    ),
    "Sample": (lambda a, b: tfd.Sample(tfd.Uniform(a, b), 2), [0.0, 1.0], [1.0, 3.0]),
    "Independent": (
        lambda a, b: tfd.Independent(tfd.Uniform(jnp.stack([a, a], -1), jnp.stack([b, b], -1)), 1),
        [0.0, 1.0],
        [1.0, 3.0],
    ),
    "Multinomial": (
        lambda a, b: tfd.Multinomial(a, probs=jnp.stack([b, 1 - b], -1)), [1.0, 2.0], [0.5, 0.4],
    ),
    "HiddenMarkovModel": (
        lambda a, b: tfd.HiddenMarkovModel(
            tfd.Categorical(probs=jnp.array([0.4, 0.6])),
            tfd.Categorical(probs=jnp.array([[0.4, 0.6], [0.9, 0.1]])),
            tfd.Uniform(jnp.stack([a, a], -1), jnp.stack([b, b + 0.5], -1)),
            2,
        ),
        [0.0, 1.0],
        [1.0, 3.0],
    ),
    "MarkovChain": (
        lambda a, b: tfd.MarkovChain(tfd.Uniform(a, b), lambda _, x: tfd.Uniform(x - 1, b), 2),
        [0.0, 1.0],
        [1.0, 3.0],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BATCHES)
def test_batches_and_traced_parameters(name):
    make, *parameters = BATCHES[name]
    parameters = [jnp.array(p) for p in parameters]
    around = [-1.0, 0.0, 0.25, 0.75, 1.0, 1.25, 2.0, 3.25, 4.0]
    if len(make(*parameters).event_shape) == 1:
        around = [[a, b] for a in around for b in around]
    values = jnp.stack([jnp.array(around)] * 2, axis=1)

    def log_prob(values, *parameters):
        return adapter.log_prob(make(*parameters), values)

    def evaluate(values, *parameters):
        members = [log_prob(values[:, i], *(p[i] for p in parameters)) for i in range(2)]
        mapped = jax.vmap(log_prob, in_axes=(1, 0, 0), out_axes=1)(values, *parameters)

        def total(*parameters):
            found = log_prob(values, *parameters)
            return jnp.sum(found), found

        gradients, found = jax.grad(total, argnums=(0, 1), has_aux=True)(*parameters)
        return jnp.stack(members, axis=1), mapped, found, jnp.array(gradients)

    members, mapped, found, gradients = jax.jit(evaluate, compiler_options=QUICK)(
        values, *parameters
    )
    assert np.any(members == -np.inf)
    assert np.any(np.isfinite(members))
    assert not np.any(np.isnan(members))
    np.testing.assert_allclose(mapped, members, rtol=1e-12)
    np.testing.assert_allclose(found, members, rtol=1e-12)
    assert np.all(np.isfinite(gradients))


def test_a_value_without_the_batch_is_compared_with_each_member():
    found = adapter.log_prob(tfd.Uniform([0.0, 1.0], [1.0, 3.0]), 0.5)
    np.testing.assert_allclose(found, [0.0, -np.inf])


def test_mixtures_of_families_with_different_supports():
    """Each component counts only where it has mass; TFP's own sum has NaN or a finite density."""
    weights = np.log([0.3, 0.7])
    x = np.array([-1.0, 0.5])
    reference = logsumexp(
        weights[:, None] + np.stack([stats.norm.logpdf(x), stats.expon.logpdf(x)]), axis=0
    )
    normal, exponential = tfd.Normal(0.0, 1.0), tfd.Exponential(1.0)
    categorical = tfd.Categorical(probs=jnp.array([0.3, 0.7]))
    mixtures = [
        adapter.cast(tfd.Mixture(categorical, [normal, exponential]), jnp.float64),
        adapter.cast(dx.MixtureOfTwo(0.3, normal, exponential), jnp.float64),
    ]
    for mixture in mixtures:
        log_prob = partial(adapter.log_prob, mixture)
        found, gradients = jax.vmap(jax.value_and_grad(log_prob))(x)
        np.testing.assert_allclose(found, reference, rtol=1e-12)
        np.testing.assert_allclose(gradients[0], 1.0, rtol=1e-12)
        assert np.isfinite(gradients[1])


def mixture_of_supports():
    normal, exponential = tfd.Normal(0.0, 1.0), tfd.Exponential(1.0)
    return tfd.Mixture(tfd.Categorical(probs=jnp.array([0.3, 0.7])), [normal, exponential])


def mixture_of_ends():
    """Two exponentials, from 0 and from 2."""
    shifted = tfd.TransformedDistribution(tfd.Exponential(jnp.ones(2)), tfb.Shift([0.0, 2.0]))
    return tfd.MixtureSameFamily(tfd.Categorical(probs=jnp.array([0.3, 0.7])), shifted)


def log_mixture_of_supports(x):
    return np.logaddexp(np.log(0.3) + stats.norm.logpdf(x), np.log(0.7) + stats.expon.logpdf(x))


def log_mixture_of_ends(x):
    parts = np.log(0.3) + stats.expon.logpdf(x), np.log(0.7) + stats.expon.logpdf(x, loc=2.0)
    return np.logaddexp(*parts)


# Distributions that TFP's own densities are wrong of at points inside the support, and points.
DELICATE = {
    "mixture of supports": (mixture_of_supports, log_mixture_of_supports, [-1.0, 0.5]),
    "mixture of ends": (mixture_of_ends, log_mixture_of_ends, [1.0, 2.5]),
    "truncated normal": (
        lambda: tfd.TruncatedNormal(0.3, 1.3, 0.0, INF),
        lambda x: stats.truncnorm.logpdf(x, -0.3 / 1.3, INF, 0.3, 1.3),
        [0.5, 1.0],
    ),
    "truncated Cauchy": (
        lambda: tfd.TruncatedCauchy(0.3, 1.3, 0.0, INF),
        lambda x: stats.cauchy.logpdf(x, 0.3, 1.3) - stats.cauchy.logsf(0.0, 0.3, 1.3),
        [0.5, 1.0],
    ),
}


def in_a_chain(d):
    d = adapter.cast(d, jnp.float64)  # nothing reaches into a function
    return tfd.MarkovChain(d, lambda _, x: tfd.BatchBroadcast(d, jnp.shape(x)), 2)


def in_states(d):
    """Two states that emit the same, in batches of two."""
    return tfd.HiddenMarkovModel(
        tfd.Categorical(probs=jnp.array([0.4, 0.6])),
        tfd.Categorical(probs=jnp.array([[0.4, 0.6], [0.9, 0.1]])),
        tfd.BatchBroadcast(d, [2]),
        2,
    )


# Each makes a distribution of a vector of two of a distribution, with the same density.
WRAPPERS = {
    "Sample": lambda d: tfd.Sample(d, 2),
    "Independent": lambda d: tfd.Independent(tfd.BatchBroadcast(d, [2]), 1),
    "distrax's Independent": lambda d: dx.Independent(tfd.BatchBroadcast(d, [2]), 1),
    "BatchReshape": lambda d: tfd.Independent(
        tfd.BatchReshape(tfd.BatchBroadcast(d, [2, 1]), [2]), 1
    ),
    "Masked": lambda d: tfd.Independent(
        tfd.Masked(tfd.BatchBroadcast(d, [2]), jnp.array([True, True])), 1
    ),
    "TransformedDistribution": lambda d: tfd.TransformedDistribution(
        tfd.Sample(d, 2), tfb.Permute([1, 0])
    ),
    "distrax's Transformed": lambda d: dx.Transformed(
        tfd.Sample(d, 2), dx.Block(dx.ScalarAffine(0.0, 1.0), 1)
    ),
    "MarkovChain": in_a_chain,
    "HiddenMarkovModel": in_states,
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", DELICATE)
def test_wrappers_keep_the_densities_of_their_parts(name, wrapper):
    make, log_density, points = DELICATE[name]
    distribution = adapter.cast(WRAPPERS[wrapper](make()), jnp.float64)
    assert tuple(distribution.event_shape) == (2,)
    value, gradient = jax.jit(
        jax.value_and_grad(partial(adapter.log_prob, distribution)), compiler_options=QUICK
    )(jnp.array(points))
    np.testing.assert_allclose(value, np.sum(log_density(np.array(points))), rtol=1e-6)
    for i, x in enumerate(points):
        step = 1e-6
        slope = (log_density(x + step) - log_density(x - step)) / (2 * step)
        np.testing.assert_allclose(gradient[i], slope, rtol=1e-5)


@pytest.mark.parametrize("wrapper", ["Sample", "Independent", "distrax's Independent"])
@pytest.mark.parametrize("family", [tfd.TruncatedNormal, tfd.TruncatedCauchy])
def test_wrappers_keep_the_gradients_of_parameters(family, wrapper):
    def plain(scale):
        return jnp.sum(adapter.log_prob(family(0.3, scale, 0.0, INF), jnp.array([0.5, 1.0])))

    def wrapped(scale):
        distribution = WRAPPERS[wrapper](family(0.3, scale, 0.0, INF))
        return adapter.log_prob(distribution, jnp.array([0.5, 1.0]))

    np.testing.assert_allclose(jax.grad(wrapped)(1.3), jax.grad(plain)(1.3), rtol=1e-12)


def test_a_mask_leaves_out_what_is_false():
    masked = tfd.Masked(tfd.Gamma(jnp.array([2.0, 3.0]), jnp.ones(2)), jnp.array([True, False]))
    found = adapter.log_prob(masked, jnp.array([1.5, -1.0]))
    np.testing.assert_allclose(found, [stats.gamma(2).logpdf(1.5), 0.0], rtol=1e-12)


def test_a_hidden_markov_model_whose_matrices_vary_is_the_sum_over_paths():
    initial = np.array([0.3, 0.7])
    moves = np.array([[[0.8, 0.2], [0.4, 0.6]], [[0.1, 0.9], [0.5, 0.5]]])
    means = np.array([[0.0, 1.0], [2.0, -1.0], [0.5, 0.0]])
    model = tfd.HiddenMarkovModel(
        tfd.Categorical(probs=jnp.array(initial)),
        tfd.Categorical(probs=jnp.array(moves)),
        tfd.Normal(jnp.array(means), jnp.float64(1.0)),
        3,
        time_varying_transition_distribution=True,
        time_varying_observation_distribution=True,
    )
    x = np.array([0.2, 1.1, -0.4])
    total = 0.0
    for a, b, c in np.ndindex(2, 2, 2):
        path = initial[a] * moves[0, a, b] * moves[1, b, c]
        total += path * np.prod(stats.norm.pdf(x, means[range(3), [a, b, c]]))
    np.testing.assert_allclose(adapter.log_prob(model, x), np.log(total), rtol=1e-12)
    hidden = model.copy(mask=jnp.array([False, True, False]))
    np.testing.assert_allclose(adapter.log_prob(hidden, x), hidden.log_prob(x), rtol=1e-12)
    assert adapter.log_prob(hidden, x) != adapter.log_prob(model, x)


@pytest.mark.parametrize("low_high", [(0.0, INF), (100.0, INF), (-INF, -100.0), (5.0, 6.0)])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
def test_truncation_far_from_the_location(low_high, scale):
    """Against SciPy's, which integrates in the nearer tail too."""
    low, high = (bound * scale for bound in low_high)
    x = np.array([0.01, 0.5]) * scale + (low if np.isfinite(low) else high - scale)
    expected = stats.truncnorm.logpdf(x, low / scale, high / scale, 0.0, scale)
    # far out it is the difference of numbers near 5,000, with seven digits in single precision
    for precision, atol in (("float64", 1e-10), ("float32", 2e-3)):
        with precision_context(precision):
            found = adapter.log_prob(
                adapter.cast(tfd.TruncatedNormal(0.0, scale, low, high), jnp.dtype(precision)),
                jnp.asarray(x, precision),
            )
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=atol)


def test_counts_that_were_scaled_are_found_again():
    scaled = adapter.cast(tfd.TransformedDistribution(tfd.Poisson(3.0), tfb.Scale(0.3)), float)
    found = adapter.log_prob(scaled, 0.3 * np.arange(15))
    np.testing.assert_allclose(found, stats.poisson(3).logpmf(np.arange(15)), rtol=1e-12)
    assert adapter.log_prob(scaled, 0.31) == -np.inf


def test_a_continuous_distribution_with_mass_at_one_value():
    rain = tfd.Gamma(jnp.float64(2.0), jnp.float64(1.0))
    with pytest.warns(UserWarning, match="not discrete"):
        hurdle = tfd.Inflated(rain, inflated_loc_probs=jnp.float64(0.25))
    found = adapter.log_prob(hurdle, jnp.array([0.0, 1.5, -1.0]))
    reference = [np.log(0.25), np.log(0.75) + stats.gamma(2).logpdf(1.5), -np.inf]
    np.testing.assert_allclose(found, reference, rtol=1e-12)
    assert not support(hurdle).discrete


@pytest.mark.parametrize(
    ("family", "reference"),
    [(tfd.TruncatedNormal, stats.norm), (tfd.TruncatedCauchy, stats.cauchy)],
)
def test_gradients_for_the_parameters_with_infinite_bounds(family, reference):
    """TFP's are NaN, and so is its density of the Cauchy."""

    def log_prob(loc, scale, low, high):
        return adapter.log_prob(family(loc, scale, low, high), 0.75)

    for low, high in [(0.5, INF), (-INF, 1.0), (-INF, INF)]:

        def by_scipy(loc, scale, low=low, high=high):
            mass = reference.cdf(high, loc, scale) - reference.cdf(low, loc, scale)
            return reference.logpdf(0.75, loc, scale) - np.log(mass)

        bounds = jnp.array(low), jnp.array(high)
        value, gradients = jax.value_and_grad(log_prob, argnums=(0, 1))(0.25, 2.0, *bounds)
        np.testing.assert_allclose(value, by_scipy(0.25, 2.0), rtol=1e-12)
        step = 1e-5  # the error of central differences is about 1e-10
        for gradient, shift in zip(gradients, [(step, 0), (0, step)], strict=True):
            above = by_scipy(0.25 + shift[0], 2.0 + shift[1])
            below = by_scipy(0.25 - shift[0], 2.0 - shift[1])
            np.testing.assert_allclose(gradient, (above - below) / (2 * step), rtol=1e-7)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_derivatives_for_the_logit_of_an_outcome(order):
    """At zero too, where the density is written with an absolute value."""
    logits = np.array([-800.0, -30.0, -1.0, 0.0, 1e-9, 2.0, 40.0, 800.0])
    for outcome, sign in [(1, -1), (0, 1)]:
        x = sign * logits
        slope = expit(x) * expit(-x)
        expected = [log_expit(-x), -expit(x), -slope, slope * np.tanh(x / 2)][order]

        def log_prob(logit, outcome=outcome):
            return adapter.log_prob(dx.Bernoulli(logits=logit), jnp.asarray(outcome))

        for _ in range(order):
            log_prob = jax.grad(log_prob)
        found = jax.vmap(log_prob)(jnp.asarray(logits))
        np.testing.assert_allclose(found, sign**order * expected, rtol=1e-12, atol=1e-16)


def test_matrices_against_scipy():
    scale = np.array(catalogue.CHOLESKY) @ np.array(catalogue.CHOLESKY).T
    x = np.array([[2.0, 0.5], [0.5, 1.0]])
    wishart = tfd.WishartTriL(jnp.float64(3.0), jnp.array(catalogue.CHOLESKY))
    np.testing.assert_allclose(
        adapter.log_prob(wishart, x), stats.wishart(3, scale).logpdf(x), rtol=1e-12
    )
    # Lewandowski, Kurowicka and Joe (2009): the correlation of two is a beta from -1 to 1
    correlation = np.array([[1.0, 0.5], [0.5, 1.0]])
    np.testing.assert_allclose(
        adapter.log_prob(tfd.LKJ(2, jnp.float64(1.5)), correlation),
        stats.beta(1.5, 1.5, -1, 2).logpdf(0.5),
        rtol=1e-12,
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: dx.Independent(tfd.InverseGamma([2.0, 3.0], 0.3), 1),
        lambda: dx.MultivariateNormalDiag(jnp.zeros(2), jnp.full(2, 0.3)),
        lambda: dx.MixtureOfTwo(0.3, dx.Normal(0.0, 0.3), tfd.Normal(1.0, jnp.array(0.3))),
        lambda: tfd.SphericalUniform(2),
        CASES["tfd.HiddenMarkovModel"].make,
        CASES["tfd.GaussianProcess"].make,
        CASES["tfd.StudentTProcess"].make,
        CASES["tfd.LinearGaussianStateSpaceModel"].make,
    ],
)
def test_cast_reaches_every_part(make):
    """Distributions made in single precision draw and evaluate in double precision once cast."""
    with precision_context("float32"):
        single = make()
    distribution = adapter.cast(single, jnp.float64)
    draw = jax.eval_shape(lambda key: adapter.sample(distribution, key, ()), jax.random.key(3))
    assert draw.dtype == jnp.float64
    found = adapter.log_prob(distribution, jnp.full(draw.shape, 0.5**0.5))
    assert found.dtype == jnp.float64
    assert float(found) != float(np.float32(found))  # it has more digits than single precision


@pytest.mark.parametrize(
    ("make", "parameter"),
    [
        (lambda: tfd.Normal(0, 0.1), "scale"),
        (lambda: tfd.Sample(tfd.Normal(0, 0.1), 2).distribution, "scale"),
        (lambda: tfb.Chain([tfb.Scale(0.1), tfb.Exp()]).bijectors[0], "scale"),
    ],
)
def test_cast_goes_back_to_the_numbers_that_were_given(make, parameter):
    with precision_context("float32"):
        single = make()
    assert float(getattr(adapter.cast(single, jnp.float64), parameter)) == 0.1


@pytest.mark.parametrize(
    "make",
    [
        lambda: adapter.transformed(
            dx.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2)), tfb.Scale(0.1)
        ),
        lambda: adapter.transformed(
            tfd.MultivariateNormalDiag([0.0, 0.0], [1.0, 1.0]),
            tfb.ScaleMatvecTriL([[1.0, 0.0], [0.3, 0.7]]),
        ),
        lambda: adapter.transformed(
            tfd.MultivariateNormalDiag([0.0, 0.0], [1.0, 1.0]), tfb.ScaleMatvecDiag([0.3, 0.7])
        ),
        lambda: dx.Transformed(tfd.Gamma(2.0, 1.0), tfb.Exp()),
        lambda: tfd.TransformedDistribution(
            tfd.Independent(tfd.Normal([0.0, 1.0], 1.0), 1), tfb.Scale([1.0, 2.0])
        ),
        lambda: dx.Independent(tfd.InverseGamma(2.0, scale=3.0), 0),
        lambda: dx.MixtureSameFamily(
            tfd.Categorical(probs=[0.4, 0.6]), tfd.Normal([0.0, 1.0], 1.0)
        ),
        lambda: tfd.Normal(0, 2),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_cast_of_what_was_made_in_single_precision(make, precision):
    with precision_context("float32"):
        single = make()
    with precision_context(precision):
        distribution = adapter.cast(single, jnp.dtype(precision))
        draw = adapter.sample(distribution, jax.random.key(0), ())
        assert draw.dtype == adapter.log_prob(distribution, draw).dtype == jnp.dtype(precision)
        assert np.isfinite(adapter.log_prob(distribution, draw))


def test_what_cannot_be_used_says_why():
    with pytest.raises(UserError, match=r"BetaQuotient is of no use in a model: TFP's density is"):
        support(tfd.BetaQuotient(2.0, 3.0, 4.0, 5.0))
    with pytest.raises(UserError, match="add a node for each"):
        support(tfd.JointDistributionSequential([tfd.Normal(0.0, 1.0)]))
    with pytest.raises(UserError, match="input_output_cholesky=True"):
        support(tfd.LKJ(3, 1.0, input_output_cholesky=True))
    with pytest.raises(UserError, match=r"use tfd.TransformedDistribution"):
        support(dx.Transformed(dx.Bernoulli(probs=0.5), dx.ScalarAffine(0, 2)))


def test_the_faults_of_tfp_are_still_there():
    """Where one is mended, its distribution can be covered."""
    quotient = tfd.BetaQuotient(2.0, 3.0, 4.0, 5.0)
    assert np.isnan(jax.jit(quotient.log_prob, compiler_options=QUICK)(jnp.float32(1.01)))
    uncompiled = [
        lambda: tfd.Bates(3.0).log_prob(0.5),
        lambda: tfd.FlatDirichlet([3]).sample(seed=jax.random.key(0)),
        lambda: tfd.PoissonLogNormalQuadratureCompound(0.0, 1.0).log_prob(1.0),
    ]
    for function in uncompiled:
        with pytest.raises((TypeError, ValueError)):
            jax.jit(function)()


def test_unknown_family_says_how_to_give_its_support():
    class Mine(dx.Normal):
        pass

    class Stranger:
        pass

    assert support(Mine(0.0, 1.0)).contains(3.0)  # a subclass has its parent's support
    with pytest.raises(UserError, match=r"support.register\(Stranger\)"):
        support(Stranger())


def test_every_distribution_of_both_libraries_is_in_the_catalogue():
    for library in catalogue.LIBRARIES:
        for name, family in catalogue.classes(library).items():
            covered, refused = name in CASES, catalogue.why_not(family) is not None
            assert covered != refused, f"{name}: covered {covered}, refused {refused}"


def test_the_table_in_the_documentation():
    path = Path(__file__).parents[1] / "docs" / "distributions.md"
    with precision_context("float32"):
        expected = catalogue.table()
    difference = difflib.unified_diff(path.read_text().splitlines(), expected.splitlines())
    assert path.read_text() == expected, (
        "docs/distributions.md is out of date; write it anew with "
        "`uv run python tests/catalogue.py > docs/distributions.md`\n" + "\n".join(difference)
    )


def test_priors_as_text_match_scipy():
    for prior, reference in [
        ("Normal(0, 10)", stats.norm(0, 10)),
        ("LogNormal(5, 1)", stats.lognorm(1, scale=np.exp(5))),
        ("HalfCauchy(0, 5)", stats.halfcauchy(0, 5)),
        ("Gamma(2, 3)", stats.gamma(2, scale=1 / 3)),
        ("Uniform(0, 4)", stats.uniform(0, 4)),
        ("StudentT(df=3, loc=1, scale=2)", stats.t(3, 1, 2)),
    ]:
        distribution = from_text.build(prior)
        value = jnp.asarray([0.3, 2.0])
        np.testing.assert_allclose(
            adapter.log_prob(distribution, value), reference.logpdf(value), rtol=1e-10
        )


def test_every_name_that_text_allows_is_a_tfp_distribution_with_a_support():
    vectors = {"MultivariateNormalDiag": "[0, 0], [1, 1]", "Dirichlet": "[1, 2]"}
    for name, parameters in text.DISTRIBUTIONS.items():
        # increasing numbers suit (low, high) and are positive; probabilities must stay below 1
        values = ["0.5" if p == "probs" else str(i + 1) for i, p in enumerate(parameters)]
        if name in ("TruncatedNormal", "TruncatedCauchy"):
            values = ["1", "1", "0", "3"]
        if name == "Triangular":
            values = ["1", "3", "2"]
        distribution = from_text.build(f"{name}({vectors.get(name, ', '.join(values))})")
        inside = jnp.asarray(support(distribution).inside, float)
        assert np.all(np.isfinite(adapter.log_prob(distribution, inside))), name

"""Densities are -inf outside the support in value and finite in gradient, in both libraries."""

import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from tensorflow_probability.substrates import jax as tfp

from bamopipe.distributions import adapter, from_text, text
from bamopipe.distributions.support import support
from bamopipe.errors import UserError
from bamopipe.target import precision_context

tfb, tfd = tfp.bijectors, tfp.distributions


@pytest.fixture(autouse=True)
def x64():
    with precision_context("float64"):
        yield


# distribution, points inside, points outside
CASES = {
    "dx.Normal": (lambda: dx.Normal(0.0, 1.0), [-50.0, 0.0], []),
    "tfd.Normal": (lambda: tfd.Normal(0.0, 1.0), [-50.0, 0.0], []),
    "dx.Transformed(Exp)": (
        lambda: dx.Transformed(dx.Normal(loc=5, scale=1), tfb.Exp()),
        [0.1, 300.0],
        [-1.0, 0.0],
    ),
    "tfd.Transformed(Sigmoid)": (
        lambda: tfd.TransformedDistribution(tfd.Normal(0.0, 1.0), tfb.Sigmoid()),
        [0.2],
        [-0.1, 1.1],
    ),
    "tfd.Transformed(Scale) of Beta": (
        lambda: tfd.TransformedDistribution(tfd.Beta(2.0, 2.0), tfb.Scale(4.0)),
        [1.0, 3.0],
        [-1.0, 5.0],
    ),
    "tfd.LogNormal": (lambda: tfd.LogNormal(5.0, 1.0), [0.1], [-1.0, 0.0]),
    "tfd.Exponential": (lambda: tfd.Exponential(1.0), [0.5], [-1.0, -1e-6]),
    "dx.Gamma": (lambda: dx.Gamma(2.0, 1.0), [0.5], [-1.0]),
    "tfd.Gamma": (lambda: tfd.Gamma(2.0, 1.0), [0.5], [-1.0]),
    "tfd.InverseGamma": (lambda: tfd.InverseGamma(2.0, 1.0), [0.5], [-1.0, 0.0]),
    "tfd.HalfNormal": (lambda: tfd.HalfNormal(1.0), [0.0, 0.5], [-1.0]),
    "tfd.HalfCauchy": (lambda: tfd.HalfCauchy(1.0, 1.0), [1.5], [0.5]),
    "dx.Beta": (lambda: dx.Beta(2.0, 1.0), [0.5], [-0.5, 2.0]),
    "tfd.Beta": (lambda: tfd.Beta(2.0, 1.0), [0.5], [-0.5, 2.0]),
    "dx.Uniform": (lambda: dx.Uniform(1.0, 2.0), [1.5], [0.9, 2.1]),
    "tfd.Uniform": (lambda: tfd.Uniform(1.0, 2.0), [1.5], [0.9, 2.1]),
    "tfd.TruncatedNormal": (
        lambda: tfd.TruncatedNormal(0.0, 1.0, 0.0, jnp.inf),
        [0.5],
        [-0.1],
    ),
    "tfd.Pareto": (lambda: tfd.Pareto(2.0, 3.0), [3.5], [2.9]),
    "tfd.Poisson": (lambda: tfd.Poisson(3.0), [0.0, 4.0], [-1.0, 0.5]),
    "tfd.NegativeBinomial": (lambda: tfd.NegativeBinomial(3.0, probs=0.5), [2.0], [-1.0, 0.5]),
    "tfd.Binomial": (lambda: tfd.Binomial(5.0, probs=0.3), [5.0], [6.0, -1.0, 2.5]),
    "dx.Bernoulli": (lambda: dx.Bernoulli(probs=0.3), [0.0, 1.0], [2.0, 0.5]),
    "tfd.Bernoulli": (lambda: tfd.Bernoulli(probs=0.3), [0.0, 1.0], [2.0, 0.5]),
    "dx.Categorical": (lambda: dx.Categorical(logits=jnp.zeros(3)), [0.0, 2.0], [3.0, 0.5, -1.0]),
    "tfd.Categorical": (lambda: tfd.Categorical(probs=[0.5, 0.5]), [0.0, 1.0], [2.0, 0.5, -1.0]),
    "tfd.Dirichlet": (lambda: tfd.Dirichlet([1.0, 2.0]), [[0.3, 0.7]], [[0.7, 0.7], [-0.5, 1.5]]),
    "dx.Dirichlet": (lambda: dx.Dirichlet(jnp.ones(2)), [[0.3, 0.7]], [[0.7, 0.7]]),
    "tfd.Multinomial": (
        lambda: tfd.Multinomial(3.0, probs=[0.5, 0.5]),
        [[1.0, 2.0]],
        [[1.0, 1.0], [1.5, 1.5], [-1.0, 4.0]],
    ),
    "tfd.OneHotCategorical": (
        lambda: tfd.OneHotCategorical(probs=[0.5, 0.5]),
        [[1.0, 0.0]],
        [[1.0, 1.0], [0.0, 0.0]],
    ),
    "dx.MultivariateNormalDiag": (
        lambda: dx.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2)),
        [[1.0, -9.0]],
        [],
    ),
    "tfd.MultivariateNormalTriL": (
        lambda: tfd.MultivariateNormalTriL(jnp.zeros(2), jnp.eye(2)),
        [[1.0, -9.0]],
        [],
    ),
    "tfd.Independent": (
        lambda: tfd.Independent(tfd.Gamma([1.0, 2.0], 1.0), 1),
        [[1.0, 1.0]],
        [[1.0, -1.0]],
    ),
    "tfd.Sample": (lambda: tfd.Sample(tfd.Exponential(1.0), 2), [[1.0, 1.0]], [[1.0, -1.0]]),
    "tfd.MixtureSameFamily": (
        lambda: tfd.MixtureSameFamily(
            tfd.Categorical(probs=[0.5, 0.5]), tfd.Uniform([0.0, 5.0], [1.0, 6.0])
        ),
        [0.5, 5.5],
        [3.0, 7.0],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_support(name):
    make, inside, outside = CASES[name]
    distribution = adapter.cast(make(), jnp.float64)
    for point in inside:
        value = jnp.asarray(point, float)
        library = distribution.log_prob(value.astype(distribution.dtype))
        assert np.isfinite(library)
        np.testing.assert_allclose(adapter.log_prob(distribution, value), library)
    for point in outside:
        value = jnp.asarray(point, float)
        assert adapter.log_prob(distribution, value) == -np.inf
        gradient = jax.grad(lambda x: adapter.log_prob(distribution, x))(value)
        assert np.all(np.isfinite(gradient))


@jax.jit
def log_prob_of_draws(distribution):
    draws = adapter.sample(distribution, jax.random.key(1), (50,))
    return adapter.log_prob(distribution, draws)


@pytest.mark.parametrize("name", CASES)
def test_draws_are_inside(name):
    distribution = adapter.cast(CASES[name][0](), jnp.float64)
    assert np.all(log_prob_of_draws(distribution) > -np.inf)


def test_unknown_family_says_how_to_give_its_support():
    class Mine(dx.Normal):
        pass

    class Stranger:
        pass

    assert support(Mine(0.0, 1.0)).contains(3.0)  # a subclass has its parent's support
    with pytest.raises(UserError, match=r"support.register\(Stranger\)"):
        support(Stranger())


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
        assert np.all(np.isfinite(log_prob_of_draws(distribution))), name

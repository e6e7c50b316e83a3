"""Every distribution of distrax and TFP, with points inside and outside its support.

The tests of supports and of bijectors share it. Run as a program it prints the table in
docs/distributions.md:

    uv run python tests/catalogue.py > docs/distributions.md
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations, product

import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
from tensorflow_probability.substrates import jax as tfp

from bamopipe.distributions import adapter
from bamopipe.distributions.bijectors import unconstraining
from bamopipe.distributions.families import UNUSABLE
from bamopipe.distributions.support import support
from bamopipe.errors import UserError

tfb, tfd = tfp.bijectors, tfp.distributions
kernels = tfp.math.psd_kernels
LowerTriangular = tfp.tf2jax.linalg.LinearOperatorLowerTriangular

LIBRARIES = {"dx": ("distrax", dx), "tfd": ("TFP", tfd)}
CHOLESKY = [[1.0, 0.0], [0.5, 2.0]]  # of the covariance [[1, 0.5], [0.5, 4.25]]
INF = float("inf")


def all_but_last(x):
    return x[..., :-1]


def lower_triangle(x):
    return x[jnp.tril_indices(x.shape[-1])]


def below_diagonal(x):
    return x[jnp.tril_indices(x.shape[-1], k=-1)]


@dataclass(frozen=True)
class Case:
    """One distribution.

    Attributes
    ----------
    make
        Makes it, as a user would.
    inside, outside
        Points, each with the shape of batch and event.
    values
        Of a discrete distribution: all values, or enough to have all but 1e-9 of the mass.
    free
        Of a continuous distribution: takes from a value the elements that the density is with
        respect to. None: it is with respect to the surface on which the values lie. "unlike": TFP
        counts all elements, although they are not free.
    mass
        How far the library's density may be from having mass 1.
    """

    make: Callable
    inside: list
    outside: list
    values: list | range | None = None
    free: Callable | str | None = jnp.ravel
    mass: float = 1e-6

    @property
    def is_discrete(self) -> bool:
        return self.values is not None


REAL = ([-2.0, 0.5], [INF, -INF])
POSITIVE = ([0.1, 3.0], [0.0, -0.5, INF])
UNIT = ([0.2, 0.9], [0.0, -0.1, 1.0, 1.1])
VECTOR = ([[1.0, -2.0]], [[INF, 0.0]])
COUNTS = ([0.0, 4.0], [-1.0, 0.5, INF])
SIMPLEX = (
    [[0.2, 0.3, 0.5]],
    [[0.2, 0.3, 0.6], [-0.2, 0.7, 0.5], [1.2, -0.1, -0.1], [0.0, 0.5, 0.5], [0.2, 0.3, 0.4]],
)
CIRCLE = ([[0.6, 0.8], [-1.0, 0.0]], [[0.6, 0.9], [0.0, 0.0]])
ONE_OF_THREE = ([0.0, 2.0], [-1.0, 0.5, 3.0], range(3))
COVARIANCE = (
    [[[2.0, 0.5], [0.5, 1.0]]],
    [
        [[2.0, 0.5], [0.6, 1.0]],  # not symmetric
        [[1.0, 2.0], [2.0, 1.0]],  # not positive definite
        [[-1.0, 0.0], [0.0, -1.0]],
    ],
)
CORRELATION = (
    [[[1.0, 0.5], [0.5, 1.0]]],
    [
        [[1.0, 0.5], [0.4, 1.0]],
        [[1.0, 1.5], [1.5, 1.0]],
        [[2.0, 0.5], [0.5, 1.0]],
    ],
)
FACTOR = (
    [[[1.0, 0.0], [0.6, 0.8]]],
    [
        [[1.0, 0.0], [0.6, 0.9]],  # a row that is too long
        [[1.0, 0.1], [0.6, 0.8]],  # above the diagonal
        [[1.0, 0.0], [0.6, -0.8]],
    ],
)


def gaussian_process(family, *arguments, **options):
    points = jnp.array([[0.0], [1.0]])
    return family(*arguments, kernels.ExponentiatedQuadratic(), index_points=points, **options)


CASES = {
    "dx.Bernoulli": Case(lambda: dx.Bernoulli(probs=0.3), [0.0, 1.0], [2.0, 0.5, -1.0], [0, 1]),
    "dx.Beta": Case(lambda: dx.Beta(2.0, 3.0), *UNIT),
    "dx.Beta, infinite at both ends": Case(lambda: dx.Beta(0.5, 0.5), *UNIT),
    "dx.Categorical": Case(lambda: dx.Categorical(logits=jnp.zeros(3)), *ONE_OF_THREE),
    "dx.CategoricalUniform": Case(
        lambda: dx.CategoricalUniform(low=1.0, high=3.0, logits=jnp.array([0.0, 1.0])),
        [1.5, 2.5],
        [0.9, 3.1],
    ),
    "dx.Clipped": Case(
        lambda: dx.Clipped(dx.Normal(0.0, 1.0), -1.0, 2.0), [-1.0, 0.5, 2.0], [-1.1, 2.1]
    ),
    "dx.Clipped, on one side": Case(
        lambda: dx.Clipped(dx.Normal(0.0, 1.0), 0.0, INF), [0.0, 0.5], [-1.1, INF]
    ),
    "dx.ClippedLogistic": Case(
        lambda: dx.ClippedLogistic(0.0, 1.0, -1.0, 2.0), [-1.0, 0.5, 2.0], [-1.1, 2.1]
    ),
    "dx.ClippedNormal": Case(
        lambda: dx.ClippedNormal(0.0, 1.0, -1.0, 2.0), [-1.0, 0.5, 2.0], [-1.1, 2.1]
    ),
    "dx.Deterministic": Case(lambda: dx.Deterministic(2.0), [2.0], [1.9, 2.1], [2.0]),
    "dx.Dirichlet": Case(
        lambda: dx.Dirichlet(jnp.array([1.5, 2.0, 3.0])), *SIMPLEX, free=all_but_last
    ),
    "dx.EpsilonGreedy": Case(
        lambda: dx.EpsilonGreedy(jnp.array([1.0, 2.0, 0.0]), 0.1), *ONE_OF_THREE
    ),
    "dx.Gamma": Case(lambda: dx.Gamma(2.0, 1.0), *POSITIVE),
    "dx.Greedy": Case(
        lambda: dx.Greedy(jnp.array([1.0, 2.0, 0.0])), [1.0], [-1.0, 0.5, 3.0], range(3)
    ),
    "dx.Gumbel": Case(lambda: dx.Gumbel(0.0, 1.0), *REAL),
    "dx.Independent": Case(
        lambda: dx.Independent(dx.Gamma(jnp.array([2.0, 3.0]), 1.0), 1),
        [[0.5, 1.0]],
        [[0.5, -1.0], [-0.5, 1.0]],
    ),
    "dx.Independent, of TFP's": Case(
        lambda: dx.Independent(tfd.InverseGamma([2.0, 3.0], 0.5), 1),
        [[0.5, 1.0]],
        [[0.5, -1.0], [-0.5, 1.0]],
    ),
    "dx.Laplace": Case(lambda: dx.Laplace(0.0, 1.0), *REAL),
    "dx.LogStddevNormal": Case(lambda: dx.LogStddevNormal(0.0, 0.1), *REAL),
    "dx.Logistic": Case(lambda: dx.Logistic(0.0, 1.0), *REAL),
    "dx.MixtureOfTwo": Case(
        lambda: dx.MixtureOfTwo(0.3, dx.Normal(0.0, 1.0), dx.Normal(1.0, 2.0)), *REAL
    ),
    "dx.MixtureSameFamily": Case(
        lambda: dx.MixtureSameFamily(
            dx.Categorical(probs=jnp.array([0.3, 0.7])), dx.Gamma(jnp.array([2.0, 3.0]), 1.0)
        ),
        *POSITIVE,
    ),
    "dx.Multinomial": Case(
        lambda: dx.Multinomial(3, probs=jnp.array([0.3, 0.7])),
        [[1.0, 2.0]],
        [[1.0, 1.0], [1.5, 1.5], [-1.0, 4.0]],
        [[k, 3 - k] for k in range(4)],
    ),
    "dx.MultivariateNormalDiag": Case(
        lambda: dx.MultivariateNormalDiag(jnp.zeros(2), jnp.array([1.0, 0.1])), *VECTOR
    ),
    "dx.MultivariateNormalDiagPlusLowRank": Case(
        lambda: dx.MultivariateNormalDiagPlusLowRank(jnp.zeros(2), jnp.ones(2), jnp.ones((2, 1))),
        *VECTOR,
    ),
    "dx.MultivariateNormalFromBijector": Case(
        lambda: dx.MultivariateNormalFromBijector(jnp.zeros(2), dx.DiagLinear(jnp.ones(2))),
        *VECTOR,
    ),
    "dx.MultivariateNormalFullCovariance": Case(
        lambda: dx.MultivariateNormalFullCovariance(jnp.zeros(2), jnp.eye(2)), *VECTOR
    ),
    "dx.MultivariateNormalTri": Case(
        lambda: dx.MultivariateNormalTri(jnp.zeros(2), jnp.array(CHOLESKY)), *VECTOR
    ),
    "dx.Normal": Case(lambda: dx.Normal(0.1, 1.0), *REAL),
    "dx.OneHotCategorical": Case(
        lambda: dx.OneHotCategorical(logits=jnp.zeros(2)),
        [[1.0, 0.0]],
        [[1.0, 1.0], [0.0, 0.0], [0.5, 0.5]],
        [[1, 0], [0, 1]],
    ),
    "dx.Quantized": Case(
        lambda: dx.Quantized(dx.Normal(0.0, 2.0), -1.0, 2.0),
        [-1.0, 2.0],
        [-2.0, 0.5, 3.0],
        range(-1, 3),
    ),
    "dx.Softmax": Case(lambda: dx.Softmax(jnp.array([1.0, 2.0, 0.0])), *ONE_OF_THREE),
    "dx.Transformed": Case(lambda: dx.Transformed(dx.Normal(0.0, 1.0), tfb.Exp()), *POSITIVE),
    "dx.Transformed, by distrax's": Case(
        lambda: dx.Transformed(
            dx.Beta(2.0, 3.0), dx.Chain([dx.ScalarAffine(0.1, 2.0), dx.ScalarAffine(1.0)])
        ),
        [2.5, 3.5],
        [2.0, 4.2],
    ),
    "dx.Transformed, of TFP's": Case(
        lambda: dx.Transformed(tfd.Gamma(2.0, 0.1), dx.ScalarAffine(0.1, 2.0)), [0.2, 3.5], [0.0]
    ),
    "dx.Transformed, of vectors": Case(
        lambda: dx.Transformed(
            dx.MultivariateNormalDiag(jnp.zeros(2), jnp.ones(2)), dx.Block(tfb.Exp(), 1)
        ),
        [[0.5, 2.0]],
        [[0.5, -2.0], [0.0, 2.0]],
    ),
    "dx.Uniform": Case(lambda: dx.Uniform(1.0, 2.0), [1.0, 1.5], [0.9, 2.1]),
    "dx.VonMises": Case(lambda: dx.VonMises(0.5, 2.0), [-3.0, 3.0], [-3.2, 3.2]),
    "tfd.BatchBroadcast": Case(
        lambda: tfd.BatchBroadcast(tfd.Gamma(2.0, 1.0), [2]), [[1.0, 2.0]], [[-1.0, -2.0]]
    ),
    "tfd.BatchReshape": Case(
        lambda: tfd.BatchReshape(tfd.HalfCauchy(0.0, [1.0, 2.0]), [2, 1]),
        [[[1.0], [3.5]]],
        [[[-1.0], [-2.0]]],
    ),
    "tfd.Bernoulli": Case(lambda: tfd.Bernoulli(probs=0.3), [0.0, 1.0], [2.0, 0.5, -1.0], [0, 1]),
    "tfd.Beta": Case(lambda: tfd.Beta(2.0, 3.0), *UNIT),
    "tfd.BetaBinomial": Case(
        lambda: tfd.BetaBinomial(5.0, 2.0, 3.0), [0.0, 5.0], [6.0, -1.0, 2.5], range(6)
    ),
    "tfd.Binomial": Case(
        lambda: tfd.Binomial(5.0, probs=0.3), [0.0, 5.0], [6.0, -1.0, 2.5], range(6)
    ),
    "tfd.Categorical": Case(lambda: tfd.Categorical(probs=[0.2, 0.3, 0.5]), *ONE_OF_THREE),
    "tfd.Cauchy": Case(lambda: tfd.Cauchy(0.0, 1.0), *REAL),
    "tfd.Chi": Case(lambda: tfd.Chi(3.0), *POSITIVE),
    "tfd.Chi2": Case(lambda: tfd.Chi2(3.0), *POSITIVE),
    "tfd.CholeskyLKJ": Case(lambda: tfd.CholeskyLKJ(2, 1.5), *FACTOR, free=below_diagonal),
    "tfd.CholeskyLKJ, three by three": Case(
        lambda: tfd.CholeskyLKJ(3, 1.5),
        [np.eye(3)],
        [np.ones((3, 3))],
        free=below_diagonal,
    ),
    "tfd.ContinuousBernoulli": Case(
        lambda: tfd.ContinuousBernoulli(probs=0.3), [0.0, 0.4, 1.0], [-0.1, 1.1]
    ),
    "tfd.DeterminantalPointProcess": Case(
        lambda: tfd.DeterminantalPointProcess([1.0, 2.0], jnp.eye(2)),
        [[0.0, 0.0], [1.0, 1.0]],
        [[0.5, 0.0], [2.0, 0.0]],
        list(product([0, 1], repeat=2)),
    ),
    "tfd.Deterministic": Case(lambda: tfd.Deterministic(2.0), [2.0], [1.9, 2.1], [2.0]),
    "tfd.Dirichlet": Case(lambda: tfd.Dirichlet([1.5, 2.0, 3.0]), *SIMPLEX, free=all_but_last),
    "tfd.DirichletMultinomial": Case(
        lambda: tfd.DirichletMultinomial(3.0, [1.0, 2.0]),
        [[1.0, 2.0]],
        [[1.0, 1.0], [1.5, 1.5], [-1.0, 4.0]],
        [[k, 3 - k] for k in range(4)],
    ),
    "tfd.DoublesidedMaxwell": Case(
        lambda: tfd.DoublesidedMaxwell(0.25, 1.0), [-2.0, 0.5], [0.25, INF, -INF]
    ),
    "tfd.Empirical": Case(
        lambda: tfd.Empirical([0.0, 1.5, 1.5]), [0.0, 1.5], [1.0, -1.0], [0.0, 1.5]
    ),
    "tfd.Empirical, of vectors": Case(
        lambda: tfd.Empirical([[0.0, 1.0], [2.0, 3.0]], event_ndims=1),
        [[0.0, 1.0], [2.0, 3.0]],
        [[0.0, 3.0]],
        [[0.0, 1.0], [2.0, 3.0]],
    ),
    "tfd.ExpGamma": Case(lambda: tfd.ExpGamma(2.0, 1.0), *REAL),
    "tfd.ExpInverseGamma": Case(lambda: tfd.ExpInverseGamma(2.0, 1.0), *REAL),
    "tfd.ExpRelaxedOneHotCategorical": Case(
        lambda: tfd.ExpRelaxedOneHotCategorical(0.5, probs=[0.2, 0.3, 0.5]),
        [np.log([0.2, 0.3, 0.5])],
        [np.log([0.2, 0.3, 0.6]), [0.1, -3.0, -3.0], [-INF, np.log(0.5), np.log(0.5)]],
        free="unlike",
    ),
    "tfd.Exponential": Case(lambda: tfd.Exponential(2.0), [1e-9, 0.5], [-1.0, -1e-6, INF]),
    "tfd.ExponentiallyModifiedGaussian": Case(
        lambda: tfd.ExponentiallyModifiedGaussian(0.0, 1.0, 1.0), *REAL
    ),
    "tfd.FiniteDiscrete": Case(
        lambda: tfd.FiniteDiscrete([0.1, 1.5], probs=[0.3, 0.7]), [1.5], [1.0, -0.5], [0.1, 1.5]
    ),
    "tfd.Gamma": Case(lambda: tfd.Gamma(2.0, 1.0), *POSITIVE),
    "tfd.GammaGamma": Case(lambda: tfd.GammaGamma(2.0, 3.0, 1.0), *POSITIVE),
    "tfd.GaussianProcess": Case(
        lambda: gaussian_process(tfd.GaussianProcess, observation_noise_variance=0.1), *VECTOR
    ),
    "tfd.GaussianProcessRegressionModel": Case(
        lambda: gaussian_process(
            tfd.GaussianProcessRegressionModel,
            observation_index_points=jnp.array([[0.5]]),
            observations=jnp.array([1.0]),
        ),
        *VECTOR,
    ),
    "tfd.GeneralizedExtremeValue": Case(
        lambda: tfd.GeneralizedExtremeValue(0.1, 1.0, 0.2), [-2.0, 1.0], [-4.95, -9.0, INF]
    ),
    "tfd.GeneralizedExtremeValue, bounded above": Case(
        lambda: tfd.GeneralizedExtremeValue(0.1, 1.0, -0.2), [-2.0, 5.0], [5.2, 9.0, -INF]
    ),
    "tfd.GeneralizedNormal": Case(lambda: tfd.GeneralizedNormal(0.0, 1.0, 3.0), *REAL),
    "tfd.GeneralizedPareto": Case(
        lambda: tfd.GeneralizedPareto(0.5, 1.0, 0.2), [0.5, 3.0], [0.4, -2.0, INF]
    ),
    "tfd.GeneralizedPareto, bounded": Case(
        lambda: tfd.GeneralizedPareto(0.5, 1.0, -0.2), [0.5, 5.0], [0.4, 5.6]
    ),
    "tfd.Geometric": Case(lambda: tfd.Geometric(probs=0.3), *COUNTS, range(100)),
    "tfd.Gumbel": Case(lambda: tfd.Gumbel(0.0, 1.0), *REAL),
    "tfd.HalfCauchy": Case(lambda: tfd.HalfCauchy(1.1, 1.0), [1.2, 9.0], [0.5, -1.0, INF]),
    "tfd.HalfNormal": Case(lambda: tfd.HalfNormal(1.0), [0.0, 0.5], [-1.0, INF]),
    "tfd.HalfStudentT": Case(lambda: tfd.HalfStudentT(3.0, 1.1, 1.0), [1.2, 9.0], [0.5, -1.0]),
    "tfd.HiddenMarkovModel": Case(
        lambda: tfd.HiddenMarkovModel(
            tfd.Categorical(probs=[0.5, 0.5]),
            tfd.Categorical(probs=[[0.9, 0.1], [0.2, 0.8]]),
            tfd.Gamma([2.0, 3.0], 1.0),
            2,
        ),
        [[1.0, 2.0]],
        [[1.0, -2.0], [0.0, 2.0]],
    ),
    "tfd.HiddenMarkovModel, of categories": Case(
        lambda: tfd.HiddenMarkovModel(
            tfd.Categorical(probs=[0.5, 0.5]),
            tfd.Categorical(probs=[[0.9, 0.1], [0.2, 0.8]]),
            tfd.Bernoulli(probs=[0.1, 0.6]),
            2,
        ),
        [[1.0, 0.0]],
        [[1.0, 2.0], [0.5, 1.0]],
        list(product([0, 1], repeat=2)),
    ),
    "tfd.Horseshoe": Case(lambda: tfd.Horseshoe(1.0), [-2.0, 0.5], [0.0, INF], mass=1e-3),
    "tfd.Independent": Case(
        lambda: tfd.Independent(tfd.Gamma([2.0, 3.0], 1.0), 1),
        [[0.5, 1.0]],
        [[0.5, -1.0], [-0.5, 1.0]],
    ),
    "tfd.Inflated": Case(
        lambda: tfd.Inflated(tfd.Poisson(2.0), inflated_loc_probs=0.3), *COUNTS, range(50)
    ),
    "tfd.Inflated, at a value that is not a count": Case(
        lambda: tfd.Inflated(tfd.Poisson(2.0), inflated_loc_probs=0.3, inflated_loc=-1.0),
        [-1.0, 0.0, 4.0],
        [-2.0, 0.5],
        range(-1, 50),
    ),
    "tfd.InverseGamma": Case(lambda: tfd.InverseGamma(2.0, 1.0), *POSITIVE),
    "tfd.InverseGaussian": Case(lambda: tfd.InverseGaussian(1.0, 2.0), *POSITIVE),
    "tfd.JohnsonSU": Case(lambda: tfd.JohnsonSU(0.5, 1.0, 0.1, 1.0), *REAL),
    "tfd.Kumaraswamy": Case(lambda: tfd.Kumaraswamy(2.0, 3.0), *UNIT),
    "tfd.LKJ": Case(lambda: tfd.LKJ(2, 1.5), *CORRELATION, free=below_diagonal),
    "tfd.LKJ, three by three": Case(
        lambda: tfd.LKJ(3, 1.5), [np.eye(3)], [np.ones((3, 3))], free=below_diagonal
    ),
    "tfd.LambertWDistribution": Case(
        lambda: tfd.LambertWDistribution(tfd.Normal(0.0, 1.0), 0.0, 1.0, 0.1), *REAL
    ),
    "tfd.LambertWNormal": Case(lambda: tfd.LambertWNormal(0.0, 1.0, 0.1), *REAL),
    "tfd.Laplace": Case(lambda: tfd.Laplace(0.0, 1.0), *REAL),
    "tfd.LinearGaussianStateSpaceModel": Case(
        lambda: tfd.LinearGaussianStateSpaceModel(
            2,
            jnp.eye(1),
            tfd.MultivariateNormalDiag(jnp.zeros(1), 0.1 * jnp.ones(1)),
            jnp.eye(1),
            tfd.MultivariateNormalDiag(jnp.zeros(1), jnp.ones(1)),
            tfd.MultivariateNormalDiag(jnp.zeros(1), jnp.ones(1)),
        ),
        [[[1.0], [-2.0]]],
        [[[INF], [0.0]]],
    ),
    "tfd.LogLogistic": Case(lambda: tfd.LogLogistic(0.0, 1.0), *POSITIVE),
    "tfd.LogNormal": Case(lambda: tfd.LogNormal(0.0, 1.0), *POSITIVE),
    "tfd.Logistic": Case(lambda: tfd.Logistic(0.0, 1.0), *REAL),
    "tfd.LogitNormal": Case(lambda: tfd.LogitNormal(0.0, 1.0), *UNIT),
    "tfd.MarkovChain": Case(
        lambda: tfd.MarkovChain(tfd.Normal(0.0, 1.0), lambda _, x: tfd.Normal(0.5 * x, 1.0), 2),
        *VECTOR,
    ),
    "tfd.MarkovChain, of positive states": Case(
        lambda: tfd.MarkovChain(tfd.Gamma(2.0, 1.0), lambda _, x: tfd.LogNormal(0.1 * x, 1.0), 2),
        [[0.5, 2.0]],
        [[0.5, -2.0], [-0.5, 2.0]],
    ),
    "tfd.Masked": Case(
        lambda: tfd.Masked(tfd.Gamma([2.0, 3.0], 1.0), jnp.array([True, True])),
        [[1.0, 2.0]],
        [[-1.0, -2.0]],
    ),
    "tfd.Mixture": Case(
        lambda: tfd.Mixture(
            tfd.Categorical(probs=[0.3, 0.7]), [tfd.Gamma(2.0, 1.0), tfd.LogNormal(0.0, 1.0)]
        ),
        *POSITIVE,
    ),
    "tfd.MixtureSameFamily": Case(
        lambda: tfd.MixtureSameFamily(
            tfd.Categorical(probs=[0.3, 0.7]), tfd.Gamma([2.0, 3.0], 1.0)
        ),
        *POSITIVE,
    ),
    "tfd.MixtureSameFamily, of vectors": Case(
        lambda: tfd.MixtureSameFamily(
            tfd.Categorical(probs=[0.3, 0.7]), tfd.Dirichlet([[1.5, 2.0, 3.0], [2.0, 2.0, 2.0]])
        ),
        *SIMPLEX,
        free=all_but_last,
    ),
    "tfd.Moyal": Case(lambda: tfd.Moyal(0.0, 1.0), *REAL),
    "tfd.Multinomial": Case(
        lambda: tfd.Multinomial(3.0, probs=[0.3, 0.7]),
        [[1.0, 2.0]],
        [[1.0, 1.0], [1.5, 1.5], [-1.0, 4.0]],
        [[k, 3 - k] for k in range(4)],
    ),
    "tfd.MultivariateNormalDiag": Case(
        lambda: tfd.MultivariateNormalDiag([0.0, 0.0], [1.0, 2.0]), *VECTOR
    ),
    "tfd.MultivariateNormalDiagPlusLowRank": Case(
        lambda: tfd.MultivariateNormalDiagPlusLowRank([0.0, 0.0], [1.0, 2.0], jnp.ones((2, 1))),
        *VECTOR,
    ),
    "tfd.MultivariateNormalDiagPlusLowRankCovariance": Case(
        lambda: tfd.MultivariateNormalDiagPlusLowRankCovariance(
            [0.0, 0.0], [1.0, 2.0], jnp.ones((2, 1))
        ),
        *VECTOR,
    ),
    "tfd.MultivariateNormalFullCovariance": Case(
        lambda: tfd.MultivariateNormalFullCovariance([0.0, 0.0], jnp.eye(2)), *VECTOR
    ),
    "tfd.MultivariateNormalLinearOperator": Case(
        lambda: tfd.MultivariateNormalLinearOperator(
            jnp.zeros(2), LowerTriangular(jnp.array(CHOLESKY))
        ),
        *VECTOR,
    ),
    "tfd.MultivariateNormalTriL": Case(
        lambda: tfd.MultivariateNormalTriL([0.0, 0.0], jnp.array(CHOLESKY)), *VECTOR
    ),
    "tfd.MultivariateStudentTLinearOperator": Case(
        lambda: tfd.MultivariateStudentTLinearOperator(
            3.0, jnp.zeros(2), LowerTriangular(jnp.array(CHOLESKY))
        ),
        *VECTOR,
    ),
    "tfd.NegativeBinomial": Case(lambda: tfd.NegativeBinomial(3.0, probs=0.5), *COUNTS, range(100)),
    "tfd.NoncentralChi2": Case(lambda: tfd.NoncentralChi2(3.0, 1.0), *POSITIVE),
    "tfd.Normal": Case(lambda: tfd.Normal(0.1, 1.0), *REAL),
    "tfd.NormalInverseGaussian": Case(lambda: tfd.NormalInverseGaussian(0.0, 1.0, 2.0, 0.5), *REAL),
    "tfd.OneHotCategorical": Case(
        lambda: tfd.OneHotCategorical(probs=[0.2, 0.8]),
        [[1.0, 0.0]],
        [[1.0, 1.0], [0.0, 0.0], [0.5, 0.5]],
        [[1, 0], [0, 1]],
    ),
    "tfd.OrderedLogistic": Case(lambda: tfd.OrderedLogistic([-1.0, 1.0], 0.5), *ONE_OF_THREE),
    "tfd.PERT": Case(lambda: tfd.PERT(0.1, 1.0, 3.0), [0.2, 2.9], [0.1, 0.0, 3.0, 3.1]),
    "tfd.Pareto": Case(lambda: tfd.Pareto(2.0, 3.1), [3.5, 9.0], [2.9, -4.0, INF]),
    "tfd.PlackettLuce": Case(
        lambda: tfd.PlackettLuce([1.0, 2.0, 3.0]),
        [[1.0, 0.0, 2.0]],
        [[0.0, 0.0, 1.0], [0.5, 1.0, 2.0], [1.0, 2.0, 3.0]],
        list(permutations(range(3))),
    ),
    "tfd.Poisson": Case(lambda: tfd.Poisson(3.0), *COUNTS, range(50)),
    "tfd.PowerSpherical": Case(lambda: tfd.PowerSpherical([0.6, 0.8], 2.0), *CIRCLE, free=None),
    "tfd.ProbitBernoulli": Case(
        lambda: tfd.ProbitBernoulli(probs=0.3), [0.0, 1.0], [2.0, 0.5, -1.0], [0, 1]
    ),
    "tfd.QuantizedDistribution": Case(
        lambda: tfd.QuantizedDistribution(tfd.Normal(0.0, 2.0), -1.0, 2.0),
        [-1.0, 2.0],
        [-2.0, 0.5, 3.0],
        range(-1, 3),
    ),
    "tfd.QuantizedDistribution, of positive numbers": Case(
        lambda: tfd.QuantizedDistribution(tfd.Gamma(2.0, 1.0)),
        [1.0, 3.0],
        [0.0, -2.0, 0.5],
        range(1, 60),
    ),
    "tfd.RelaxedBernoulli": Case(lambda: tfd.RelaxedBernoulli(0.5, probs=0.3), *UNIT),
    "tfd.RelaxedOneHotCategorical": Case(
        lambda: tfd.RelaxedOneHotCategorical(0.5, probs=[0.2, 0.3, 0.5]),
        *SIMPLEX,
        free=all_but_last,
    ),
    "tfd.Sample": Case(
        lambda: tfd.Sample(tfd.Gamma(2.0, 1.0), 2), [[0.5, 1.0]], [[0.5, -1.0], [-0.5, 1.0]]
    ),
    "tfd.SigmoidBeta": Case(lambda: tfd.SigmoidBeta(2.0, 3.0), *REAL),
    "tfd.SinhArcsinh": Case(lambda: tfd.SinhArcsinh(0.0, 1.0, 0.5, 1.2), *REAL),
    "tfd.Skellam": Case(
        lambda: tfd.Skellam(2.0, 3.0), [-4.0, 0.0, 3.0], [-0.5, 2.5, INF], range(-50, 50)
    ),
    "tfd.SphericalUniform": Case(lambda: tfd.SphericalUniform(2), *CIRCLE, free=None),
    "tfd.StoppingRatioLogistic": Case(
        lambda: tfd.StoppingRatioLogistic([-1.0, 1.0], 0.5), *ONE_OF_THREE
    ),
    "tfd.StudentT": Case(lambda: tfd.StudentT(3.0, 0.0, 1.0), *REAL),
    "tfd.StudentTProcess": Case(lambda: gaussian_process(tfd.StudentTProcess, 3.0), *VECTOR),
    "tfd.StudentTProcessRegressionModel": Case(
        lambda: gaussian_process(
            tfd.StudentTProcessRegressionModel,
            3.0,
            observation_index_points=jnp.array([[0.5]]),
            observations=jnp.array([1.0]),
        ),
        *VECTOR,
    ),
    "tfd.TransformedDistribution": Case(
        lambda: tfd.TransformedDistribution(tfd.Beta(2.0, 3.0), tfb.Scale(4.1)),
        [1.0, 4.0],
        [-1.0, 0.0, 4.2],
    ),
    "tfd.TransformedDistribution, by Softsign": Case(
        # its inverse is finite outside its range, from -1 to 1
        lambda: tfd.TransformedDistribution(tfd.Normal(0.0, 1.0), tfb.Softsign()),
        [-0.5, 0.9],
        [-1.5, 2.0],
    ),
    "tfd.TransformedDistribution, onto a simplex": Case(
        lambda: tfd.TransformedDistribution(
            tfd.MultivariateNormalDiag([0.0, 0.0], [1.0, 2.0]), tfb.SoftmaxCentered()
        ),
        *SIMPLEX,
        free=None,
    ),
    "tfd.TransformedDistribution, onto Cholesky factors": Case(
        lambda: tfd.TransformedDistribution(
            tfd.WishartTriL(3.0, jnp.array(CHOLESKY)), tfb.Invert(tfb.CholeskyOuterProduct())
        ),
        [[[2.0, 0.0], [-0.5, 1.0]]],
        [[[2.0, 0.0], [-0.5, -1.0]], [[2.0, 0.1], [-0.5, 1.0]]],
        free=lower_triangle,
    ),
    "tfd.TransformedDistribution, discrete": Case(
        lambda: tfd.TransformedDistribution(tfd.Poisson(3.0), tfb.Scale(2.0)),
        [0.0, 8.0],
        [-2.0, 3.0, 0.5],
        range(0, 100, 2),
    ),
    "tfd.Triangular": Case(lambda: tfd.Triangular(0.1, 2.0, 0.5), [0.2, 1.9], [0.1, 0.0, 2.0, 2.1]),
    "tfd.TruncatedCauchy": Case(
        lambda: tfd.TruncatedCauchy(0.0, 1.0, -1.1, 2.0), [-1.0, 1.9], [-1.2, 2.1]
    ),
    "tfd.TruncatedNormal": Case(
        lambda: tfd.TruncatedNormal(0.0, 1.0, -1.1, 2.0), [-1.0, 1.9], [-1.2, 2.1]
    ),
    "tfd.TruncatedNormal, below": Case(
        lambda: tfd.TruncatedNormal(0.0, 1.0, 0.1, INF), [0.2, 1.9], [0.0, INF]
    ),
    "tfd.TruncatedNormal, above": Case(
        lambda: tfd.TruncatedNormal(0.0, 1.0, -INF, 0.1), [0.0, -1.9], [0.2, -INF]
    ),
    "tfd.TwoPieceNormal": Case(lambda: tfd.TwoPieceNormal(0.0, 1.0, 2.0), *REAL),
    "tfd.TwoPieceStudentT": Case(lambda: tfd.TwoPieceStudentT(3.0, 0.0, 1.0, 2.0), *REAL),
    "tfd.Uniform": Case(lambda: tfd.Uniform(0.1, 2.0), [0.2, 2.0], [0.0, 2.1]),
    "tfd.VariationalGaussianProcess": Case(
        lambda: tfd.VariationalGaussianProcess(
            kernels.ExponentiatedQuadratic(),
            jnp.array([[0.0], [1.0]]),
            jnp.array([[0.5]]),
            jnp.zeros(1),
            jnp.eye(1),
            observation_noise_variance=0.1,
        ),
        *VECTOR,
    ),
    "tfd.VectorDeterministic": Case(
        lambda: tfd.VectorDeterministic([1.0, 2.0]), [[1.0, 2.0]], [[1.0, 1.0]], [[1.0, 2.0]]
    ),
    "tfd.VonMises": Case(lambda: tfd.VonMises(0.5, 2.0), [-3.0, 3.0], [-3.2, 3.2]),
    "tfd.VonMisesFisher": Case(lambda: tfd.VonMisesFisher([0.6, 0.8], 2.0), *CIRCLE, free=None),
    "tfd.VonMisesFisher, in three dimensions": Case(
        lambda: tfd.VonMisesFisher([0.6, 0.0, 0.8], 2.0),
        [[0.6, 0.8, 0.0]],
        [[1.0, 1.0, 0.0]],
        free=None,
    ),
    "tfd.Weibull": Case(lambda: tfd.Weibull(2.0, 3.0), *POSITIVE),
    "tfd.WishartLinearOperator": Case(
        lambda: tfd.WishartLinearOperator(3.0, LowerTriangular(jnp.array(CHOLESKY))),
        *COVARIANCE,
        free=lower_triangle,
    ),
    "tfd.WishartLinearOperator, one by one": Case(
        lambda: tfd.WishartLinearOperator(3.0, LowerTriangular(jnp.array([[2.0]]))),
        [[[2.0]]],
        [[[0.0]], [[-1.0]]],
    ),
    "tfd.WishartTriL": Case(
        lambda: tfd.WishartTriL(3.0, jnp.array(CHOLESKY)), *COVARIANCE, free=lower_triangle
    ),
    "tfd.ZeroInflatedNegativeBinomial": Case(
        lambda: tfd.ZeroInflatedNegativeBinomial(
            inflated_loc_probs=0.3, total_count=3.0, probs=0.5
        ),
        *COUNTS,
        range(100),
    ),
    "tfd.Zipf": Case(lambda: tfd.Zipf(4.0), [1.0, 4.0], [0.0, -1.0, 1.5, INF], range(1, 2000)),
}


def size_of_unconstrained(distribution) -> int:
    """Return how many real numbers stand for one value."""
    event = tuple(distribution.event_shape)
    real = tuple(unconstraining(distribution).inverse_event_shape(event))
    return int(np.prod((*distribution.batch_shape, *real)))


def is_integrated(case: Case) -> bool:
    """Tell whether quadrature over all real vectors is cheap."""
    size = size_of_unconstrained(case.make())
    return size <= 2 or (size == 3 and case.free is below_diagonal)


def classes(library: str) -> dict[str, type]:
    """Return the distributions of a library by name."""
    module = LIBRARIES[library][1]
    found = {name: getattr(module, name) for name in dir(module) if not name.startswith("_")}
    return {
        f"{library}.{name}": thing
        for name, thing in found.items()
        if inspect.isclass(thing)
        and issubclass(thing, adapter.DISTRIBUTIONS)
        and thing not in (*adapter.DISTRIBUTIONS, tfd.AutoCompositeTensorDistribution)
    }


def why_not(family: type) -> str | None:
    """Return why a family is of no use, or None if it should be covered."""
    return next((UNUSABLE[c] for c in family.__mro__ if c in UNUSABLE), None)


def bijector_name(name: str) -> str | None:
    """Return the name of the bijector of a case, None if it has none."""
    try:
        return unconstraining(CASES[name].make()).name.replace("_", " ")
    except UserError:
        return None


def row(name: str) -> str:
    """Write one line of the table."""
    case = CASES[name]
    words = support.dispatch(type(case.make())).__doc__.strip().removesuffix(".")
    if case.is_discrete:
        return f"| {name} | {words} | discrete | | sum |"
    bijector = bijector_name(name)
    if bijector is None:
        return f"| {name} | {words} | continuous | none | |"
    checks = ["round trip"]
    variants = [c for n, c in CASES.items() if n.split(",")[0] == name and bijector_name(n)]
    if case.free != "unlike":
        checks.append("Jacobian")
    if any(is_integrated(variant) for variant in variants):
        checks.append("integral")
    return f"| {name} | {words} | continuous | {bijector} | {', '.join(checks)} |"


def table() -> str:
    """Write docs/distributions.md."""
    with jax.enable_x64(True):
        rows = [row(name) for name in CASES if "," not in name]
    unusable = [
        f"| {name} | {reason[0].upper() + reason[1:]} |"
        for library in LIBRARIES
        for name, family in classes(library).items()
        if (reason := why_not(family))
    ]
    return INTRODUCTION + "\n".join(rows) + BETWEEN + "\n".join(unusable) + "\n"


INTRODUCTION = """\
# Distributions

<!-- Written by tests/catalogue.py. To change it:
     uv run python tests/catalogue.py > docs/distributions.md -->

Every distribution of distrax (`dx`) and of TFP's JAX substrate (`tfd`) in this table can be given
to a node: an instance, the class, or a function of its parents that returns one. Its log density is
that of the library inside the support and -inf outside, with finite gradients on both sides; tests
check this at points inside and beyond each boundary, at numbers between the values of discrete
distributions, and at draws.

Samplers that follow gradients move continuous variables in real vectors. The table names the
bijector that turns these into values, and what the tests check of it: that it leads back (round
trip), that its log-Jacobian is that of automatic differentiation (Jacobian), and that the density
has mass 1 after the change of variables (integral); of discrete distributions, that the
probabilities have the sum 1. A distribution without a bijector can be observed, and sampled by
kernels that do not follow gradients.

A boundary belongs to the support if the density there is finite whatever the parameters are.

For a distribution of your own, register its support, and its bijector if it is continuous; the
docstrings of `bamopipe.distributions.support.support` and
`bamopipe.distributions.bijectors.unconstraining` show how.

| distribution | support | kind | unconstrained by | checked by |
| --- | --- | --- | --- | --- |
"""

BETWEEN = """

## Not covered

These raise an error that says why.

| distribution | reason |
| --- | --- |
"""

if __name__ == "__main__":
    print(table(), end="")

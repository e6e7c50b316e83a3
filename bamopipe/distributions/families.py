"""Which families of distributions have mass on which set, and which are of no use here and why.

These are tables and no more: `bamopipe.distributions.support` and
`bamopipe.distributions.bijectors` read them. Subclasses of a family share its row.
"""

from collections.abc import Callable

import distrax as dx
from tensorflow_probability.substrates import jax as tfp

from bamopipe.distributions import regions

tfd = tfp.distributions

FAMILIES: dict[Callable, tuple[type, ...]] = {
    regions.real: (
        dx.Gumbel, dx.Laplace, dx.LogStddevNormal, dx.Logistic, dx.MultivariateNormalFromBijector,
        dx.Normal,
        tfd.Cauchy, tfd.ExpGamma, tfd.ExpInverseGamma,
        tfd.ExponentiallyModifiedGaussian, tfd.GaussianProcess, tfd.GeneralizedNormal, tfd.Gumbel,
        tfd.JohnsonSU, tfd.LambertWNormal, tfd.Laplace, tfd.LinearGaussianStateSpaceModel,
        tfd.Logistic, tfd.Moyal,
        tfd.MultivariateNormalDiagPlusLowRankCovariance, tfd.MultivariateNormalLinearOperator,
        tfd.MultivariateStudentTLinearOperator, tfd.Normal, tfd.NormalInverseGaussian,
        tfd.SigmoidBeta, tfd.StudentT, tfd.StudentTProcess, tfd.TwoPieceNormal,
        tfd.TwoPieceStudentT,
    ),
    regions.real_but_loc: (tfd.DoublesidedMaxwell,),
    regions.nonzero: (tfd.Horseshoe,),
    regions.positive: (
        dx.Gamma,
        tfd.Chi, tfd.Chi2, tfd.Gamma, tfd.GammaGamma, tfd.InverseGamma,
        tfd.InverseGaussian, tfd.LogLogistic, tfd.LogNormal, tfd.NoncentralChi2, tfd.Weibull,
    ),
    regions.nonnegative: (tfd.Exponential, tfd.HalfNormal),
    regions.from_loc_up: (tfd.HalfCauchy, tfd.HalfStudentT),
    regions.from_scale_up: (tfd.Pareto,),
    regions.pareto_tail: (tfd.GeneralizedPareto,),
    regions.extreme_values: (tfd.GeneralizedExtremeValue,),
    regions.unit_interval: (
        dx.Beta,
        tfd.Beta, tfd.Kumaraswamy, tfd.LogitNormal, tfd.RelaxedBernoulli,
    ),
    regions.closed_unit_interval: (tfd.ContinuousBernoulli,),
    regions.interval: (
        dx.CategoricalUniform, dx.Uniform,
        tfd.TruncatedCauchy, tfd.TruncatedNormal, tfd.Uniform,
    ),
    regions.open_interval: (tfd.PERT, tfd.Triangular),
    regions.clipped: (dx.Clipped,),
    regions.circle: (dx.VonMises, tfd.VonMises),
    regions.simplex: (dx.Dirichlet, tfd.Dirichlet, tfd.RelaxedOneHotCategorical),
    regions.log_simplex: (tfd.ExpRelaxedOneHotCategorical,),
    regions.sphere: (tfd.PowerSpherical, tfd.SphericalUniform, tfd.VonMisesFisher),
    regions.covariance_matrices: (tfd.WishartLinearOperator,),
    regions.correlation_matrices: (tfd.LKJ,),
    regions.correlation_factors: (tfd.CholeskyLKJ,),
    regions.whole_numbers: (tfd.Skellam,),
    regions.counts: (
        tfd.Geometric, tfd.NegativeBinomial, tfd.Poisson,
    ),
    regions.counts_from_one: (tfd.Zipf,),
    regions.counts_up_to_total: (tfd.BetaBinomial, tfd.Binomial),
    regions.binary: (
        dx.Bernoulli,
        tfd.Bernoulli, tfd.DeterminantalPointProcess, tfd.ProbitBernoulli,
    ),
    regions.categories: (dx.Categorical, tfd.Categorical),
    regions.categories_between_cutpoints: (tfd.OrderedLogistic, tfd.StoppingRatioLogistic),
    regions.one_hot: (dx.OneHotCategorical, tfd.OneHotCategorical),
    regions.permutations: (tfd.PlackettLuce,),
    regions.multinomial: (dx.Multinomial, tfd.DirichletMultinomial, tfd.Multinomial),
    regions.atom: (dx.Deterministic, tfd.Deterministic, tfd.VectorDeterministic),
    regions.outcomes: (tfd.FiniteDiscrete,),
    regions.samples: (tfd.Empirical,),
}  # fmt: skip

_MANY = "its value is a structure of several arrays; add a node for each"
_GLUED = "it glues the values of several distributions together; add a node for each"
_DRAWS = "TFP cannot draw from it in compiled code"

UNUSABLE: dict[type, str] = {
    dx.Joint: _MANY,
    tfd.Autoregressive: "TFP does not know its shape before a draw; "
    "use bamopipe.distributions.autoregressive or tfd.MarkovChain",
    tfd.BatchConcat: _GLUED,
    tfd.Bates: "TFP's density cannot be compiled",
    tfd.BetaQuotient: "TFP's density is NaN near 1",
    tfd.Blockwise: _GLUED,
    tfd.FlatDirichlet: "TFP cannot draw from it; use Dirichlet with concentrations of one",
    tfd.JointDistribution: _MANY,
    tfd.MatrixNormalLinearOperator: _DRAWS,
    tfd.MatrixTLinearOperator: _DRAWS,
    tfd.PoissonLogNormalQuadratureCompound: "TFP cannot make it in compiled code",
}

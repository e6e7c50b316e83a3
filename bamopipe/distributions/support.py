"""Where a distribution has mass.

Both libraries return finite log densities at many points outside a distribution's support (TFP's
Exponential at -1, Beta at 2, Poisson at 0.5), and distrax returns NaN at others, so neither can be
asked for -inf. `support(distribution)` answers instead, for every family in the tables below.
"""

from collections.abc import Callable
from functools import singledispatch
from typing import NamedTuple

import distrax as dx
import jax.numpy as jnp
from jax import Array
from tensorflow_probability.substrates import jax as tfp

from bamopipe.errors import UserError

tfb = tfp.bijectors
tfd = tfp.distributions


class Support(NamedTuple):
    """The set on which a distribution has mass.

    Attributes
    ----------
    contains
        Maps a value of shape (..., *event) to booleans of shape (..., *event) or (...).
    inside
        A point of the set, broadcastable against values: a safe stand-in where a value is outside.
    """

    contains: Callable[[Array], Array]
    inside: Array | float

    def holds(self, value: Array, event_ndims: int) -> Array:
        """Whether each value is in the set, of shape (...): event dimensions are gone."""
        flags = self.contains(value)
        return jnp.all(flags, axis=tuple(range(jnp.ndim(value) - event_ndims, flags.ndim)))


@singledispatch
def support(distribution) -> Support:
    """Return the support of a distribution.

    A new family is added by registering a function for its class.

    Parameters
    ----------
    distribution
        A distrax or TFP distribution.

    Raises
    ------
    UserError
        The family is not known.

    Examples
    --------
    >>> import distrax as dx
    >>> from bamopipe.distributions.support import Support, support
    >>> bool(support(dx.Gamma(2.0, 1.0)).contains(-1.0))
    False

    For a family of one's own:

    >>> class MyExponential(dx.Distribution):
    ...     pass
    >>> @support.register(MyExponential)
    ... def _(distribution):
    ...     return Support(contains=lambda x: x >= 0, inside=1.0)
    """
    family = f"{type(distribution).__module__}.{type(distribution).__name__}"
    raise UserError(
        f"the support of the distribution {family} is not known; give it with "
        f"`@bamopipe.distributions.support.support.register({type(distribution).__name__})`, "
        "a function that returns a Support(contains, inside)"
    )


def _everywhere(_) -> Support:
    return Support(lambda x: jnp.full(jnp.shape(x), True), 0.0)


def _positive(_) -> Support:
    return Support(lambda x: (x > 0) & (x < jnp.inf), 1.0)


def _nonnegative(_) -> Support:
    return Support(lambda x: (x >= 0) & (x < jnp.inf), 1.0)


def _unit_interval(_) -> Support:
    return Support(lambda x: (x > 0) & (x < 1), 0.5)


def _counts(_) -> Support:
    return Support(lambda x: (x >= 0) & (x < jnp.inf) & (jnp.floor(x) == x), 0.0)


def _binary(_) -> Support:
    return Support(lambda x: (x == 0) | (x == 1), 0.0)


def _counts_up_to_total(d) -> Support:
    return Support(lambda x: (x >= 0) & (x <= d.total_count) & (jnp.floor(x) == x), 0.0)


def _categories(d) -> Support:
    table = d.logits if d.logits is not None else d.probs
    last = table.shape[-1] - 1
    return Support(lambda x: (x >= 0) & (x <= last) & (jnp.floor(x) == x), 0.0)


def _one_hot(d) -> Support:
    size = d.event_shape[-1]
    return Support(
        lambda x: jnp.all((x == 0) | (x == 1), -1) & (jnp.sum(x, -1) == 1), jnp.eye(size)[0]
    )


def _simplex(d) -> Support:
    size = d.event_shape[-1]

    def contains(x):
        tolerance = 100 * size * jnp.finfo(jnp.result_type(x, float)).eps
        return jnp.all(x > 0, -1) & (jnp.abs(jnp.sum(x, -1) - 1) < tolerance)

    return Support(contains, jnp.full(size, 1.0 / size))


def _multinomial(d) -> Support:
    total = jnp.asarray(d.total_count)

    def contains(x):
        return jnp.all((x >= 0) & (jnp.floor(x) == x), -1) & (jnp.sum(x, -1) == total)

    first = jnp.zeros(d.event_shape[-1]).at[0].set(1.0)
    return Support(contains, total[..., None] * first)


def _low_high(d) -> Support:
    low, high = jnp.asarray(d.low), jnp.asarray(d.high)
    finite = jnp.where(jnp.isfinite(low), low, jnp.where(jnp.isfinite(high), high - 2.0, -1.0))
    inside = (finite + jnp.where(jnp.isfinite(high), high, finite + 2.0)) / 2
    return Support(lambda x: (x >= low) & (x <= high), inside)


def _circle(_) -> Support:
    return Support(lambda x: jnp.abs(x) <= jnp.pi, 0.0)


def _above_scale(d) -> Support:
    return Support(lambda x: (x >= d.scale) & (x < jnp.inf), 2.0 * d.scale)


def _from_loc_up(d) -> Support:
    return Support(lambda x: (x >= d.loc) & (x < jnp.inf), d.loc + 1.0)


_FAMILIES: dict[Callable, tuple[type, ...]] = {
    _everywhere: (
        dx.Gumbel, dx.Laplace, dx.LogStddevNormal, dx.Logistic, dx.MultivariateNormalDiag,
        dx.MultivariateNormalDiagPlusLowRank, dx.MultivariateNormalFullCovariance,
        dx.MultivariateNormalTri, dx.Normal,
        tfd.Cauchy, tfd.ExponentiallyModifiedGaussian, tfd.GeneralizedNormal, tfd.Gumbel,
        tfd.Horseshoe, tfd.JohnsonSU, tfd.Laplace, tfd.Logistic, tfd.Moyal,
        tfd.MultivariateNormalLinearOperator, tfd.MultivariateStudentTLinearOperator, tfd.Normal,
        tfd.NormalInverseGaussian, tfd.StudentT, tfd.TwoPieceNormal, tfd.TwoPieceStudentT,
    ),
    _positive: (
        dx.Gamma,
        tfd.Chi, tfd.Chi2, tfd.Gamma, tfd.InverseGamma, tfd.InverseGaussian, tfd.LogLogistic,
        tfd.LogNormal, tfd.Weibull,
    ),
    _nonnegative: (tfd.Exponential, tfd.HalfNormal),
    _from_loc_up: (tfd.HalfCauchy, tfd.HalfStudentT),
    _above_scale: (tfd.Pareto,),
    _unit_interval: (dx.Beta, tfd.Beta, tfd.Kumaraswamy, tfd.LogitNormal),
    _low_high: (
        dx.Uniform, tfd.PERT, tfd.Triangular, tfd.TruncatedCauchy, tfd.TruncatedNormal, tfd.Uniform,
    ),
    _circle: (dx.VonMises, tfd.VonMises),
    _counts: (tfd.Geometric, tfd.NegativeBinomial, tfd.Poisson),
    _counts_up_to_total: (tfd.BetaBinomial, tfd.Binomial),
    _binary: (dx.Bernoulli, tfd.Bernoulli, tfd.ProbitBernoulli),
    _categories: (dx.Categorical, tfd.Categorical),
    _one_hot: (dx.OneHotCategorical, tfd.OneHotCategorical),
    _simplex: (dx.Dirichlet, tfd.Dirichlet),
    _multinomial: (dx.Multinomial, tfd.DirichletMultinomial, tfd.Multinomial),
}  # fmt: skip
for _family, _classes in _FAMILIES.items():
    for _class in _classes:
        support.register(_class)(_family)


@support.register(dx.Transformed)
@support.register(tfd.TransformedDistribution)
def _(d) -> Support:
    base = support(d.distribution)
    base_event_ndims = len(d.distribution.event_shape)

    def contains(x):
        y = d.bijector.inverse(x)
        batch_ndims = jnp.ndim(x) - len(d.event_shape)
        flags = jnp.isfinite(y) & base.holds(y, base_event_ndims)[(..., *[None] * base_event_ndims)]
        return jnp.all(flags, axis=tuple(range(batch_ndims, flags.ndim)))

    return Support(contains, d.bijector.forward(jnp.asarray(base.inside, dtype=d.dtype)))


@support.register(dx.Independent)
@support.register(tfd.Independent)
@support.register(tfd.Sample)
def _(d) -> Support:
    return support(d.distribution)


@support.register(dx.MixtureSameFamily)
@support.register(tfd.MixtureSameFamily)
def _(d) -> Support:
    parts = support(d.components_distribution)
    event_ndims = len(d.event_shape)
    component_axis = -1 - event_ndims

    def contains(x):
        return jnp.any(parts.holds(jnp.expand_dims(x, component_axis), event_ndims), axis=-1)

    inside = jnp.asarray(parts.inside)
    if inside.ndim > event_ndims:
        inside = jnp.take(inside, 0, axis=component_axis)
    return Support(contains, inside)

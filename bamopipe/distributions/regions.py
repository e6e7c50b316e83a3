"""The sets on which families of distributions have mass.

Each function takes a distribution and returns its `Support`; `bamopipe.distributions.support` says
which family has which. A boundary belongs to a set if the density there is finite whatever the
parameters (an exponential's at 0 is); it is left out if the density there can be infinite, or is
zero with a gradient that is not finite (a gamma's at 0): so no log density is NaN or +inf. Where
the density is positive at such a boundary for special parameters only, as Weibull's with
concentration 1 is, one point of measure zero is lost.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from tensorflow_probability.substrates import jax as tfp

from bamopipe.errors import UserError


class Support(NamedTuple):
    """The set on which a distribution has mass.

    Attributes
    ----------
    contains
        Maps a value of shape (..., *event) to booleans of shape (..., *event) or (...). The value
        has the distribution's batch dimensions.
    inside
        A point of the set, broadcastable against values: a safe stand-in where a value is outside.
    discrete
        Whether values come from a countable set, such as the whole numbers, whatever their type.
    """

    contains: Callable[[Array], Array]
    inside: Array | float
    discrete: bool = False

    def holds(self, value: Array, event_ndims: int) -> Array:
        """Whether each value is in the set, of shape (...): event dimensions are gone."""
        flags = self.contains(value)
        return flags.all(axis=tuple(range(value.ndim - event_ndims, flags.ndim)))


def _is_not_infinite(x):
    # Works on NumPy's arrays, too: observations are checked without compiling anything.
    return abs(x) != jnp.inf


def real(_) -> Support:
    """Real numbers."""
    return Support(_is_not_infinite, 0.0)


def real_but_loc(d) -> Support:
    """Real numbers but `loc`, where the density is 0."""
    return Support(lambda x: (x != d.loc) & _is_not_infinite(x), d.loc + d.scale)


def nonzero(_) -> Support:
    """Real numbers but 0, where the density is infinite."""
    return Support(lambda x: (x != 0) & _is_not_infinite(x), 1.0)


def positive(_) -> Support:
    """Positive numbers."""
    return Support(lambda x: (x > 0) & (x < jnp.inf), 1.0)


def nonnegative(_) -> Support:
    """Zero and positive numbers."""
    return Support(lambda x: (x >= 0) & (x < jnp.inf), 1.0)


def from_loc_up(d) -> Support:
    """Numbers from `loc` up."""
    return Support(lambda x: (x >= d.loc) & (x < jnp.inf), d.loc + 1.0)


def from_scale_up(d) -> Support:
    """Numbers from `scale` up."""
    return Support(lambda x: (x >= d.scale) & (x < jnp.inf), 2.0 * d.scale)


def pareto_tail(d) -> Support:
    """Numbers from `loc` up, to `loc - scale / concentration` if the concentration is negative."""

    def contains(x):
        z = (x - d.loc) / d.scale
        return (z >= 0) & (1 + d.concentration * z > 0) & (x < jnp.inf)

    return Support(contains, d.loc + 0.5 * d.scale / (1 + jnp.abs(d.concentration)))


def extreme_values(d) -> Support:
    """Numbers x with `concentration * (x - loc) / scale > -1`."""

    def contains(x):
        return (1 + d.concentration * (x - d.loc) / d.scale > 0) & _is_not_infinite(x)

    return Support(contains, d.loc)


def unit_interval(_) -> Support:
    """Numbers between 0 and 1, without these."""
    return Support(lambda x: (x > 0) & (x < 1), 0.5)


def closed_unit_interval(_) -> Support:
    """Numbers from 0 to 1."""
    return Support(lambda x: (x >= 0) & (x <= 1), 0.5)


def _middle(low, high):
    """Return a point between two bounds, either of which may be infinite."""
    low, high = jnp.asarray(low), jnp.asarray(high)
    finite = jnp.where(jnp.isfinite(low), low, jnp.where(jnp.isfinite(high), high - 2.0, -1.0))
    return (finite + jnp.where(jnp.isfinite(high), high, finite + 2.0)) / 2


def interval(d) -> Support:
    """Numbers from `low` to `high`."""
    return Support(
        lambda x: (x >= d.low) & (x <= d.high) & _is_not_infinite(x), _middle(d.low, d.high)
    )


def open_interval(d) -> Support:
    """Numbers between `low` and `high`, without these."""
    return Support(lambda x: (x > d.low) & (x < d.high), _middle(d.low, d.high))


def clipped(d) -> Support:
    """Numbers from `minimum` to `maximum`, with mass at these two."""
    return Support(
        lambda x: (x >= d.minimum) & (x <= d.maximum) & _is_not_infinite(x),
        _middle(d.minimum, d.maximum),
    )


def circle(_) -> Support:
    """Angles from -π to π."""
    return Support(lambda x: jnp.abs(x) <= jnp.pi, 0.0)


def is_whole(x):
    """Tell whole numbers, whatever their type."""
    return (jnp.floor(x) == x) & _is_not_infinite(x)


def whole_numbers(_) -> Support:
    """Whole numbers."""
    return Support(is_whole, 0.0, discrete=True)


def counts(_) -> Support:
    """Whole numbers from 0 up."""
    return Support(lambda x: (x >= 0) & is_whole(x), 0.0, discrete=True)


def counts_from_one(_) -> Support:
    """Whole numbers from 1 up."""
    return Support(lambda x: (x >= 1) & is_whole(x), 1.0, discrete=True)


def binary(_) -> Support:
    """0 and 1."""
    return Support(lambda x: (x == 0) | (x == 1), 0.0, discrete=True)


def counts_up_to_total(d) -> Support:
    """Whole numbers from 0 to `total_count`."""
    return Support(lambda x: (x >= 0) & (x <= d.total_count) & is_whole(x), 0.0, discrete=True)


def _up_to(last) -> Support:
    return Support(lambda x: (x >= 0) & (x <= last) & is_whole(x), 0.0, discrete=True)


def categories(d) -> Support:
    """Whole numbers from 0, one for each probability."""
    return _up_to((d.logits if d.logits is not None else d.probs).shape[-1] - 1)


def categories_between_cutpoints(d) -> Support:
    """Whole numbers from 0 to the number of cutpoints."""
    return _up_to(d.cutpoints.shape[-1])


def one_hot(d) -> Support:
    """Vectors of zeros with a single one."""
    size = d.event_shape[-1]
    return Support(
        lambda x: jnp.all((x == 0) | (x == 1), -1) & (jnp.sum(x, -1) == 1),
        jnp.eye(size)[0],
        discrete=True,
    )


def permutations(d) -> Support:
    """Permutations of the whole numbers from 0."""
    order = jnp.arange(d.event_shape[-1])
    return Support(
        lambda x: jnp.all(jnp.sort(x, axis=-1) == order, axis=-1), 1.0 * order, discrete=True
    )


def multinomial(d) -> Support:
    """Vectors of whole numbers from 0 up with the sum `total_count`."""
    total = jnp.asarray(d.total_count)
    first = jnp.eye(d.event_shape[-1])[0]
    return Support(
        lambda x: jnp.all((x >= 0) & is_whole(x), -1) & (jnp.sum(x, -1) == total),
        total[..., None] * first,
        discrete=True,
    )


def atom(d) -> Support:
    """One value, `loc`, within its tolerances."""
    loc = tfp.tf2jax.convert_to_tensor(d.loc)  # TFP may have deferred it
    slack = d.atol + d.rtol * jnp.abs(loc)
    return Support(lambda x: jnp.abs(x - loc) <= slack, loc, discrete=True)


def outcomes(d) -> Support:
    """Any of `outcomes`, within their tolerances."""
    values = jnp.asarray(d.outcomes)

    def contains(x):
        # TFP's tolerances
        default = 10 * jnp.finfo(jnp.result_type(x, float)).eps
        given = d.parameters["rtol"], d.parameters["atol"]
        rtol, atol = (default if t is None else t for t in given)
        slack = atol + rtol * jnp.abs(values)
        return jnp.any(jnp.abs(jnp.expand_dims(x, -1) - values) < slack, axis=-1)

    return Support(contains, values[0], discrete=True)


def samples(d) -> Support:
    """Any of `samples`."""
    event_ndims = len(d.event_shape)
    values = jnp.asarray(d.samples)

    def contains(x):
        same = jnp.expand_dims(x, -1 - event_ndims) == values
        return jnp.any(jnp.all(same, axis=tuple(range(-event_ndims, 0))), axis=-1)

    return Support(contains, jnp.take(values, 0, axis=-1 - event_ndims), discrete=True)


def _tolerance(x, size: int):
    """Return how far rounding may take a value off a surface."""
    return 100 * size * jnp.finfo(jnp.result_type(x, float)).eps


def simplex(d) -> Support:
    """Vectors of positive numbers with the sum 1."""
    size = d.event_shape[-1]

    def contains(x):
        return jnp.all(x > 0, -1) & (jnp.abs(jnp.sum(x, -1) - 1) < _tolerance(x, size))

    return Support(contains, jnp.full(size, 1.0 / size))


def log_simplex(d) -> Support:
    """Vectors whose exponentials have the sum 1."""
    size = d.event_shape[-1]

    def contains(x):
        return jnp.all((x < 0) & _is_not_infinite(x), -1) & (
            jnp.abs(jnp.sum(jnp.exp(x), -1) - 1) < _tolerance(x, size)
        )

    return Support(contains, jnp.full(size, -jnp.log(float(size))))


def sphere(d) -> Support:
    """Vectors of length 1."""
    size = d.event_shape[-1]

    def contains(x):
        return jnp.abs(jnp.sum(x**2, -1) - 1) < _tolerance(x, size)

    return Support(contains, jnp.eye(size)[0])


def _is_positive_definite(x):
    """Tell symmetric matrices without a negative eigenvalue; others have no Cholesky factor."""
    slack = _tolerance(x, x.shape[-1]) * jnp.max(jnp.abs(x), axis=(-2, -1), keepdims=True)
    symmetric = jnp.all(jnp.abs(x - jnp.swapaxes(x, -2, -1)) <= slack, axis=(-2, -1))
    return symmetric & jnp.all(jnp.isfinite(jnp.linalg.cholesky(x)), axis=(-2, -1))


def covariance_matrices(d) -> Support:
    """Positive definite matrices."""
    _refuse_factors(d)
    return Support(_is_positive_definite, jnp.eye(d.event_shape[-1]))


def correlation_matrices(d) -> Support:
    """Correlation matrices."""
    _refuse_factors(d)
    size = d.event_shape[-1]

    def contains(x):
        diagonal = jnp.diagonal(x, axis1=-2, axis2=-1)
        unit = jnp.all(jnp.abs(diagonal - 1) < _tolerance(x, size), axis=-1)
        return unit & _is_positive_definite(x)

    return Support(contains, jnp.eye(size))


def _refuse_factors(d) -> None:
    if d.input_output_cholesky:
        raise UserError(
            f"{type(d).__name__} with input_output_cholesky=True gives a Cholesky factor the "
            "density of its matrix, which is not that of its draws; use CholeskyLKJ for "
            "correlations, or TransformedDistribution(..., tfb.Invert(tfb.CholeskyOuterProduct()))"
        )


def correlation_factors(d) -> Support:
    """Cholesky factors of correlation matrices."""
    size = d.event_shape[-1]

    def contains(x):
        unit = jnp.abs(jnp.sum(x**2, axis=-1) - 1) < _tolerance(x, size)
        above = jnp.triu(jnp.ones((size, size), bool), k=1)
        triangular = jnp.all((x == 0) | ~above, axis=(-2, -1))
        diagonal = jnp.diagonal(x, axis1=-2, axis2=-1)
        return jnp.all(unit & (diagonal > 0), axis=-1) & triangular

    return Support(contains, jnp.eye(size))

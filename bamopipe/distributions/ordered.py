"""Vectors whose elements increase."""

import math

import distrax as dx
import jax.numpy as jnp
import numpy as np
from jax import Array
from tensorflow_probability.substrates.jax import bijectors as tfb
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.distributions import adapter
from bamopipe.distributions.bijectors import unconstraining
from bamopipe.distributions.support import Support, support
from bamopipe.errors import UserError


class Ordered(dx.Distribution):
    """Independent draws from one distribution, sorted: its order statistics.

    For the cutpoints of an ordinal regression, and for the locations (or rates, or probabilities)
    of mixture components, whose labels could be exchanged otherwise: there it leaves the same model
    with one labelling out of ``size!``. The density is ``size!`` times the product of the elements'
    densities where they increase, and zero elsewhere.

    Parameters
    ----------
    distribution
        What each element is drawn from before sorting: a continuous distribution of single numbers,
        of distrax or TFP, without batch dimensions.
    size
        How many elements.

    Raises
    ------
    UserError
        `distribution` is discrete or has a shape, or `size` is not a positive whole number.

    Notes
    -----
    The node option ``bijector=tfb.Ascending()`` also gives increasing vectors, with another prior:
    there the distribution is that of the first element and of the logarithms of the steps, so that
    neighbours keep a distance, where those of order statistics may come arbitrarily close.

    References
    ----------
    David and Nagaraja (2003), Order Statistics, section 2.2.

    Examples
    --------
    >>> import distrax as dx
    >>> from bamopipe.base import Model
    >>> from bamopipe.distributions.ordered import Ordered
    >>> model = Model("ordinal regression")
    >>> cutpoints = model.add_node("cutpoints", distribution=Ordered(dx.Normal(0.0, 3.0), size=4))

    With parents, the distribution is a function of them:

    >>> scale = model.add_node("scale", distribution=dx.Gamma(2.0, 1.0))
    >>> levels = model.add_node(
    ...     "levels",
    ...     distribution=lambda scale: Ordered(dx.Normal(0.0, scale), size=4),
    ...     parents=dict(scale=scale),
    ... )
    """

    def __init__(self, distribution: dx.Distribution | tfd.Distribution, size: int):
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
            raise UserError(f"the size of Ordered is {size!r}; expected a positive whole number")
        if not adapter.is_instance(distribution):
            raise UserError(
                f"Ordered takes an instance such as dx.Normal(0.0, 1.0), got {distribution!r}"
            )
        distribution = adapter.cast(distribution, jnp.result_type(float))
        shape = (*distribution.batch_shape, *distribution.event_shape)
        if shape or support(distribution).discrete:
            kind = f"one of shape {shape}" if shape else "a discrete one"
            raise UserError(
                f"Ordered takes a continuous distribution of a single number, got {kind} "
                f"({type(distribution).__name__})"
            )
        self._distribution = distribution
        self._size = int(size)

    @property
    def distribution(self) -> dx.Distribution | tfd.Distribution:
        """The distribution of one element before sorting."""
        return self._distribution

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape (size,)."""
        return (self._size,)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """No batch dimensions."""
        return ()

    @property
    def dtype(self):
        """The type of the distribution of one element."""
        return self._distribution.dtype

    def log_prob(self, value) -> Array:
        """Return the log density of increasing vectors of shape (..., size)."""
        value = jnp.asarray(value)
        log_prob = jnp.sum(adapter.log_prob(self._distribution, value), axis=-1)
        return jnp.where(_increases(value), log_prob + math.lgamma(self._size + 1), -jnp.inf)

    def _sample_n(self, key: Array, n: int) -> Array:
        draws = self._distribution.sample(seed=key, sample_shape=(n, self._size))
        return jnp.sort(draws, axis=-1)


def _increases(value: Array) -> Array:
    # Neighbours may be equal: in finite precision, sorted draws sometimes are.
    return jnp.all(value[..., 1:] >= value[..., :-1], axis=-1)


@support.register(Ordered)
def _(d) -> Support:
    element = support(d.distribution)

    def contains(x):
        return _increases(x) & element.holds(x, event_ndims=1)

    return Support(contains, element.inside, discrete=False)


@unconstraining.register(Ordered)
def _(d) -> tfb.Bijector:
    element = unconstraining(d.distribution)
    # A bijector of the person's own may decrease, and turn the order round.
    direction = jnp.sign(element.forward(jnp.ones(())) - element.forward(jnp.zeros(())))
    return tfb.Chain([element, tfb.Scale(direction), tfb.Ascending()])

"""One way to cast, evaluate and sample a distribution of either library."""

from collections.abc import Callable, Mapping
from typing import Any

import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from tensorflow_probability.substrates import jax as tfp

from bamopipe.distributions.support import support
from bamopipe.errors import UserError

tfd = tfp.distributions

DISTRIBUTIONS = (dx.Distribution, tfd.Distribution)


def is_instance(distribution) -> bool:
    """Tell a distribution from a class or function that makes one."""
    return isinstance(distribution, DISTRIBUTIONS)


def build(family: Callable, arguments: Mapping[str, Any]):
    """Make a distribution from its class, or from a function, and named arguments.

    Raises
    ------
    UserError
        What came out is not a distribution of distrax or TFP.
    """
    distribution = family(**arguments)
    if not is_instance(distribution):
        raise UserError(
            f"expected {family} to return a distrax or TFP distribution, "
            f"got {type(distribution).__name__}"
        )
    return distribution


def cast(distribution, dtype):
    """Give every floating-point parameter of a distribution one precision.

    TFP makes float32 of Python numbers even where JAX runs in 64 bits, and then refuses to mix.
    """

    def cast_leaf(leaf):
        is_float = isinstance(leaf, float | np.generic | np.ndarray | Array) and jnp.issubdtype(
            jnp.result_type(leaf), jnp.floating
        )
        return jnp.asarray(leaf, dtype) if is_float else leaf

    return jax.tree.map(cast_leaf, distribution)


def log_prob(distribution, value: Array) -> Array:
    """Return the log density or mass, -inf outside the support.

    Parameters
    ----------
    distribution
        A distrax or TFP distribution.
    value : Array
        Shape (..., *batch, *event).

    Returns
    -------
    Array
        Shape (..., *batch). NaN only where the density itself is NaN inside the support.

    Examples
    --------
    >>> import distrax as dx
    >>> from tensorflow_probability.substrates.jax import distributions as tfd
    >>> from bamopipe.distributions import adapter
    >>> float(adapter.log_prob(tfd.Exponential(1.0), -1.0))
    -inf
    >>> float(adapter.log_prob(dx.Beta(2.0, 2.0), 2.0))
    -inf
    """
    value = jnp.asarray(value)
    where = support(distribution)
    event_ndims = len(distribution.event_shape)
    inside = where.holds(value, event_ndims)
    over_event = inside[(..., *[None] * event_ndims)]
    # Evaluating at a safe point keeps NaN out of the values and, as important, the gradients.
    safe = jnp.where(over_event, value, where.inside).astype(distribution.dtype)
    return jnp.where(inside, distribution.log_prob(safe), -jnp.inf)


def sample(distribution, key: Array, sample_shape: tuple[int, ...]) -> Array:
    """Draw values of shape (*sample_shape, *batch, *event)."""
    return distribution.sample(seed=key, sample_shape=sample_shape)

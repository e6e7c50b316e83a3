"""One way to make, cast, evaluate and sample a distribution of either library."""

from collections.abc import Callable, Mapping
from copy import copy
from functools import singledispatch
from typing import Any

import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.nn import log_softmax, logsumexp
from tensorflow_probability.substrates import jax as tfp

from bamopipe.distributions.support import components_of, root, support
from bamopipe.errors import UserError

tfb = tfp.bijectors
tfd = tfp.distributions

DISTRIBUTIONS = (dx.Distribution, tfd.Distribution)
BIJECTORS = (dx.Bijector, tfb.Bijector)
# TFP's classes that are no JAX trees, or wrong ones, or whose precision is an argument.
_OPAQUE = (
    tfd.ContinuousBernoulli, tfd.GaussianProcess, tfd.HiddenMarkovModel,
    tfd.LinearGaussianStateSpaceModel, tfd.MarkovChain, tfd.SphericalUniform, tfd.StudentTProcess,
)  # fmt: skip


def is_instance(distribution) -> bool:
    """Tell a distribution from a class or function that makes one."""
    return isinstance(distribution, DISTRIBUTIONS)


def is_bijector(bijector) -> bool:
    """Tell whether it is a bijector of either library."""
    return isinstance(bijector, BIJECTORS)


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


def transformed(distribution, bijector):
    """Return the distribution of what a bijector makes of a distribution's values.

    Parameters
    ----------
    distribution
        Of either library.
    bijector
        Of either library. One between numbers acts on each element of a vector.

    Raises
    ------
    UserError
        The bijector needs vectors and the distribution is of numbers.

    Examples
    --------
    >>> import distrax as dx
    >>> from tensorflow_probability.substrates.jax import bijectors as tfb
    >>> from bamopipe.distributions import adapter
    >>> log_normal = adapter.transformed(dx.Normal(0.0, 1.0), tfb.Exp())
    >>> float(adapter.log_prob(log_normal, -1.0))
    -inf
    """
    lifted = dx.as_bijector(bijector)
    spare = len(distribution.event_shape) - lifted.event_ndims_in
    if spare < 0:
        raise UserError(
            f"the bijector {bijector.name} acts on arrays with {lifted.event_ndims_in} dimensions, "
            f"but values of {type(distribution).__name__} have {len(distribution.event_shape)}; "
            "make one distribution of several values with tfd.Sample or tfd.Independent"
        )
    if not isinstance(distribution, dx.Distribution) and isinstance(bijector, tfb.Bijector):
        return tfd.TransformedDistribution(distribution, bijector)
    return dx.Transformed(distribution, dx.Block(lifted, spare) if spare else lifted)


def cast(distribution, dtype):
    """Give every floating-point parameter of a distribution or bijector one precision.

    TFP makes float32 of Python numbers even where JAX runs in 64 bits, and then refuses to mix.
    """

    def cast_leaf(leaf):
        if isinstance(leaf, DISTRIBUTIONS):
            return _cast_parts(leaf, dtype)
        is_float = isinstance(leaf, float | np.generic | np.ndarray | Array) and jnp.issubdtype(
            jnp.result_type(leaf), jnp.floating
        )
        return jnp.asarray(leaf, dtype) if is_float else leaf

    return jax.tree.map(
        cast_leaf, distribution, is_leaf=lambda node: isinstance(node, (dx.Distribution, *_OPAQUE))
    )


def _cast_parts(distribution, dtype):
    """Cast a distribution that JAX cannot take apart, or not as far as its parts go."""
    wraps_tfp = isinstance(distribution, tfd.Distribution)
    if isinstance(distribution, dx.Distribution) and wraps_tfp:
        # distrax's wrapper passes on what is asked of the distribution inside it
        inner = distribution.__getattr__("copy").__self__
        return dx.as_distribution(cast(inner, dtype))
    if wraps_tfp:
        parameters = {name: cast(value, dtype) for name, value in distribution.parameters.items()}
        if jnp.issubdtype(parameters.get("dtype", int), jnp.floating):
            parameters["dtype"] = dtype
        return type(distribution)(**parameters)
    copied = copy(distribution)
    vars(copied).update(cast(vars(distribution), dtype))
    return copied


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
    where = support(distribution)
    batch, event = tuple(distribution.batch_shape), tuple(distribution.event_shape)
    value = jnp.asarray(value)
    value = jnp.broadcast_to(value, jnp.broadcast_shapes(value.shape, batch + event))
    inside = where.holds(value, len(event))
    over_event = inside[(..., *[None] * len(event))]
    # Evaluating at a safe point keeps NaN out of the values and, as important, the gradients.
    safe = _as_type_of(distribution, jnp.where(over_event, value, where.inside))
    return jnp.where(inside, _log_density(distribution, safe), -jnp.inf)


def _as_type_of(distribution, value: Array) -> Array:
    dtype = jnp.dtype(distribution.dtype)
    both_floating = jnp.issubdtype(dtype, jnp.floating) and jnp.issubdtype(
        value.dtype, jnp.floating
    )
    # A distribution may remember the precision that it had before it was cast.
    return value if both_floating else value.astype(dtype)


@singledispatch
def _log_density(distribution, value: Array) -> Array:
    """Return the log density at a value inside the support."""
    return distribution.log_prob(value)


@_log_density.register(dx.MixtureSameFamily)
@_log_density.register(root(tfd.MixtureSameFamily))
def _(mixture, value: Array) -> Array:
    # Inside the mixture's support is not inside that of each component.
    component_axis = -1 - len(mixture.event_shape)
    parts = log_prob(mixture.components_distribution, jnp.expand_dims(value, component_axis))
    return logsumexp(_log_weights(mixture.mixture_distribution) + parts, axis=-1)


@_log_density.register(root(tfd.Mixture))
def _(mixture, value: Array) -> Array:
    parts = [log_prob(component, value) for component in components_of(mixture)]
    return logsumexp(_log_weights(mixture.cat) + jnp.stack(parts, axis=-1), axis=-1)


@_log_density.register(dx.MixtureOfTwo)
def _(mixture, value: Array) -> Array:
    first, second = (log_prob(component, value) for component in components_of(mixture))
    return jnp.logaddexp(jnp.log(mixture.prob_a) + first, jnp.log(mixture.prob_b) + second)


@_log_density.register(root(tfd.Inflated))
def _(inflated, value: Array) -> Array:
    if support(inflated.distribution).discrete:
        return _log_density.dispatch(root(tfd.Mixture))(inflated, value)
    return inflated.log_prob(value)  # the mass at the inflated value is no part of the density


@_log_density.register(tfd.TruncatedNormal)
def _(truncated, value: Array) -> Array:
    # the sixth power of the distance has to be finite
    return _with_finite_bounds(truncated, float(jnp.finfo(value.dtype).max) ** 0.125).log_prob(
        value
    )


@_log_density.register(tfd.TruncatedCauchy)
def _(truncated, value: Array) -> Array:
    # the square of the distance has to be finite
    return _with_finite_bounds(truncated, float(jnp.finfo(value.dtype).max) ** 0.45).log_prob(value)


def _with_finite_bounds(truncated, far: float):
    """Move infinite bounds, where TFP's densities or their gradients are NaN, just very far out."""
    low, high, loc = truncated.low, truncated.high, truncated.loc
    return truncated.copy(
        low=jnp.where(jnp.isinf(low), loc - far * truncated.scale, low),
        high=jnp.where(jnp.isinf(high), loc + far * truncated.scale, high),
    )


def _log_weights(categorical) -> Array:
    tfps = isinstance(categorical, tfd.Categorical)
    return log_softmax(categorical.logits_parameter() if tfps else categorical.logits)


def sample(distribution, key: Array, sample_shape: tuple[int, ...]) -> Array:
    """Draw values of shape (*sample_shape, *batch, *event)."""
    return distribution.sample(seed=key, sample_shape=sample_shape)

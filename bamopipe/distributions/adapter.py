"""One way to make, cast, evaluate and sample a distribution of either library."""

import inspect
from collections.abc import Callable, Mapping
from functools import singledispatch
from typing import Any

import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.nn import log_softmax, logsumexp
from jax.scipy.special import log_ndtr, xlogy
from tensorflow_probability.substrates import jax as tfp

from bamopipe.distributions.families import FAMILIES
from bamopipe.distributions.support import components_of, preimage, root, support
from bamopipe.errors import UserError

tfb = tfp.bijectors
tfd = tfp.distributions

DISTRIBUTIONS = (dx.Distribution, tfd.Distribution)
BIJECTORS = (dx.Bijector, tfb.Bijector)
# They keep the arguments that they were made from.
_TFPS = (tfd.Distribution, tfb.Bijector, tfp.tf2jax.linalg.LinearOperator)


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
        if isinstance(leaf, _TFPS) and not isinstance(leaf, dx.Distribution):
            return _cast_tfps(leaf, dtype)
        if isinstance(leaf, (dx.Distribution, dx.Bijector)):
            return _cast_distraxs(leaf, dtype)
        return jnp.asarray(leaf, dtype) if _is_float(leaf) else leaf

    whole = (dx.Distribution, dx.Bijector, *_TFPS)
    return jax.tree.map(cast_leaf, distribution, is_leaf=lambda node: isinstance(node, whole))


def _cast_tfps(made, dtype):
    """Make an object of TFP anew, from the numbers that it was given, before any rounding."""
    if not _remembers_its_arguments(made):
        return jax.tree.map(lambda n: jnp.asarray(n, dtype) if _is_float(n) else n, made)
    parameters = {}
    for name, value in made.parameters.items():
        if isinstance(value, int) and _is_float(getattr(made, name, None)):
            value = float(value)  # of `Normal(0, 1)`; that of a size stays what it is
        parameters[name] = cast(value, dtype)
    if _is_float_type(parameters.get("dtype")):
        parameters["dtype"] = dtype
    return type(made)(**parameters)


def _remembers_its_arguments(made) -> bool:
    """Tell whether what an object of TFP says that it was made from is what it takes."""
    try:
        inspect.signature(type(made)).bind(**made.parameters)
    except TypeError:  # LambertWTail, for one
        return False
    return "kwargs" not in made.parameters  # ZeroInflatedNegativeBinomial


def _cast_distraxs(made, dtype):
    """Copy an object of distrax with all its attributes cast."""
    if isinstance(made, tfd.Distribution):
        # distrax's wrapper passes on what is asked of the distribution inside it
        inner = made.__getattr__("copy").__self__
        return dx.as_distribution(cast(inner, dtype))
    copied = object.__new__(type(made))
    vars(copied).update(cast(vars(made), dtype))
    if _is_float_type(vars(copied).get("_dtype")):
        vars(copied)["_dtype"] = jnp.dtype(dtype)
    return copied


def _is_float(value) -> bool:
    is_number = isinstance(value, float | np.generic | np.ndarray | Array)
    return is_number and jnp.issubdtype(jnp.result_type(value), jnp.floating)


def _is_float_type(dtype) -> bool:
    return dtype is not None and jnp.issubdtype(dtype, jnp.floating)


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
    """Return the log density at a value inside the support.

    What is inside a whole may be outside one of its parts, where the libraries' densities are not
    to be trusted. So a distribution that is made of others adds up `log_prob` of these.
    """
    return distribution.log_prob(value)


for _classes in FAMILIES.values():  # many of TFP's are built as one of the wrappers below
    for _class in _classes:
        _log_density.register(_class)(lambda distribution, value: distribution.log_prob(value))


@_log_density.register(dx.Independent)
@_log_density.register(root(tfd.Independent))
def _(independent, value: Array) -> Array:
    base = independent.distribution
    ndims = len(independent.event_shape) - len(base.event_shape)
    return jnp.sum(log_prob(base, value), axis=tuple(range(-ndims, 0)))


@_log_density.register(root(tfd.Sample))
def _(draws, value: Array) -> Array:
    base = draws.distribution
    event_ndims = len(base.event_shape)
    draw_ndims = len(draws.event_shape) - event_ndims
    axes, front = range(-event_ndims - draw_ndims, -event_ndims), tuple(range(draw_ndims))
    return jnp.sum(log_prob(base, jnp.moveaxis(value, axes, front)), axis=front)


@_log_density.register(dx.Transformed)
@_log_density.register(root(tfd.TransformedDistribution))
def _(transformed, value: Array) -> Array:
    base, bijector = transformed.distribution, transformed.bijector
    density = log_prob(base, preimage(transformed, value))
    if isinstance(transformed, dx.Transformed):
        return density + bijector.inverse_log_det_jacobian(value)
    if support(base).discrete:
        return density
    return density + bijector.inverse_log_det_jacobian(value, len(transformed.event_shape))


@_log_density.register(root(tfd.BatchBroadcast))
def _(broadcast, value: Array) -> Array:
    return log_prob(broadcast.distribution, value)


@_log_density.register(root(tfd.BatchReshape))
def _(reshaped, value: Array) -> Array:
    base, event = reshaped.distribution, tuple(reshaped.event_shape)
    leading = value.shape[: value.ndim - len(reshaped.batch_shape) - len(event)]
    density = log_prob(base, jnp.reshape(value, (*leading, *base.batch_shape, *event)))
    return jnp.reshape(density, (*leading, *reshaped.batch_shape))


@_log_density.register(root(tfd.Masked))
def _(masked, value: Array) -> Array:
    return jnp.where(masked.validity_mask, log_prob(masked.distribution, value), 0.0)


@_log_density.register(dx.MixtureSameFamily)
@_log_density.register(root(tfd.MixtureSameFamily))
def _(mixture, value: Array) -> Array:
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


@_log_density.register(tfd.MarkovChain)
def _(chain, value: Array) -> Array:
    value = jnp.moveaxis(value, len(chain.initial_state_prior.event_shape) * -1 - 1, 0)
    steps = chain.transition_fn(jnp.arange(value.shape[0] - 1), value[:-1])
    later = jnp.sum(log_prob(steps, value[1:]), axis=0)
    return log_prob(chain.initial_state_prior, value[0]) + later


@_log_density.register(tfd.HiddenMarkovModel)
def _(model, value: Array) -> Array:
    """Sum over the paths of states by the forward algorithm, e.g. Rabiner (1989), eq. 18-21."""
    emission = model.observation_distribution
    state_axis = -1 - len(emission.event_shape)
    if model.parameters["time_varying_observation_distribution"]:
        seen = jnp.moveaxis(log_prob(emission, jnp.expand_dims(value, state_axis)), -2, 0)
    else:
        value = jnp.moveaxis(value, state_axis, 0)  # steps before what the states differ in
        seen = log_prob(emission, jnp.expand_dims(value, state_axis))
    if model.mask is not None:  # it is true where nothing was observed
        seen = jnp.where(jnp.moveaxis(model.mask, -1, 0)[..., None], 0.0, seen)
    move = _log_weights(model.transition_distribution)
    if model.parameters["time_varying_transition_distribution"]:
        moves = jnp.moveaxis(move, -3, 0)
    else:
        moves = jnp.broadcast_to(move, (seen.shape[0] - 1, *move.shape))

    def step(paths, at):
        move, seen = at
        return logsumexp(paths[..., None] + move, axis=-2) + seen, None

    first = _log_weights(model.initial_distribution) + seen[0]
    shape = jnp.broadcast_shapes(first.shape, moves.shape[1:-1])
    last, _ = jax.lax.scan(step, jnp.broadcast_to(first, shape), (moves, seen[1:]))
    return logsumexp(last, axis=-1)


# Where probabilities were given, TFP takes them to logits and back, in which nobody sees any more
# that the density is a product of them, as `bamopipe.target.conjugate` needs to.


@_log_density.register(tfd.Categorical)
def _(categorical, value: Array) -> Array:
    if categorical.probs is None:
        return categorical.log_prob(value)
    return _log_of_chosen(categorical.probs, value)


@_log_density.register(tfd.OneHotCategorical)
def _(categorical, value: Array) -> Array:
    if categorical.probs is None:
        return categorical.log_prob(value)
    return _log_of_chosen(categorical.probs, jnp.argmax(value, axis=-1))


def _log_of_chosen(probs: Array, which: Array) -> Array:
    """Return the logarithm of one of several probabilities."""
    probs = probs / jnp.sum(probs, axis=-1, keepdims=True)
    probs = jnp.broadcast_to(probs, (*which.shape, probs.shape[-1]))
    chosen = jnp.take_along_axis(probs, which[..., None].astype(int), axis=-1)
    return jnp.log(chosen[..., 0])


# Both libraries take the softplus of both outcomes, most of what logistic regression costs.


@jax.custom_jvp
def _softplus(x: Array) -> Array:
    return _softplus_and_slope(x)[0]


@_softplus.defjvp
def _(primals, tangents):
    value, slope = _softplus_and_slope(*primals)
    return value, slope * tangents[0]


def _softplus_and_slope(x: Array) -> tuple[Array, Array]:
    """Return log(1 + exp(x)) and its derivative, which share the exponential.

    `jax.nn.softplus` takes the derivative through the logarithm, at twice the price.
    """
    # The absolute value, but with a derivative at zero, for second derivatives.
    small = jnp.exp(-jnp.where(x >= 0, x, -x))
    return jnp.maximum(x, 0) + jnp.log1p(small), jnp.where(x >= 0, 1, small) / (1 + small)


@_log_density.register(dx.Bernoulli)
@_log_density.register(tfd.Bernoulli)
def _(bernoulli, value: Array) -> Array:
    logits = vars(bernoulli)["_logits"]  # None where distrax would work them out
    if logits is None:
        return bernoulli.log_prob(value)
    return -_softplus(jnp.where(value == 1, -logits, logits))


@_log_density.register(tfd.NegativeBinomial)
def _(counts, value: Array) -> Array:
    if counts.probs is None:
        return counts.log_prob(value)
    total = counts.total_count
    log_choices = -tfp.math.lbeta(1 + value, total) - jnp.log(total + value)
    return log_choices + total * jnp.log1p(-counts.probs) + xlogy(value, counts.probs)


# Where a bound is infinite, TFP's density of the next two or its gradient is NaN.


@_log_density.register(tfd.TruncatedNormal)
def _(truncated, value: Array) -> Array:
    low, high, z = _standardised(truncated, value)
    # of the lower tail, where the distribution function keeps its digits
    flipped = low > 0
    low, high = jnp.where(flipped, -high, low), jnp.where(flipped, -low, high)
    below_high = jnp.where(jnp.isinf(high), 0.0, log_ndtr(_finite(high)))
    difference = jnp.where(jnp.isinf(low), -1.0, log_ndtr(_finite(low)) - below_high)
    log_mass = below_high + jnp.where(jnp.isinf(low), 0.0, jnp.log(-jnp.expm1(difference)))
    return -(z**2) / 2 - jnp.log(2 * jnp.pi) / 2 - jnp.log(truncated.scale) - log_mass


@_log_density.register(tfd.TruncatedCauchy)
def _(truncated, value: Array) -> Array:
    low, high, z = _standardised(truncated, value)
    a, b = _finite(low), _finite(high)
    angle = jnp.arctan2(b - a, 1 + a * b)  # the difference of two arcs, with all its digits
    angle = jnp.where(jnp.isinf(high), jnp.arctan2(1.0, a), angle)
    angle = jnp.where(jnp.isinf(low), jnp.arctan2(1.0, -b), angle)
    angle = jnp.where(jnp.isinf(low) & jnp.isinf(high), jnp.pi, angle)
    return -jnp.log1p(z**2) - jnp.log(truncated.scale) - jnp.log(angle)


def _standardised(truncated, value: Array) -> tuple[Array, Array, Array]:
    """Return both bounds and a value in scales from the location; infinite bounds stay constant."""
    loc, scale = truncated.loc, truncated.scale
    low, high = (
        jnp.where(jnp.isinf(bound), bound, (_finite(bound) - loc) / scale)
        for bound in (truncated.low, truncated.high)
    )
    return low, high, (value - loc) / scale


def _finite(x: Array) -> Array:
    return jnp.where(jnp.isinf(x), 0.0, x)


def _log_weights(categorical) -> Array:
    tfps = isinstance(categorical, tfd.Categorical)
    return log_softmax(categorical.logits_parameter() if tfps else categorical.logits)


def sample(distribution, key: Array, sample_shape: tuple[int, ...]) -> Array:
    """Draw values of shape (*sample_shape, *batch, *event)."""
    return distribution.sample(seed=key, sample_shape=sample_shape)

"""Where a distribution has mass.

Both libraries return finite log densities at many points outside a distribution's support (TFP's
Exponential at -1, Beta at 2, Poisson at 0.5), and distrax returns NaN at others, so neither can be
asked for -inf. `support(distribution)` answers instead, for every family in
`bamopipe.distributions.families` and for what is made from them. docs/distributions.md lists what
is covered.
"""

from functools import singledispatch

import distrax as dx
import jax
import jax.numpy as jnp
from tensorflow_probability.substrates import jax as tfp

from bamopipe.distributions.families import FAMILIES, UNUSABLE
from bamopipe.distributions.regions import Support, is_whole
from bamopipe.errors import UserError

tfd = tfp.distributions


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
    ...     return Support(contains=lambda x: x >= 0, inside=1.0, discrete=False)
    """
    family = f"{type(distribution).__module__}.{type(distribution).__name__}"
    raise UserError(
        f"the support of the distribution {family} is not known; give it with "
        f"`@bamopipe.distributions.support.support.register({type(distribution).__name__})`, "
        "a function that returns a Support(contains, inside, discrete)"
    )


for _region, _classes in FAMILIES.items():
    for _class in _classes:
        support.register(_class)(_region)


def _refuse(d) -> Support:
    reason = next(UNUSABLE[c] for c in type(d).__mro__ if c in UNUSABLE)
    raise UserError(f"{type(d).__name__} is of no use in a model: {reason}")


for _class in UNUSABLE:
    support.register(_class)(_refuse)


def root(wrapper: type) -> type:
    """Return the class from which all of TFP's wrappers of one kind descend.

    What ``tfd.Independent(...)`` makes is not always a ``tfd.Independent``: around a distribution
    that JAX cannot take apart it is a ``_Independent``, the parent class.
    """
    return next(c for c in wrapper.__mro__ if c.__name__ == f"_{wrapper.__name__}")


@support.register(dx.Transformed)
@support.register(root(tfd.TransformedDistribution))
def _transformed(d) -> Support:
    """Values that the bijector leads to from the base's support."""
    base = support(d.distribution)
    if base.discrete and isinstance(d, dx.Transformed):
        raise UserError(
            "distrax's Transformed of a discrete distribution multiplies its probabilities by a "
            "Jacobian; use tfd.TransformedDistribution, which does not"
        )
    event_axes = tuple(range(-len(d.event_shape), 0))
    base_event = tuple(d.distribution.event_shape)

    def contains(x):
        x = x.astype(jnp.result_type(x, float))
        y = preimage(d, x)
        # Outside a bijector's range its inverse is NaN, or a number that does not lead back. TFP
        # remembers whence y came, and would not compute the way back, were it not for the sum.
        error = jnp.abs(d.bijector.forward(y + 0.0) - x)
        leads_back = error <= jnp.sqrt(jnp.finfo(x.dtype).eps) * (1 + jnp.abs(x))
        return jnp.all(leads_back, axis=event_axes) & base.holds(y, len(base_event))

    inside = jnp.asarray(base.inside, d.distribution.dtype)
    inside = jnp.broadcast_to(inside, jnp.broadcast_shapes(inside.shape, base_event))
    return Support(contains, d.bijector.forward(inside), base.discrete)


def preimage(transformed, x):
    """Return the value of its base that a transformed distribution makes x of."""
    y = transformed.bijector.inverse(x)
    base = support(transformed.distribution)
    if not base.discrete:
        return y
    # 0.3 / 0.1 is not quite 3, of which a count has to be made
    event_ndims = len(transformed.distribution.event_shape)
    flags = base.holds(jnp.round(y), event_ndims)[(..., *[None] * event_ndims)]
    return jnp.where(flags, jnp.round(y), y)


@support.register(dx.Independent)
@support.register(root(tfd.Independent))
@support.register(root(tfd.BatchBroadcast))
def _base(d) -> Support:
    """As of the base."""
    return support(d.distribution)


@support.register(root(tfd.Sample))
def _draws(d) -> Support:
    """As of the base, for each draw."""
    base = support(d.distribution)
    batch, event = tuple(d.distribution.batch_shape), tuple(d.distribution.event_shape)
    draw_ndims = len(d.event_shape) - len(event)
    # Draws stand between batch and event; moved to the front, they leave the batch dimensions
    # where the base's parameters have theirs.
    axes, front = range(-len(event) - draw_ndims, -len(event)), tuple(range(draw_ndims))

    def contains(x):
        return jnp.all(base.holds(jnp.moveaxis(x, axes, front), len(event)), axis=front)

    inside = jnp.broadcast_to(base.inside, batch + event)
    draws = tuple(range(len(batch), len(batch) + draw_ndims))
    return Support(contains, jnp.expand_dims(inside, draws), base.discrete)


@support.register(root(tfd.BatchReshape))
def _reshaped(d) -> Support:
    """As of the base."""
    base = support(d.distribution)
    old, new = tuple(d.distribution.batch_shape), tuple(d.batch_shape)
    event = tuple(d.event_shape)

    def contains(x):
        leading = x.shape[: x.ndim - len(new + event)]
        flags = base.holds(jnp.reshape(x, leading + old + event), len(event))
        return jnp.reshape(flags, leading + new)

    inside = jnp.broadcast_to(base.inside, old + event)
    return Support(contains, jnp.reshape(inside, new + event), base.discrete)


@support.register(root(tfd.Masked))
def _masked(d) -> Support:
    """As of the base; anything where the mask is false."""
    base = support(d.distribution)
    event_ndims = len(d.event_shape)
    return base._replace(contains=lambda x: base.holds(x, event_ndims) | ~d.validity_mask)


@support.register(dx.Quantized)
@support.register(root(tfd.QuantizedDistribution))
def _quantized(d) -> Support:
    """Whole numbers from `low` to `high` with mass between them and the number before."""
    low = -jnp.inf if d.low is None else d.low
    high = jnp.inf if d.high is None else d.high

    def contains(x):
        # Outside the base's support TFP's log density is NaN.
        return is_whole(x) & (x >= low) & (x <= high) & jnp.isfinite(d.log_prob(x))

    inside = jnp.clip(jnp.ceil(support(d.distribution).inside), low, high)
    return Support(contains, inside, discrete=True)


@support.register(dx.MixtureSameFamily)
@support.register(root(tfd.MixtureSameFamily))
def _mixture_same_family(d) -> Support:
    """Any of the components'."""
    return _any_along_last_batch_axis(d.components_distribution)


def _any_along_last_batch_axis(components) -> Support:
    each = support(components)
    event = tuple(components.event_shape)
    axis = -1 - len(event)

    def contains(x):
        return jnp.any(each.holds(jnp.expand_dims(x, axis), len(event)), axis=-1)

    shape = jnp.broadcast_shapes(jnp.shape(each.inside), (1, *event))
    first = jnp.take(jnp.broadcast_to(each.inside, shape), 0, axis=axis)
    return Support(contains, first, each.discrete)


def components_of(mixture) -> list:
    """Return the distributions that a mixture of different families is made of."""
    if isinstance(mixture, dx.MixtureOfTwo):
        return [mixture._component_a, mixture._component_b]
    return list(mixture.components)


@support.register(dx.MixtureOfTwo)
@support.register(root(tfd.Mixture))
def _mixture(d) -> Support:
    """Any of the components'."""
    parts = [support(component) for component in components_of(d)]
    event_ndims = len(d.event_shape)

    def contains(x):
        return jnp.any(jnp.stack([part.holds(x, event_ndims) for part in parts]), axis=0)

    return Support(contains, parts[0].inside, all(part.discrete for part in parts))


@support.register(tfd.HiddenMarkovModel)
def _hidden_markov(d) -> Support:
    """Any of the states', at each step."""
    any_state = _any_along_last_batch_axis(d.observation_distribution)
    event_ndims = len(d.event_shape) - 1
    step_axis = -1 - event_ndims
    if d.parameters["time_varying_observation_distribution"]:
        return any_state._replace(
            contains=lambda x: jnp.all(any_state.holds(x, event_ndims), axis=-1)
        )

    def contains(x):
        # in front, the steps leave the batch dimensions where the parameters have theirs
        return jnp.all(any_state.holds(jnp.moveaxis(x, step_axis, 0), event_ndims), axis=0)

    shape = jnp.broadcast_shapes(jnp.shape(any_state.inside), tuple(d.event_shape)[1:])
    inside = jnp.expand_dims(jnp.broadcast_to(any_state.inside, shape), step_axis)
    return Support(contains, inside, any_state.discrete)


@support.register(tfd.MarkovChain)
def _markov_chain(d) -> Support:
    """As of the initial state, then of each transition."""
    first = support(d.initial_state_prior)
    event_ndims = len(d.event_shape) - 1

    def contains(x):
        x = jnp.moveaxis(x, -1 - event_ndims, 0)
        steps = support(d.transition_fn(jnp.arange(x.shape[0] - 1), x[:-1]))
        later = jnp.all(steps.holds(x[1:], event_ndims), axis=0)
        return first.holds(x[0], event_ndims) & later

    # Which chain is inside can depend on the transitions; a draw is.
    draw = jax.lax.stop_gradient(d.sample(seed=jax.random.key(0)))
    return Support(contains, draw, first.discrete)

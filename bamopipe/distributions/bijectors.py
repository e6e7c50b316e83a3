"""Bijectors from real vectors to the supports of distributions.

Samplers that follow gradients move in real vectors. `unconstraining(distribution)` says how these
become values of the distribution, and with which Jacobian. Bijectors have TFP's interface and are
chosen by the set on which the distribution has mass, alike for both libraries. What TFP itself
offers, `experimental_default_event_space_bijector`, is not used: for some distributions there is
none, and some do not reach the whole support (spheres, infinite bounds, Wishart matrices), have
another Jacobian than the density needs (simplices, correlation matrices), or decrease
(InverseGamma). Here all bijectors between numbers increase, but those of a person's own.
"""

from collections.abc import Callable, Iterable
from functools import singledispatch
from typing import Any

import distrax as dx
import jax
import jax.numpy as jnp
from jax import Array
from tensorflow_probability.substrates.jax import bijectors as tfb
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.distributions import regions
from bamopipe.distributions.families import FAMILIES
from bamopipe.distributions.support import components_of, root, support
from bamopipe.distributions.transforms import (
    CorrelationFromFactor,
    Interval,
    Simplex,
    Stereographic,
    as_tfp,
)
from bamopipe.errors import UserError


@singledispatch
def unconstraining(distribution) -> tfb.Bijector:
    """Return the bijector from real vectors to the support of a continuous distribution.

    Its `forward` constrains. Where values have fewer degrees of freedom than elements (simplices,
    spheres, matrices), ``inverse_event_shape`` tells the shape of the real vectors. The Jacobian is
    with respect to the measure of the density: for a simplex all elements but the last, for a
    symmetric matrix the lower triangle, for a correlation matrix what is below the diagonal, for a
    sphere its surface.

    A new family is added by registering a function for its class.

    Parameters
    ----------
    distribution
        A distrax or TFP distribution.

    Raises
    ------
    UserError
        The distribution is discrete or partly so, or its family is not known.

    Examples
    --------
    >>> import distrax as dx
    >>> import jax.numpy as jnp
    >>> from bamopipe.distributions.bijectors import unconstraining
    >>> bijector = unconstraining(dx.Gamma(2.0, 1.0))
    >>> float(bijector.forward(0.0)), float(bijector.forward_log_det_jacobian(0.0))
    (1.0, 0.0)
    >>> tuple(unconstraining(dx.Dirichlet(jnp.ones(3))).inverse_event_shape((3,)))
    (2,)

    For a family of one's own:

    >>> from tensorflow_probability.substrates.jax import bijectors as tfb
    >>> class MyExponential(dx.Distribution):
    ...     pass
    >>> @unconstraining.register(MyExponential)
    ... def _(distribution):
    ...     return tfb.Exp()
    """
    family = type(distribution).__name__
    if support(distribution).discrete:
        raise UserError(
            f"{family} is discrete, so no bijector leads to it from real numbers; choose a kernel "
            "for discrete variables, or sum over its values"
        )
    raise UserError(
        f"no bijector to the support of {type(distribution).__module__}.{family} is known; give it "
        f"with `@bamopipe.distributions.bijectors.unconstraining.register({family})`, a function "
        "that returns a TFP bijector from real vectors"
    )


def _pareto_tail(d) -> tfb.Bijector:
    return Interval(d.loc, jnp.where(d.concentration < 0, _end(d), jnp.inf))


def _extreme_values(d) -> tfb.Bijector:
    low = jnp.where(d.concentration > 0, _end(d), -jnp.inf)
    return Interval(low, jnp.where(d.concentration < 0, _end(d), jnp.inf))


def _end(d) -> Array:
    """Return where the tail ends, or something finite where it does not."""
    return d.loc - d.scale / jnp.where(d.concentration == 0, 1.0, d.concentration)


def _covariance_matrices(d) -> tfb.Bijector:
    factor = tfb.FillScaleTriL(diag_bijector=tfb.Exp(), diag_shift=None)
    return tfb.Chain([tfb.CholeskyOuterProduct(), factor])


BY_REGION: dict[Callable, Callable[[Any], tfb.Bijector]] = {
    regions.real: lambda d: tfb.Identity(),
    regions.real_but_loc: lambda d: tfb.Identity(),
    regions.nonzero: lambda d: tfb.Identity(),
    regions.positive: lambda d: tfb.Exp(),
    regions.nonnegative: lambda d: tfb.Exp(),
    regions.from_loc_up: lambda d: tfb.Chain([tfb.Shift(d.loc), tfb.Exp()]),
    regions.from_scale_up: lambda d: tfb.Chain([tfb.Shift(d.scale), tfb.Exp()]),
    regions.pareto_tail: _pareto_tail,
    regions.extreme_values: _extreme_values,
    regions.unit_interval: lambda d: tfb.Sigmoid(),
    regions.closed_unit_interval: lambda d: tfb.Sigmoid(),
    regions.interval: lambda d: Interval(d.low, d.high),
    regions.open_interval: lambda d: Interval(d.low, d.high),
    regions.circle: lambda d: Interval(-jnp.pi, jnp.pi),
    regions.simplex: lambda d: Simplex(),
    regions.log_simplex: lambda d: tfb.Chain([tfb.Log(), Simplex()]),
    regions.sphere: lambda d: Stereographic(),
    regions.covariance_matrices: _covariance_matrices,
    regions.correlation_matrices: lambda d: tfb.Chain(
        [CorrelationFromFactor(), tfb.CorrelationCholesky()]
    ),
    regions.correlation_factors: lambda d: tfb.CorrelationCholesky(),
}
for _region, _bijector in BY_REGION.items():
    for _class in FAMILIES[_region]:
        unconstraining.register(_class)(_bijector)


def see_through_wrappers(bijector_to) -> None:
    """Teach a `singledispatch` function that returns bijectors what wrappers make of theirs."""

    def transformed(d) -> tfb.Bijector:
        return tfb.Chain([as_tfp(d.bijector), bijector_to(d.distribution)])

    def same(d) -> tfb.Bijector:
        return bijector_to(d.distribution)

    for wrapper in (dx.Transformed, root(tfd.TransformedDistribution)):
        bijector_to.register(wrapper)(transformed)
    for wrapper in (dx.Independent, root(tfd.Independent), root(tfd.BatchBroadcast)):
        bijector_to.register(wrapper)(same)


see_through_wrappers(unconstraining)


@unconstraining.register(root(tfd.Sample))
@unconstraining.register(root(tfd.BatchReshape))
def _(d) -> tfb.Bijector:
    return _common(d, [d.distribution])


@unconstraining.register(dx.MixtureSameFamily)
@unconstraining.register(root(tfd.MixtureSameFamily))
def _(d) -> tfb.Bijector:
    return _common(d, [d.components_distribution])


@unconstraining.register(dx.MixtureOfTwo)
@unconstraining.register(root(tfd.Mixture))
def _(d) -> tfb.Bijector:
    return _common(d, components_of(d))


@unconstraining.register(tfd.HiddenMarkovModel)
def _(d) -> tfb.Bijector:
    return _common(d, [d.observation_distribution])


@unconstraining.register(tfd.MarkovChain)
def _(d) -> tfb.Bijector:
    state = d.initial_state_prior.sample(seed=jax.random.key(0))
    return _common(d, [d.initial_state_prior, d.transition_fn(0, state)])


def _common(d, parts: Iterable) -> tfb.Bijector:
    """Return the bijector that all parts share, if it is plain that they do.

    It is where no parameter shapes the bijector, or, in a single batch of parts, only parameters
    without a batch dimension.
    """
    first, *others = (unconstraining(part) for part in parts)
    leaves = jax.tree.leaves([first, *others])
    one_shape = all(isinstance(leaf, float | Array) and jnp.ndim(leaf) == 0 for leaf in leaves)
    if one_shape and (not others or (not leaves and {b.name for b in others} == {first.name})):
        return first
    family = type(d).__name__
    raise UserError(
        f"the parts of {family} may have different supports, so that no bijector suits all; write "
        "a class of your own that derives from it, and give its bijector with "
        "`@bamopipe.distributions.bijectors.unconstraining.register(...)`"
    )

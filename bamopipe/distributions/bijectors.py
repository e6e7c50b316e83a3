"""Bijectors from real vectors to the supports of distributions.

Samplers that follow gradients move in real vectors. `unconstraining(distribution)` says how these
become values of the distribution, and with which Jacobian. Bijectors have TFP's interface and are
chosen by the set on which the distribution has mass, alike for both libraries. What TFP itself
offers, `experimental_default_event_space_bijector`, is not used: for some distributions there is
none, and some do not reach the whole support (spheres, infinite bounds, Wishart matrices), have
another Jacobian than the density needs (simplices, correlation matrices), or decrease
(InverseGamma). Here all bijectors between numbers increase.
"""

from collections.abc import Callable, Iterable
from functools import singledispatch
from typing import Any

import distrax as dx
import jax
import jax.numpy as jnp
from jax import Array
from tensorflow_probability.substrates import jax as tfp
from tensorflow_probability.substrates.jax import bijectors as tfb
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.distributions import regions
from bamopipe.distributions.families import FAMILIES
from bamopipe.distributions.support import components_of, root, support
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


class Interval(tfb.AutoCompositeTensorBijector):
    """Increase from one bound to another, either of which may be infinite.

    The sigmoid between finite bounds, the exponential if one is infinite, the identity if both are.
    Bounds can depend on parents, so the choice is made at run time.
    """

    def __init__(self, low, high, name="interval"):
        parameters = dict(locals())
        dtype = jnp.result_type(float, low, high)
        self._low, self._high = jnp.asarray(low, dtype), jnp.asarray(high, dtype)
        super().__init__(forward_min_event_ndims=0, parameters=parameters, dtype=dtype, name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {name: tfp.util.ParameterProperties() for name in ("low", "high")}

    @property
    def _cases(self):
        """Tell which bounds are finite; return them with stand-ins where they are not."""
        has_low, has_high = jnp.isfinite(self._low), jnp.isfinite(self._high)
        low, high = jnp.where(has_low, self._low, 0.0), jnp.where(has_high, self._high, 1.0)
        return has_low, has_high, low, high, jnp.where(has_low & has_high, high - low, 1.0)

    def _forward(self, x):
        has_low, has_high, low, high, width = self._cases
        # Measured from the nearer bound, to round to it as late as possible.
        left, right = low + width * jax.nn.sigmoid(x), high - width * jax.nn.sigmoid(-x)
        # A branch that is not taken must not overflow: its gradient would be NaN.
        step = jnp.exp(jnp.where(has_low & has_high, 0.0, jnp.where(has_low, x, -x)))
        unbounded = jnp.where(has_low, low + step, jnp.where(has_high, high - step, x))
        return jnp.where(has_low & has_high, jnp.where(x < 0, left, right), unbounded)

    def _inverse(self, y):
        has_low, has_high, low, high, _ = self._cases
        above, below = jnp.where(has_low, y - low, 1.0), jnp.where(has_high, high - y, 1.0)
        return jnp.where(has_low | has_high, jnp.log(above) - jnp.log(below), y)

    def _forward_log_det_jacobian(self, x):
        has_low, has_high, _, _, width = self._cases
        between = jnp.log(width) + jax.nn.log_sigmoid(x) + jax.nn.log_sigmoid(-x)
        unbounded = jnp.where(has_low, x, jnp.where(has_high, -x, 0.0))
        return jnp.where(has_low & has_high, between, unbounded)


class Simplex(tfb.SoftmaxCentered):
    """Append a zero and take the softmax.

    TFP's SoftmaxCentered with another Jacobian: TFP's is that of surfaces, whereas the densities of
    both libraries are with respect to all elements but the last, a constant factor apart.
    """

    def __init__(self, validate_args=False, name="simplex"):
        super().__init__(validate_args, name)

    def _forward_log_det_jacobian(self, x):
        return super()._forward_log_det_jacobian(x) - 0.5 * jnp.log(x.shape[-1] + 1.0)

    def _inverse_log_det_jacobian(self, y):
        return super()._inverse_log_det_jacobian(y) + 0.5 * jnp.log(1.0 * y.shape[-1])


class CorrelationFromFactor(tfb.CholeskyOuterProduct):
    """Multiply the Cholesky factor of a correlation matrix by its transpose.

    TFP's CholeskyOuterProduct with another Jacobian: TFP's counts the diagonal as free.
    """

    def _forward_log_det_jacobian(self, x):
        size = x.shape[-1]
        diagonal = jnp.diagonal(x, axis1=-2, axis2=-1)
        return jnp.sum(jnp.arange(size - 1, -1, -1) * jnp.log(diagonal), axis=-1)

    def _inverse_log_det_jacobian(self, y):
        return -self._forward_log_det_jacobian(self._inverse(y))


class Stereographic(tfb.AutoCompositeTensorBijector):
    """Wrap the plane around the unit sphere, all but its last pole.

    Vectors of size n - 1 become vectors of size n and length 1. The Jacobian is that of surfaces.
    """

    def __init__(self, name="stereographic"):
        super().__init__(forward_min_event_ndims=1, parameters=dict(name=name), name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        square = jnp.sum(x**2, axis=-1, keepdims=True)
        return jnp.concatenate([2 * x, square - 1], axis=-1) / (square + 1)

    def _inverse(self, y):
        return y[..., :-1] / (1 - y[..., -1:])

    def _forward_log_det_jacobian(self, x):
        return x.shape[-1] * (jnp.log(2.0) - jnp.log1p(jnp.sum(x**2, axis=-1)))

    def _forward_event_shape(self, shape):
        return (*shape[:-1], shape[-1] + 1)

    def _inverse_event_shape(self, shape):
        return (*shape[:-1], shape[-1] - 1)


class FromDistrax(tfb.Bijector):
    """A distrax bijector as one of TFP's."""

    def __init__(self, bijector: dx.Bijector, name="from_distrax"):
        super().__init__(
            forward_min_event_ndims=bijector.event_ndims_in,
            inverse_min_event_ndims=bijector.event_ndims_out,
            is_constant_jacobian=bijector.is_constant_jacobian,
            parameters=dict(bijector=bijector, name=name),
            name=name,
        )
        self._bijector = bijector

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        return self._bijector.forward(x)

    def _inverse(self, y):
        return self._bijector.inverse(y)

    def _forward_log_det_jacobian(self, x):
        return self._bijector.forward_log_det_jacobian(x)

    def _inverse_log_det_jacobian(self, y):
        return self._bijector.inverse_log_det_jacobian(y)

    def _forward_event_shape(self, shape):
        return jax.eval_shape(self._bijector.forward, jnp.zeros(shape)).shape

    def _inverse_event_shape(self, shape):
        return jax.eval_shape(self._bijector.inverse, jnp.zeros(shape)).shape


def as_tfp(bijector: tfb.Bijector | dx.Bijector) -> tfb.Bijector:
    """Return a bijector of either library as one of TFP's."""
    if isinstance(bijector, tfb.Bijector):
        return bijector
    # distrax wraps those of TFP that it is given
    wrapped = vars(bijector).get("_tfp_bijector")
    return FromDistrax(bijector) if wrapped is None else wrapped


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


@unconstraining.register(dx.Transformed)
@unconstraining.register(root(tfd.TransformedDistribution))
def _(d) -> tfb.Bijector:
    return tfb.Chain([as_tfp(d.bijector), unconstraining(d.distribution)])


@unconstraining.register(dx.Independent)
@unconstraining.register(root(tfd.Independent))
@unconstraining.register(root(tfd.BatchBroadcast))
def _(d) -> tfb.Bijector:
    return unconstraining(d.distribution)


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

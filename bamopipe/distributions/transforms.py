"""Bijectors that TFP lacks or has with another Jacobian, all with its interface."""

import distrax as dx
import jax
import jax.numpy as jnp
from tensorflow_probability.substrates import jax as tfp
from tensorflow_probability.substrates.jax import bijectors as tfb


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
        head, last = y[..., :-1], y[..., -1:]
        near, limits = last > 0, jnp.finfo(y.dtype)
        # Nothing leads to the pole itself; what does to within rounding stands in for it.
        at_pole = near & (jnp.sum(head**2, axis=-1, keepdims=True) < limits.tiny)
        head = jnp.where(at_pole, limits.eps, head)
        # Near the pole 1 - last cancels; it is the squared length of the others by 1 + last.
        square = jnp.where(near, jnp.sum(head**2, axis=-1, keepdims=True), 1.0)
        return head * jnp.where(near, (1 + last) / square, 1 / (1 - jnp.where(near, 0.0, last)))

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

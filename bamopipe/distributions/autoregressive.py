"""Autoregressive time series of any order."""

import operator

import distrax as dx
import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.distributions.bijectors import unconstraining
from bamopipe.distributions.support import support
from bamopipe.errors import UserError


class AutoRegressive(dx.Distribution):
    """The autoregressive process of order p, given the p values before it.

    The process is ``y_t ~ N(intercept + sum_k coefficients[k - 1] * y_{t - k}, scale)`` for
    t = 1 to `length` and lags k = 1 to p. The values `initial` come before the first and are no
    part of it, neither in the density nor in draws: with a series of T observed values, give the
    first p as `initial` and the others as observations. Coefficients are free: whether the process
    is stationary is for their prior to say. A random walk has the one coefficient 1.

    Parameters
    ----------
    coefficients
        Shape (..., p), lag 1 first.
    scale
        Standard deviation of the innovations: a number, or an array that broadcasts against the
        value, so that it may change over time.
    initial
        The p values before the first, shape (..., p), in order of time: the last one is lag 1 of
        the first value.
    length
        How many values follow. It has to be fixed when the model is built, so give it with
        `functools.partial` as in the example.
    intercept
        A number, or an array that broadcasts against the value, such as the effect of covariates.

    Raises
    ------
    UserError
        `coefficients` and `initial` differ in length, or `length` is no whole number from 1 on.

    Notes
    -----
    Values have shape (..., length). Leading dimensions of the parameters are batch dimensions: for
    a series with its own intercept or scale each, these have shape (series, 1).

    References
    ----------
    Hamilton (1994), Time Series Analysis, section 5.3: the conditional likelihood.

    Examples
    --------
    >>> from functools import partial
    >>> import numpy as np
    >>> from tensorflow_probability.substrates.jax import distributions as tfd
    >>> from bamopipe.base import Model
    >>> from bamopipe.distributions.autoregressive import AutoRegressive
    >>> series = np.array([0.0, 1.0, 0.5, 1.2, 0.3, 0.9])
    >>> model = Model("AR(2)")
    >>> phi = model.add_node("phi", distribution=tfd.Normal(0.0, 0.5), shape=(2,))
    >>> sigma = model.add_node("sigma", distribution=tfd.HalfNormal(1.0))
    >>> y = model.add_node(
    ...     "y",
    ...     distribution=partial(AutoRegressive, length=4),
    ...     parents=dict(coefficients=phi, scale=sigma, initial=series[:2]),
    ...     observations=series[2:],
    ... )
    """

    def __init__(self, coefficients, scale, initial, length: int, intercept=0.0):
        length = _whole_number(length)
        parameters = [jnp.asarray(p) for p in (coefficients, scale, initial, intercept)]
        dtype = jnp.result_type(float, *parameters)
        coefficients, scale, initial, intercept = (p.astype(dtype) for p in parameters)
        if coefficients.shape[-1:] != initial.shape[-1:] or initial.ndim == 0:
            raise UserError(
                f"AutoRegressive has coefficients of shape {coefficients.shape} and initial values "
                f"of shape {initial.shape}; expected one initial value for each coefficient, along "
                "the last axis"
            )
        self._shape = jnp.broadcast_shapes(
            (*coefficients.shape[:-1], length),
            (*initial.shape[:-1], length),
            scale.shape,
            intercept.shape,
        )
        self._coefficients, self._initial = coefficients, initial
        self._scale, self._intercept = scale, intercept

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape (length,)."""
        return self._shape[-1:]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Leading dimensions of the parameters."""
        return self._shape[:-1]

    @property
    def scale(self) -> Array:
        """Standard deviation of the innovations."""
        return self._scale

    def log_prob(self, value) -> Array:
        """Return the log density of series of shape (..., length), given the initial values."""
        value = self._of_shape(value)
        return jnp.sum(dx.Normal(self._means(value), self._scale).log_prob(value), axis=-1)

    def standardised(self, value) -> Array:
        """Return the standard normal innovations that make a series of shape (..., length)."""
        value = self._of_shape(value)
        return (value - self._means(value)) / self._scale

    def _of_shape(self, value) -> Array:
        value = jnp.asarray(value)
        return jnp.broadcast_to(value, jnp.broadcast_shapes(value.shape, self._shape))

    def _means(self, value: Array) -> Array:
        """Return the mean of each value given those before it."""
        order, length = self._initial.shape[-1], value.shape[-1]
        initial = jnp.broadcast_to(self._initial, (*value.shape[:-1], order))
        series = jnp.concatenate([initial, value], axis=-1)
        mean = self._intercept
        for lag in range(1, order + 1):
            start = order - lag
            lagged = series[..., start : start + length]
            mean = mean + self._coefficients[..., lag - 1, None] * lagged
        return mean

    def _sample_n(self, key: Array, n: int) -> Array:
        noise = jax.random.normal(key, (n, *self._shape), self._initial.dtype)
        return self.follow(noise)

    def mean(self) -> Array:
        """Return the mean of each value given those before the first: the series without noise."""
        return self.follow(jnp.zeros(self._shape, self._initial.dtype))

    def follow(self, standardised: Array) -> Array:
        """Return the series that standard normal innovations make, the inverse of `standardised`.

        Parameters
        ----------
        standardised
            Shape (..., length).
        """
        innovations = self._intercept + self._scale * standardised
        order = self._initial.shape[-1]
        recent = jnp.broadcast_to(self._initial[..., ::-1], (*innovations.shape[:-1], order))

        def advance(recent, innovation):
            value = jnp.sum(self._coefficients * recent, axis=-1) + innovation
            recent = jnp.concatenate([value[..., None], recent[..., :-1]], axis=-1)
            return recent, value

        _, values = jax.lax.scan(advance, recent, jnp.moveaxis(innovations, -1, 0))
        return jnp.moveaxis(values, 0, -1)


def _whole_number(length) -> int:
    """Return a length, from any type of whole number."""
    try:
        whole = operator.index(length)
    except TypeError:
        whole = 0
    if isinstance(length, bool) or whole < 1:
        raise UserError(
            "the length of an AutoRegressive series has to be a whole number from 1 on that is "
            f"fixed when the model is built, got {length!r}; give "
            "functools.partial(AutoRegressive, length=...) as the distribution"
        )
    return whole


# Values are real numbers, as those of a normal distribution.
support.register(AutoRegressive, support.dispatch(dx.Normal))
unconstraining.register(AutoRegressive, unconstraining.dispatch(dx.Normal))

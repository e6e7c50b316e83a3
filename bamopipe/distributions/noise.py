"""Bijectors from noise to the values of distributions, whose parameters are a place and a scale.

`unconstraining` leads to the same set whatever the parameters are. `from_noise` takes the
parameters along: the noise has the same distribution, or nearly, whatever they are. So it is that a
hierarchical model can be written in two ways (Papaspiliopoulos, Roberts and Sköld 2007), and that
a kernel can move a variable's parents while its noise stays as it is.
"""

from functools import singledispatch

import distrax as dx
import jax
import jax.numpy as jnp
from tensorflow_probability.substrates.jax import bijectors as tfb
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.distributions.autoregressive import AutoRegressive
from bamopipe.distributions.bijectors import see_through_wrappers
from bamopipe.distributions.support import root
from bamopipe.errors import UserError


@singledispatch
def from_noise(distribution) -> tfb.Bijector:
    """Return the bijector from noise to the values of a continuous distribution.

    A new family is added by registering a function for its class.

    Parameters
    ----------
    distribution
        A distrax or TFP distribution.

    Raises
    ------
    UserError
        The family is not known as one of place and scale.

    Examples
    --------
    >>> import distrax as dx
    >>> from bamopipe.distributions.noise import from_noise
    >>> float(from_noise(dx.Normal(10.0, 2.0)).forward(0.5))
    11.0
    """
    raise UserError(
        f"{type(distribution).__name__} is not known as noise that its parameters shift and scale"
    )


def _affine(shift, scale) -> tfb.Bijector:
    return tfb.Chain([tfb.Shift(shift), tfb.Scale(scale)])


@from_noise.register(dx.Gumbel)
@from_noise.register(dx.Laplace)
@from_noise.register(dx.Logistic)
@from_noise.register(dx.Normal)
@from_noise.register(tfd.Cauchy)
@from_noise.register(tfd.HalfCauchy)
@from_noise.register(tfd.Laplace)
@from_noise.register(tfd.Logistic)
@from_noise.register(tfd.Normal)
@from_noise.register(tfd.StudentT)
def _(d) -> tfb.Bijector:
    return _affine(d.loc, d.scale)


@from_noise.register(tfd.HalfNormal)
def _(d) -> tfb.Bijector:
    return tfb.Scale(d.scale)


@from_noise.register(tfd.Exponential)
def _(d) -> tfb.Bijector:
    return tfb.Scale(1 / d.rate)


@from_noise.register(dx.Uniform)
@from_noise.register(tfd.Uniform)
def _(d) -> tfb.Bijector:
    return _affine(d.low, d.high - d.low)


see_through_wrappers(from_noise)  # multivariate normals of either library are transformed ones


@from_noise.register(root(tfd.Sample))
def _(d) -> tfb.Bijector:
    bijector = from_noise(d.distribution)
    if any(jnp.ndim(leaf) for leaf in jax.tree.leaves(bijector)):
        raise UserError("of samples of distributions with parameters of their own noise is unknown")
    return bijector


@from_noise.register(AutoRegressive)
class Innovations(tfb.Bijector):
    """From standardised innovations to the series that they make."""

    def __init__(self, series: AutoRegressive, name="innovations"):
        super().__init__(
            forward_min_event_ndims=1, parameters=dict(series=series, name=name), name=name
        )
        self._series = series

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, x):
        return self._series.follow(x)

    def _inverse(self, y):
        return self._series.standardised(y)

    def _forward_log_det_jacobian(self, x):
        return jnp.sum(jnp.broadcast_to(jnp.log(self._series.scale), x.shape), axis=-1)

"""Scales and coefficients for regressions in which few predictors matter."""

from math import factorial

import jax.numpy as jnp
import numpy as np
from jax import Array
from tensorflow_probability.substrates.jax import distributions as tfd

# The exponential integral is a series for small arguments and a Gauss-Laguerre sum for large ones;
# from here on 40 nodes are exact to 3e-14, and so are 26 terms up to here.
_SWITCH = 2.0
_NODES, _WEIGHTS = np.polynomial.laguerre.laggauss(40)
_SERIES = np.array([(-1.0) ** (k + 1) / (k * factorial(k)) for k in range(26, 0, -1)])


class Horseshoe(tfd.Horseshoe):
    """A coefficient that is either near zero or barely shrunk, its local scale integrated out.

    The marginal of ``beta ~ N(0, scale * local)`` with ``local ~ HalfCauchy(0, 1)``. It is TFP's
    Horseshoe with an exact density: TFP's is an approximation, with errors up to 6e-4 in its
    logarithm. The density grows without bound towards zero, where samplers can get stuck, and large
    coefficients are not shrunk at all; the hierarchical form, for which there is
    `regularized_scale`, has neither trouble.

    Parameters
    ----------
    scale
        The global scale, common to all coefficients.

    References
    ----------
    Carvalho, Polson and Scott (2010), The horseshoe estimator for sparse signals, Biometrika 97,
    the appendix on the density.

    Examples
    --------
    >>> from tensorflow_probability.substrates.jax import distributions as tfd
    >>> from bamopipe.base import Model
    >>> from bamopipe.distributions.horseshoe import Horseshoe
    >>> model = Model("sparse")
    >>> tau = model.add_node("tau", distribution=tfd.HalfCauchy(0.0, 0.1))
    >>> beta = model.add_node("beta", distribution=Horseshoe, parents=dict(scale=tau), shape=(8,))
    """

    def _log_prob(self, x):
        log_scale = jnp.log(self.scale)
        # Neither the quotient of the two nor its square need be within the range of the precision.
        log_half_square = 2 * (jnp.log(jnp.abs(x)) - log_scale) - np.log(2.0)
        return (
            _log_scaled_exponential_integral(log_half_square)
            - log_scale
            - 0.5 * np.log(2 * np.pi**3)
        )


def regularized_scale(global_scale, local_scale, slab_scale) -> Array:
    """Return the standard deviation of coefficients under the regularised horseshoe.

    Small coefficients are shrunk by `global_scale` times their own `local_scale`, as in the
    horseshoe; large ones, which the horseshoe leaves alone, as by a normal prior with standard
    deviation `slab_scale`. It is for the `link_fn` of the coefficients.

    Parameters
    ----------
    global_scale
        Common to all coefficients, with a prior such as ``HalfCauchy(0, tau0)``. For a guess p0 at
        how many of D predictors matter, given n observations with standard deviation sigma, the
        paper recommends ``tau0 = p0 / (D - p0) * sigma / sqrt(n)``.
    local_scale
        One for each coefficient, shape (..., D), each ``HalfCauchy(0, 1)``.
    slab_scale
        How large a coefficient can be; a number, or the square root of an ``InverseGamma(2, 8)``
        for example.

    Returns
    -------
    Array
        Shape (..., D): ``tau * c * lambda / sqrt(c^2 + tau^2 * lambda^2)`` for global scale tau,
        local scale lambda and slab scale c.

    References
    ----------
    Piironen and Vehtari (2017), Sparsity information and regularization in the horseshoe and other
    shrinkage priors, Electronic Journal of Statistics 11, equations 2.8 and 3.12.

    Examples
    --------
    >>> from tensorflow_probability.substrates.jax import distributions as tfd
    >>> from bamopipe.base import Model
    >>> from bamopipe.distributions.horseshoe import regularized_scale
    >>> model = Model("sparse")
    >>> tau = model.add_node("tau", distribution=tfd.HalfCauchy(0.0, 0.1))
    >>> local = model.add_node("local", distribution=tfd.HalfCauchy(0.0, 1.0), shape=(8,))
    >>> def link_fn(tau, local):
    ...     return dict(loc=0.0, scale=regularized_scale(tau, local, slab_scale=2.0))
    >>> beta = model.add_node(
    ...     "beta", distribution=tfd.Normal, parents=dict(tau=tau, local=local), link_fn=link_fn
    ... )
    """
    unbounded = jnp.asarray(global_scale) * jnp.asarray(local_scale)
    # Local scales have no mean, and the square of a large one overflows in float32.
    return unbounded / jnp.hypot(1.0, unbounded / jnp.asarray(slab_scale))


def _log_scaled_exponential_integral(log_z: Array) -> Array:
    """Return log(exp(z) E1(z)), where that is the integral of exp(-t) / (z + t) over positive t."""
    is_small = log_z < np.log(_SWITCH)
    # Either branch gets numbers that it can cope with, to keep NaN out of the other's gradient.
    low = jnp.where(is_small, log_z, np.log(_SWITCH))
    z = jnp.exp(low)
    series = z * jnp.polyval(jnp.asarray(_SERIES, z.dtype), z)
    small = z + jnp.log(series - low - np.euler_gamma)
    high = jnp.where(is_small, np.log(_SWITCH), log_z)
    nodes, weights = jnp.asarray(_NODES, high.dtype), jnp.asarray(_WEIGHTS, high.dtype)
    large = jnp.log(jnp.sum(weights / (1 + nodes * jnp.exp(-high)[..., None]), axis=-1)) - high
    return jnp.where(is_small, small, large)

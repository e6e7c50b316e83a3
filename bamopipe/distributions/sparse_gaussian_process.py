"""Gaussian process regression on many points, through a few inducing points."""

from collections.abc import Callable

import distrax as dx
import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import cho_solve, solve_triangular
from tinygp.kernels import Kernel

from bamopipe.distributions.bijectors import unconstraining
from bamopipe.distributions.gaussian_process import (
    as_float,
    evaluate_mean,
    jitter_variance,
    mean_elsewhere,
    noisy_cholesky,
    specialise,
)
from bamopipe.distributions.support import support


class SparseGaussianProcess(dx.Distribution):
    """Noisy observations of a function with a Gaussian process prior, approximated for many inputs.

    The approximation is FITC (fully independent training conditional): the function at `x` depends
    on its values at m inducing inputs, given which its values are independent, each with the right
    variance. Time is O(n m^2) and memory O(n m), where `GaussianProcess` needs O(n^3) and O(n^2);
    the two agree where the inducing inputs are `x` itself. It pays from about a thousand points on,
    with inducing inputs closer together than the function changes.

    Parameters
    ----------
    kernel, x, mean, jitter, **hyperparameters
        As in `bamopipe.distributions.gaussian_process.GaussianProcess`, which says more.
    inducing
        Inducing inputs, shape (m,) or (m, d): constants, such as a grid over `x`, or a latent
        variable.
    noise_scale
        The standard deviation of the noise, a number or shape (n,).

    References
    ----------
    Snelson and Ghahramani (2006), Sparse Gaussian processes using pseudo-inputs, NIPS 18.
    Quiñonero-Candela and Rasmussen (2005), A unifying view of sparse approximate Gaussian process
    regression, JMLR 6, section 6.

    Examples
    --------
    >>> import jax
    >>> import numpy as np
    >>> from tinygp import kernels
    >>> from bamopipe.distributions.sparse_gaussian_process import SparseGaussianProcess
    >>> x = np.linspace(0.0, 6.0, 500)
    >>> process = SparseGaussianProcess(
    ...     kernels.ExpSquared, x, inducing=np.linspace(0.0, 6.0, 10), noise_scale=0.1, scale=1.0
    ... )
    >>> y = process.sample(seed=jax.random.key(0))
    >>> y.shape
    (500,)
    >>> process.condition(y, [2.5, 7.0]).mean().shape
    (2,)
    """

    def __init__(
        self,
        kernel: Kernel | Callable[..., Kernel],
        x,
        inducing,
        noise_scale,
        mean: float | Array | Callable[..., Array] = 0.0,
        jitter: float | None = None,
        **hyperparameters,
    ):
        x = as_float(x)
        self._inducing = as_float(inducing)
        self._kernel, self._mean = specialise(kernel, mean, hyperparameters)
        self._loc = evaluate_mean(self._mean, x)
        self._jitter_variance = jitter_variance(self._kernel, x, jitter)
        self._inducing_scale = noisy_cholesky(
            self._kernel(self._inducing, self._inducing), self._jitter_variance, None
        )
        # The covariance is factor.T @ factor + diag(own).
        self._factor = self._project(x)
        lost = self._kernel(x) - jnp.sum(self._factor**2, axis=0)
        own = jnp.maximum(lost, 0.0) + self._jitter_variance + as_float(noise_scale) ** 2
        self._own_scale = jnp.sqrt(jnp.broadcast_to(own, x.shape[:1]))
        # By Woodbury's identity all that is needed of its inverse is a factor of size m.
        self._scaled = self._factor / self._own_scale
        m = self._inducing.shape[0]
        self._capacity_scale = jnp.linalg.cholesky(jnp.eye(m) + self._scaled @ self._scaled.T)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape (n,)."""
        return self._loc.shape

    def mean(self) -> Array:
        """Return the prior mean at `x`."""
        return self._loc

    def variance(self) -> Array:
        """Return the variance of each observation."""
        return jnp.sum(self._factor**2, axis=0) + self._own_scale**2

    def covariance(self) -> Array:
        """Return the covariance matrix, of shape (n, n)."""
        return self._factor.T @ self._factor + jnp.diag(self._own_scale**2)

    def log_prob(self, value) -> Array:
        """Return the log density of observations of shape (..., n)."""
        residual = (jnp.asarray(value) - self._loc) / self._own_scale
        explained = residual @ solve_triangular(self._capacity_scale, self._scaled, lower=True).T
        log_scale = jnp.sum(jnp.log(jnp.diag(self._capacity_scale)))
        log_scale += jnp.sum(jnp.log(self._own_scale))
        square = jnp.sum(residual**2, axis=-1) - jnp.sum(explained**2, axis=-1)
        return -0.5 * (square + residual.shape[-1] * jnp.log(2 * jnp.pi)) - log_scale

    def condition(self, y, x_new, noise_scale=None) -> dx.MultivariateNormalTri:
        """Return the distribution of the function at new inputs, given observations.

        Parameters
        ----------
        y
            Observations at `x`, shape (..., n); leading dimensions become batch dimensions.
        x_new
            New inputs, shape (m,) or (m, d).
        noise_scale
            Standard deviation of noise at the new inputs, for new observations rather than the
            function itself.

        Returns
        -------
        dx.MultivariateNormalTri
            Jointly over the new inputs. Its covariance includes the jitter.

        Raises
        ------
        UserError
            `mean` was given as an array, so that it is not known elsewhere.

        References
        ----------
        Quiñonero-Candela and Rasmussen (2005), equation 24b.
        """
        x_new = as_float(x_new)
        factor = self._project(x_new)
        residual = (jnp.asarray(y) - self._loc) / self._own_scale
        weights = cho_solve((self._capacity_scale, True), factor)
        mean = mean_elsewhere(self._mean, x_new) + residual @ self._scaled.T @ weights
        covariance = self._kernel(x_new, x_new) - factor.T @ (factor - weights)
        return dx.MultivariateNormalTri(
            mean, noisy_cholesky(covariance, self._jitter_variance, noise_scale)
        )

    def _project(self, x: Array) -> Array:
        """Return the factor of the covariance that goes through the inducing points, (m, n)."""
        between = self._kernel(self._inducing, x)
        return solve_triangular(self._inducing_scale, between, lower=True)

    def _sample_n(self, key: Array, n: int) -> Array:
        shared_key, own_key = jax.random.split(key)
        m, size = self._factor.shape
        shared = jax.random.normal(shared_key, (n, m), self._factor.dtype)
        own = jax.random.normal(own_key, (n, size), self._factor.dtype)
        return self._loc + shared @ self._factor + self._own_scale * own


# Values are real numbers, as those of a normal distribution.
support.register(SparseGaussianProcess, support.dispatch(dx.Normal))
unconstraining.register(SparseGaussianProcess, unconstraining.dispatch(dx.Normal))

"""Gaussian process regression on many points, through a few inducing points."""

from collections.abc import Callable
from typing import NamedTuple

import distrax as dx
import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import cho_solve, solve_triangular
from tinygp.kernels import Kernel

from bamopipe.distributions.bijectors import unconstraining
from bamopipe.distributions.gaussian_process import (
    as_float,
    as_given,
    check_dimension,
    evaluate_mean,
    jitter_variance,
    made,
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

    Raises
    ------
    UserError
        As in `GaussianProcess`, or `inducing` has another dimension than `x`.

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
        self._kernel, self._mean = specialise(type(self), kernel, mean, hyperparameters)
        self._x, self._inducing = as_given(x), as_given(inducing)
        check_dimension("inducing", self._inducing, self._x)
        self._noise_scale, self._jitter = as_given(noise_scale), jitter
        # Tell now of what does not fit together, though numbers come later.
        jax.eval_shape(lambda: (self.mean(), self._parts()))

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape (n,)."""
        return self._x.shape[:1]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Empty: this is one process."""
        return ()

    def mean(self) -> Array:
        """Return the prior mean at `x`."""
        return evaluate_mean(self._mean, as_float(self._x))

    def variance(self) -> Array:
        """Return the variance of each observation."""
        parts = self._parts()
        return jnp.sum(parts.factor**2, axis=0) + parts.own_scale**2

    def covariance(self) -> Array:
        """Return the covariance matrix, of shape (n, n)."""
        parts = self._parts()
        return parts.factor.T @ parts.factor + jnp.diag(parts.own_scale**2)

    def log_prob(self, value) -> Array:
        """Return the log density of observations of shape (..., n)."""
        parts = self._parts()
        scaled, capacity_scale = parts.woodbury()
        residual = (jnp.asarray(value) - self.mean()) / parts.own_scale
        shared = residual @ cho_solve((capacity_scale, True), scaled).T
        # The difference of the squares of the residual and of what is explained would cancel.
        square = jnp.sum((residual - shared @ scaled) ** 2, axis=-1) + jnp.sum(shared**2, axis=-1)
        log_scale = jnp.sum(jnp.log(jnp.diag(capacity_scale)))
        log_scale += jnp.sum(jnp.log(parts.own_scale))
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
            `mean` was given as an array, so that it is not known elsewhere, or `x_new` has another
            dimension than `x`.

        References
        ----------
        Quiñonero-Candela and Rasmussen (2005), equation 24b.
        """
        x_new, kernel = as_float(x_new), made(self._kernel)
        check_dimension("x_new", x_new, self._x)
        parts = self._parts()
        scaled, capacity_scale = parts.woodbury()
        factor = self._project(kernel, parts.inducing_scale, x_new)
        residual = (jnp.asarray(y) - self.mean()) / parts.own_scale
        weights = cho_solve((capacity_scale, True), factor)
        mean = mean_elsewhere(self._mean, x_new) + residual @ scaled.T @ weights
        covariance = kernel(x_new, x_new) - factor.T @ (factor - weights)
        return dx.MultivariateNormalTri(mean, noisy_cholesky(covariance, parts.jitter, noise_scale))

    def predict(self, y, elsewhere: "SparseGaussianProcess") -> dx.MultivariateNormalTri:
        """Return the distribution of new observations of this process, given some; see `condition`.

        Parameters
        ----------
        y
            Observations, shape (..., n).
        elsewhere
            The same process, with the other inputs and their noise.
        """
        return self.condition(y, elsewhere._x, elsewhere._noise_scale)

    def _parts(self) -> "_Parts":
        """Compute what all methods need, in the precision of now."""
        x, inducing, kernel = as_float(self._x), as_float(self._inducing), made(self._kernel)
        jitter = jitter_variance(kernel, x, self._jitter)
        inducing_scale = noisy_cholesky(kernel(inducing, inducing), jitter, None)
        factor = self._project(kernel, inducing_scale, x)
        lost = kernel(x) - jnp.sum(factor**2, axis=0)
        own = jnp.maximum(lost, 0.0) + jitter + as_float(self._noise_scale) ** 2
        own_scale = jnp.sqrt(jnp.broadcast_to(own, x.shape[:1]))
        return _Parts(jitter, inducing_scale, factor, own_scale)

    def _project(self, kernel: Kernel, inducing_scale: Array, x: Array) -> Array:
        """Return the factor of the covariance that goes through the inducing points, (m, n)."""
        return solve_triangular(inducing_scale, kernel(as_float(self._inducing), x), lower=True)

    def _sample_n(self, key: Array, n: int) -> Array:
        parts = self._parts()
        shared_key, own_key = jax.random.split(key)
        m, size = parts.factor.shape
        shared = jax.random.normal(shared_key, (n, m), parts.factor.dtype)
        own = jax.random.normal(own_key, (n, size), parts.factor.dtype)
        return self.mean() + shared @ parts.factor + parts.own_scale * own


class _Parts(NamedTuple):
    """The covariance, which is ``factor.T @ factor + diag(own_scale**2)``.

    Attributes
    ----------
    jitter
        The variance of the process's own white noise.
    inducing_scale
        Cholesky factor of the covariance of the inducing points, (m, m).
    factor
        What goes through the inducing points, (m, n).
    own_scale
        What each observation has alone, (n,).
    """

    jitter: Array
    inducing_scale: Array
    factor: Array
    own_scale: Array

    def woodbury(self) -> tuple[Array, Array]:
        """Return the scaled factor, and by Woodbury's identity what the inverse needs besides."""
        scaled = self.factor / self.own_scale
        return scaled, jnp.linalg.cholesky(jnp.eye(len(scaled)) + scaled @ scaled.T)


# Values are real numbers, as those of a normal distribution.
support.register(SparseGaussianProcess, support.dispatch(dx.Normal))
unconstraining.register(SparseGaussianProcess, unconstraining.dispatch(dx.Normal))

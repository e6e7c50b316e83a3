"""Gaussian processes: the value of an unknown function, or noisy observations of it.

Kernels come from tinygp (https://tinygp.readthedocs.io).
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import solve_triangular
from jax.tree_util import Partial
from tinygp.kernels import Kernel

from bamopipe.distributions.bijectors import unconstraining
from bamopipe.distributions.noise import from_noise
from bamopipe.distributions.support import support
from bamopipe.errors import UserError, nearest


class GaussianProcess(dx.Distribution):
    """Values at `x` of a function with a Gaussian process prior, with or without noise.

    Without `noise_scale` this is the function itself: a latent vector for any likelihood on top.
    With it, the function is integrated out, and what remains is the density of noisy observations
    ``y_i ~ N(f(x_i), noise_scale)``: for Gaussian noise this is the form to use, since far fewer
    variables are left to infer. `condition` predicts at new inputs in either case.

    Parameters
    ----------
    kernel
        A tinygp kernel, or a function of hyperparameters that returns one; a class of
        `tinygp.kernels` is such a function.
    x
        Inputs, shape (n,), or (n, d) for a function of d variables.
    noise_scale
        The standard deviation of the noise, a number or shape (n,); None for no noise.
    mean
        The prior mean: a number, an array of shape (n,), or a function of all inputs and, if it
        likes, hyperparameters, such as ``lambda x, slope: slope * x``.
    jitter
        The process is taken to have a little white noise of its own, whose variance is `jitter`
        times the mean prior variance over `x`. A Cholesky factor exists only with it. By default
        the square root of the machine epsilon: 1.5e-8, or 3.5e-4 in float32. If a density is not a
        number because covariances are nearly singular, give a larger one.
    **hyperparameters
        Arguments of `kernel` and `mean`, each given to whichever takes an argument of its name.

    Raises
    ------
    UserError
        A hyperparameter is unknown or missing, or `kernel` is no tinygp kernel.

    Notes
    -----
    Everything is computed in the precision in force when it is asked for, the default jitter too,
    not in that of when the distribution was made.

    Batches go through `jax.vmap`: every argument describes one process. Several independent
    functions with the same hyperparameters are one node with ``shape=(k,)``.

    References
    ----------
    Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, section 2.2.

    Examples
    --------
    A regression with the function integrated out. Under `parents`, hyperparameters are nodes:

    >>> import numpy as np
    >>> from tensorflow_probability.substrates.jax import distributions as tfd
    >>> from tinygp import kernels
    >>> from bamopipe.base import Model
    >>> from bamopipe.distributions.gaussian_process import GaussianProcess
    >>> x = np.linspace(0.0, 3.0, 20)
    >>> def kernel(amplitude, lengthscale):
    ...     return amplitude**2 * kernels.Matern52(lengthscale)
    >>> model = Model("regression")
    >>> lengthscale = model.add_node("lengthscale", distribution=tfd.LogNormal(0.0, 1.0))
    >>> noise = model.add_node("noise", distribution=tfd.HalfNormal(1.0))
    >>> y = model.add_node(
    ...     "y",
    ...     distribution=GaussianProcess,
    ...     parents=dict(
    ...         kernel=kernel, x=x, amplitude=2.0, lengthscale=lengthscale, noise_scale=noise
    ...     ),
    ...     observations=np.sin(x),
    ... )

    A latent function is the same without `noise_scale` and without observations. Predictions over
    posterior draws, one function a draw:

    >>> import jax
    >>> x_new = np.linspace(3.0, 5.0, 7)
    >>> def predict(key, lengthscale, noise):
    ...     process = GaussianProcess(
    ...         kernel, x, noise, amplitude=2.0, lengthscale=lengthscale
    ...     )
    ...     return process.condition(np.sin(x), x_new).sample(seed=key)
    >>> draws = dict(lengthscale=np.array([0.8, 1.1]), noise=np.array([0.1, 0.2]))
    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> jax.vmap(predict)(keys, draws["lengthscale"], draws["noise"]).shape
    (2, 7)
    """

    def __init__(
        self,
        kernel: Kernel | Callable[..., Kernel],
        x,
        noise_scale=None,
        mean: float | Array | Callable[..., Array] = 0.0,
        jitter: float | None = None,
        **hyperparameters,
    ):
        self._kernel, self._mean = specialise(type(self), kernel, mean, hyperparameters)
        self._x, self._jitter = as_given(x), jitter
        self._noise_scale = None if noise_scale is None else as_given(noise_scale)
        # Tell now of what does not fit together, though numbers come later.
        jax.eval_shape(lambda: (self.mean(), self.covariance()))

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
        """Return the variance of each value."""
        return jnp.diag(self.covariance())

    def covariance(self) -> Array:
        """Return the covariance matrix, of shape (n, n), with jitter and noise."""
        x, kernel = as_float(self._x), made(self._kernel)
        return with_noise(kernel(x, x), jitter_variance(kernel, x, self._jitter), self._noise_scale)

    def normal(self) -> dx.MultivariateNormalTri:
        """Return this as a multivariate normal, which knows its entropy, for example."""
        return dx.MultivariateNormalTri(self.mean(), jnp.linalg.cholesky(self.covariance()))

    def log_prob(self, value) -> Array:
        """Return the log density of values of shape (..., n)."""
        return log_density(jnp.asarray(value) - self.mean(), self.covariance())

    def _sample_n(self, key: Array, n: int) -> Array:
        return self.normal().sample(seed=key, sample_shape=n)

    def condition(self, y, x_new, noise_scale=None) -> dx.MultivariateNormalTri:
        """Return the distribution of the function at new inputs, given a value of this one.

        Parameters
        ----------
        y
            A value of this distribution: the function at `x`, or noisy observations of it if there
            is a `noise_scale`. Shape (..., n); leading dimensions become batch dimensions.
        x_new
            New inputs, shape (m,) or (m, d).
        noise_scale
            Standard deviation of noise at the new inputs, a number or shape (m,), for new
            observations rather than the function itself.

        Returns
        -------
        dx.MultivariateNormalTri
            Jointly over the new inputs: draws are smooth functions. Its covariance includes the
            jitter.

        Raises
        ------
        UserError
            `mean` was given as an array, so that it is not known elsewhere, or `x_new` has another
            dimension than `x`.

        References
        ----------
        Rasmussen and Williams (2006), equations 2.22 to 2.24, with a mean as in 2.38.

        Examples
        --------
        >>> from tinygp import kernels
        >>> from bamopipe.distributions.gaussian_process import GaussianProcess
        >>> process = GaussianProcess(kernels.ExpSquared(1.0), [0.0, 1.0])
        >>> new = process.condition([1.0, -1.0], [0.5, 30.0])
        >>> [round(abs(float(m)), 2) for m in new.mean()]  # far away, the prior's
        [0.0, 0.0]
        >>> [round(float(v), 2) for v in new.variance()]
        [0.03, 1.0]
        """
        x, x_new, kernel = as_float(self._x), as_float(x_new), made(self._kernel)
        check_dimension("x_new", x_new, x)
        prior = self.normal()
        whitened = solve_triangular(prior.scale_tri, kernel(x, x_new), lower=True)
        weights = solve_triangular(prior.scale_tri, whitened, lower=True, trans=1)
        mean = mean_elsewhere(self._mean, x_new) + (jnp.asarray(y) - prior.loc) @ weights
        covariance = kernel(x_new, x_new) - whitened.T @ whitened
        jitter = jitter_variance(kernel, x, self._jitter)
        return dx.MultivariateNormalTri(mean, noisy_cholesky(covariance, jitter, noise_scale))

    def predict(self, y, elsewhere: "GaussianProcess") -> dx.MultivariateNormalTri:
        """Return the distribution of this process at other inputs, given a value; see `condition`.

        Parameters
        ----------
        y
            A value of this distribution, shape (..., n).
        elsewhere
            The same process, with the other inputs and their noise.
        """
        return self.condition(y, elsewhere._x, elsewhere._noise_scale)


# Values are real numbers, as those of a normal distribution.
support.register(GaussianProcess, support.dispatch(dx.Normal))
unconstraining.register(GaussianProcess, unconstraining.dispatch(dx.Normal))
# Here rather than beside the others, so that models without processes need not load tinygp.
from_noise.register(GaussianProcess, lambda process: from_noise(process.normal()))


def as_given(values) -> np.ndarray | Array:
    """Return an array that JAX does not round before it is cast or used."""
    of_jax = any(isinstance(leaf, Array) for leaf in jax.tree.leaves(values))
    return jnp.asarray(values) if of_jax else np.asarray(values)


def as_float(values) -> Array:
    """Return an array of floating-point numbers, in their own precision if JAX now has it."""
    values = as_given(values)
    dtype = values.dtype if jnp.issubdtype(values.dtype, jnp.floating) else float
    # Cast by numpy, since JAX remembers the precision that it once gave to an array while tracing.
    return jnp.asarray(values.astype(jax.dtypes.canonicalize_dtype(dtype)))


def check_dimension(name: str, inputs: np.ndarray | Array, x: np.ndarray | Array) -> None:
    """Refuse inputs of another dimension than `x`: kernels would broadcast them."""
    if (inputs.ndim, inputs.shape[1:]) != (x.ndim, x.shape[1:]):
        raise UserError(
            f"{name} has shape {inputs.shape} and x has shape {x.shape}; give both the shape (n,), "
            "or both the shape (n, d) with the same d"
        )


def specialise(
    family: type, kernel, mean, hyperparameters: Mapping[str, Any]
) -> tuple[Kernel | Callable[[], Kernel], Any]:
    """Give each of a kernel function and a mean function the hyperparameters that it names.

    Parameters
    ----------
    family
        The class that took the hyperparameters, and did not take those of its own arguments' names.
    kernel, mean, hyperparameters
        As in `GaussianProcess`.

    Returns
    -------
    tuple
        The kernel, or a function without arguments that makes it, for `made`; and the mean: an
        array, or a function of the inputs only.
    """
    unused = set(hyperparameters)
    known = []
    if not isinstance(kernel, Kernel):
        chosen, names = _choose(family, "kernel", kernel, hyperparameters)
        unused -= chosen.keys()
        known += names
        kernel = Partial(kernel, **chosen)
        if not isinstance(found := kernel(), Kernel):
            raise UserError(
                f"expected the kernel function to return a tinygp kernel, got {found!r}; return, "
                "for example, amplitude**2 * tinygp.kernels.ExpSquared(lengthscale)"
            )
    if callable(mean):
        chosen, names = _choose(family, "mean", mean, hyperparameters, skip=1)
        unused -= chosen.keys()
        known += names
        mean = Partial(mean, **chosen)
    else:
        mean = as_given(mean)
    if unused:
        name = min(unused)
        raise UserError(
            f"hyperparameter {name!r} is an argument of neither the kernel function nor the mean "
            f"function{nearest(name, known)}"
        )
    return kernel, mean


def made(kernel: Kernel | Callable[[], Kernel]) -> Kernel:
    """Make the kernel, unless it is one."""
    return kernel if isinstance(kernel, Kernel) else kernel()


def _choose(
    family: type, role: str, function: Callable, hyperparameters: Mapping[str, Any], skip: int = 0
) -> tuple[dict[str, Any], list[str]]:
    """Return the hyperparameters that a function takes, and the names of its arguments.

    The first `skip` arguments are not hyperparameters.
    """
    arguments = list(inspect.signature(function).parameters.values())[skip:]
    open_ended = any(a.kind is a.VAR_KEYWORD for a in arguments)
    named = [a for a in arguments if a.kind not in (a.VAR_KEYWORD, a.VAR_POSITIONAL)]
    for argument in named:
        if argument.default is argument.empty and argument.name not in hyperparameters:
            if argument.name in inspect.signature(family).parameters:
                raise UserError(
                    f"the {role} function takes {argument.name!r}, a name that {family.__name__} "
                    "takes itself and does not pass on; give the argument another name"
                )
            raise UserError(
                f"the {role} function takes {argument.name!r}, which is not given; add it as a "
                "parent of that name"
            )
    names = [argument.name for argument in named]
    chosen = {n: v for n, v in hyperparameters.items() if open_ended or n in names}
    return chosen, names


def evaluate_mean(mean, x: Array) -> Array:
    """Return the prior mean at inputs, shape (n,)."""
    shape = x.shape[:1]
    if callable(mean):
        return jnp.broadcast_to(as_float(mean(x)), shape)
    return jnp.broadcast_to(as_float(mean), shape)


def mean_elsewhere(mean, x_new: Array) -> Array:
    """Return the prior mean at new inputs, which has to be a number or a function."""
    if not callable(mean) and mean.ndim > 0:
        raise UserError(
            "the prior mean is known only at the inputs where it was given; to predict elsewhere, "
            "give it as a number or a function of the inputs"
        )
    return evaluate_mean(mean, x_new)


def jitter_variance(kernel: Kernel, x: Array, jitter: float | None) -> Array:
    """Return the variance of the process's own white noise; see `GaussianProcess`."""
    variance = kernel(x)
    if jitter is None:
        jitter = float(jnp.finfo(variance.dtype).eps) ** 0.5
    return jitter * jnp.mean(variance)


@jax.custom_jvp
def log_density(residual: Array, covariance: Array) -> Array:
    """Return the log density of a normal vector less its mean, shape (..., n).

    Its derivative by the covariance ``K`` is ``(a a' - inverse of K) / 2`` with ``K a = residual``
    (Rasmussen and Williams 2006, equation 5.9), which takes a quarter less time than to
    differentiate a Cholesky factor.
    """
    factor = jnp.linalg.cholesky(covariance)
    columns = residual.reshape(-1, len(factor)).T
    white = solve_triangular(factor, columns, lower=True).T
    return _of_white(white.reshape(residual.shape), factor)


@log_density.defjvp
def _(primals, tangents):
    residual, covariance = primals
    residual_change, covariance_change = tangents
    factor = jnp.linalg.cholesky(covariance)
    inverse = solve_triangular(factor, jnp.eye(len(factor), dtype=factor.dtype), lower=True)
    white = residual @ inverse.T
    a = white @ inverse
    slope = (a[..., :, None] * a[..., None, :] - inverse.T @ inverse) / 2
    change = jnp.sum(slope * covariance_change, axis=(-2, -1))
    return _of_white(white, factor), change - jnp.sum(a * residual_change, axis=-1)


def _of_white(white: Array, factor: Array) -> Array:
    square = jnp.sum(white**2, axis=-1) + len(factor) * math.log(2 * math.pi)
    return -square / 2 - jnp.sum(jnp.log(jnp.diag(factor)))


def noisy_cholesky(covariance: Array, jitter_variance: Array, noise_scale) -> Array:
    """Factorise a covariance matrix after adding the two kinds of noise to its diagonal."""
    return jnp.linalg.cholesky(with_noise(covariance, jitter_variance, noise_scale))


def with_noise(covariance: Array, jitter_variance: Array, noise_scale) -> Array:
    """Add the two kinds of noise to the diagonal of a covariance matrix."""
    added = jitter_variance + (0.0 if noise_scale is None else as_float(noise_scale) ** 2)
    n = covariance.shape[-1]
    return covariance + jnp.diag(jnp.broadcast_to(added, (n,)))

"""Regression with a Gaussian process, and another one for how noisy each place is."""

from collections.abc import Mapping

import jax.numpy as jnp
import pandas as pd
from tinygp import kernels

from bamopipe.base import Model
from bamopipe.distributions.gaussian_process import GaussianProcess


def smooth(amplitude, lengthscale) -> kernels.Kernel:
    """Return the squared exponential covariance, for the curve itself."""
    return amplitude**2 * kernels.ExpSquared(lengthscale)


def rough(amplitude, lengthscale) -> kernels.Kernel:
    """Return a Matérn covariance, for the noise: its samples have one derivative."""
    return amplitude**2 * kernels.Matern32(lengthscale)


def model(
    data: Mapping[str, pd.DataFrame],
    amplitude,
    lengthscale,
    noise_level,
    noise_amplitude,
    noise_lengthscale,
) -> Model:
    """Return the model of a smooth function seen through noise that depends on the place.

    ``y_i ~ Normal(f(x_i), exp(log_noise(x_i)))`` with ``f ~ GP(0, k)``, a squared exponential
    covariance, and ``log_noise ~ GP(noise_level, k')``, a Matérn covariance with index 3/2. The
    function ``f`` is integrated out; ``log_noise`` stays, since nothing integrates it.

    Parameters
    ----------
    data
        ``data["curve"]`` with columns ``x`` and ``y``.
    amplitude, lengthscale
        Priors of the standard deviation of ``f`` and of the distance over which it changes.
    noise_level
        Prior of the mean of ``log_noise``.
    noise_amplitude, noise_lengthscale
        Priors of the standard deviation of ``log_noise`` and of the distance over which it changes.

    References
    ----------
    Goldberg, Williams & Bishop (1998), Regression with input-dependent noise: a Gaussian process
    treatment, Advances in Neural Information Processing Systems 10.
    """
    curve = data["curve"]
    m = Model("heteroskedastic GP", coords={"point": curve["x"]})
    m.add_node("x", observations=curve["x"], dims="point")
    m.add_node("amplitude", distribution=amplitude)
    m.add_node("lengthscale", distribution=lengthscale)
    m.add_node("noise_level", distribution=noise_level)
    m.add_node("noise_amplitude", distribution=noise_amplitude)
    m.add_node("noise_lengthscale", distribution=noise_lengthscale)
    m.add_node(
        "log_noise",
        distribution=GaussianProcess,
        parents={
            "kernel": rough,
            "x": "x",
            "mean": "noise_level",
            "amplitude": "noise_amplitude",
            "lengthscale": "noise_lengthscale",
        },
        dims="point",
    )
    m.add_node(
        "noise",
        parents={"log_noise": "log_noise"},
        link_fn=lambda log_noise: jnp.exp(log_noise),
        dims="point",
    )
    m.add_node(
        "y",
        distribution=GaussianProcess,
        parents={
            "kernel": smooth,
            "x": "x",
            "amplitude": "amplitude",
            "lengthscale": "lengthscale",
            "noise_scale": "noise",
        },
        observations=curve["y"],
        dims="point",
    )
    return m

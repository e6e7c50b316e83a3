"""Regression with a Gaussian process whose function is integrated out."""

from collections.abc import Mapping

import pandas as pd
from tinygp import kernels

from bamopipe.base import Model
from bamopipe.distributions.gaussian_process import GaussianProcess


def kernel(amplitude, lengthscale) -> kernels.Kernel:
    """Return the squared exponential covariance of a smooth function."""
    return amplitude**2 * kernels.ExpSquared(lengthscale)


def model(data: Mapping[str, pd.DataFrame], amplitude, lengthscale, noise) -> Model:
    """Return the model of a smooth function seen through Gaussian noise.

    ``y_i ~ Normal(f(x_i), noise)`` and ``f ~ GP(0, k)`` with ``k(x, x') = amplitude^2 exp(-(x -
    x')^2 / (2 lengthscale^2))``. Only the three hyperparameters are left to infer: given them,
    ``y`` is jointly normal.

    Parameters
    ----------
    data
        ``data["curve"]`` with columns ``x`` and ``y``.
    amplitude
        Prior of the standard deviation of the function.
    lengthscale
        Prior of the distance over which the function changes.
    noise
        Prior of the standard deviation of the noise.

    References
    ----------
    Rasmussen & Williams (2006), Gaussian Processes for Machine Learning, section 2.2 and
    chapter 5.
    """
    curve = data["curve"]
    m = Model("GP regression")
    m.add_node("amplitude", distribution=amplitude)
    m.add_node("lengthscale", distribution=lengthscale)
    m.add_node("noise", distribution=noise)
    m.add_node(
        "y",
        distribution=GaussianProcess,
        parents={
            "kernel": kernel,
            "x": curve["x"],
            "amplitude": "amplitude",
            "lengthscale": "lengthscale",
            "noise_scale": "noise",
        },
        observations=curve["y"],
        dims="point",
    )
    return m

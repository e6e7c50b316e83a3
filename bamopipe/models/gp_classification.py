"""Classification with a Gaussian process for the log odds."""

from collections.abc import Mapping

import distrax as dx
import jax
import pandas as pd
from tinygp import kernels

from bamopipe.base import Model
from bamopipe.distributions.gaussian_process import GaussianProcess


def kernel(amplitude, lengthscale) -> kernels.Kernel:
    """Return a Matérn covariance with index 3/2: samples with one derivative."""
    return amplitude**2 * kernels.Matern32(lengthscale)


def model(data: Mapping[str, pd.DataFrame], amplitude, lengthscale) -> Model:
    """Return the model of yes or no answers whose log odds are an unknown function.

    ``y_i ~ Bernoulli(probability_i)``, ``logit(probability_i) = f(x_i)`` and ``f ~ GP(0, k)`` with
    ``k(x, x') = amplitude^2 (1 + r) exp(-r)``, ``r = sqrt(3) |x - x'| / lengthscale``.

    Parameters
    ----------
    data
        ``data["answers"]`` with columns ``x`` and ``y`` (0 or 1).
    amplitude
        Prior of the standard deviation of the log odds.
    lengthscale
        Prior of the distance over which they change.

    References
    ----------
    Rasmussen & Williams (2006), Gaussian Processes for Machine Learning, section 3.3.
    """
    answers = data["answers"]
    m = Model("GP classification", coords={"point": answers["x"]})
    m.add_node("amplitude", distribution=amplitude)
    m.add_node("lengthscale", distribution=lengthscale)
    m.add_node(
        "f",
        distribution=GaussianProcess,
        parents={
            "kernel": kernel,
            "x": answers["x"],
            "amplitude": "amplitude",
            "lengthscale": "lengthscale",
        },
        dims="point",
    )
    m.add_node("probability", parents={"f": "f"}, link_fn=lambda f: jax.nn.sigmoid(f), dims="point")
    m.add_node(
        "y",
        distribution=dx.Bernoulli,
        parents={"logits": "f"},
        observations=answers["y"],
        dims="point",
    )
    return m

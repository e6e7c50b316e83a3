"""Linear regression with the conjugate prior, so that posterior and evidence are known."""

from collections.abc import Mapping

import distrax as dx
import jax.numpy as jnp
import pandas as pd

from bamopipe.base import Model


def model(data: Mapping[str, pd.DataFrame], variance, spread: float) -> Model:
    """Return a linear regression whose coefficients scale with the noise.

    ``y_i ~ Normal(x_i . beta, sigma)``, ``beta_k | sigma ~ Normal(0, spread * sigma)``,
    ``sigma^2 = variance ~ InverseGamma``; ``beta[intercept]`` goes with a column of ones.

    Parameters
    ----------
    data
        ``data["table"]`` with a column ``y``; each other column is a covariate.
    variance
        Prior of the variance of the noise; conjugate if it is an inverse gamma distribution.
    spread
        Prior standard deviation of a coefficient, in standard deviations of the noise.

    References
    ----------
    O'Hagan & Forster, Kendall's Advanced Theory of Statistics, vol. 2B, chapter 11.
    """
    table = data["table"]
    x = table.drop(columns="y")
    x.insert(0, "intercept", 1.0)
    m = Model("linear regression", coords={"covariate": x.columns})
    m.add_node("x", observations=x, dims=("row", "covariate"))
    m.add_node("variance", distribution=variance)
    m.add_node(
        "sigma", parents={"variance": "variance"}, link_fn=lambda variance: jnp.sqrt(variance)
    )
    m.add_node(
        "beta",
        distribution=dx.Normal,
        parents={"sigma": "sigma"},
        link_fn=lambda sigma: {"loc": 0.0, "scale": spread * sigma},
        shape=x.shape[1],
        dims="covariate",
    )
    m.add_node(
        "y",
        distribution=dx.Normal,
        parents={"x": "x", "beta": "beta", "sigma": "sigma"},
        link_fn=lambda x, beta, sigma: {"loc": x @ beta, "scale": sigma},
        observations=table["y"],
        dims="row",
    )
    return m

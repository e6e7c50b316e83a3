"""Poisson regression: counts over an exposure, and what their rate depends on."""

from collections.abc import Mapping

import jax.numpy as jnp
import pandas as pd
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.base import Model


def model(data: Mapping[str, pd.DataFrame], intercept, slope) -> Model:
    """Return the model ``y_i ~ Poisson(exposure_i exp(intercept + x_i . slope))``.

    Parameters
    ----------
    data
        ``data["table"]`` with columns ``y`` (counts) and ``exposure`` (time or area of the count);
        each other column is a covariate.
    intercept
        Prior of the log rate for an exposure of 1, where all covariates are 0.
    slope
        Prior of each covariate's effect on the log rate.

    References
    ----------
    Gelman, Hill & Vehtari (2020), Regression and Other Stories, section 15.2.
    """
    table = data["table"]
    x = table.drop(columns=["y", "exposure"])
    m = Model("Poisson regression", coords={"covariate": x.columns})
    m.add_node("x", observations=x, dims=("row", "covariate"))
    m.add_node("exposure", observations=table["exposure"], dims="row")
    m.add_node("intercept", distribution=intercept)
    m.add_node("slope", distribution=slope, shape=x.shape[1], dims="covariate")
    m.add_node(
        "y",
        distribution=tfd.Poisson,
        parents={"x": "x", "exposure": "exposure", "intercept": "intercept", "slope": "slope"},
        link_fn=lambda x, exposure, intercept, slope: {
            "log_rate": jnp.log(exposure) + intercept + x @ slope
        },
        observations=table["y"],
        dims="row",
    )
    return m

"""Negative-binomial regression: counts that vary more than those of a Poisson distribution."""

from collections.abc import Mapping

import jax.numpy as jnp
import pandas as pd
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.base import Model


def model(data: Mapping[str, pd.DataFrame], intercept, slope, overdispersion) -> Model:
    """Return the model with mean ``mean_i = exp(intercept + x_i . slope)``.

    ``y_i ~ NegativeBinomial`` with variance ``mean_i + overdispersion * mean_i^2``.

    Parameters
    ----------
    data
        ``data["table"]`` with a column ``y`` of counts; each other column is a covariate.
    intercept
        Prior of the log mean where all covariates are 0.
    slope
        Prior of each covariate's effect on the log mean.
    overdispersion
        Prior of the squared coefficient of variation of the rate; 0 would be Poisson regression.

    References
    ----------
    Gelman, Hill & Vehtari (2020), Regression and Other Stories, section 15.2; Hilbe (2011),
    Negative Binomial Regression, 2nd ed. (its NB2).
    """
    table = data["table"]
    x = table.drop(columns="y")

    def counts(x, intercept, slope, overdispersion):
        log_mean = intercept + x @ slope
        return {"total_count": 1 / overdispersion, "logits": log_mean + jnp.log(overdispersion)}

    m = Model("negative-binomial regression", coords={"covariate": x.columns})
    m.add_node("x", observations=x, dims=("row", "covariate"))
    m.add_node("intercept", distribution=intercept)
    m.add_node("slope", distribution=slope, shape=x.shape[1], dims="covariate")
    m.add_node("overdispersion", distribution=overdispersion)
    m.add_node(
        "y",
        distribution=tfd.NegativeBinomial,
        parents={name: name for name in ("x", "intercept", "slope", "overdispersion")},
        link_fn=counts,
        observations=table["y"],
        dims="row",
    )
    return m

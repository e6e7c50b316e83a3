"""Logistic regression: answers, yes or no, and what they depend on."""

from collections.abc import Mapping

import pandas as pd
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.base import Model


def model(data: Mapping[str, pd.DataFrame], intercept, slope) -> Model:
    """Return the model ``logit P(y_i = 1) = intercept + x_i . slope``.

    Parameters
    ----------
    data
        ``data["table"]`` with a column ``y`` of 0 and 1; each other column is a covariate.
    intercept
        Prior of the log odds where all covariates are 0.
    slope
        Prior of each covariate's effect on the log odds.

    References
    ----------
    Gelman, Hill & Vehtari (2020), Regression and Other Stories, chapter 13.
    """
    table = data["table"]
    x = table.drop(columns="y")
    m = Model("logistic regression", coords={"covariate": x.columns})
    m.add_node("x", observations=x, dims=("row", "covariate"))
    m.add_node("intercept", distribution=intercept)
    m.add_node("slope", distribution=slope, shape=x.shape[1], dims="covariate")
    m.add_node(
        "y",
        distribution=tfd.Bernoulli,
        parents={"x": "x", "intercept": "intercept", "slope": "slope"},
        link_fn=lambda x, intercept, slope: {"logits": intercept + x @ slope},
        observations=table["y"],
        dims="row",
    )
    return m

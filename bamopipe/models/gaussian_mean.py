"""The mean of a normal distribution whose standard deviation is known: the smallest model."""

from collections.abc import Mapping

import distrax as dx
import pandas as pd

from bamopipe.base import Model


def model(data: Mapping[str, pd.DataFrame], mu, sigma: float) -> Model:
    """Return the model ``y_i ~ Normal(mu, sigma)``, conjugate where the prior of mu is normal.

    Parameters
    ----------
    data
        ``data["sample"]`` with a column ``y``.
    mu
        Prior of the mean.
    sigma
        The standard deviation of the observations.

    References
    ----------
    Gelman et al., Bayesian Data Analysis, 3rd ed., section 2.5; with these numbers in Hinne
    (2025), Behavior Research Methods.
    """
    m = Model("Gaussian mean")
    m.add_node("mu", distribution=mu)
    m.add_node(
        "y",
        distribution=dx.Normal,
        parents={"loc": "mu", "scale": sigma},
        observations=data["sample"]["y"],
        dims="row",
    )
    return m

"""A time series in which each value depends on the few before it."""

import functools
from collections.abc import Mapping

import pandas as pd

from bamopipe.base import Model
from bamopipe.distributions.autoregressive import AutoRegressive


def model(data: Mapping[str, pd.DataFrame], order: int, coefficients, intercept, sigma) -> Model:
    """Return the autoregressive model AR(p), given the first p values.

    ``y_t ~ Normal(intercept + sum_k coefficients_k y_(t-k), sigma)``, the lag k from 1 to p.

    Parameters
    ----------
    data
        ``data["series"]`` with columns ``t`` and ``y``, in order of time.
    order
        How many values back each one depends on: the p of AR(p).
    coefficients
        Prior of the coefficient of each lag.
    intercept
        Prior of the intercept.
    sigma
        Prior of the standard deviation of what is new in each value.

    References
    ----------
    Hamilton (1994), Time Series Analysis, section 5.3.
    """
    series = data["series"]
    coords = {"lag": range(1, order + 1), "t": series["t"][order:]}
    m = Model(f"AR({order})", coords=coords)
    m.add_node("coefficients", distribution=coefficients, shape=order, dims="lag")
    m.add_node("intercept", distribution=intercept)
    m.add_node("sigma", distribution=sigma)
    m.add_node(
        "y",
        distribution=functools.partial(AutoRegressive, length=len(series) - order),
        parents={
            "coefficients": "coefficients",
            "scale": "sigma",
            "intercept": "intercept",
            "initial": series["y"][:order],
        },
        observations=series["y"][order:],
        dims="t",
    )
    return m

"""Returns whose volatility wanders: a latent autoregression of the log variance."""

import functools
from collections.abc import Mapping

import distrax as dx
import jax.numpy as jnp
import pandas as pd

from bamopipe.base import Model
from bamopipe.distributions.autoregressive import AutoRegressive


def model(data: Mapping[str, pd.DataFrame], mu, phi, sigma) -> Model:
    """Return the stochastic volatility model.

    ``y_t ~ Normal(0, exp(h_t / 2))`` and ``h_t ~ Normal(mu + phi (h_(t-1) - mu), sigma)``, from
    ``h_0 = mu``, the day before the first.

    Parameters
    ----------
    data
        ``data["returns"]`` with columns ``day`` and ``y``, in order of time.
    mu
        Prior of the level of the log variance ``h``.
    phi
        Prior of its persistence from day to day, between 0 and 1.
    sigma
        Prior of the standard deviation of its daily innovations.

    References
    ----------
    Kim, Shephard & Chib (1998), Review of Economic Studies 65, 361-393.
    """
    returns = data["returns"]
    m = Model("stochastic volatility", coords={"day": returns["day"]})
    m.add_node("mu", distribution=mu)
    m.add_node("phi", distribution=phi)
    m.add_node("sigma", distribution=sigma)
    m.add_node(
        "h",
        distribution=functools.partial(AutoRegressive, length=len(returns)),
        parents={"mu": "mu", "phi": "phi", "sigma": "sigma"},
        link_fn=lambda mu, phi, sigma: {
            "coefficients": phi[None],
            "intercept": mu * (1 - phi),
            "initial": mu[None],
            "scale": sigma,
        },
        dims="day",
    )
    m.add_node(
        "y",
        distribution=dx.Normal,
        parents={"h": "h"},
        link_fn=lambda h: {"loc": 0.0, "scale": jnp.exp(h / 2)},
        observations=returns["y"],
        dims="day",
    )
    return m

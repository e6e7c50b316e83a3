"""Flips of several coins from one mint, whose probabilities of heads are alike."""

from collections.abc import Mapping

import pandas as pd
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.base import Model


def model(data: Mapping[str, pd.DataFrame], omega, concentration: float) -> Model:
    """Return the hierarchical model with a beta distribution given by its mode.

    ``heads_j ~ Binomial(flips_j, theta_j)``,
    ``theta_j ~ Beta(omega (concentration - 2) + 1, (1 - omega) (concentration - 2) + 1)``.

    Parameters
    ----------
    data
        ``data["coins"]`` with columns ``coin``, ``flips`` and ``heads``.
    omega
        Prior of the mode of the coins' probabilities of heads.
    concentration
        How alike the coins are: the sum of the two parameters of the beta distribution, above 2.

    References
    ----------
    Kruschke (2015), Doing Bayesian Data Analysis, 2nd ed., section 9.2.
    """
    coins = data["coins"]
    m = Model("coin flips", coords={"coin": coins["coin"]})
    m.add_node("omega", distribution=omega)
    m.add_node(
        "theta",
        distribution=tfd.Beta,
        parents={"omega": "omega"},
        link_fn=lambda omega: {
            "concentration1": omega * (concentration - 2) + 1,
            "concentration0": (1 - omega) * (concentration - 2) + 1,
        },
        shape=len(coins),
        dims="coin",
    )
    m.add_node(
        "heads",
        distribution=tfd.Binomial,
        parents={"total_count": coins["flips"], "probs": "theta"},
        observations=coins["heads"],
        dims="coin",
    )
    return m

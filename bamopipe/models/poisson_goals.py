"""Goals in football matches at one rate, to compare with a model in which the rate varies."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.base import Model


def model(data: Mapping[str, pd.DataFrame], rate) -> Model:
    """Return the model ``goals_i ~ Poisson(rate)``, conjugate where the prior of rate is a gamma.

    Its rival is `bamopipe.models.negative_binomial_goals`.

    Parameters
    ----------
    data
        ``data["matches"]`` with columns ``goals`` (in a match, of both sides) and ``matches`` (how
        many ended with that number).
    rate
        Prior of the mean number of goals.

    References
    ----------
    Hastie & Green (2012), Statistica Neerlandica 66, 309-338, section 3.1; after Green (2003).
    """
    table = data["matches"]
    m = Model("Poisson goals")
    m.add_node("rate", distribution=rate)
    m.add_node(
        "goals",
        distribution=tfd.Poisson,
        parents={"rate": "rate"},
        observations=np.repeat(table["goals"], table["matches"]),
        dims="match",
    )
    return m

"""Goals in football matches at rates that vary, to compare with a model that has one rate."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import pandas as pd
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.base import Model


def model(data: Mapping[str, pd.DataFrame], rate, overdispersion) -> Model:
    """Return the model ``goals_i ~ NegativeBinomial`` with mean ``rate``.

    The variance is ``rate + overdispersion * rate^2``. Its rival is
    `bamopipe.models.poisson_goals`.

    Parameters
    ----------
    data
        ``data["matches"]`` with columns ``goals`` (in a match, of both sides) and ``matches`` (how
        many ended with that number).
    rate
        Prior of the mean number of goals.
    overdispersion
        Prior of the squared coefficient of variation of the rate between matches.

    References
    ----------
    Hastie & Green (2012), Statistica Neerlandica 66, 309-338, section 3.1; after Green (2003).
    """
    table = data["matches"]
    m = Model("negative-binomial goals")
    m.add_node("rate", distribution=rate)
    m.add_node("overdispersion", distribution=overdispersion)
    m.add_node(
        "goals",
        distribution=tfd.NegativeBinomial,
        parents={"rate": "rate", "overdispersion": "overdispersion"},
        link_fn=lambda rate, overdispersion: {
            "total_count": 1 / overdispersion,
            "logits": jnp.log(rate * overdispersion),
        },
        observations=np.repeat(table["goals"], table["matches"]),
        dims="match",
    )
    return m

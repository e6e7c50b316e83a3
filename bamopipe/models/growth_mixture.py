"""A growth mixture: every subject follows one of a few lines, and we do not know which."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.base import Model


def model(data: Mapping[str, pd.DataFrame], eta, sigma, logits, num_lines: int) -> Model:
    """Return a mixture of lines in time, summed over the class that each student belongs to.

    ``score_i ~ sum_k weight_k Normal(eta_k0 + eta_k1 time, sigma_k)``, a whole series at once;
    ``weight = softmax([0, logits])``, and time runs from 0 to 1. The names of the classes can be
    exchanged: the posterior has a mode for each way to give them.

    Parameters
    ----------
    data
        ``data["scores"]`` in long format: columns ``student``, ``occasion`` and ``score``, each
        student seen on each occasion.
    eta
        Prior of each line's intercept, and of its rise from the first occasion to the last.
    sigma
        Prior of the standard deviation of the scores about each line.
    logits
        Prior of each weight's log ratio to that of the first class.
    num_lines
        How many lines.

    References
    ----------
    Muthén & Shedden (1999), Biometrics 55, 463-469; with these priors in Hinne (2025), Behavior
    Research Methods.
    """
    scores = data["scores"].pivot(index="student", columns="occasion", values="score")

    def mixture(eta, sigma, weight, time):
        line = eta[:, :1] + eta[:, 1:] * time
        return tfd.MixtureSameFamily(
            tfd.Categorical(probs=weight),
            tfd.Independent(tfd.Normal(line, sigma[:, None]), reinterpreted_batch_ndims=1),
        )

    m = Model(
        "growth mixture",
        coords={
            "student": scores.index,
            "occasion": scores.columns,
            "coefficient": ["intercept", "slope"],
        },
    )
    m.add_node("time", observations=np.linspace(0, 1, scores.shape[1]), dims="occasion")
    m.add_node("eta", distribution=eta, shape=(num_lines, 2), dims=("line", "coefficient"))
    m.add_node("sigma", distribution=sigma, shape=num_lines, dims="line")
    m.add_node("logits", distribution=logits, shape=num_lines - 1, dims="other_line")
    m.add_node(
        "weight",
        parents={"logits": "logits"},
        link_fn=lambda logits: jax.nn.softmax(jnp.append(0.0, logits)),
        dims="line",
    )
    m.add_node(
        "score",
        distribution=mixture,
        parents={"eta": "eta", "sigma": "sigma", "weight": "weight", "time": "time"},
        observations=scores,
        dims=("student", "occasion"),
    )
    return m

"""Expectancy valence of many subjects of the Iowa gambling task, who resemble one another."""

from collections.abc import Mapping

import distrax as dx
import pandas as pd
from jax.scipy.special import ndtr
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.base import Model
from bamopipe.models.expectancy_valence import preferences

PARAMETERS = ("w", "a", "c")


def model(data: Mapping[str, pd.DataFrame], mu, sigma) -> Model:
    """Return the hierarchical expectancy valence model.

    Each subject i chooses as in `bamopipe.models.expectancy_valence`, with parameters
    ``w_i = Phi(z_i1)``, ``a_i = Phi(z_i2)`` and ``c_i = 4 Phi(z_i3) - 2``, where Phi is the
    standard normal distribution function and ``z_ip ~ Normal(mu_p, sigma_p)``.

    Parameters
    ----------
    data
        ``data["trials"]`` in long format: columns ``subject``, ``trial``, ``choice`` (1 to 4),
        ``win`` and ``loss``, in hundreds of dollars; all subjects have the same trials.
    mu
        Prior of the mean of each parameter over subjects, on the scale of ``z``.
    sigma
        Prior of its standard deviation.

    References
    ----------
    Wetzels, Vandekerckhove, Tuerlinckx & Wagenmakers (2010), Journal of Mathematical Psychology
    54, 14-27; with these priors in Gronau et al. (2017), Journal of Mathematical Psychology 81,
    80-97.
    """
    trials = data["trials"].pivot(index="trial", columns="subject")
    choice = trials["choice"] - 1
    subjects = len(choice.columns)
    m = Model(
        "expectancy valence, hierarchical",
        coords={"trial": choice.index, "subject": choice.columns, "parameter": PARAMETERS},
    )
    m.add_node("mu", distribution=mu, shape=3, dims="parameter")
    m.add_node("sigma", distribution=sigma, shape=3, dims="parameter")
    m.add_node(
        "z",
        distribution=dx.Normal,
        parents={"loc": "mu", "scale": "sigma"},
        shape=subjects,
        dims=("subject", "parameter"),
    )
    m.add_node("w", parents={"z": "z"}, link_fn=lambda z: ndtr(z[:, 0]), dims="subject")
    m.add_node("a", parents={"z": "z"}, link_fn=lambda z: ndtr(z[:, 1]), dims="subject")
    m.add_node("c", parents={"z": "z"}, link_fn=lambda z: 4 * ndtr(z[:, 2]) - 2, dims="subject")
    m.add_node(
        "choice",
        distribution=tfd.Categorical,
        parents={
            "w": "w",
            "a": "a",
            "c": "c",
            "chosen": choice,
            "win": trials["win"],
            "loss": trials["loss"],
        },
        link_fn=lambda **parents: {"logits": preferences(**parents)},
        observations=choice,
        dims=("trial", "subject"),
    )
    return m

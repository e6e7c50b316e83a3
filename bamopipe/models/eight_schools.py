"""The effect of coaching in eight schools, partially pooled (Rubin 1981)."""

from collections.abc import Mapping

import distrax as dx
import pandas as pd

from bamopipe.base import Model


def model(data: Mapping[str, pd.DataFrame], mu, tau) -> Model:
    """Return the centred hierarchical model.

    ``y_j ~ Normal(theta_j, sd_j)``, ``theta_j ~ Normal(mu, tau)``.

    Parameters
    ----------
    data
        ``data["schools"]`` with columns ``school``, ``y`` (estimated effect, in points of the
        test) and ``sd`` (its standard error).
    mu
        Prior of the mean effect.
    tau
        Prior of the standard deviation of effects between schools.

    References
    ----------
    Rubin (1981), Journal of Educational Statistics 6, 377-401; Gelman et al., Bayesian Data
    Analysis, 3rd ed., section 5.5.
    """
    schools = data["schools"]
    m = Model("eight schools", coords={"school": schools["school"]})
    m.add_node("mu", distribution=mu)
    m.add_node("tau", distribution=tau)
    m.add_node(
        "theta",
        distribution=dx.Normal,
        parents={"loc": "mu", "scale": "tau"},
        shape=len(schools),
        dims="school",
    )
    m.add_node(
        "y",
        distribution=dx.Normal,
        parents={"loc": "theta", "scale": schools["sd"]},
        observations=schools["y"],
        dims="school",
    )
    return m

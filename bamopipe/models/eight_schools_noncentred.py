"""The effect of coaching in eight schools, with standardised school effects (Rubin 1981)."""

from collections.abc import Mapping

import distrax as dx
import pandas as pd

from bamopipe.base import Model


def model(data: Mapping[str, pd.DataFrame], mu, tau) -> Model:
    """Return the hierarchical model in its non-centred form.

    ``y_j ~ Normal(theta_j, sd_j)``, ``theta_j = mu + tau z_j``, ``z_j ~ Normal(0, 1)``: the same
    posterior as that of `bamopipe.models.eight_schools`, without the funnel between ``tau`` and
    ``theta`` that samplers by gradients get stuck in.

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
    Papaspiliopoulos, Roberts & Sköld (2007), Statistical Science 22, 59-73; the data: Rubin
    (1981), Journal of Educational Statistics 6, 377-401.
    """
    schools = data["schools"]
    m = Model("eight schools, non-centred", coords={"school": schools["school"]})
    m.add_node("mu", distribution=mu)
    m.add_node("tau", distribution=tau)
    m.add_node("z", distribution=dx.Normal(loc=0.0, scale=1.0), shape=len(schools), dims="school")
    m.add_node(
        "theta",
        parents={"mu": "mu", "tau": "tau", "z": "z"},
        link_fn=lambda mu, tau, z: mu + tau * z,
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

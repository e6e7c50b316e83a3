"""Variable selection with a spike and a slab: each covariate is in the regression or out of it."""

from collections.abc import Mapping

import distrax as dx
import jax.numpy as jnp
import pandas as pd

from bamopipe.base import Model


def model(data: Mapping[str, pd.DataFrame], included, variance, slab: float) -> Model:
    """Return a linear regression with a discrete indicator for each covariate.

    ``y_i ~ Normal(sum_j x_ij effect_j, sigma)`` with ``effect_j = included_j * beta_j``,
    ``included_j ~ Bernoulli`` and ``beta_j ~ Normal(0, slab * sigma)``. With an inverse gamma
    prior of ``sigma**2`` everything but the indicators can be integrated in closed form, so a sum
    over all subsets of the covariates gives the exact answer.

    Parameters
    ----------
    data
        ``data["regression"]`` with a column ``y``; each other column is a covariate.
    included
        Prior of each indicator, over 0 and 1.
    variance
        Prior of the variance of the noise, ``sigma**2``.
    slab
        Scale of the coefficients that are included, in units of ``sigma``.

    References
    ----------
    Mitchell & Beauchamp (1988), Journal of the American Statistical Association 83, 1023-1032;
    Kuo & Mallick (1998), Sankhya B 60, 65-81, for coefficients that are multiplied by indicators.
    """
    y = data["regression"]["y"]
    x = data["regression"].drop(columns="y")
    m = Model("spike and slab", coords={"covariate": x.columns})
    m.add_node("x", observations=x, dims=("row", "covariate"))
    m.add_node("included", distribution=included, shape=x.shape[1], dims="covariate")
    m.add_node("variance", distribution=variance)
    m.add_node(
        "sigma", parents={"variance": "variance"}, link_fn=lambda variance: jnp.sqrt(variance)
    )
    m.add_node(
        "beta",
        distribution=dx.Normal,
        parents={"sigma": "sigma"},
        link_fn=lambda sigma: {"loc": 0.0, "scale": slab * sigma},
        shape=x.shape[1],
        dims="covariate",
    )
    m.add_node(
        "effect",
        parents={"included": "included", "beta": "beta"},
        link_fn=lambda included, beta: included * beta,
        dims="covariate",
    )
    m.add_node(
        "y",
        distribution=dx.Normal,
        parents={"x": "x", "effect": "effect", "sigma": "sigma"},
        link_fn=lambda x, effect, sigma: {"loc": x @ effect, "scale": sigma},
        observations=y,
        dims="row",
    )
    return m

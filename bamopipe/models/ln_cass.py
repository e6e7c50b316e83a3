"""Variable selection by the logit-normal continuous analogue of the spike and slab (LN-CASS)."""

from collections.abc import Mapping

import distrax as dx
import jax
import pandas as pd

from bamopipe.base import Model


def model(data: Mapping[str, pd.DataFrame], v, tau, sigma) -> Model:
    """Return a linear regression in which each covariate is switched on or off, smoothly.

    ``y_i ~ Normal(sum_j x_ij beta_j, sigma)`` with ``beta_j ~ Normal(0, tau * lambda_j)`` and
    ``logit(lambda_j) = v_j``. A wide prior of ``v`` puts nearly all of ``lambda_j`` close to 0 (a
    spike of the coefficient at zero) or close to 1 (a slab of scale ``tau``), with a way between
    them that gradients can follow. The coefficients are written ``tau * lambda_j * z_j`` with
    standard normal ``z_j``, which frees the prior of its funnels.

    Between spike and slab the posterior is narrow. NUTS stays there now and then for hundreds of
    draws, which R-hat tells; ``sampler.target_acceptance_rate=0.99`` keeps it from that.

    Parameters
    ----------
    data
        ``data["regression"]`` with a column ``y``; each other column is a covariate.
    v
        Prior of the log odds of inclusion; its mean says how many covariates are expected.
    tau
        Prior of the scale of the slab.
    sigma
        Prior of the standard deviation of the noise.

    References
    ----------
    Thomson, Jabbari, Taylor, Arlt & Smith (2019), Journal of the Royal Society Interface 16,
    20180572.
    """
    y = data["regression"]["y"]
    x = data["regression"].drop(columns="y")
    m = Model("LN-CASS", coords={"covariate": x.columns})
    m.add_node("x", observations=x, dims=("row", "covariate"))
    m.add_node("v", distribution=v, shape=x.shape[1], dims="covariate")
    m.add_node("tau", distribution=tau)
    m.add_node("sigma", distribution=sigma)
    m.add_node("z", distribution=dx.Normal(loc=0.0, scale=1.0), shape=x.shape[1], dims="covariate")
    m.add_node(
        "inclusion", parents={"v": "v"}, link_fn=lambda v: jax.nn.sigmoid(v), dims="covariate"
    )
    m.add_node(
        "beta",
        parents={"tau": "tau", "inclusion": "inclusion", "z": "z"},
        link_fn=lambda tau, inclusion, z: tau * inclusion * z,
        dims="covariate",
    )
    m.add_node(
        "y",
        distribution=dx.Normal,
        parents={"x": "x", "beta": "beta", "sigma": "sigma"},
        link_fn=lambda x, beta, sigma: {"loc": x @ beta, "scale": sigma},
        observations=y,
        dims="row",
    )
    return m

"""The cycles of hares and lynxes, a differential equation seen through noise."""

from collections.abc import Mapping

import jax.numpy as jnp
import pandas as pd
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.base import Model
from bamopipe.errors import UserError


def model(
    data: Mapping[str, pd.DataFrame], alpha, beta, gamma, delta, sigma, initial, rtol: float
) -> Model:
    """Return the model of Lotka and Volterra for a predator, its prey and their counts.

    Hares ``u`` and lynxes ``v`` follow ``u' = (alpha - beta v) u`` and ``v' = (delta u - gamma) v``
    from ``initial`` in the first year, and each count is ``LogNormal`` about the population with
    scale ``sigma``. The equation is solved for the logarithms, which keeps populations positive.

    Parameters
    ----------
    data
        ``data["pelts"]`` with columns ``year``, ``hare`` and ``lynx`` (counts, in thousands).
    alpha, beta, gamma, delta
        Priors of the rates, per year: birth of hares, their death for each lynx, death of lynxes,
        and their birth for each hare.
    sigma
        Prior of the scale of the noise, for either species.
    initial
        Prior of the populations in the first year, for either species.
    rtol
        Relative tolerance of the solver.

    Raises
    ------
    UserError
        diffrax is not installed.

    References
    ----------
    Lotka (1925), Principles of Physical Biology; Volterra (1926), Nature 118, 558-560. Data and
    priors: Carpenter (2018), Predator-prey population dynamics: the Lotka-Volterra model in Stan.
    """
    try:
        import diffrax
    except ImportError:
        raise UserError(
            "the model lotka_volterra needs diffrax to solve its equation; install it with "
            "`uv sync --extra ode` or `pip install 'bamopipe[ode]'`"
        ) from None
    pelts = data["pelts"]
    years = jnp.asarray(pelts["year"] - pelts["year"][0])

    def rates(t, logs, parameters):
        alpha, beta, gamma, delta = parameters
        hare, lynx = jnp.exp(logs)
        return jnp.stack([alpha - beta * lynx, delta * hare - gamma])

    def solve(initial, alpha, beta, gamma, delta):
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(rates),
            diffrax.Dopri8(),
            t0=years[0],
            t1=years[-1],
            dt0=None,
            y0=jnp.log(initial),
            args=(alpha, beta, gamma, delta),
            saveat=diffrax.SaveAt(ts=years),
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=rtol),
            throw=False,  # where it gives up, populations are infinite: a density of zero
        )
        return jnp.exp(solution.ys)

    m = Model("Lotka-Volterra", coords={"species": ["hare", "lynx"], "year": pelts["year"]})
    m.add_node("alpha", distribution=alpha)
    m.add_node("beta", distribution=beta)
    m.add_node("gamma", distribution=gamma)
    m.add_node("delta", distribution=delta)
    m.add_node("sigma", distribution=sigma, shape=2, dims="species")
    m.add_node("initial", distribution=initial, shape=2, dims="species")
    m.add_node(
        "population",
        parents={name: name for name in ("initial", "alpha", "beta", "gamma", "delta")},
        link_fn=solve,
        dims=("year", "species"),
    )
    m.add_node(
        "pelts",
        distribution=tfd.LogNormal,
        parents={"population": "population", "sigma": "sigma"},
        link_fn=lambda population, sigma: {"loc": jnp.log(population), "scale": sigma},
        observations=pelts[["hare", "lynx"]],
        dims=("year", "species"),
    )
    return m

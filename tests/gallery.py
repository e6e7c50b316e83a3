"""The models of bamopipe/models, their reference answers, and draws to compare with these."""

import json
from functools import cache
from pathlib import Path

import jax
import numpy as np

from bamopipe import compose
from bamopipe.stages import fit
from bamopipe.target import Target, compile_target, precision_context

FOLDER = Path(__file__).parent / "references"
REFERENCES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
NUM_CHAINS = 8  # of SMC, so that a standard error between chains means something


def config(name: str, *overrides: str) -> dict:
    """Compose the config of a run as `bamopipe run single model=NAME` does."""
    _, (run,) = compose.spread("single", [f"model={name}", *overrides])
    return run.content


@cache
def target_of(name: str) -> Target:
    """Compile a model with the priors and data of its config."""
    return compile_target(fit.build_model(config(name)))


def quantities(name: str, draws: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compute what the reference of a model has, from draws of shape (chain, draw, ...).

    Returns
    -------
    dict
        Name of a scalar, such as ``beta[0]``, to its draws of shape (chain, draw).
    """
    target = target_of(name)

    def follow(position):
        values = {"log_likelihood": target.log_likelihood(position)}
        return {**position, **values, **target.deterministics(position)}

    with precision_context("float64"):
        values = jax.device_get(jax.jit(jax.vmap(jax.vmap(follow)))(draws))
    values = RELABEL.get(name, lambda values: values)(values)
    found = {}
    for key in REFERENCES[name]["quantities"]:
        variable, _, index = key.rstrip("]").partition("[")
        found[key] = values[variable][(..., *(int(i) for i in index.split(",") if i))]
    return found


def gibbs_settings(name: str) -> dict:
    """Compose the config of sequential Monte Carlo with `sampler=gibbs`."""
    return config(name, "sampler=gibbs", *GIBBS.get(name, GIBBS_OF_ALL))


def gibbs(name: str, key: int):
    """Run sequential Monte Carlo with `sampler=gibbs`."""
    return fit.build_engine(gibbs_settings(name)).run(jax.random.key(key))


def nuts_within_smc(name: str, key: int):
    """Run sequential Monte Carlo with `sampler=nuts`."""
    settings = config(name, "sampler=nuts", *FEW_PARTICLES)
    return fit.build_engine(settings).run(jax.random.key(key))


def nuts(name: str, key: int):
    """Run Markov chains with `sampler=nuts`."""
    settings = config(name, "inference=mcmc", "sampler=nuts", *NUTS.get(name, ()))
    return fit.build_engine(settings).run(jax.random.key(key))


def _by_intercept(values):
    """Let the lines of the growth mixture, which can be exchanged, ascend in their intercepts."""
    order = np.argsort(values["eta"][..., 0], axis=-1)
    return {
        **values,
        "eta": np.take_along_axis(values["eta"], order[..., None], axis=-2),
        "sigma": np.take_along_axis(values["sigma"], order, axis=-1),
        "weight": np.take_along_axis(values["weight"], order, axis=-1),
    }


# What some models need beyond the settings that all share.
RELABEL = {"growth_mixture": _by_intercept}
# Of sampler=gibbs within sequential Monte Carlo.
GIBBS_OF_ALL = (f"inference.num_chains={NUM_CHAINS}", "inference.num_particles=500")
# Every move solves a differential equation, factorises matrices, or goes through many choices.
COSTLY = (f"inference.num_chains={NUM_CHAINS}", "inference.num_particles=100")
GIBBS = {
    "expectancy_valence_hierarchical": COSTLY,
    "gp_classification": COSTLY,
    "gp_heteroskedastic": COSTLY,
    "lotka_volterra": COSTLY,
}
# Of sampler=nuts within sequential Monte Carlo, for an exact reference whose modes lie apart, so
# that chains do not move between them.
SEVERAL_MODES = ("spike_and_slab",)
FEW_PARTICLES = (
    f"inference.num_chains={NUM_CHAINS}",
    "inference.num_particles=200",
    "sampler.max_num_doublings=4",
)
# Of sampler=nuts: longer chains for what moves slowly, or rarely far, and shorter steps where a
# place is so narrow that some chains, with the usual steps, stay in it for hundreds of draws.
NUTS: dict[str, tuple[str, ...]] = {
    "ln_cass": ("inference.num_samples=4000", "sampler.target_acceptance_rate=0.99"),
    "expectancy_valence_hierarchical": ("inference.num_samples=2000",),
}
# What may not converge with these settings, and why. Where the run says so, only that it runs
# through is tested; where it does not, its numbers have to be right.
HARD_FOR_GIBBS = {
    "gp_heteroskedastic": "a latent function hangs on its hyperparameters",
}
# Of these it takes minutes; their densities are tested in any case, and most of them with NUTS.
LONG_FOR_GIBBS = (
    "bayesian_neural_network",
    "expectancy_valence_hierarchical",
    "gp_classification",
    "gp_heteroskedastic",
    "growth_mixture",
    "hidden_markov",
    "lotka_volterra",
    "negative_binomial_goals",
    "stochastic_volatility",
)
HARD_FOR_NUTS = {
    "growth_mixture": "its lines can be exchanged, and chains stay with one order",
    "spike_and_slab": "switches and coefficients move apart",
}
# Of these the chains take minutes.
LONG_FOR_NUTS = ("expectancy_valence_hierarchical", "gp_heteroskedastic", "lotka_volterra")

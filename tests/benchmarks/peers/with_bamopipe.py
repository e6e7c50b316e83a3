"""The problems done by bamopipe; see work.py."""

from collections.abc import Callable
from importlib import import_module

import blackjax
import distrax as dx
import jax
import numpy as np
from problems import KEPT, data
from tensorflow_probability.substrates.jax import bijectors as tfb
from work import Found, answer

from bamopipe.base import Model
from bamopipe.inference import MCMCInference, SMCInference
from bamopipe.samplers import gibbs_sampler, mcmc_sampler
from bamopipe.target import compile_target


def seed_problem(**settings) -> Callable[[int], Found]:
    """Make eight schools with the kernels of bamojax's own example."""
    model = eight_schools()
    kernel = gibbs_sampler(
        model,
        dict.fromkeys(("mu", "tau", "theta"), blackjax.normal_random_walk),
        dict(mu=dict(sigma=6.0), tau=dict(sigma=6.0), theta=dict(sigma=5.0 * np.eye(8))),
    )
    engine = SMCInference(model, kernel, **settings)

    def run(seed: int) -> Found:
        result = engine.run(jax.random.key(seed))
        steps = sum(stage.num_mutations for stages in result.stages for stage in stages)
        log_evidence = result.log_evidence_chains.tolist()
        return {"log_evidence": log_evidence, "sweeps": steps * engine.num_particles}

    return run


def evidence(problem: str, kernel: str, **settings) -> Callable[[int], Found]:
    """Make sequential Monte Carlo."""
    model = model_of(problem)
    engine = SMCInference(model, KERNELS[kernel](model), **settings)
    return lambda seed: {
        "log_evidence": engine.run(jax.random.key(seed)).log_evidence_chains.tolist()
    }


def draws(problem: str, kernel: str, num_samples: int) -> Callable[[int], Found]:
    """Make Markov chain Monte Carlo, four chains."""
    model = model_of(problem)
    engine = MCMCInference(model, KERNELS[kernel](model), num_samples=num_samples, num_chains=4)
    target = compile_target(model)
    follow = jax.jit(
        jax.vmap(jax.vmap(lambda position: position | target.deterministics(position)))
    )

    def run(seed: int) -> Found:
        found = engine.run(jax.random.key(seed)).draws
        with jax.enable_x64(True):
            found = jax.device_get(follow(found))
        return {"draws": {name: found[name] for name in KEPT[problem]}}

    return run


MODULES = {
    "growth_mixture": "growth_mixture",
    "expectancy_valence": "expectancy_valence_hierarchical",
    "logistic": "logistic_regression",
    "gp": "gp_regression",
}
KERNELS = {
    "gibbs": gibbs_sampler,
    "hmc": lambda model: mcmc_sampler(model, blackjax.hmc),
    "nuts": lambda model: mcmc_sampler(model, blackjax.nuts),
    "random_walk": lambda model: mcmc_sampler(model, blackjax.normal_random_walk),
    "irmh": lambda model: mcmc_sampler(model, blackjax.irmh),
}


def eight_schools() -> Model:
    """Make eight schools of arrays."""
    effects, errors = data("eight_schools").values()
    model = Model("eight schools")
    mu = model.add_node("mu", distribution=dx.Normal(0.0, 10.0))
    tau = model.add_node("tau", distribution=log_normal(5.0, 1.0))
    theta = model.add_node(
        "theta", distribution=dx.Normal, parents=dict(loc=mu, scale=tau), shape=(8,)
    )
    model.add_node(
        "y", distribution=dx.Normal, parents=dict(loc=theta, scale=errors), observations=effects
    )
    return model


def model_of(problem: str) -> Model:
    """Make a problem, all but the smallest with one of bamopipe's own models."""
    if problem == "eight_schools":
        return eight_schools()

    import pandas as pd  # here, since eight schools needs none

    table = data(problem)
    if problem == "growth_mixture":
        rows = [
            (student, occasion, score)
            for student, scores in enumerate(table["score"])
            for occasion, score in enumerate(scores)
        ]
        scores = pd.DataFrame(rows, columns=["student", "occasion", "score"])
        tables = {"scores": scores}
        priors = {
            "eta": dx.Normal(0.0, 2.0),
            "sigma": log_normal(0.0, 1.0),
            "logits": dx.Normal(0.0, 1.0),
            "num_lines": 4,
        }
    elif problem == "expectancy_valence":
        trial, subject = np.indices(table["choice"].shape)
        columns = {"trial": trial, "subject": subject, **table, "choice": table["choice"] + 1}
        trials = pd.DataFrame({name: np.ravel(values) for name, values in columns.items()})
        tables = {"trials": trials}
        priors = {"mu": dx.Normal(0.0, 1.0), "sigma": dx.Uniform(0.0, 1.5)}
    elif problem == "logistic":
        rows = pd.DataFrame(table["x"]).add_prefix("x").assign(y=table["y"])
        tables = {"table": rows}
        priors = {"intercept": dx.Normal(0.0, 2.0), "slope": dx.Normal(0.0, 1.0)}
    else:
        tables = {"curve": pd.DataFrame(table)}
        priors = {
            "amplitude": log_normal(0.0, 1.0),
            "lengthscale": log_normal(0.0, 1.0),
            "noise": log_normal(-1.0, 1.0),
        }
    return import_module(f"bamopipe.models.{MODULES[problem]}").model(tables, **priors)


def log_normal(mu: float, sigma: float):
    """Make a log-normal prior."""
    return dx.Transformed(dx.Normal(mu, sigma), tfb.Exp())


if __name__ == "__main__":
    answer(seed_problem, evidence, draws)

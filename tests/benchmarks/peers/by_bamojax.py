"""bamojax: the seed problem as its own notebook has it."""

from functools import cache, partial

import blackjax
import jax
import numpy as np
import numpyro.distributions as dist
import problems
from bamojax.base import Model
from bamojax.inference import SMCInference
from bamojax.samplers import gibbs_sampler
from protocol import main


@cache
def eight_schools() -> Model:
    data = problems.eight_schools()
    model = Model("eight schools")
    mu = model.add_node("mu", distribution=dist.Normal(loc=0, scale=10))
    tau = model.add_node("tau", distribution=dist.LogNormal(loc=5, scale=1))
    parents = dict(loc=mu, scale=tau)
    theta = model.add_node("theta", distribution=dist.Normal, parents=parents, shape=(8,))
    parents = dict(loc=theta, scale=data["sd"])
    model.add_node("y", distribution=dist.Normal, parents=parents, observations=data["y"])
    return model


def seed_problem(num_particles: int, precision: str, seed: int) -> dict:
    jax.config.update("jax_enable_x64", precision == "float64")
    model, walk = eight_schools(), blackjax.normal_random_walk
    sigma = dict(mu=6.0, tau=6.0, theta=5.0 * np.eye(8))
    kernel = gibbs_sampler(
        model,
        step_fns=dict.fromkeys(sigma, walk),
        step_fn_params={name: dict(sigma=s) for name, s in sigma.items()},
    )
    engine = SMCInference(
        model=model,
        num_chains=4,
        mcmc_kernel=kernel,
        num_particles=num_particles,
        num_mutations=100,
    )
    found = jax.block_until_ready(engine.run(jax.random.PRNGKey(seed)))
    temperatures = int(np.sum(found["n_iter"]))
    return {
        "log_evidences": np.ravel(found["lml"]).tolist(),
        "sweeps": temperatures * num_particles * 100,
    }


main(
    {
        f"seed_problem/{count}{suffix}": partial(seed_problem, count, precision)
        for count in (1000, 10_000, 100_000, 1_000_000)
        for suffix, precision in (("", "float64"), ("/float32", "float32"))
    }
)

"""The work of a benchmark done by bamojax, in an environment of its own.

python with_bamojax.py '{"problem": "seed_problem", "num_particles": 1000, ...}'
"""

import json
import sys
import time

import blackjax
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from bamojax.base import Model
from bamojax.inference import SMCInference
from bamojax.samplers import gibbs_sampler

WORK = json.loads(sys.argv[1])


def seed_problem() -> SMCInference:
    """Eight schools as in bamojax's own example."""
    effects = jnp.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    errors = jnp.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
    model = Model("eight schools")
    mu = model.add_node("mu", distribution=dist.Normal(0.0, 10.0))
    log_normal = dist.TransformedDistribution(dist.Normal(5.0, 1.0), dist.transforms.ExpTransform())
    tau = model.add_node("tau", distribution=log_normal)
    theta = model.add_node(
        "theta", distribution=dist.Normal, parents=dict(loc=mu, scale=tau), shape=(8,)
    )
    model.add_node(
        "y", distribution=dist.Normal, parents=dict(loc=theta, scale=errors), observations=effects
    )
    kernel = gibbs_sampler(
        model,
        step_fns=dict.fromkeys(("mu", "tau", "theta"), blackjax.normal_random_walk),
        step_fn_params=dict(
            mu=dict(sigma=6.0), tau=dict(sigma=6.0), theta=dict(sigma=5.0 * jnp.eye(8))
        ),
    )
    return SMCInference(
        model=model,
        mcmc_kernel=kernel,
        num_particles=WORK["num_particles"],
        num_mutations=WORK["num_mutations"],
        num_chains=WORK["num_chains"],
    )


def main() -> None:
    """Run again and again, and print the seconds of each run and what came out."""
    jax.config.update("jax_enable_x64", WORK["precision"] == "float64")
    engine = globals()[WORK["problem"]]()
    seconds, log_evidence, sweeps = [], [], []
    for seed in range(WORK["repeats"]):
        start = time.perf_counter()
        result = jax.block_until_ready(engine.run(jax.random.PRNGKey(seed)))
        seconds.append(time.perf_counter() - start)
        log_evidence.append([float(value) for value in jnp.atleast_1d(result["lml"])])
        temperatures = jnp.atleast_1d(result["n_iter"]) + 1  # and the final move
        moves = float(jnp.sum(temperatures)) * WORK["num_particles"] * WORK["num_mutations"]
        sweeps.append(moves)
    print(json.dumps(dict(seconds=seconds, log_evidence=log_evidence, sweeps=sweeps)))


if __name__ == "__main__":
    main()

"""The seed problem done by bamojax, in an environment of its own; see work.py."""

from collections.abc import Callable

import blackjax
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from bamojax.base import Model
from bamojax.inference import SMCInference
from bamojax.samplers import gibbs_sampler
from work import answer


def seed_problem(precision: str, **settings) -> Callable[[int], tuple[list[float], float]]:
    """Make eight schools as in bamojax's own example."""
    jax.config.update("jax_enable_x64", precision == "float64")
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
    engine = SMCInference(model=model, mcmc_kernel=kernel, **settings)

    def run(seed: int) -> tuple[list[float], float]:
        result = jax.block_until_ready(engine.run(jax.random.PRNGKey(seed)))
        temperatures = jnp.sum(jnp.atleast_1d(result["n_iter"]) + 1)  # and the final move
        sweeps = float(temperatures) * settings["num_particles"] * settings["num_mutations"]
        return jnp.atleast_1d(result["lml"]).tolist(), sweeps

    return run


if __name__ == "__main__":
    answer(seed_problem)

"""The seed problem done by bamopipe; see work.py."""

from collections.abc import Callable

import blackjax
import distrax as dx
import jax
import numpy as np
from tensorflow_probability.substrates.jax import bijectors as tfb
from work import answer

from bamopipe.base import Model
from bamopipe.inference import SMCInference
from bamopipe.samplers import gibbs_sampler


def seed_problem(**settings) -> Callable[[int], tuple[list[float], float]]:
    """Make eight schools with the kernels of bamojax's own example."""
    effects = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    errors = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
    model = Model("eight schools")
    mu = model.add_node("mu", distribution=dx.Normal(0.0, 10.0))
    tau = model.add_node("tau", distribution=dx.Transformed(dx.Normal(5.0, 1.0), tfb.Exp()))
    theta = model.add_node(
        "theta", distribution=dx.Normal, parents=dict(loc=mu, scale=tau), shape=(8,)
    )
    model.add_node(
        "y", distribution=dx.Normal, parents=dict(loc=theta, scale=errors), observations=effects
    )
    kernel = gibbs_sampler(
        model,
        dict.fromkeys(("mu", "tau", "theta"), blackjax.normal_random_walk),
        dict(mu=dict(sigma=6.0), tau=dict(sigma=6.0), theta=dict(sigma=5.0 * np.eye(8))),
    )
    engine = SMCInference(model, kernel, **settings)

    def run(seed: int) -> tuple[list[float], float]:
        result = engine.run(jax.random.key(seed))
        steps = sum(stage.num_mutations for stages in result.stages for stage in stages)
        return result.log_evidence_chains.tolist(), steps * engine.num_particles

    return run


if __name__ == "__main__":
    answer(seed_problem)

"""The work of a benchmark done by bamopipe.

python with_bamopipe.py '{"problem": "seed_problem", "num_particles": 1000, ...}'
"""

import json
import sys
import time

import blackjax
import distrax as dx
import jax
import numpy as np
from tensorflow_probability.substrates.jax import bijectors as tfb

from bamopipe.base import Model
from bamopipe.inference import SMCInference
from bamopipe.samplers import gibbs_sampler

WORK = json.loads(sys.argv[1])


def seed_problem() -> SMCInference:
    """Eight schools with the kernels of bamojax's own example."""
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
    return SMCInference(
        model,
        kernel,
        num_particles=WORK["num_particles"],
        num_mutations=WORK["num_mutations"],
        num_chains=WORK["num_chains"],
        precision=WORK["precision"],
    )


def main() -> None:
    """Run again and again, and print the seconds of each run and what came out."""
    engine = globals()[WORK["problem"]]()
    seconds, log_evidence, sweeps = [], [], []
    for seed in range(WORK["repeats"]):
        start = time.perf_counter()
        result = engine.run(jax.random.key(seed))
        seconds.append(time.perf_counter() - start)
        log_evidence.append(result.log_evidence_chains.tolist())
        steps = sum(stage.num_mutations for stages in result.stages for stage in stages)
        sweeps.append(steps * WORK["num_particles"])
    print(json.dumps(dict(seconds=seconds, log_evidence=log_evidence, sweeps=sweeps)))


if __name__ == "__main__":
    main()

"""How cost grows with particles, chains, seeds, latent dimensions and data; and memory.

    uv run python tests/benchmarks/scaling.py [--decades 3] [--particles 1000000]

Fixed temperatures and numbers of mutations, so that the work is proportional to what is varied.
Prints processor seconds of warm runs for each, which should be flat but for what a run costs in any
case, and draws them to ``.benchmarks/results/scaling.png``. Then peak memory, in processes of their
own, of a million particles of eight schools, with few and with more mutations and temperatures.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import blackjax
import distrax as dx
import jax
import matplotlib
import numpy as np
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.base import Model
from bamopipe.inference import SMCInference
from bamopipe.samplers import gibbs_sampler, mcmc_sampler

matplotlib.use("agg")

RESULTS = Path(__file__).parents[2] / ".benchmarks" / "results"
TEMPERATURES = (0.01, 0.1, 1.0)


def eight_schools() -> Model:
    """Return eight schools as an experiment has it."""
    model = Model("eight schools")
    model.add_node("mu", distribution=dx.Normal(0.0, 10.0))
    model.add_node("tau", distribution=tfd.LogNormal(5.0, 1.0))
    parents = dict(loc="mu", scale="tau")
    model.add_node("theta", distribution=dx.Normal, parents=parents, shape=8)
    sd = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    y = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
    parents = dict(loc="theta", scale=sd)
    model.add_node("y", distribution=dx.Normal, parents=parents, observations=y)
    return model


def schools_engine(num_particles: int, **settings) -> SMCInference:
    model = eight_schools()
    sigma = dict(mu=6.0, tau=6.0, theta=5.0 * np.eye(8))
    walk = dict.fromkeys(sigma, blackjax.normal_random_walk)
    kernel = gibbs_sampler(model, walk, {name: dict(sigma=s) for name, s in sigma.items()})
    settings = dict(num_mutations=10, temperatures=TEMPERATURES) | settings
    return SMCInference(model, kernel, num_particles, **settings)


def vector_engine(dimension: int, num_data: int) -> SMCInference:
    """Return many unknown means, seen through noise, moved by steps of a given size."""
    model = Model("means")
    model.add_node("x", distribution=dx.Normal(0.0, 1.0), shape=dimension)
    noise = np.random.default_rng(0).standard_normal((num_data, dimension))
    parents = dict(loc="x", scale=1.0)
    model.add_node("y", distribution=dx.Normal, parents=parents, observations=noise)
    kernel = mcmc_sampler(model, blackjax.normal_random_walk, dict(sigma=0.1))
    return SMCInference(model, kernel, 1000, num_mutations=10, temperatures=TEMPERATURES)


def seconds(engine: SMCInference, seeds: Iterable[int] = (1,)) -> float:
    """Return the processor seconds of warm runs."""
    engine.run(jax.random.key(0))
    start = time.process_time()
    for seed in seeds:
        engine.run(jax.random.key(seed))
    return time.process_time() - start


# What is varied -> smallest number, and the seconds of a run with so many.
SWEEPS: dict[str, tuple[int, Callable[[int], float]]] = {
    "particles": (1000, lambda n: seconds(schools_engine(n))),
    "chains": (1, lambda n: seconds(schools_engine(1000, num_chains=n))),
    "seeds": (1, lambda n: seconds(schools_engine(1000), range(n))),
    "latent dimensions": (1, lambda n: seconds(vector_engine(n, 1))),
    "data points": (1, lambda n: seconds(vector_engine(1, n))),
}


def peak_megabytes(num_particles: int, num_mutations: int, num_temperatures: int) -> float:
    """Return the peak memory of a process that runs eight schools, all that it imports included."""
    words = [sys.executable, __file__, "--measure"]
    counts = [str(num_particles), str(num_mutations), str(num_temperatures)]
    done = subprocess.run([*words, *counts], capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def measure(num_particles: int, num_mutations: int, num_temperatures: int) -> None:
    """Run eight schools, and print the megabytes that it took."""
    temperatures = np.geomspace(0.001, 1, num_temperatures)
    engine = schools_engine(num_particles, num_mutations=num_mutations, temperatures=temperatures)
    engine.run(jax.random.key(0))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    """Measure, print, draw."""
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decades", type=int, default=3)
    parser.add_argument("--particles", type=int, default=1_000_000)
    parser.add_argument("--measure", nargs=3, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(*options.measure)
    RESULTS.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, (smallest, cost) in SWEEPS.items():
        numbers = [smallest * 10**k for k in range(options.decades + 1)]
        each = []
        for number in numbers:
            each.append(cost(number) / number)
            print(f"{name:20}{number:10,}{1e6 * each[-1]:14.3f} µs each", flush=True)
        axes.plot([n / smallest for n in numbers], np.array(each) / each[-1], ".-", label=name)
    axes.set(xscale="log", yscale="log", xlabel="times the smallest number")
    axes.set_ylabel("processor time each, in that of the largest number")
    axes.legend(frameon=False)
    figure.savefig(RESULTS / "scaling.png", dpi=150)
    for mutations, temperatures in ((1, 3), (4, 3), (1, 12)):
        peak = peak_megabytes(options.particles, mutations, temperatures)
        what = f"{mutations} mutations, {temperatures} temperatures"
        print(f"{options.particles:,} particles, {what}: {peak:,.0f} MB")


if __name__ == "__main__":
    main()

"""How time and memory of a fit grow with its size.

    uv run python tests/benchmarks/scaling.py [--draw docs/scaling.png]

Sequential Monte Carlo at three given temperatures, ten moves at each: eight schools with more and
more particles, chains and seeds; a normal hierarchy with more and more groups, and a logistic
regression with more and more rows. Each size in a process of its own, which runs it once to compile
and once to measure. Prints seconds, and the most memory that the process had; then how that depends
on the number of moves and of temperatures. Of two cores nothing else should take any.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import distrax as dx
import jax
import numpy as np
import pandas as pd
import tensorflow_probability.substrates.jax as tfp

from bamopipe.base import Model
from bamopipe.inference import SMCInference
from bamopipe.models import eight_schools
from bamopipe.samplers import gibbs_sampler

ROOT = Path(__file__).parent.parent.parent
SIZES = {
    "particles": [1_000, 10_000, 100_000, 1_000_000],
    "chains": [1, 10, 100, 1_000],
    "seeds": [1, 10, 100, 1_000],
    "latent numbers": [10, 100, 1_000, 10_000],
    "rows of data": [100, 1_000, 10_000, 100_000],
}
MEMORY = {"moves": [10, 100, 1_000], "temperatures": [3, 30, 300]}


def schools() -> Model:
    """Build bamopipe's own model with the priors of the seed problem."""
    data = {"schools": pd.read_csv(ROOT / "data" / "eight_schools.csv")}
    log_normal = dx.Transformed(dx.Normal(5.0, 1.0), tfp.bijectors.Exp())
    return eight_schools.model(data, mu=dx.Normal(0.0, 10.0), tau=log_normal)


def hierarchy(num_groups: int) -> Model:
    """Build a mean with groups about it, each seen once."""
    model = Model("hierarchy")
    mean = model.add_node("mean", distribution=dx.Normal(0.0, 1.0))
    parents = {"loc": mean, "scale": 1.0}
    group = model.add_node("group", distribution=dx.Normal, parents=parents, shape=num_groups)
    y = np.random.default_rng(1).normal(size=num_groups)
    parents = {"loc": group, "scale": 1.0}
    model.add_node("y", distribution=dx.Normal, parents=parents, observations=y)
    return model


def regression(num_rows: int) -> Model:
    """Build a logistic regression with three covariates."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(num_rows, 3))
    y = (rng.random(num_rows) < 1 / (1 + np.exp(-x.sum(axis=1)))).astype(int)
    model = Model("regression")
    slope = model.add_node("slope", distribution=dx.Normal(0.0, 1.0), shape=3)
    model.add_node(
        "y",
        distribution=tfp.distributions.Bernoulli,
        parents={"slope": slope, "x": x},
        link_fn=lambda slope, x: {"logits": x @ slope},
        observations=y,
    )
    return model


def work(axis: str, size: int) -> Callable[[int], object]:
    """Make a function of a seed that does the work of one size along one axis."""
    given = {"num_particles": 1_000, "num_chains": 1, "num_mutations": 10}
    temperatures = [0.01, 0.1, 1.0]
    model = schools()
    if axis == "particles":
        given["num_particles"] = size
    elif axis == "chains":
        given["num_chains"] = size
    elif axis == "latent numbers":
        model = hierarchy(size)
    elif axis == "rows of data":
        model = regression(size)
    elif axis == "moves":
        given["num_mutations"] = size
    elif axis == "temperatures":
        temperatures = np.linspace(0, 1, size + 1)[1:].tolist()
    engine = SMCInference(
        model, gibbs_sampler(model), temperatures=temperatures, max_temperatures=300, **given
    )
    if axis == "seeds":
        return lambda seed: [engine.run(jax.random.key(s)) for s in range(seed, seed + size)]
    return lambda seed: engine.run(jax.random.key(seed))


def one(axis: str, size: int) -> None:
    """Print the seconds of a second run, and the most bytes that this process had."""
    run = work(axis, size)
    run(0)
    start = time.perf_counter()
    run(1)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps([seconds, peak]))


def ask(axis: str, size: int) -> tuple[float, float]:
    """Let a process of its own do it."""
    words = [sys.executable, __file__, "--one", axis, str(size)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    print(f"{axis:16}{size:12,}{seconds:12.3f}{peak / 2**30:12.2f}", flush=True)
    return seconds, peak


def draw(found: dict[str, list[float]], path: Path) -> None:
    """Draw seconds against size, with a line for what grows in proportion."""
    import matplotlib.pyplot as plt

    from bamopipe.plots import style

    with plt.rc_context(style.STYLE):
        figure, axes = plt.subplots(1, len(found), figsize=(9, 2.2), layout="constrained")
        for place, (axis, seconds) in zip(axes, found.items(), strict=True):
            sizes = SIZES[axis]
            proportional = [seconds[-1] * size / sizes[-1] for size in sizes]
            place.loglog(sizes, proportional, color=style.PALE)
            place.loglog(sizes, seconds, "o-", color=style.BLUE)
            place.set_xlabel(axis)
        axes[0].set_ylabel("seconds")
        figure.savefig(path, dpi=150)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--draw", type=Path)
    parser.add_argument("--one", nargs=2)
    options = parser.parse_args()
    if options.one:
        one(options.one[0], int(options.one[1]))
        return
    print(f"{'':28}{'seconds':>12}{'GB at most':>12}")
    found = {axis: [ask(axis, size)[0] for size in sizes] for axis, sizes in SIZES.items()}
    for axis, sizes in MEMORY.items():
        for size in sizes:
            ask(axis, size)
    if options.draw:
        draw(found, options.draw)


if __name__ == "__main__":
    main()

"""The seed problem against bamojax, and against a loop in JAX written by hand for it alone.

    uv run python tests/benchmarks/seed_problem.py [--repeats 3]

Eight schools by sequential Monte Carlo with the same Gibbs kernels and settings, in double
precision: 4 chains of 1,000 and of 10,000 particles, 100 moves at each temperature. The three take
turns. Prints medians: seconds from the start of a process to its first result (cold), seconds of a
second run in the same process (warm), moves of all variables per second, each as a multiple of
bamojax's, and the log evidence, which is -36.1308. Of two cores nothing else should take any.
"""

import argparse
import json
import os
import statistics
import sys
import time
from typing import NamedTuple

from peers.environments import python_of
from peers.work import ask

NAMES = ("bamojax", "bamopipe", "jax")


class Run(NamedTuple):
    """What one process took, and found."""

    cold: float
    warm: float
    speed: float
    log_evidence: float


def run(name: str, num_particles: int) -> Run:
    """Let one of the three do the work twice, in a process of its own."""
    python = python_of(name)
    start = time.monotonic()
    done = ask(
        name,
        python,
        "seed_problem",
        repeats=2,
        num_chains=4,
        num_particles=num_particles,
        num_mutations=100,
        precision="float64",
    )
    if done.returncode:
        sys.exit(f"{name}: {done.stderr}")
    found = json.loads(done.stdout.splitlines()[-1])
    warm = found["seconds"][1]
    return Run(
        cold=found["end"][0] - start,
        warm=warm,
        speed=found["sweeps"][1] / warm / 1e6,
        log_evidence=statistics.fmean(sum(found["log_evidence"], start=list[float]())),
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    print(f"{'':20}{'cold (s)':>16}{'warm (s)':>16}{'Msweeps/s':>16}  log evidence")
    for num_particles in (1_000, 10_000):
        found: dict[str, list[Run]] = {name: [] for name in NAMES}
        for _ in range(options.repeats):
            for name in NAMES:
                found[name].append(run(name, num_particles))
        medians = {
            name: Run(*map(statistics.median, zip(*runs, strict=True)))
            for name, runs in found.items()
        }
        peer = medians["bamojax"]
        for name, one in medians.items():
            cells = [
                (one.cold, peer.cold / one.cold),
                (one.warm, peer.warm / one.warm),
                (one.speed, one.speed / peer.speed),
            ]
            numbers = "".join(f"{value:8.2f} ({ratio:4.1f}x)" for value, ratio in cells)
            print(f"{num_particles:6,} {name:13}{numbers}  {one.log_evidence:.3f}", flush=True)


if __name__ == "__main__":
    main()

"""How long it takes to the same answer, by bamopipe and by five other programs.

    uv run python tests/benchmarks/same_answer.py [--problems gp ...] [--repeats 3] [--limit 300]

The problems are those of peers/problems.py, the same data and priors for all, in double precision.
Each program is used as its documentation recommends, in an environment of its own
(peers/environments.py). Two questions, each asked of one program after the other, in processes:

- a log evidence with a standard error of 0.02: seconds times the square of how much larger the
  standard deviation of its estimates is, between all chains and repeats;
- 4,000 effective draws of every variable: seconds times what is lacking, by arviz.ess (bulk).

Prints both from the start of a process (cold: what the first run takes longer, and imports, come on
top) and within one (warm). A program that needs longer than the limit for its runs is left out, and
said to be. Of two cores nothing else should take any.
"""

import argparse
import json
import os
import statistics
import subprocess
import time

from peers.environments import python_of
from peers.problems import NAMES
from peers.work import ask

EVIDENCE = {
    "bamopipe": {"num_chains": 4, "num_particles": 1000},
    "bamojax": {"num_chains": 4, "num_particles": 1000, "num_mutations": 100},
    "pymc": {"draws": 1000},
    "blackjax": {"num_chains": 4, "num_particles": 1000, "num_mutations": 10},
    "pocomc": {},
}
KERNELS = {
    "eight_schools": "gibbs",
    "growth_mixture": "gibbs",
    "expectancy_valence": "gibbs",
    "logistic": "nuts",
    "gp": "random_walk",
}
DRAWS = ("bamopipe", "numpyro", "pymc", "blackjax")
STANDARD_ERROR, EFFECTIVE = 0.02, 4000


def measure(name: str, work: str, repeats: int, limit: float, **settings) -> dict | str:
    """Let a program do its work; return what it took and found, or why it did not."""
    python = python_of(name)
    start = time.perf_counter()
    try:
        done = ask(name, python, work, repeats, limit, **settings)
    except subprocess.TimeoutExpired:
        return f"more than {limit / repeats:.0f} s for each of {repeats} runs"
    wall = time.perf_counter() - start
    if done.returncode:
        return f"failed: {done.stderr.strip().splitlines()[-1][:80]}"
    found = json.loads(done.stdout.splitlines()[-1])
    warm = statistics.median(found["seconds"][1:])
    return {**found, "warm": warm, "overhead": wall - sum(found["seconds"][1:]) - warm}


def evidence(name: str, problem: str, repeats: int, limit: float) -> str:
    """Return a row about the log evidence."""
    settings = EVIDENCE[name] | ({"kernel": KERNELS[problem]} if name == "bamopipe" else {})
    found = measure(name, "evidence", repeats, limit, problem=problem, **settings)
    if isinstance(found, str):
        return found
    chains = [value for values in found["log_evidence"] for value in values]
    error = statistics.stdev(chains) / len(found["log_evidence"][0]) ** 0.5
    needed = found["warm"] * (error / STANDARD_ERROR) ** 2
    return (
        f"{found['overhead'] + needed:10.1f}{needed:10.1f}   one run {found['warm']:.2f} s, "
        f"{statistics.fmean(chains):.3f} ± {error:.3f}"
    )


def draws(name: str, problem: str, repeats: int, limit: float) -> str:
    """Return a row about draws."""
    found = measure(name, "draws", repeats, limit, problem=problem, num_samples=1000)
    if isinstance(found, str):
        return found
    effective, r_hat = statistics.median(found["ess"][1:]), max(found["r_hat"])
    needed = found["warm"] * EFFECTIVE / effective
    return (
        f"{found['overhead'] + needed:10.1f}{needed:10.1f}   one run {found['warm']:.2f} s, "
        f"{effective:,.0f} effective draws, R-hat at most {r_hat:.3f}"
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--problems", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=300.0)
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    questions = {
        f"a log evidence with a standard error of {STANDARD_ERROR}": (evidence, tuple(EVIDENCE)),
        f"{EFFECTIVE:,} effective draws": (draws, DRAWS),
    }
    for problem in options.problems:
        for what, (row, names) in questions.items():
            print(f"\n{problem}: seconds to {what}\n{'':12}{'cold':>10}{'warm':>10}")
            for name in names:
                print(f"{name:12}{row(name, problem, options.repeats, options.limit)}", flush=True)


if __name__ == "__main__":
    main()

"""How long it takes to the same answer, by bamopipe and by five other programs.

    uv run python tests/benchmarks/same_answer.py [--problems gp ...] [--questions draws ...]

The problems are those of peers/problems.py, the same data and priors for all, in double precision.
Each program is used as its documentation recommends, in an environment of its own
(peers/environments.py). Two questions, asked of all programs in turn, some rounds of a process each
that does its work twice:

- evidence: a log evidence with a standard error of 0.02: seconds times the square of how much
  larger the standard deviation of its estimates is, between all chains and runs;
- draws: 4,000 effective draws of every variable: seconds times what is lacking, by arviz.ess
  (bulk).

Both take one run at least.

Prints both from the start of a process (cold: what the first run takes longer, and imports, come on
top) and within one (warm), and the evidence beside a reference where peers/with_importance.py has
one, since no number of runs makes up for a bias. A program that needs longer than the limit for a
process is left out, and said to be. Of two cores nothing else should take any.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import time

from peers.environments import python_of
from peers.problems import NAMES
from peers.work import ask

BAMOPIPE = {
    "eight_schools": {"kernel": "gibbs", "num_particles": 1000, "num_mutations": 10},
    "growth_mixture": {"kernel": "gibbs", "num_particles": 500},
    "expectancy_valence": {
        "kernel": "gibbs",
        "num_particles": 500,
        "num_mutations": 5,
        "target_ess": 0.8,
    },
    "logistic": {"kernel": "irmh", "num_particles": 2000, "num_mutations": 3, "target_ess": 0.7},
    "gp": {
        "kernel": "irmh",
        "num_particles": 1000,
        "scheme": "waste_free",
        "num_mutations": 20,
        "target_ess": 0.9,
    },
}
"""For evidences, what docs/speed.md advises for such models."""
BAMOPIPE_DRAWS = {"gp": "random_walk"}
"""The kernel for draws, where that is not NUTS."""
EVIDENCE = {
    "bamojax": {"num_chains": 4, "num_particles": 1000, "num_mutations": 100},
    "pymc": {"draws": 1000},
    "blackjax": {"num_chains": 4, "num_particles": 1000, "num_mutations": 10},
    "pocomc": {},
}
DRAWS = ("bamopipe", "numpyro", "pymc", "blackjax")
REFERENCES = ("logistic", "gp")
STANDARD_ERROR, EFFECTIVE = 0.02, 4000
Round = dict[str, list]


def settings_of(name: str, work: str, problem: str) -> dict:
    """Return what a program is told."""
    if work == "draws":
        own = {"kernel": BAMOPIPE_DRAWS.get(problem, "nuts")} if name == "bamopipe" else {}
        return {"problem": problem, "num_samples": 1000, **own}
    own = {"num_chains": 4, **BAMOPIPE[problem]} if name == "bamopipe" else EVIDENCE[name]
    return {"problem": problem, **own}


def measure(name: str, work: str, problem: str, limit: float) -> Round | str:
    """Let a program do its work twice; return what it took and found, or why it did not."""
    start = time.monotonic()
    settings = settings_of(name, work, problem)
    try:
        done = ask(name, python_of(name), work, 2, limit, **settings)
    except subprocess.TimeoutExpired:
        return f"more than {limit:.0f} s for two runs"
    if done.returncode:
        said = re.findall(r"^\w*Error: .*", done.stderr, re.MULTILINE) or ["no error was said"]
        return f"failed: {said[-1][:80]}"
    found = json.loads(done.stdout.splitlines()[-1])
    _, warm = found.pop("seconds")
    first, _ = found.pop("end")
    return {**found, "warm": [warm], "overhead": [first - start - warm]}


def rounds_of(names: tuple[str, ...], work: str, problem: str, count: int, limit: float) -> dict:
    """Ask all programs in turn; return program -> what all of its rounds found, or why not."""
    found: dict[str, Round | str] = {name: {} for name in names}
    for _ in range(count):
        for name in names:
            before = found[name]
            if isinstance(before, str):
                continue
            new = measure(name, work, problem, limit)
            found[name] = (
                new
                if isinstance(new, str)
                else {key: before.get(key, []) + values for key, values in new.items()}
            )
    return found


def evidence(found: Round) -> str:
    """Return a row about the log evidence."""
    chains = [value for values in found["log_evidence"] for value in values]
    error = statistics.stdev(chains) / len(found["log_evidence"][0]) ** 0.5
    warm, overhead = (statistics.median(found[what]) for what in ("warm", "overhead"))
    needed = warm * max(1, (error / STANDARD_ERROR) ** 2)
    return (
        f"{overhead + needed:10.1f}{needed:10.1f}   one run {warm:.2f} s ± {error:.3f}; all "
        f"{statistics.fmean(chains):.3f} ± {error / len(found['log_evidence']) ** 0.5:.3f}"
    )


def draws(found: Round) -> str:
    """Return a row about draws."""
    warm, overhead = (statistics.median(found[what]) for what in ("warm", "overhead"))
    effective, r_hat = statistics.median(found["ess"]), max(found["r_hat"])
    needed = warm * max(1, EFFECTIVE / effective)
    return (
        f"{overhead + needed:10.1f}{needed:10.1f}   one run {warm:.2f} s, "
        f"{effective:,.0f} effective draws, R-hat at most {r_hat:.3f}"
    )


def reference(problem: str) -> str:
    """Return a line about the evidence by importance sampling, where that can be trusted."""
    if problem not in REFERENCES:
        return ""
    done = ask("importance", python_of("bamopipe"), "evidence", 1, problem=problem)
    found = json.loads(done.stdout.splitlines()[-1])
    return f"{'reference':35}{found['log_evidence'][0]:.3f} ± {found['error'][0]:.3f}"


QUESTIONS = {
    "evidence": (f"a log evidence with a standard error of {STANDARD_ERROR}", evidence),
    "draws": (f"{EFFECTIVE:,} effective draws", draws),
}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--problems", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, default=QUESTIONS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--limit", type=float, default=300.0)
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for problem in options.problems:
        for work in options.questions:
            what, row = QUESTIONS[work]
            names = DRAWS if work == "draws" else ("bamopipe", *EVIDENCE)
            print(f"\n{problem}: seconds to {what}\n{'':12}{'cold':>10}{'warm':>10}", flush=True)
            found = rounds_of(names, work, problem, options.rounds, options.limit)
            for name, said in found.items():
                print(f"{name:12}{said if isinstance(said, str) else row(said)}", flush=True)
            if work == "evidence":
                print(reference(problem))


if __name__ == "__main__":
    main()

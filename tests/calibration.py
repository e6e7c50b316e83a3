"""How often intervals of the evidence hold the exact one, and the table in docs/evidence.md.

The tests share it. Run as a program it prints the page, which takes some minutes:

    uv run python tests/calibration.py > docs/evidence.md
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import gallery
import jax
import numpy as np
from conftest import make_eight_schools, make_gaussian_mean
from scipy.stats import norm

import exact
from bamopipe.base import Model
from bamopipe.inference import SMCInference
from bamopipe.samplers import gibbs_sampler
from bamopipe.stages import fit

KEY = 5
# With 100 runs, one row in sixty of right intervals would hold under 90% or over 99%; with 200,
# one in six hundred.
NUM_REPLICATES, NUM_CHAINS, NUM_PARTICLES = 200, 4, 500
CONFIDENCE = 0.95
NUM_ERRORS = norm.isf((1 - CONFIDENCE) / 2)  # 1.96
Y = np.array([1.0, 4.0, -2.0, 3.0, 6.0])


class Case(NamedTuple):
    """A model whose evidence is known."""

    make: Callable[[], Model]
    log_evidence: Callable[[], float]


CASES = {
    "a normal mean": Case(
        lambda: make_gaussian_mean(Y), lambda: exact.gaussian_mean(Y, 2.0, 3.0)[0]
    ),
    "eight schools": Case(make_eight_schools, lambda: exact.eight_schools().log_evidence),
    "linear regression": Case(
        lambda: fit.build_model(gallery.config("linear_regression")),
        lambda: gallery.REFERENCES["linear_regression"]["log_evidence"]["value"],
    ),
}

# Ways to run sequential Monte Carlo -> settings of the engine, and models.
WAYS: dict[str, tuple[dict, tuple[str, ...]]] = {
    "adaptive tempering": ({}, tuple(CASES)),
    "data in four blocks": (dict(data_blocks=4), ("eight schools",)),
    # Eight schools need longer chains than 500 particles can be made of; see the end of the page.
    "waste-free": (dict(scheme="waste_free", num_mutations=19), ("linear regression",)),
    "persistent": (dict(scheme="persistent"), ("eight schools",)),
}

ROWS = [(way, case) for way, (_, cases) in WAYS.items() for case in cases]


class Estimates(NamedTuple):
    """What the runs of one row gave, as distances from the exact log evidence.

    Attributes
    ----------
    chains
        Of each chain, and its standard error by genealogy; shape (2, run, chain).
    runs
        Of each run, and its standard error over chains; shape (2, run).
    """

    chains: np.ndarray
    runs: np.ndarray


@cache
def estimate(way: str, case: str) -> Estimates:
    """Run sequential Monte Carlo many times, each with a key of its own."""
    model, expected = CASES[case].make(), CASES[case].log_evidence()
    engine = SMCInference(
        model,
        gibbs_sampler(model),
        num_particles=NUM_PARTICLES,
        num_chains=NUM_CHAINS,
        **WAYS[way][0],
    )
    keys = jax.random.split(jax.random.key(KEY), NUM_REPLICATES)
    results = [engine.run(key) for key in keys]
    assert all(result.converged for result in results)
    chains = [(r.log_evidence_chains - expected, r.log_evidence_se_chains) for r in results]
    runs = [(r.log_evidence - expected, r.log_evidence_se) for r in results]
    return Estimates(np.stack(chains, axis=1), np.transpose(runs))


def coverage(estimates) -> float:
    """Return the share of intervals that hold the exact log evidence, from distances and errors."""
    distances, errors = estimates
    return float(np.mean(np.abs(distances) < NUM_ERRORS * errors))


INTRODUCTION = f"""\
# How far to trust the evidence

<!-- Written by tests/calibration.py. To change it:
     uv run python tests/calibration.py > docs/evidence.md -->

Sequential Monte Carlo gives the log evidence with a standard error. Every chain has one by itself,
from its genealogy: the fewer of its first particles the final ones descend from, the less it knows
(Lee and Whiteley 2018). Several chains give the log of their mean evidence, whose error is the
larger of what their genealogies say and of what follows from how far the chains are apart.

If these errors are right, the estimate ± {NUM_ERRORS:.2f} standard errors holds the exact log
evidence in {CONFIDENCE:.0%} of all cases. The table says in how many it did, in {NUM_REPLICATES}
runs of {NUM_CHAINS} chains and in each chain by itself, with {NUM_PARTICLES} particles,
`sampler=gibbs` and no further settings. The models are solved in closed form or by quadrature.
A share under 90% or over 99% fails a test.

| sequential Monte Carlo | model | one chain | {NUM_CHAINS} chains |
| --- | --- | --- | --- |
"""

END = """
No error knows of parts of the posterior that no particle has seen. Chains that disagree by more
than their own errors are a sign of such parts; more particles find them.

The error of one waste-free chain takes its stages to be independent. So they are where
`num_mutations` is several times what it takes to forget, which `num_mutations=auto` finds for the
standard scheme; with fewer the error is too small. 19 are enough for linear regression, and not
for eight schools.
"""


def row(way: str, case: str) -> str:
    """Write one line of the table."""
    found = estimate(way, case)
    return f"| {way} | {case} | {coverage(found.chains):.1%} | {coverage(found.runs):.0%} |"


if __name__ == "__main__":
    print(INTRODUCTION, end="")
    for one in ROWS:
        print(row(*one), flush=True)
    print(END, end="")

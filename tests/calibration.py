"""How often intervals of the evidence hold the exact one.

Run as a program it prints the table in docs/evidence.md:

    uv run python tests/calibration.py > docs/evidence.md
"""

from collections.abc import Callable
from typing import NamedTuple

import gallery
import jax
import numpy as np
from conftest import make_eight_schools, make_gaussian_mean
from scipy.stats import norm

import exact
from bamopipe.evidence.combine import combine_log_evidence
from bamopipe.inference import SMCInference
from bamopipe.samplers import gibbs_sampler
from bamopipe.stages import fit

NUM_REPLICATES, NUM_CHAINS, NUM_PARTICLES = 100, 8, 500
Y = np.array([1.0, 4.0, -2.0, 3.0, 6.0])
CONFIDENCE = 0.95


class Case(NamedTuple):
    """A model whose evidence is known."""

    make: Callable
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


def coverage(name: str) -> dict[str, float]:
    """Return the shares of intervals that hold the exact log evidence.

    Returns
    -------
    dict
        For runs of one chain, whose errors come from their genealogies, and for runs of eight.
    """
    model, expected = CASES[name].make(), CASES[name].log_evidence()
    engine = SMCInference(
        model,
        gibbs_sampler(model),
        num_particles=NUM_PARTICLES,
        num_chains=NUM_REPLICATES * NUM_CHAINS,
    )
    result = engine.run(jax.random.key(5))
    assert result.converged
    runs = (NUM_REPLICATES, NUM_CHAINS)
    values = result.log_evidence_chains.reshape(runs)
    errors = result.log_evidence_se_chains.reshape(runs)
    wide = norm.isf((1 - CONFIDENCE) / 2)
    combined = np.array([combine_log_evidence(*run) for run in zip(values, errors, strict=True)])
    return {
        "one chain": float(np.mean(np.abs(values[:, 0] - expected) < wide * errors[:, 0])),
        "eight chains": float(np.mean(np.abs(combined[:, 0] - expected) < wide * combined[:, 1])),
        "all single chains": float(np.mean(np.abs(values - expected) < wide * errors)),
        "true sd": float(values.std()),
        "stated": float(np.sqrt(np.mean(errors**2))),
        "between only": float(
            np.mean(
                [
                    abs(combine_log_evidence(v, 0 * v)[0] - expected)
                    < wide * combine_log_evidence(v, 0 * v)[1]
                    for v in values
                ]
            )
        ),
    }


if __name__ == "__main__":
    for name in CASES:
        print(name, coverage(name), flush=True)

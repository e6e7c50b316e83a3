"""What an engine returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bamopipe.evidence.combine import combine_log_evidence

OK = "ok"


class FinalState(NamedTuple):
    """The particles at the end of a run.

    Attributes
    ----------
    particles
        Variable -> equally weighted draws of shape (chain, particle, ...).
    weights
        1 / num_particles, shape (chain, particle).
    temperature
        Exponent of the likelihood that was reached, shape (chain,): 1 if all went well.
    log_prior, log_likelihood
        At each particle, shape (chain, particle).
    """

    particles: dict[str, np.ndarray]
    weights: np.ndarray
    temperature: np.ndarray
    log_prior: np.ndarray
    log_likelihood: np.ndarray


class Stage(NamedTuple):
    """What happened at one temperature, for one chain.

    Attributes
    ----------
    temperature
        The temperature that this stage moved to.
    ess
        Effective sample size of the weights that it gave the particles.
    log_evidence_increment
        Log of their mean.
    num_mutations
        Steps of the kernel, the mean of the blocks of particles.
    acceptance_rate
        Update -> mean acceptance of its moves.
    scale
        Update that tunes itself -> size of its steps in the end, relative to the first one that it
        would take in a standard normal.
    """

    temperature: float
    ess: float
    log_evidence_increment: float
    num_mutations: float
    acceptance_rate: dict[str, float]
    scale: dict[str, float]


@dataclass(frozen=True)
class Result:
    """Draws, evidence and statistics of one run; always with a leading chain dimension.

    ``result["final_state"]`` is the same as ``result.final_state``.

    Attributes
    ----------
    final_state
        The particles.
    log_evidence_chains
        Log evidence of each chain, shape (chain,); NaN where a chain did not reach temperature 1.
    log_evidence_se_chains
        Standard error of each, from its genealogy.
    stages
        One list a chain of one `Stage` a temperature.
    prior
        Variable -> up to 1,000 draws from the prior of each chain, shape (chain, draw, ...).
    status
        "ok" or a sentence for each chain.
    timings
        Seconds spent: "compile" and "sample".
    """

    final_state: FinalState
    log_evidence_chains: np.ndarray
    log_evidence_se_chains: np.ndarray
    stages: tuple[tuple[Stage, ...], ...]
    prior: dict[str, np.ndarray]
    status: tuple[str, ...]
    timings: dict[str, float]

    @property
    def log_evidence(self) -> float:
        """Log marginal likelihood: the log of the chains' mean evidence."""
        return combine_log_evidence(self.log_evidence_chains, self.log_evidence_se_chains)[0]

    @property
    def log_evidence_se(self) -> float:
        """Its standard error: between chains or by their genealogies, whichever is larger."""
        return combine_log_evidence(self.log_evidence_chains, self.log_evidence_se_chains)[1]

    @property
    def converged(self) -> bool:
        """Whether every chain reached its end."""
        return all(status == OK for status in self.status)

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except AttributeError:
            raise KeyError(name) from None


@dataclass(frozen=True)
class Draws:
    """Draws and statistics of a run of Markov chain Monte Carlo.

    Attributes
    ----------
    draws
        Variable -> values of shape (chain, draw, ...).
    statistics
        ArviZ's name -> values of shape (chain, draw): "lp", "log_prior", and, as far as the kernel
        has them, "diverging", "energy", "n_steps" and "tree_depth"; "acceptance_rate" by update.
    prior
        Variable -> draws from the prior, shape (chain, draw, ...).
    scale
        Update that tunes itself -> size of its steps, relative to the first one that it would take
        in a standard normal.
    path_length
        Update whose paths have a random length -> the longest, as a phase: in a standard normal a
        path of length 2 pi is back at its start.
    status
        "ok" or a sentence for each chain.
    timings
        Seconds spent: "compile" and "sample".
    folder
        Where the files are that draws and statistics are maps of; None if they are in memory.
    """

    draws: dict[str, np.ndarray]
    statistics: dict[str, Any]
    prior: dict[str, np.ndarray]
    scale: dict[str, float]
    path_length: dict[str, float]
    status: tuple[str, ...]
    timings: dict[str, float]
    folder: Path | None = None


def nan_sentence(factors: Sequence[str], where: str) -> str:
    """Say that the densities of some factors are not numbers."""
    nodes = ", ".join(repr(name) for name in factors)
    return (
        f"the log density of node {nodes} is not a number {where}, inside the support; "
        "look for a scale that can be negative, a division by zero, or the logarithm or root of a "
        "negative number, in its parents or link_fn"
    )

"""Which run explains the data best: evidences side by side."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import logsumexp


class Evidence(NamedTuple):
    """The log evidence of one run, and what it may be compared with.

    Attributes
    ----------
    run : str
        The run's name, ``<arm>-<id>``.
    settings : str
        What was swept to get it, ``key=value; ...``.
    model, data : str
        What identifies its model (priors included) and its data.
    log_evidence, log_evidence_se : float
        Combined over all chains, and its standard error.
    chains : numpy.ndarray
        The log evidence of each chain.
    converged : bool
        Whether the run passed its required checks.
    seconds : float
        What it took to compile and sample, all seeds together.
    """

    run: str
    settings: str
    model: str
    data: str
    log_evidence: float
    log_evidence_se: float
    chains: np.ndarray
    converged: bool
    seconds: float


def evidence_table(runs: Sequence[Evidence]) -> pd.DataFrame:
    """Compare the evidences of runs that have the same data.

    Parameters
    ----------
    runs : sequence of Evidence
        The runs of an experiment.

    Returns
    -------
    pandas.DataFrame
        One row a run, the best first among those with the same data:

        - ``run``, ``arm``, ``settings``, ``log_evidence``, ``log_evidence_se``;
        - ``log_bayes_factor``, ``log_bayes_factor_se``: against the best run that converged and
          has the same data; NaN for a run that did not converge or has data of its own;
        - ``model_probability``: of the run's model, all different models being equally probable
          beforehand; the evidences of runs of one model are averaged. NaN where all have one model;
        - ``num_chains``, ``converged``, ``seconds``;
        - ``note``: why there are no numbers, or how to read them.
    """
    table = pd.DataFrame(
        {
            "run": [run.run for run in runs],
            "arm": [run.run.rpartition("-")[0] for run in runs],
            "settings": [run.settings for run in runs],
            "log_evidence": [run.log_evidence for run in runs],
            "log_evidence_se": [run.log_evidence_se for run in runs],
            "log_bayes_factor": np.nan,
            "log_bayes_factor_se": np.nan,
            "model_probability": np.nan,
            "num_chains": [run.chains.size for run in runs],
            "converged": [run.converged for run in runs],
            "seconds": [run.seconds for run in runs],
            "note": "",
        }
    )
    data = pd.factorize(np.array([run.data for run in runs]))[0]
    models = np.array([run.model for run in runs])
    usable = table["converged"].values & np.isfinite(table["log_evidence"].values)
    elsewhere = len(set(data)) > 1
    for group in sorted(set(data)):
        same = np.flatnonzero((data == group) & usable)
        if same.size < 2:
            alone = "no other converged run has the same data: Bayes factors need the same data"
            table.loc[same, "note"] = alone if len(runs) > 1 else ""
            continue
        values, errors = table["log_evidence"].values[same], table["log_evidence_se"].values[same]
        best = values.argmax()
        spread = np.hypot(errors, errors[best])
        spread[best] = 0.0
        table.loc[same, "log_bayes_factor"] = values - values[best]
        table.loc[same, "log_bayes_factor_se"] = spread
        table.loc[same, "model_probability"] = _probabilities(values, models[same])
        if len(set(models[same])) == 1:
            note = "same model as the runs it is compared with: differences are Monte Carlo error"
        else:
            note = "compared only with runs on the same data" if elsewhere else ""
        table.loc[same, "note"] = note
    without = table["converged"].values & np.isnan(table["log_evidence"].values)
    table.loc[~usable, "note"] = "did not converge: not compared"
    table.loc[without, "note"] = "Markov chain Monte Carlo gives no evidence"
    order = np.lexsort((-table["log_evidence"].fillna(-np.inf).values, data))
    return table.iloc[order].reset_index(drop=True)


def _probabilities(log_evidences: np.ndarray, models: np.ndarray) -> np.ndarray:
    """Give each run the posterior probability of its model."""
    names, which, counts = np.unique(models, return_inverse=True, return_counts=True)
    if names.size == 1:
        return np.full(which.size, np.nan)
    means = np.array([logsumexp(log_evidences[which == i]) for i in range(names.size)])
    means -= np.log(counts)
    return np.exp(means - logsumexp(means))[which]

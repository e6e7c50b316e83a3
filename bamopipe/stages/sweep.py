"""The sweep stage: a number of each run against the settings that vary, as a page and a figure."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bamopipe import index
from bamopipe.files import atomic_write
from bamopipe.plots import style, sweep
from bamopipe.stages import page


def main(home: Path, settings: dict[str, Any]) -> None:
    """Write ``sweep.csv``, ``sweep.html`` and, where one setting varies or two, ``sweep.png``.

    Parameters
    ----------
    home : pathlib.Path
        The experiment's folder, with its ``index.csv``, ``evidence.csv`` and ``summary.csv``.
    settings : dict
        ``style`` and ``dpi``, as in `bamopipe.plots.style.save`.
    """
    rows = index.read(home)
    axes = index.axes(rows)
    swept = pd.DataFrame([{"run": row.run, **row.settings} for row in rows])
    evidence = pd.read_csv(home / "evidence.csv").drop(columns="settings")
    table = swept.merge(evidence, on="run")
    # The worst scalar stands for a run: the smallest effective sample size, the largest R-hat.
    scalars = pd.read_csv(home / "summary.csv").groupby("run", as_index=False)
    worst = scalars.agg(ess=("ess", "min"), r_hat=("r_hat", "max"))
    table = table.merge(worst, on="run", how="left")
    has_evidence = np.isfinite(table["log_evidence"]).any()
    metric, label = "log_evidence", "log evidence"
    if not has_evidence:  # of Markov chain Monte Carlo
        metric, label = "ess", "smallest effective sample size"
    if len(axes) <= index.MOST_AXES:
        style.save(home / "sweep.png", sweep.plot, table, axes, metric, label, **settings)
    table["verdict"] = np.where(table["converged"], "converged", "not converged")
    columns = [page.SWEEP[0], *axes, *page.SWEEP[1:]]
    with atomic_write(home / "sweep.csv") as path:
        table[columns].to_csv(path, index=False, float_format="%.9g")
    page.main("sweep", home / "sweep.html")

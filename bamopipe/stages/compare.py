"""The compare stage: the runs of an experiment side by side, as tables and a figure."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bamopipe import index, posterior
from bamopipe.comparison import Evidence, evidence_table
from bamopipe.files import atomic_write
from bamopipe.plots import evidence, style


def main(posteriors: list[Path], out: Path, settings: dict[str, Any]) -> None:
    """Compare the runs of an experiment.

    Parameters
    ----------
    posteriors : list of pathlib.Path
        The ``posterior.nc`` of each run, in a folder with the run's name and with its
        ``diagnostics.json`` and ``summary.csv`` beside it.
    out : pathlib.Path
        The folder for ``evidence.csv``, ``evidence.png`` and ``summary.csv``, the summaries of all
        runs in one table. Its ``index.csv`` says what was swept.
    settings : dict
        ``style`` and ``dpi``, as in `bamopipe.plots.style.save`.
    """
    varied = {row.run: row.varied for row in index.read(out)}
    runs = [_read(path, varied[path.parent.name]) for path in posteriors]
    parts = [pd.read_csv(path.with_name("summary.csv")) for path in posteriors]
    for run, part in zip(runs, parts, strict=True):
        part.insert(0, "run", run.run)
        part.insert(1, "settings", run.settings)
    with atomic_write(out / "summary.csv") as path:
        pd.concat(parts).to_csv(path, index=False)
    table = evidence_table(runs)
    with atomic_write(out / "evidence.csv") as path:
        table.to_csv(path, index=False, float_format="%.9g")
    chains = {run.run: run.chains for run in runs}
    style.save(out / "evidence.png", evidence.plot, table, chains, **settings)


def _log_evidences(tree: xr.DataTree) -> np.ndarray:
    """Return the log evidence of each chain; NaN if there is none."""
    chains = posterior.by_chain(tree)
    if "log_evidence" in chains:
        return chains["log_evidence"].values
    return np.full(chains.sizes["chain"], np.nan)


def _read(path: Path, settings: str) -> Evidence:
    """Read the little that is compared, not the draws."""
    found = json.loads(path.with_name("diagnostics.json").read_text(encoding="utf-8"))
    with xr.open_datatree(path, engine="netcdf4") as tree:
        config = json.loads(tree.attrs["config"])
        return Evidence(
            run=path.parent.name,
            settings=settings,
            model=json.dumps(config["model"], sort_keys=True),
            data=json.dumps(json.loads(tree.attrs["data_sha256"]), sort_keys=True),
            log_evidence=tree.attrs["log_evidence"],
            log_evidence_se=tree.attrs["log_evidence_se"],
            chains=_log_evidences(tree),
            converged=found["converged"],
            seconds=sum(found["seconds"].values()),
        )

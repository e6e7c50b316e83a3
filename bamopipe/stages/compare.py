"""The compare stage: the evidences of an experiment's runs, as a table and a figure."""

import json
from pathlib import Path
from typing import Any

import xarray as xr

from bamopipe.comparison import Evidence, evidence_table
from bamopipe.files import atomic_write
from bamopipe.plots import evidence, style


def main(posteriors: list[Path], out: Path, settings: dict[str, Any]) -> None:
    """Compare the runs of an experiment.

    Parameters
    ----------
    posteriors : list of pathlib.Path
        The ``posterior.nc`` of each run, in a folder with the run's name and with its
        ``diagnostics.json`` beside it.
    out : pathlib.Path
        The folder for ``evidence.csv`` and ``evidence.png``.
    settings : dict
        ``style`` and ``dpi``, as in `bamopipe.plots.style.save`.
    """
    runs = [_read(path) for path in posteriors]
    table = evidence_table(runs)
    with atomic_write(out / "evidence.csv") as path:
        table.to_csv(path, index=False, float_format="%.9g")
    chains = {run.run: run.chains for run in runs}
    style.save(out / "evidence.png", evidence.plot, table, chains, **settings)


def _read(path: Path) -> Evidence:
    """Read the little that is compared, not the draws."""
    found = json.loads(path.with_name("diagnostics.json").read_text(encoding="utf-8"))
    with xr.open_datatree(path, engine="netcdf4") as tree:
        config = json.loads(tree.attrs["config"])
        return Evidence(
            run=path.parent.name,
            model=json.dumps(config["model"], sort_keys=True),
            data=json.dumps(json.loads(tree.attrs["data_sha256"]), sort_keys=True),
            log_evidence=tree.attrs["log_evidence"],
            log_evidence_se=tree.attrs["log_evidence_se"],
            chains=tree.children["smc"].dataset["log_evidence"].values,
            converged=found["converged"],
            seconds=sum(found["seconds"].values()),
        )

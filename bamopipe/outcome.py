"""What an experiment has on disk: which runs are there, what their checks say, what failed."""

import base64
import contextlib
import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bamopipe import index
from bamopipe.blocks import seeds_of
from bamopipe.index import FITS

MARKS = Path(".snakemake/incomplete")


@dataclass(frozen=True)
class Outcome:
    """One run as it stands.

    Attributes
    ----------
    row : Row
        What ``index.csv`` says of it.
    diagnostics : dict or None
        The run's ``diagnostics.json``, or None where it has not been made.
    log : pathlib.Path or None
        The log of the stage that failed.
    is_running : bool
        Whether a fit of the run has been started and not ended.
    """

    row: index.Row
    diagnostics: dict[str, Any] | None
    log: Path | None
    is_running: bool = False

    @property
    def name(self) -> str:
        """The run's folder."""
        return self.row.run

    @property
    def label(self) -> str:
        """The run's arm."""
        return self.row.arm

    @property
    def title(self) -> str:
        """The run's name for people."""
        return f"{self.label}: {self.row.varied}" if self.row.settings else self.label

    @property
    def state(self) -> str:
        """One word or two on how it went."""
        if self.is_running:
            return "running"
        return "FAILED" if self.log else self.verdict

    @property
    def verdict(self) -> str:
        """What the checks say, whatever became of the figures."""
        if self.diagnostics is None:
            return "not made"
        return "converged" if self.diagnostics.get("converged") else "NOT CONVERGED"

    @property
    def evidence(self) -> str:
        """The log evidence and its standard error."""
        value = (self.diagnostics or {}).get("log_evidence")
        error = (self.diagnostics or {}).get("log_evidence_se")
        if value is None:
            return ""
        return (
            f"{value:.3f}" if error is None or math.isnan(error) else f"{value:.3f} ± {error:.3f}"
        )

    @property
    def seconds(self) -> str:
        """How long the fits took, compilation included."""
        seconds = (self.diagnostics or {}).get("seconds") or {}
        return f"{sum(v for v in seconds.values() if v):.0f}" if seconds else ""

    @property
    def failed_checks(self) -> list[str]:
        """What the checks that were not passed say."""
        checks = (self.diagnostics or {}).get("checks", [])
        return [str(c.get("message") or c["name"]) for c in checks if not c["ok"]]

    @property
    def last_line(self) -> str:
        """The last line that the failed stage wrote."""
        return last_line(self.log) if self.log else "nothing was logged"


def read(home: Path) -> list[Outcome]:
    """Read the outcome of every run of an experiment.

    Parameters
    ----------
    home : pathlib.Path
        The experiment's folder, ``results/<experiment>``.

    Raises
    ------
    UserError
        When there is no such experiment on disk.
    """
    return [_outcome(home, row) for row in index.read(home)]


def read_diagnostics(path: Path) -> dict[str, Any]:
    """Read a run's ``diagnostics.json``."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def mark(folder: str | Path) -> str:
    """Return what to put before the name of a run that did not converge; nothing for others."""
    path = Path(folder) / "diagnostics.json"
    converged = not path.is_file() or read_diagnostics(path).get("converged", False)
    return "" if converged else "✗ not converged: "


def last_line(log: Path) -> str:
    """Return the last line of a log that says something."""
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing was logged")


def running() -> list[Path]:
    """Return the files that jobs have been started for, and have not ended, the oldest first.

    Snakemake keeps a mark for each; those of a Snakemake that was killed stay, also when a job
    that outlived it has made its file.
    """
    found = []
    for mark in MARKS.glob("*"):
        with contextlib.suppress(ValueError, OSError):  # not ours, or gone by now
            path = Path(base64.urlsafe_b64decode(mark.name).decode())
            if not path.exists():
                found.append((mark.stat().st_mtime, path))
    return [path for _, path in sorted(found)]


def progress(home: Path, row: index.Row, files: Mapping[str, str], source: Path) -> str:
    """Say in a word or two what Snakemake would still have to do for a run.

    Parameters
    ----------
    home : pathlib.Path
        The experiment's folder.
    row : Row
        The run.
    files : mapping
        Name to path of each data file, but for those that were fetched, which do not change.
    source : pathlib.Path
        The model's file.

    Returns
    -------
    str
        ``missing``, ``partly`` (and how much), ``out of date`` (data or model changed since),
        ``running``, ``failed``, ``did not converge`` or ``done``.
    """
    blocks = _blocks(FITS / row.fit_id, row.seeds)
    present = {seed for block in blocks for seed in seeds_of(block.stem)} & set(row.seeds)
    if _failed_fit(FITS / row.fit_id, row.seeds):
        return "running" if _is_running(row) else "failed"
    if not blocks:
        return "missing"
    if any(_is_old(block, files, source) for block in blocks):
        return "out of date"
    if len(present) < len(row.seeds):
        return f"partly: {len(present)} of {len(row.seeds)} seeds"
    outcome = _outcome(home, row)
    posterior = home / row.run / "posterior.nc"
    if outcome.log:
        return "failed"
    if outcome.diagnostics is None or not posterior.is_file() or _is_newer(blocks, posterior):
        return "partly: fitted"
    return "done" if outcome.diagnostics.get("converged") else "did not converge"


def _blocks(folder: Path, seeds: tuple[int, ...]) -> list[Path]:
    return [b for b in folder.glob("seeds_*.nc") if set(seeds).intersection(seeds_of(b.stem))]


def _is_newer(paths: list[Path], than: Path) -> bool:
    made = than.stat().st_mtime
    return any(path.stat().st_mtime > made for path in paths)


def _is_old(block: Path, files: Mapping[str, str], source: Path) -> bool:
    """Tell whether data or model have changed since; files are opened only if they look newer."""
    if not _is_newer([*map(Path, files.values()), source], block):
        return False
    import netCDF4

    try:
        with netCDF4.Dataset(block) as file:
            data, text = json.loads(file.data_sha256), file.model_source
    except (OSError, AttributeError):  # damaged, or not ours
        return True
    return text != source.read_text() or any(
        data.get(name) != _sha256(path, Path(path).stat().st_mtime) for name, path in files.items()
    )


@functools.cache
def _sha256(path: str, changed: float) -> str:
    from bamopipe.provenance import sha256

    return sha256(Path(path))


def _outcome(home: Path, row: index.Row) -> Outcome:
    failed = _failed_fit(FITS / row.fit_id, row.seeds)
    diagnostics = home / row.run / "diagnostics.json"
    if failed is None and not any((home / row.run / "figures").glob("*.png")):
        logs = [home / "logs" / f"{row.run}.{stage}.log" for stage in ("plot", "diagnose")]
        failed = next((log for log in logs if log.is_file()), None)
    found = read_diagnostics(diagnostics) if diagnostics.is_file() else None
    return Outcome(row, found, failed, failed is not None and _is_running(row))


def _is_running(row: index.Row) -> bool:
    """Tell whether a block that wanted seeds are missing from is being made."""
    folder = FITS / row.fit_id
    return any(
        path.parent == folder and set(row.seeds).intersection(seeds_of(path.stem))
        for path in running()
    )


def _failed_fit(folder: Path, seeds: tuple[int, ...]) -> Path | None:
    """Find the log of a block that wanted seeds are missing from."""
    present = {s for block in folder.glob("seeds_*.nc") for s in seeds_of(block.stem)}
    missing = set(seeds) - present
    logs = [log for log in sorted(folder.glob("seeds_*.log")) if missing & set(seeds_of(log.stem))]
    return logs[-1] if logs else None

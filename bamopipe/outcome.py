"""What an experiment has on disk: which runs are there, what their checks say, what failed."""

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bamopipe.blocks import seeds_of
from bamopipe.errors import UserError

FITS = Path("results/fits")


@dataclass(frozen=True)
class Outcome:
    """One run as it stands.

    Attributes
    ----------
    name, label, settings : str
        As in ``index.csv``.
    seeds : tuple of int
        The wanted seeds.
    diagnostics : dict or None
        The run's ``diagnostics.json``, or None where it has not been made.
    log : pathlib.Path or None
        The log of the stage that failed.
    """

    name: str
    label: str
    settings: str
    seeds: tuple[int, ...]
    diagnostics: dict[str, Any] | None
    log: Path | None

    @property
    def title(self) -> str:
        """The run's name for people."""
        return f"{self.label}: {self.settings}" if self.settings else self.label

    @property
    def state(self) -> str:
        """One word or two on how it went."""
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
        lines = self.log.read_text(errors="replace").split("\n") if self.log else []
        return next(
            (line.strip() for line in reversed(lines) if line.strip()), "nothing was logged"
        )


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
    index = home / "index.csv"
    if not index.is_file():
        raise UserError(f"{home} holds no experiment yet (there is no {index})")
    with index.open(newline="") as file:
        return [_outcome(home, row) for row in csv.DictReader(file)]


def read_diagnostics(path: Path) -> dict[str, Any]:
    """Read a run's ``diagnostics.json``."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def _outcome(home: Path, row: dict[str, str]) -> Outcome:
    seeds = tuple(map(int, row["seeds"].split()))
    failed = _failed_fit(FITS / row["fit_id"], seeds)
    diagnostics = home / row["run"] / "diagnostics.json"
    if failed is None and not any((home / row["run"] / "figures").glob("*.png")):
        logs = [home / "logs" / f"{row['run']}.{stage}.log" for stage in ("plot", "diagnose")]
        failed = next((log for log in logs if log.is_file()), None)
    return Outcome(
        name=row["run"],
        label=row["arm"],
        settings=row["settings"],
        seeds=seeds,
        diagnostics=read_diagnostics(diagnostics) if diagnostics.is_file() else None,
        log=failed,
    )


def _failed_fit(folder: Path, seeds: tuple[int, ...]) -> Path | None:
    """Find the log of a block that wanted seeds are missing from."""
    present = {s for block in folder.glob("seeds_*.nc") for s in seeds_of(block.stem)}
    missing = set(seeds) - present
    logs = [log for log in sorted(folder.glob("seeds_*.log")) if missing & set(seeds_of(log.stem))]
    return logs[-1] if logs else None

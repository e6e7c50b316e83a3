"""Write the report: one HTML file, made by Snakemake, that can be mailed and opens offline."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from bamopipe import outcome, plan
from bamopipe.errors import UserError
from bamopipe.files import atomic_write
from bamopipe.plots import FIGURES

STYLE = "report/style.css"
# The rules that make, from finished fits, what a report shows.
CONTENT = ("content", "index", "diagnose", "plot", "compare", "sweep", "failures")


def main(request: dict[str, Any], out: Path, partial: bool) -> None:
    """Write the report of an experiment.

    Parameters
    ----------
    request : dict
        Experiment and overrides, as for :func:`bamopipe.plan.load`.
    out : pathlib.Path
        The HTML file.
    partial : bool
        Leave out what failed, and say so first.
    """
    if partial:
        request = {**request, "partial": True, "without": _missing(plan.load(request))}
        _snakemake(request)
        # The runs that are there may still fail to be compared.
        request["without"] = _missing(plan.load(request), evidence=True)
        _snakemake(request)
    else:
        out.with_name("failures.html").unlink(missing_ok=True)  # of an earlier, partial report
    request["not_converged"] = [
        run.title for run in outcome.read(out.parent) if run.verdict == "NOT CONVERGED"
    ]
    with atomic_write(out) as temporary:
        done = _snakemake(request, "--report", str(temporary), "--report-stylesheet", STYLE)
        if not temporary.is_file():
            raise UserError(f"there is no report: {_last_line(done.stderr)}")


def _missing(made: plan.Plan, evidence: bool = False) -> list[str]:
    """Name the runs that lack a file, and the comparison where it is asked about and missing."""
    home = Path(made.home)
    names = []
    for run in made.runs:
        figures = (*FIGURES, *made.figures)
        files = [home / run.name / "figures" / f"{name}.png" for name in figures]
        files += [home / run.name / "summary.html", *map(Path, made.blocks(run))]
        if not all(file.is_file() for file in files):
            names.append(run.name)
    pages = [home / f"{page}.html" for page in made.pages if page != "failures"]
    if evidence and not all(page.is_file() for page in pages):
        names.append("evidence")
    return names


def _snakemake(request: dict[str, Any], *flags: str) -> subprocess.CompletedProcess[str]:
    """Make, or put into a report, the parts of an experiment that a report is made of."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "request.yaml"
        config.write_text(yaml.safe_dump(request))
        # The Snakemake that called this holds the lock of the working directory.
        words = ["content", "--nolock", "--cores", "all", "--configfile", str(config), *flags]
        if request.get("partial"):  # a report fits nothing
            words += ["--allowed-rules", *CONTENT]
        return subprocess.run(
            [sys.executable, "-m", "snakemake", *words], capture_output=True, text=True, check=False
        )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "Snakemake said nothing"

"""Say on the terminal what was made, what did not converge, what failed and where to look."""

from pathlib import Path

from bamopipe import outcome
from bamopipe.errors import UserError
from bamopipe.index import RESULTS
from bamopipe.stages.table import layout


def main(home: Path | None) -> None:
    """Print the state of one experiment, or of all that have results.

    Parameters
    ----------
    home : pathlib.Path or None
        The experiment's folder; None for all of them.
    """
    homes = [home] if home else sorted(index.parent for index in RESULTS.glob("*/index.csv"))
    if not homes:
        raise UserError(f"there are no results in {RESULTS.absolute()}; run `bamopipe run` first")
    print("\n\n".join(_describe(each) for each in homes))


def _describe(home: Path) -> str:
    runs = outcome.read(home)
    rows = [("run", "settings", "seeds", "state", "log evidence", "seconds")]
    remarks = []
    for run in runs:
        # After a failed fit, checks and evidence are those of an older one.
        numbers = ("", "") if run.log else (run.evidence, run.seconds)
        seeds = ", ".join(map(str, run.row.seeds))
        rows.append((run.name, run.row.varied, seeds, run.state, *numbers))
        if run.log:
            remarks.append(f"  {run.name}: {run.last_line} ({run.log})")
        else:
            remarks += [f"  {run.name}: {message}" for message in run.failed_checks]
    report = home / "report.html"
    last = f"report: {report}" if report.is_file() else "report: not made"
    failed = sum(run.log is not None for run in runs)
    if failed and report.is_file():
        last += f" (without the {failed} of {len(runs)} runs that failed)"
    return "\n".join([str(home), layout(rows), *remarks, last])

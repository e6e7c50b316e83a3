"""Say on the terminal what was made, what did not converge, what failed and where to look."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

from bamopipe import index, locks, outcome
from bamopipe.blocks import seeds_of
from bamopipe.errors import UserError
from bamopipe.index import FITS, RESULTS
from bamopipe.stages.table import layout

EVERY = 5.0
"""Seconds between two looks at the logs."""


def main(home: Path | None, follow: bool = False) -> None:
    """Print the state of one experiment, or of all that have results.

    Parameters
    ----------
    home : pathlib.Path or None
        The experiment's folder; None for all of them.
    follow : bool
        First show how far the running fits are, again and again, until Snakemake has ended.
    """
    if follow:
        _follow()
    homes = [home] if home else index.homes()
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
        if run.is_running:
            continue
        if run.log:
            remarks.append(f"  {run.name}: {run.last_line} ({run.log})")
        else:
            remarks += [f"  {run.name}: {message}" for message in run.failed_checks]
    report = home / "report.html"
    last = f"report: {report}" if report.is_file() else "report: not made"
    failed = sum(run.state == "FAILED" for run in runs)
    if failed and report.is_file():
        last += f" (without the {failed} of {len(runs)} runs that failed)"
    return "\n".join([str(home), layout(rows), *remarks, last])


def _follow() -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console()
    with Live(console=console, auto_refresh=False, transient=True) as screen:
        before = ""
        while locks.is_held():
            text = "\n".join(running()) or "no fit is running"
            if console.is_terminal:
                screen.update(Text(text), refresh=True)
            elif text != before:
                print(f"{time.strftime('%H:%M:%S')}\n{text}", flush=True)
            before = text
            time.sleep(EVERY)


def running() -> Iterator[str]:
    """Say how far each running fit is, by the last line of its log."""
    names: dict[str, str] = {}
    for home in index.homes():
        names |= {row.fit_id: row.run for row in index.read(home)}
    others = 0
    for block in outcome.running():
        seeds = seeds_of(block.stem)
        if block.parent.parent != FITS or not seeds:
            others += 1
            continue
        log = block.with_suffix(".log")
        text = log.read_text(errors="replace") if log.is_file() else ""
        done = len(re.findall(r"^seed \d+:", text, re.MULTILINE))
        line = outcome.last_line(log) if text else "starting"
        found = re.search(r": (\d+) %, (.*)", line)
        part = int(found[1]) / 100 if found else 0.0
        share = min(1.0, (done + part) / len(seeds))
        filled = round(20 * share)
        bar = "█" * filled + "░" * (20 - filled)
        quiet = time.time() - log.stat().st_mtime if text else 0.0
        since = f" (nothing new for {quiet / 60:.0f} min)" if quiet > 120 else ""
        name = names.get(block.parent.name, block.parent.name)
        what = f"seed {seeds[min(done, len(seeds) - 1)]}: {found[2]}" if found else line
        yield f"{name}  {bar} {share:4.0%}  {block.stem}, {what}{since}"
    if others:
        yield f"and {others} files of other stages"

"""What a person sees while an engine runs: a bar on a terminal, plain log lines otherwise."""

import logging
import math
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from bamopipe.inference.result import Stage

if TYPE_CHECKING:
    from rich.progress import Progress

logger = logging.getLogger("bamopipe")


class ProgressReport:
    """Reports how far a run is, and how long it will still take; a context manager.

    Parameters
    ----------
    title
        What is running.
    """

    def __init__(self, title: str):
        self._title = title
        self._bar: Progress | None = None
        self._first = (time.monotonic(), 0.0)

    def __enter__(self) -> "ProgressReport":
        if sys.stderr.isatty():
            # Only here: fits of a workflow write to logs, and start the sooner without it.
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[detail]}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(self._title, total=1.0, detail="")
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, fraction: float = 0.0) -> None:
        """Say that the work starts now, with a fraction of it done before."""
        self._first = (time.monotonic(), fraction)

    def update(self, fraction: float, detail: str) -> None:
        """Say what fraction of the run is done, and one line of detail."""
        start, before = self._first
        if before < fraction < 1:
            left = (time.monotonic() - start) * (1 - fraction) / (fraction - before)
            detail += f", about {duration(left)} left"
        if self._bar is not None:
            self._bar.update(self._task, completed=fraction, detail=detail)
        else:
            logger.info("%s: %s, %s", self._title, percent(fraction), detail)


def percent(fraction: float) -> str:
    """Write a fraction as people say it; `bamopipe status --follow` reads it in the logs.

    >>> percent(0.426)
    '43 %'
    """
    return f"{100 * fraction:.0f} %"


def duration(seconds: float) -> str:
    """Write a time as people say it.

    >>> duration(5), duration(100), duration(10_000)
    ('5 s', '2 min', '3 h')
    """
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{math.ceil(seconds)} s"


def fraction_done(stages: Sequence[Stage], planned: Sequence[Stage] | None = None) -> float:
    """Estimate what part of its moves a chain of sequential Monte Carlo has made.

    Parameters
    ----------
    stages
        So far.
    planned
        A similar chain that has finished; without one the temperatures are taken to go on rising
        by the factor by which they rose last.
    """
    if not stages:
        return 0.0
    temperature = stages[-1].temperature
    if planned:
        done = sum(stage.num_mutations for stage in planned if stage.temperature <= temperature)
        return done / sum(stage.num_mutations for stage in planned)
    if len(stages) == 1:
        return temperature
    factor = temperature / stages[-2].temperature
    to_come = math.log(1 / temperature) / math.log(factor)
    return len(stages) / (len(stages) + to_come)

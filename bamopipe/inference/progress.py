"""What a person sees while an engine runs: a bar on a terminal, plain log lines otherwise."""

import logging
import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

logger = logging.getLogger("bamopipe")


class ProgressReport:
    """Reports how far a run is; a context manager.

    Parameters
    ----------
    title
        What is running.
    """

    def __init__(self, title: str):
        self._title = title
        self._bar: Progress | None = None

    def __enter__(self) -> "ProgressReport":
        if sys.stderr.isatty():
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

    def update(self, fraction: float, detail: str) -> None:
        """Say what fraction of the run is done, and one line of detail."""
        if self._bar is not None:
            self._bar.update(self._task, completed=fraction, detail=detail)
        else:
            logger.info("%s: %s", self._title, detail)

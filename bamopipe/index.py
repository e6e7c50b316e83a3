"""Where results are, and ``index.csv``: the runs of an experiment and what distinguishes them."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bamopipe.errors import UserError

RESULTS = Path("results")
FITS = RESULTS / "fits"
# The first columns; the others are the settings that are swept.
COLUMNS = ("run", "arm", "fit_id", "seeds")
# A figure shows so many settings that vary; with more, a table has to do.
MOST_AXES = 2


@dataclass(frozen=True)
class Row:
    """A run as the index has it.

    Attributes
    ----------
    run, arm, fit_id : str
        Its folder in the experiment, its arm, and its folder among the fits.
    seeds : tuple of int
        Those that are wanted.
    settings : dict
        What varies within the arm: key to value.
    """

    run: str
    arm: str
    fit_id: str
    seeds: tuple[int, ...]
    settings: Mapping[str, str]

    @property
    def varied(self) -> str:
        """The settings as one text."""
        return "; ".join(f"{key}={value}" for key, value in self.settings.items())


def write(rows: Iterable[Row]) -> str:
    """Write rows, which have the same settings, as the text of a CSV file."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    for number, row in enumerate(rows):
        if number == 0:
            table.writerow((*COLUMNS, *row.settings))
        seeds = " ".join(map(str, row.seeds))
        table.writerow((row.run, row.arm, row.fit_id, seeds, *row.settings.values()))
    return file.getvalue().rstrip("\n")


def axes(rows: Iterable[Row]) -> list[str]:
    """Return the swept settings that have more than one value."""
    values: dict[str, set[str]] = {}
    for row in rows:
        for key, value in row.settings.items():
            values.setdefault(key, set()).add(value)
    return [key for key, found in values.items() if len(found) > 1]


def homes() -> list[Path]:
    """Return the folders of all experiments that have left something, by name."""
    return sorted(path.parent for path in RESULTS.glob("*/index.csv"))


def read(home: Path) -> list[Row]:
    """Read the index of an experiment.

    Parameters
    ----------
    home : pathlib.Path
        The experiment's folder, ``results/<experiment>``.

    Raises
    ------
    UserError
        When there is no such experiment on disk.
    """
    path = home / "index.csv"
    if not path.is_file():
        raise UserError(f"{home} holds no experiment yet (there is no {path})")
    with path.open(newline="") as file:
        return [_row(row) for row in csv.DictReader(file)]


def _row(row: dict[str, str]) -> Row:
    run, arm, fit_id, seeds = (row.pop(name) for name in COLUMNS)
    return Row(run, arm, fit_id, tuple(map(int, seeds.split())), row)

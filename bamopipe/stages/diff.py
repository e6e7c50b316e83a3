"""Show how two posteriors differ: settings, model source, data, environment and numbers."""

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

from bamopipe import difference, record
from bamopipe.difference import Numbers, Row
from bamopipe.errors import printable
from bamopipe.stages.table import layout

MOST_ROWS = 20


def main(first: Path, second: Path) -> bool:
    """Print what differs.

    Parameters
    ----------
    first, second : pathlib.Path
        Files that ``fit`` or ``diagnose`` wrote.

    Returns
    -------
    bool
        Whether both are the same fit with the same result: settings, model source and data do not
        differ, and the numbers are identical or equal within Monte Carlo error. Other seeds or
        another environment alone make no other fit.
    """
    ours, theirs = record.read(first), record.read(second)
    settings, data = difference.settings(ours, theirs), difference.data(ours, theirs)
    titles = (str(first), str(second))
    for title, rows in (("setting", settings), ("data", data)):
        show(title, rows, titles)
    print("\n".join(source_lines(ours.model_source, theirs.model_source)), end="")
    show("environment", difference.environment(ours, theirs), titles)
    found = difference.verdict(ours.tree, theirs.tree)
    if found.numbers is None:  # what the first has is the same; the second may have more
        found = difference.verdict(theirs.tree, ours.tree)
    if found.numbers is not None:
        show_numbers(found.numbers, ("first", "second"))
    print(f"numbers: {printable(found.sentence)}")
    same_fit = not data and ours.model_source == theirs.model_source
    return found.agree and same_fit and all(row.what == "seeds" for row in settings)


def show(title: str, rows: Sequence[Row], names: tuple[str, str]) -> None:
    """Print what differs in one respect, if anything does."""
    if rows:
        cells = [tuple(printable(cell, 60).replace("\n", " ") for cell in row) for row in rows]
        print(layout([(title, *names), *cells[: 2 * MOST_ROWS]]))
        if len(rows) > 2 * MOST_ROWS:
            print(f"  ... and {len(rows) - 2 * MOST_ROWS} more")
        print()


def source_lines(first: str, second: str) -> Iterator[str]:
    """Say how two model sources differ."""
    if first == second:
        return
    if max(len(first), len(second)) > 200_000:
        yield from ("  model source differs", "", "")
        return
    lines = difflib.unified_diff(first.splitlines(), second.splitlines(), lineterm="", n=0)
    changed = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    yield f"  model source: {len(changed)} lines differ"
    yield from (f"  {printable(line, 100)}" for line in changed[:MOST_ROWS])
    if len(changed) > MOST_ROWS:
        yield "  ..."
    yield from ("", "")


def show_numbers(numbers: Numbers, names: tuple[str, str]) -> None:
    """Print the estimates that are farthest apart, their difference in standard errors."""
    table = numbers.table
    order = table[["mean_p", "sd_p"]].min(axis=1).argsort(kind="stable")
    first, second = names
    head = (f"mean ({first})", f"({second})", "in s.e.", f"sd ({first})", f"({second})", "in s.e.")
    rows: list[Sequence[str]] = [("variable", *head)]
    for name, row in table.iloc[order[:MOST_ROWS]].iterrows():
        cells = [
            f"{row[column]:{form}}" if row[column] == row[column] else "–"
            for column, form in zip(
                ("mean_1", "mean_2", "mean_z", "sd_1", "sd_2", "sd_z"),
                (".5g", ".5g", "+.1f") * 2,
                strict=True,
            )
        ]
        rows.append((printable(name, 60), *cells))
    print(layout(rows))
    if len(table) > MOST_ROWS:
        print(f"  ... and {len(table) - MOST_ROWS} more, closer together")
    print()

"""Write the draws of an experiment as one CSV file, for R and other programs."""

import sys
from collections.abc import Sequence
from pathlib import Path

from bamopipe.files import atomic_write
from bamopipe.results import load


def main(experiment: str, csv: Path | None, variables: Sequence[str] | None) -> None:
    """Show an experiment's runs, or write all their draws to a CSV file, a value a row.

    Parameters
    ----------
    experiment : str
        Its folder, or its name.
    csv : pathlib.Path or None
        The file, compressed if its name ends in ``.gz``; `bamopipe.results.Results.tidy` says
        which columns it has.
    variables : sequence of str or None
        Which variables; None for all.
    """
    results = load(experiment)
    if csv is None:
        print(results)
        return
    count = 0
    with atomic_write(csv) as temporary:
        temporary.touch()
        for table in results.tidy(variables):
            table.to_csv(temporary, mode="a", header=count == 0, index=False)
            count += len(table)
    print(f"{csv}: {count} rows", file=sys.stderr)

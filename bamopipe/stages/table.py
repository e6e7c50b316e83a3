"""Tables on a terminal."""

from collections.abc import Sequence


def layout(rows: Sequence[Sequence[str]]) -> str:
    """Line up rows of text in columns; columns with nothing in them are left out.

    Parameters
    ----------
    rows : sequence of rows
        The first row has the headings.

    Examples
    --------
    >>> print(layout([("run", "note", "seeds"), ("gibbs", "", "0, 1")]))
      run    seeds
      gibbs  0, 1
    """
    columns = [c for c in zip(*rows, strict=True) if any(c[1:])]
    widths = [max(map(len, column)) for column in columns]
    lines = zip(*columns, strict=True)
    return "\n".join(
        "  " + "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )

"""The diagnose stage: blocks of seeds to one posterior, its summary and its checks."""

import json
from pathlib import Path

from bamopipe import posterior
from bamopipe.diagnostics import diagnose, summary
from bamopipe.files import atomic_write


def main(blocks: list[Path], seeds: list[int], out: Path) -> None:
    """Join a run's blocks of seeds; write its posterior, summary and diagnostics.

    Parameters
    ----------
    blocks : list of pathlib.Path
        The files that ``fit`` wrote.
    seeds : list of int
        The seeds to keep.
    out : pathlib.Path
        The run's ``posterior.nc``; ``summary.csv`` and ``diagnostics.json`` go beside it.
    """
    tree = posterior.concatenate([posterior.read(block) for block in blocks], seeds)
    posterior.write(tree, out)
    with atomic_write(out.with_name("summary.csv")) as path:
        summary(tree).to_csv(path, float_format="%.6g")
    with atomic_write(out.with_name("diagnostics.json")) as path:
        text = json.dumps(diagnose(tree), indent=2, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")

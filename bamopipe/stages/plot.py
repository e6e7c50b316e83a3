"""The plot stage: a run's posterior to its figures."""

import importlib
from pathlib import Path
from typing import Any

from bamopipe import posterior as posteriors
from bamopipe.plots import FIGURES, style


def main(posterior: Path, out: Path, settings: dict[str, Any]) -> None:
    """Draw every figure of a run.

    Parameters
    ----------
    posterior : pathlib.Path
        The run's ``posterior.nc``.
    out : pathlib.Path
        The folder for ``<figure>.png``.
    settings : dict
        ``style`` and ``dpi``, as in `bamopipe.plots.style.save`.
    """
    tree = posteriors.read(posterior)
    for name in FIGURES:
        module = importlib.import_module(f"bamopipe.plots.{name}")
        style.save(out / f"{name}.png", module.plot, tree, **settings)

"""The plot stage: a run's posterior to its figures."""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import xarray as xr
from matplotlib.figure import Figure

from bamopipe import local, source
from bamopipe import posterior as posteriors
from bamopipe.errors import UserError
from bamopipe.plots import FIGURES, style
from bamopipe.stages import own


def main(
    posterior: Path, out: Path, settings: dict[str, Any], functions: Mapping[str, str]
) -> None:
    """Draw every figure of a run.

    Parameters
    ----------
    posterior : pathlib.Path
        The run's ``posterior.nc``.
    out : pathlib.Path
        The folder for ``<figure>.png``.
    settings : dict
        ``style`` and ``dpi``, as in `bamopipe.plots.style.save`.
    functions : mapping
        Figures of one's own: name -> the dotted name of a function that takes the posterior, an
        `xarray.DataTree`, and returns a `matplotlib.figure.Figure`.

    Raises
    ------
    UserError
        When such a function is not trusted, fails, or returns something else.
    """
    tree = posteriors.read(posterior)
    for name in FIGURES:
        module = importlib.import_module(f"bamopipe.plots.{name}")
        style.save(out / f"{name}.png", module.plot, tree, **settings)
    for name, function in functions.items():
        style.save(out / f"{name}.png", _own(name, function), tree, **settings)


def _own(name: str, path: str) -> Callable[[xr.DataTree], Figure]:
    """Return a function of one's own, whose failures are told in a sentence."""
    key = f"plots.figures.{name}"
    source.definition(source.find(path, local.settings().trusted, key), path.rpartition(".")[2])

    def plot(tree: xr.DataTree) -> Figure:
        try:
            figure = own.function(path)(tree)
        except Exception as error:  # whatever the person's own code raises is theirs to read
            raise own.failure(f"{key}, {path},", path, error) from error
        if not isinstance(figure, Figure):
            raise UserError(f"{key}: {path} returned {figure!r}; expected a matplotlib Figure")
        return figure

    return plot

"""The posterior of each element of each vector, side by side."""

import math
import textwrap

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bamopipe.diagnostics import labels
from bamopipe.plots import density, style

MOST_PANELS = 64
ACROSS = 8


def plot(tree: xr.DataTree) -> Figure:
    """Draw the marginal posteriors of every vector, or of the scalars if there is no vector.

    The panels of a vector share their axes. In each, the grey area behind is the average over all
    elements, the bar below is the 89% equal-tailed interval with the mean, and the dashed line is
    what was measured for that element, where an observed variable has the same dimensions.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior; ``observed_data`` is used if it is there.

    Returns
    -------
    matplotlib.figure.Figure
        One block of panels a vector.
    """
    posterior = tree.children["posterior"].dataset
    vectors = {name: draws for name, draws in posterior.items() if draws.ndim > 2}
    if not vectors:
        return _scalars(tree, posterior)
    shapes = [_grid(draws) for draws in vectors.values()]
    heights = [0.5 + 1.45 * rows for rows, _ in shapes]
    width = max(style.WIDTH, 1.25 * max(columns for _, columns in shapes))
    hidden = sum(max(0, math.prod(draws.shape[2:]) - MOST_PANELS) for draws in vectors.values())
    note = f"{hidden:,} elements not shown" if hidden else ""
    title = "Posterior of " + ", ".join(map(style.name, vectors))
    made = style.figure(tree, title, (width, sum(heights)), note)
    blocks = made.subfigures(len(vectors), 1, height_ratios=heights, squeeze=False)[:, 0]
    seen: dict[str, Artist] = {}
    for block, (name, draws), shape in zip(blocks, vectors.items(), shapes, strict=True):
        observed = _observed(tree, draws)
        _vector(block, str(name), draws, observed, shape)
        if observed:
            seen[f"observed {observed[0]}"] = Line2D(
                [], [], color=style.OBSERVED, linestyle=(0, (3, 2))
            )
    average = {"average over panels": Patch(color=style.PALE)}
    style.legend(made, _entries() | average | seen)
    return made


def _grid(draws: xr.DataArray) -> tuple[int, int]:
    """Choose rows and columns of panels; a small matrix keeps its own."""
    *_, last = draws.shape
    count = min(math.prod(draws.shape[2:]), MOST_PANELS)
    if draws.ndim == 4 and last <= ACROSS and draws[0, 0].size <= MOST_PANELS:
        return draws.shape[2], last
    rows = -(-count // ACROSS)
    return rows, -(-count // rows)


def _observed(tree: xr.DataTree, draws: xr.DataArray) -> tuple[str, np.ndarray] | None:
    """Find the observed variable with the dimensions of `draws`, if there is exactly one.

    Counts and labels are left out, for they are not on the scale of a latent variable. They are
    known by their predictions: a measurement may well be written as a whole number.
    """
    if not {"observed_data", "posterior_predictive"} <= tree.children.keys():
        return None
    predicted = tree.children["posterior_predictive"].dataset
    found = [
        (str(name), observed.values)
        for name, observed in tree.children["observed_data"].data_vars.items()
        if observed.dims == draws.dims[2:]
        and name in predicted
        and np.any(predicted[name].isel(chain=0) % 1)
    ]
    return found[0] if len(found) == 1 else None


def _entries() -> dict[str, Artist]:
    return {
        "posterior": Patch(color=style.POSTERIOR, alpha=0.5),
        "mean, 89% interval": Line2D([], [], color=style.INK, marker="o", markersize=3.5),
    }


def _vector(
    block: SubFigure,
    name: str,
    draws: xr.DataArray,
    observed: tuple[str, np.ndarray] | None,
    shape: tuple[int, int],
) -> None:
    elements = draws.values.reshape(*draws.shape[:2], -1)
    count = elements.shape[2]
    shown = np.linspace(0, count - 1, min(count, MOST_PANELS)).astype(int)
    own = [density.values(elements[:, :, place]) for place in shown]
    pooled = np.concatenate(own)
    pooled = pooled[:: 1 + pooled.size // 50_000]  # plenty for a background, and quick
    # Each element decides, so that a wide one among many narrow ones is not cut.
    ends = [density.limits(part, 0.995) for part in own]
    low, high = np.min(ends), np.max(ends)
    seen = observed[1].ravel()[shown] if observed else np.full(shown.size, np.nan)
    left, right = np.nanmin([low, *seen]), np.nanmax([high, *seen])
    room = 0.06 * (right - left)  # keeps the outer tick labels of neighbours apart
    titles = labels(draws, style.ELEMENTS)
    # Limits are set by hand: matplotlib's shared axes take time quadratic in their number.
    axes = block.subplots(*shape, squeeze=False)
    tops = []
    for ax, place, part, value in zip(axes.flat, shown, own, seen, strict=False):
        ax.set(xlim=(left - room, right + room), autoscaley_on=False)
        density.draw(ax, pooled, (low, high), color=style.PALE, fill=0.7, linewidth=0)
        tops.append(_panel(ax, part, (low, high)))
        if np.isfinite(value):
            ax.axvline(value, color=style.OBSERVED, linestyle=(0, (3, 2)), linewidth=1.1)
        ax.set_title("\n".join(textwrap.wrap(titles[place], 16)), fontsize=8)
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=np.issubdtype(part.dtype, np.integer)))
    for place, ax in enumerate(axes.flat):
        ax.set_ylim(0, 1.08 * max(tops) or 1)
        ax.tick_params(labelbottom=place + shape[1] >= shown.size)
        if place >= shown.size:
            ax.set_axis_off()
    block.supxlabel(style.name(name), fontsize=9)


def _scalars(tree: xr.DataTree, posterior: xr.Dataset) -> Figure:
    names = list(posterior.data_vars)
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    title = "Posterior of " + ", ".join(map(style.name, names))
    made = style.figure(tree, title, (max(5.0, 2.5 * columns), 2.0 * rows))
    axes = made.subplots(rows, columns, squeeze=False)
    for ax, name in zip(axes.flat, names, strict=False):
        own = density.values(posterior[name])
        within = density.limits(own)
        top = _panel(ax, own, within)
        room = 0.03 * (within[1] - within[0])
        ax.set(xlim=(within[0] - room, within[1] + room), ylim=(0, 1.08 * top or 1))
        ax.set_xlabel(style.name(name))
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    style.legend(made, _entries())
    return made


def _panel(ax: Axes, draws: np.ndarray, within: tuple[float, float]) -> float:
    """Draw one density over its interval and mean; give its height."""
    style.density_axis(ax)
    top = density.draw(ax, draws, within, color=style.POSTERIOR)
    if draws.size:
        ends = array_stats.eti(draws.astype(float), prob=0.89)
        ax.plot(ends, [0, 0], color=style.INK, linewidth=2, solid_capstyle="butt", clip_on=False)
        ax.plot(draws.mean(), 0, "o", color=style.INK, markersize=3.5, clip_on=False)
    else:
        ax.text(0.5, 0.5, "no finite draws", transform=ax.transAxes, ha="center", color=style.GREY)
    return top

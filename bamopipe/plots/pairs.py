"""Which scalars go together: their joint posterior, two by two."""

from typing import Any

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from bamopipe.plots import density, style
from bamopipe.plots.scalars import Scalar, choose

MOST = 5
MOST_POINTS = 40_000
"""A two-dimensional density from more draws than this looks the same and takes longer."""
REGIONS = np.array([0.95, 0.8, 0.65, 0.5, 0.3, 0.1])
SHADES = ("#E3EFF8", "#BAD8EC", "#86BCDD", "#4C9ACB", "#1F78B1", "#0A5586")


def plot(tree: xr.DataTree) -> Figure:
    """Draw the joint density of each pair of scalars, and the marginals on the diagonal.

    The shades are the smallest regions with 95, 80, 65, 50, 30 and 10% of the draws. Above the
    diagonal stands the correlation, on the scales of the axes. Positive variables that span orders
    of magnitude get a logarithmic axis, and say so.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior.

    Returns
    -------
    matplotlib.figure.Figure
        At most five by five panels: scalar variables first, then evenly chosen elements.
    """
    scalars, note = choose(tree, MOST)
    count = len(scalars)
    finite = [density.values(scalar.draws) for scalar in scalars]
    logs = [density.wants_log(draws) for draws in finite]
    limits = [density.limits(draws) for draws in finite]
    names = [
        scalar.label.replace("[", "\n[") + ("\n(log scale)" if log else "")
        for scalar, log in zip(scalars, logs, strict=True)
    ]
    side = max(3.4, 1.45 * count + 0.4)
    made = style.figure(tree, "Pairs", (side, side), note)
    axes = made.subplots(count, count, squeeze=False)
    for (row, column), ax in np.ndenumerate(axes):
        if column > row:
            _correlation(ax, *(_shown(scalars[i], logs[i]) for i in (row, column)))
            continue
        _scale(ax, "x", limits[column], logs[column], finite[column].dtype)
        if column == row:
            top = density.draw(ax, finite[row], limits[row], color=style.POSTERIOR)
            style.density_axis(ax)
            ax.set_ylim(0, 1.08 * top or 1)
        else:
            _scale(ax, "y", limits[row], logs[row], finite[row].dtype)
            _joint(ax, np.ravel(scalars[column].draws), np.ravel(scalars[row].draws))
        ax.tick_params(labelbottom=row == count - 1, labelleft=column == 0, which="both")
    for place in range(count):
        axes[-1, place].set_xlabel(names[place])
        axes[place, 0].set_ylabel(names[place])
    made.align_labels()
    return made


def _scale(ax: Axes, which: str, limits: tuple[float, float], log: bool, kind: np.dtype) -> None:
    axis = ax.xaxis if which == "x" else ax.yaxis
    if log:
        ax.set(**{f"{which}scale": "log"})
        axis.set_major_locator(LogLocator(numticks=4))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(3, integer=np.issubdtype(kind, np.integer)))
    ax.set(**{f"{which}lim": limits})


def _shown(scalar: Scalar, log: bool) -> np.ndarray:
    """Draws as the axes show them."""
    flat = np.ravel(scalar.draws).astype(float)
    return np.log(flat) if log else flat


def _correlation(ax: Axes, y: np.ndarray, x: np.ndarray) -> None:
    ax.set_axis_off()
    both = np.isfinite(x) & np.isfinite(y)
    if not both.any() or np.ptp(x[both]) == 0 or np.ptp(y[both]) == 0:
        return
    value = np.corrcoef(x[both], y[both])[0, 1]
    text = f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")
    color = style.INK if abs(value) > 0.2 else style.GREY
    middle: dict[str, Any] = {"ha": "center", "va": "center", "transform": ax.transAxes}
    ax.text(0.5, 0.5, text, fontsize=8 + 5 * abs(value), color=color, **middle)


def _joint(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draw shaded regions; counts where a density does not exist."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    inside = (x >= left) & (x <= right) & (y >= low) & (y <= high)  # drops NaN, too
    x, y = (draws[inside][:: 1 + inside.sum() // MOST_POINTS] for draws in (x, y))
    if x.size == 0:
        return
    u = np.log(x) if ax.get_xscale() == "log" else x.astype(float)
    v = np.log(y) if ax.get_yscale() == "log" else y.astype(float)
    smooth = all(np.issubdtype(d.dtype, np.floating) and np.ptp(d) > 0 for d in (x, y))
    if smooth and abs(np.corrcoef(u, v)[0, 1]) < 0.999:
        heights, a, b, levels = array_stats.kde2d(u, v, hdi_probs=REGIONS)
        a = np.exp(a) if ax.get_xscale() == "log" else a
        b = np.exp(b) if ax.get_yscale() == "log" else b
        ax.contourf(a, b, heights.T, [*levels, np.inf], colors=SHADES)
    else:
        bins = [_edges(ax.get_xlim(), x.dtype, ax.get_xscale())]
        bins.append(_edges(ax.get_ylim(), y.dtype, ax.get_yscale()))
        counts, a, b = np.histogram2d(x, y, bins=bins)
        shades = ListedColormap(["white", *SHADES])
        ax.pcolormesh(a, b, counts.T, cmap=shades, rasterized=True)


def _edges(limits: tuple[float, float], kind: np.dtype, scale: str) -> np.ndarray:
    low, high = limits
    if scale == "log":
        return np.geomspace(low, high, 31)
    if not np.issubdtype(kind, np.floating) and high - low <= density.MOST_BARS:
        return np.arange(np.floor(low) - 0.5, np.ceil(high) + 1)
    return np.linspace(low, high, 31)

"""What the data taught: the prior of each scalar against its posterior."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bamopipe.plots import density, style
from bamopipe.plots.scalars import choose

MOST_PANELS = 16


def plot(tree: xr.DataTree) -> Figure:
    """Draw prior and posterior of each scalar on shared axes.

    The axis shows the whole posterior and the middle of the prior, though never so much of a wide
    prior that the posterior becomes a needle. Positive variables whose prior spans orders of
    magnitude get a logarithmic axis.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior; a variable that the group ``prior`` lacks is drawn without one.

    Returns
    -------
    matplotlib.figure.Figure
        A panel a scalar, scalar variables first; evenly chosen elements where there are too many.
    """
    scalars, note = choose(tree, MOST_PANELS)
    columns = min(4, len(scalars))
    rows = -(-len(scalars) // columns)
    made = style.figure(
        tree, "Prior and posterior", (max(5.0, 1.9 * columns), 1.6 * rows + 0.1), note
    )
    axes = made.subplots(rows, columns, squeeze=False)
    prior = tree.children["prior"].dataset if "prior" in tree.children else xr.Dataset()
    for ax, scalar in zip(axes.flat, scalars, strict=False):
        after = density.values(scalar.draws)
        before = np.empty(0)
        if scalar.variable in prior:
            before = density.values(prior[scalar.variable].isel(scalar.where))
        log = density.wants_log(np.concatenate([before, after]))
        if log:
            ax.set_xscale("log")
        elif np.issubdtype(after.dtype, np.integer):
            ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        within = _limits(before, after, log)
        ax.set_xlim(*within)
        before_top = density.draw(ax, before, within, color=style.PRIOR, fill=0.2)
        top = max(before_top, density.draw(ax, after, within, color=style.POSTERIOR))
        ax.set_ylim(0, 1.08 * top or 1)
        style.density_axis(ax)
        ax.set_xlabel(scalar.label + (" (log scale)" if log else ""))
    for ax in axes.flat[len(scalars) :]:
        ax.set_axis_off()
    style.legend(
        made,
        {
            "prior": Patch(color=style.PRIOR, alpha=0.4),
            "posterior": Patch(color=style.POSTERIOR, alpha=0.5),
        },
    )
    return made


def _limits(before: np.ndarray, after: np.ndarray, log: bool) -> tuple[float, float]:
    """Show nearly all of the posterior and the middle of the prior."""
    low, high = density.limits(after)
    if before.size == 0:
        return low, high
    if after.size == 0:
        return density.limits(before, 0.9)
    left, right = density.limits(before, 0.98 if log else 0.9)
    if not log:
        # At most one posterior width either side: a very wide prior shows as a flat line.
        left, right = max(left, 2 * low - high), min(right, 2 * high - low)
    return min(low, left), max(high, right)

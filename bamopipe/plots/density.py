"""Drawing the distribution of one scalar, whatever it is: smooth, discrete or constant."""

from typing import Any

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from matplotlib.axes import Axes

MOST_BARS = 60
"""Integer draws with more different values than this are drawn as a curve."""


def values(draws: xr.DataArray | np.ndarray) -> np.ndarray:
    """Take the finite draws of a scalar out of their array.

    Parameters
    ----------
    draws : array
        Draws of one scalar, with dimensions ``chain`` and ``draw``.

    Returns
    -------
    numpy.ndarray
        One dimension, maybe empty; integers stay integers, and booleans become such.
    """
    flat = np.ravel(draws)
    flat = flat.astype(int) if flat.dtype == bool else flat
    return flat[np.isfinite(flat)]


def limits(draws: np.ndarray, share: float = 0.998) -> tuple[float, float]:
    """Find the part of an axis that shows nearly all draws, with room around a constant.

    Parameters
    ----------
    draws : numpy.ndarray
        From `values`.
    share : float
        The central part of the draws to show.

    Returns
    -------
    tuple of float
        Lower and upper limit.
    """
    if draws.size == 0:
        return (-1.0, 1.0)
    low, high = np.quantile(draws, [(1 - share) / 2, (1 + share) / 2])
    if np.issubdtype(draws.dtype, np.integer):
        low, high = low - 0.6, high + 0.6  # the width of a bar
    if low == high:
        room = abs(low) / 2 or 1.0
        low, high = low - room, high + room
    return float(low), float(high)


def wants_log(draws: np.ndarray) -> bool:
    """Say whether draws are positive numbers with so long a tail that a log axis shows more.

    Parameters
    ----------
    draws : numpy.ndarray
        From `values`.

    Returns
    -------
    bool
        Whether all are positive and the middle 98% spans more than a factor 30.
    """
    if draws.size == 0 or draws.min() <= 0 or np.issubdtype(draws.dtype, np.integer):
        return False
    low, high = np.quantile(draws, [0.01, 0.99])
    return bool(high > 30 * low)


def draw(
    ax: Axes,
    draws: np.ndarray,
    within: tuple[float, float],
    *,
    color: str,
    fill: float = 0.35,
    **line: Any,
) -> float:
    """Draw a density as a filled curve, and the probabilities of integers as bars.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw; on a logarithmic axis the density is that of the logarithm.
    draws : numpy.ndarray
        From `values`.
    within : tuple of float
        The part of the axis to draw in. What lies outside still counts in the normalisation, so
        one far draw of a heavy tail does not flatten the rest.
    color : str
        The colour of the line and of the area under it.
    fill : float
        The opacity of the area.
    **line
        More settings of the line.

    Returns
    -------
    float
        The greatest height; 0 where there was no density to draw, as for a constant.
    """
    inside = draws[(draws >= within[0]) & (draws <= within[1])]
    if inside.size == 0:
        return 0.0
    if np.ptp(inside) == 0:
        ax.axvline(inside[0], color=color, **line)
        return 0.0
    if np.issubdtype(inside.dtype, np.integer):
        places, counts = np.unique(inside, return_counts=True)
        if places.size <= MOST_BARS:
            ax.bar(places, counts / draws.size, width=0.8, color=color, alpha=fill, linewidth=0)
            return float(counts.max() / draws.size)
    log = ax.get_xscale() == "log"
    # A little smoother than ArviZ's rule, which follows the noise of weakly correlated particles.
    x, y, _ = array_stats.kde(np.log(inside) if log else inside.astype(float), bw_fct=1.3)
    x, y = np.exp(x) if log else x, y * inside.size / draws.size
    ax.fill_between(x, y, color=color, alpha=fill, linewidth=0)
    ax.plot(x, y, color=color, **line)
    return float(y.max())

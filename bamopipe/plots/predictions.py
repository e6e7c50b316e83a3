"""What the model predicts beside what was observed, before and after seeing the data."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bamopipe.diagnostics import labels
from bamopipe.plots import scales, style

GROUPS = {
    "prior_predictive": ("before the data", style.PRIOR),
    "posterior_predictive": ("after the data", style.POSTERIOR),
}
MOST_ROWS = 8
MOST_ELEMENTS = 60
MOST_VALUES = 20
MOST_TICKS = 12
MOST_NUMBERS = 20_000_000
"""Of more predictions of a variable than this, evenly spaced draws are taken."""

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""The ends of the 90% and of the 50% interval around the median."""

PALE, STRONG = 0.3, 0.65
"""The opacity of the 90% and of the 50% interval."""


class Panel(NamedTuple):
    """The predictions of one variable in one group.

    Attributes
    ----------
    ax : matplotlib.axes.Axes
        Where they go.
    color : str
        The colour of the group.
    draws : numpy.ndarray
        Predictions of shape (draw, element); NaN where they are not finite.
    remark : str
        What is missing, in a line of its own if anything is in this row.
    """

    ax: Axes
    color: str
    draws: np.ndarray
    remark: str


def plot(tree: xr.DataTree) -> Figure:
    """Draw the predictions of each observed variable, with the observations over them.

    What is drawn follows from the variable:

    - up to 60 elements: the central 50% and 90% of the predictions of each;
    - whole numbers of few different values: the share of the elements that has each value;
    - more elements: the share of the elements in each bin of a histogram;
    - one element: a histogram of its predictions.

    Shares are computed for each draw, and their intervals enclose the central 50% and 90% of the
    draws. Where predictions are orders of magnitude wider than the data, their axis is linear
    around the data and logarithmic beyond.

    Parameters
    ----------
    tree : xarray.DataTree
        With ``prior_predictive``, ``posterior_predictive`` or both, and ``observed_data``.

    Returns
    -------
    matplotlib.figure.Figure
        One row a variable, at most 8; one column a group.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from bamopipe.plots import predictions
    >>> draws = np.random.default_rng(1).normal(size=(4, 100, 3))
    >>> tree = xr.DataTree.from_dict({
    ...     "prior_predictive": xr.Dataset({"y": (("chain", "draw", "i"), draws)}),
    ...     "observed_data": xr.Dataset({"y": ("i", [0.1, -0.5, 9.0])}),
    ... })
    >>> predictions.plot(tree).get_axes()[0].texts[0].get_text()
    '1 of 3 observations outside the 90% interval'
    """
    groups = {g: tree.children[g].dataset for g in GROUPS if g in tree.children}
    data = tree.children["observed_data"].dataset if "observed_data" in tree.children else {}
    predicted = dict.fromkeys(name for dataset in groups.values() for name in dataset)
    names = [*(n for n in data if n in predicted), *(n for n in predicted if n not in data)]
    shown = names[:MOST_ROWS]
    note = f"{len(shown)} of {len(names)} variables shown" if len(shown) < len(names) else ""
    size = (style.WIDTH, 2.35 * max(1, len(shown)))
    made = _headed(tree, size, note)
    if not shown:
        made.text(0.5, 0.3, "nothing is predicted", ha="center", fontsize=14, color=style.GREY)
        return made
    rows = made.subplots(len(shown), len(groups), squeeze=False)
    for axes, name in zip(rows, shown, strict=True):
        _row(dict(zip(groups, axes, strict=True)), groups, data, name)
    entries: dict[str, Artist] = {
        "50%": Patch(color=style.INK, alpha=STRONG, linewidth=0),
        "90% of predictions": Patch(color=style.INK, alpha=PALE, linewidth=0),
        "observed": Line2D([], [], color=style.OBSERVED, marker="o", markersize=4),
    }
    style.legend(made, entries)
    return made


def _headed(tree: xr.DataTree, size: tuple[float, float], note: str) -> Figure:
    """Make the empty figure, also of a model that was not fitted."""
    title = "Predictions and observations"
    if "posterior" in tree.children:
        return style.figure(tree, title, size, note)
    about = [str(tree.attrs.get("name", "")).replace("_", " "), "not fitted", note]
    return style.headed(title, " · ".join(part for part in about if part), [], size)


def _row(
    axes: Mapping[str, Axes],
    groups: Mapping[str, xr.Dataset],
    data: Mapping[Hashable, xr.DataArray],
    name: Hashable,
) -> None:
    """Draw one variable in all groups, in the way that suits it."""
    arrays = {
        group: dataset[name].transpose("chain", "draw", ...)
        for group, dataset in groups.items()
        if name in dataset
    }
    outline = next(iter(arrays.values()))[:1, :1]
    observed = np.full(outline.size, np.nan)
    if name in data:
        observed = data[name].transpose(*outline.dims[2:]).values.astype(float).ravel()
    missing = np.count_nonzero(np.isnan(observed)) if name in data else 0
    draws = {group: _draws(array) for group, array in arrays.items()}
    remarks = {
        group: " · ".join(
            f"{number:,} {what}"
            for number, what in (
                (missing, "missing"),
                (left_out, "predictions not finite, left out"),
            )
            if number
        )
        for group, (_, left_out) in draws.items()
    }
    second_line = any(remarks.values())
    panels = []
    for group, ax in axes.items():
        title, color = GROUPS[group]
        ax.set_title(title, loc="left", fontweight="bold", pad=28 if second_line else 17)
        if group in draws and np.isfinite(draws[group][0]).any():
            below = "\n" * second_line + remarks[group]
            panels.append(Panel(ax, color, draws[group][0], below))
            continue
        why = "no finite predictions" if group in draws else "no predictions"
        why = f"{name} has no elements" if outline.size == 0 else f"{why} of {name}"
        ax.text(0.5, 0.5, why, transform=ax.transAxes, ha="center", color=style.GREY)
        ax.set_axis_off()
    if not panels:
        return
    values, ticks = _few_values(panels, observed)
    if ticks:
        _values(panels, observed, style.name(name), values, ticks)
    elif outline.size == 1:
        _one(panels, observed, style.name(name))
    elif outline.size <= MOST_ELEMENTS:
        _elements(panels, observed, style.name(name), outline)
    else:
        _many(panels, observed, style.name(name))


def _draws(array: xr.DataArray) -> tuple[np.ndarray, int]:
    """Take predictions of shape (draw, element) out of their array, and count the others."""
    every = array.values.reshape(array.shape[0] * array.shape[1], math.prod(array.shape[2:]))
    not_finite = every.size - np.count_nonzero(np.isfinite(every))
    draws = every[:: 1 + every.size // MOST_NUMBERS].astype(float)
    draws[~np.isfinite(draws)] = np.nan
    return draws, int(not_finite)


def _quantiles(draws: np.ndarray, levels: Sequence[float] = LEVELS) -> np.ndarray:
    """Find quantiles of each column without its NaN.

    They are those of `numpy.nanquantile`, which takes its time over many columns.
    """
    ordered = np.sort(draws, axis=0)  # NaN last
    last = np.maximum(np.isfinite(draws).sum(axis=0) - 1, 0)
    place = np.multiply.outer(levels, last)
    below = np.floor(place).astype(int)
    low, high = (np.take_along_axis(ordered, p, 0) for p in (below, np.minimum(below + 1, last)))
    return low * (1 - place + below) + high * (place - below)  # a difference could overflow


def _few_values(panels: list[Panel], observed: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """List whole numbers that are few enough to compare their shares, and how to write them.

    They are those from the least to the greatest observation, and one more at either end, which
    stands for all predictions beyond. No label means that the values are not such.
    """
    draws = [panel.draws[np.isfinite(panel.draws)] for panel in panels]
    seen = observed[np.isfinite(observed)]
    basis = seen if seen.size else draws[-1]
    low, high = basis.min(), basis.max()
    if high - low >= MOST_VALUES or any(np.any(part % 1) for part in [seen, *draws]):
        return np.empty(0), []
    values = np.arange(low, high + 1)
    ticks = [f"{value:.0f}".replace("-", "−") for value in values]
    least, most = min(part.min() for part in draws), max(part.max() for part in draws)
    if least < low:
        values = np.append(low - 1, values)
        ticks.insert(0, f"{'≤' if least < low - 1 else ''}{low - 1:.0f}".replace("-", "−"))
    if most > high:
        values = np.append(values, high + 1)
        ticks.append(f"{'≥' if most > high + 1 else ''}{high + 1:.0f}")
    return (values, ticks) if (seen.size or observed.size) >= 2 * len(ticks) else (np.empty(0), [])


def _values(
    panels: list[Panel], observed: np.ndarray, name: str, values: np.ndarray, ticks: list[str]
) -> None:
    """Draw how large a part of the elements has each value."""
    every = 1 + len(ticks) // MOST_TICKS
    edges = np.append(values, values[-1] + 1) - 0.5
    for panel in panels:
        clipped = panel._replace(draws=panel.draws.clip(values[0], values[-1]))
        shares, found = _shares(clipped, observed, edges)
        interval = _quantiles(shares)
        _bars(panel, interval, found)
        panel.ax.set(xlabel=name, ylim=(0, 1.08 * np.nanmax([*interval[-1], *found, 0])))
        panel.ax.set_xticks(range(0, len(ticks), every), ticks[::every])
        _say(panel, interval, found, "shares")
    panels[0].ax.set_ylabel("share of elements")


def _many(panels: list[Panel], observed: np.ndarray, name: str) -> None:
    """Draw how large a part of the elements is in each bin."""
    each = [_quantiles(panel.draws) for panel in panels]
    chosen = scales.choose([part[[0, -1]] for part in each], observed)
    bins = min(40, int(1.5 * math.sqrt(observed.size)))
    for panel, interval, scale in zip(panels, each, chosen, strict=True):
        edges = _set_bins(panel, scale, name, bins)
        shares, found = _shares(panel, observed, edges)
        low, inner_low, _, inner_high, high = _quantiles(shares)
        look: dict[str, Any] = {"color": panel.color, "fill": True}
        panel.ax.stairs(high, edges, baseline=low, alpha=PALE, **look)
        panel.ax.stairs(inner_high, edges, baseline=inner_low, alpha=STRONG, **look)
        panel.ax.stairs(found, edges, color=style.OBSERVED, linewidth=1.2)
        panel.ax.set_ylim(0, 1.08 * np.nanmax([*high, *found, 0]))
        _say(panel, interval, observed)
    panels[0].ax.set_ylabel("share of elements")


def _shares(panel: Panel, observed: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the share of the elements in each bin: a row a draw, and for what was observed.

    Elements that were not observed do not count, unless none was.
    """
    seen = np.isfinite(observed)
    rows = panel.draws[:, seen] if seen.any() else panel.draws
    counts = np.array([np.histogram(row, edges)[0] for row in rows])
    totals = np.isfinite(rows).sum(axis=1, keepdims=True)
    found = np.histogram(observed[seen], edges)[0] / (np.count_nonzero(seen) or np.nan)
    return counts / np.where(totals, totals, np.nan), found


def _elements(panels: list[Panel], observed: np.ndarray, name: str, outline: xr.DataArray) -> None:
    """Draw the predictions of each element."""
    intervals = [_quantiles(panel.draws) for panel in panels]
    chosen = scales.choose([part[[0, -1]] for part in intervals], observed)
    places = np.arange(observed.size)
    if places.size > MOST_TICKS:
        places = places[:: math.ceil(places.size / 6)]
    names = labels(outline, style.ELEMENTS)
    names = [n if len(n) <= 20 else n[:19] + "…" for n in (names[place] for place in places)]
    slanted: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    turned = slanted if len(names) * (2 + max(map(len, names))) > 64 else {}
    dims = [str(dim) for dim in outline.dims[2:] if "_dim_" not in str(dim)]
    for panel, interval, scale in zip(panels, intervals, chosen, strict=True):
        scales.apply(panel.ax, "y", scale, name)
        _bars(panel, interval, observed)
        panel.ax.set_xlabel(", ".join(dims) or "element")
        panel.ax.set_xticks(places, names, **turned)
        _say(panel, interval, observed)


def _bars(panel: Panel, interval: np.ndarray, observed: np.ndarray) -> None:
    """Draw the intervals side by side, with dots for what was observed."""
    count = observed.size
    places = np.arange(count)
    width = min(9.0, max(1.6, 110 / count))
    low, inner_low, median, inner_high, high = interval
    look: dict[str, Any] = {"color": panel.color, "linewidth": width}
    panel.ax.vlines(places, low, high, alpha=PALE, **look)
    panel.ax.vlines(places, inner_low, inner_high, alpha=STRONG, **look)
    # Shows also where an interval has no length.
    panel.ax.plot(places, median, "_", color=panel.color, markersize=width)
    panel.ax.plot(
        places, observed, "o", color=style.OBSERVED, markersize=min(5.0, max(3.2, 0.9 * width)),
        markeredgecolor="white", markeredgewidth=0.5,
    )  # fmt: skip
    panel.ax.set_xlim(-0.6, count - 0.4)


def _one(panels: list[Panel], observed: np.ndarray, name: str) -> None:
    """Draw the predictions of a single number."""
    intervals = [_quantiles(panel.draws) for panel in panels]
    ends = [_quantiles(panel.draws, [0.005, 0.995]) for panel in panels]
    for panel, interval, scale in zip(
        panels, intervals, scales.choose(ends, observed), strict=True
    ):
        edges = _set_bins(panel, scale, name, 40)
        draws = panel.draws[np.isfinite(panel.draws)]
        heights = np.histogram(draws, edges)[0] / draws.size
        panel.ax.stairs(heights, edges, fill=True, color=panel.color, alpha=PALE)
        top = heights.max() or 1.0
        low, inner_low, _, inner_high, high = interval[:, 0]
        look: dict[str, Any] = {"color": panel.color, "linewidth": 5}
        panel.ax.hlines(-0.06 * top, low, high, alpha=PALE, **look)
        panel.ax.hlines(-0.06 * top, inner_low, inner_high, alpha=STRONG, **look)
        panel.ax.axvline(observed[0], color=style.OBSERVED)
        panel.ax.set_ylim(-0.12 * top, 1.08 * top)
        style.density_axis(panel.ax)
        _say(panel, interval, observed)


def _say(
    panel: Panel, interval: np.ndarray, observed: np.ndarray, what: str = "observations"
) -> None:
    """Write above a panel how much was outside the 90% interval, and what is missing."""
    known = np.isfinite(observed) & np.isfinite(interval[0])
    total = np.count_nonzero(known)
    outside = np.count_nonzero(known & ((observed < interval[0]) | (observed > interval[-1])))
    number = f"{outside} of {total}" if total <= MOST_ELEMENTS else f"{outside / total:.1%} of"
    text = f"{number} {what} outside the 90% interval"
    if observed.size == 1 and what == "observations":
        text = f"observation {'outside' if outside else 'inside'} the 90% interval"
    text = text if total else "no observations"
    panel.ax.annotate(
        text + panel.remark, (0, 1), (0, 4), "axes fraction",
        "offset points", va="bottom", fontsize=7.5, color=style.GREY,
    )  # fmt: skip


def _set_bins(panel: Panel, scale: scales.Scale, name: str, count: int) -> np.ndarray:
    """Set the x axis, and find the edges of about so many even bins along it."""
    limits = scales.apply(panel.ax, "x", scale, name)
    if scale.name == "linear" and not np.any(np.nan_to_num(panel.draws) % 1):
        width = np.ceil((scale.high - scale.low + 1) / count)
        edges = np.arange(np.floor(scale.low), scale.high + width + 1, width) - 0.5
        panel.ax.set_xlim(edges[0] - 0.2 * width, edges[-1] + 0.2 * width)
        panel.ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
        return edges
    transform = panel.ax.xaxis.get_transform()
    start, stop = transform.transform(limits)
    return transform.inverted().transform(np.linspace(start, stop, count + 1))

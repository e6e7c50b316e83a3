"""What a sweep changes: a number of each run against the settings that vary."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from matplotlib.transforms import ScaledTranslation

from bamopipe.plots import style

MOST_ARMS = 6
# A heat map with more cells, or cells narrower than this many inches, has no numbers in them.
MOST_NUMBERS = 150
NUMBER_WIDTH = 0.55
MOST_TICKS = 24
LONG_LABEL = 9


def plot(table: pd.DataFrame, axes: Sequence[str], metric: str, label: str) -> Figure:
    """Draw a number of each run against one setting (lines) or two (heat maps).

    Parameters
    ----------
    table : pandas.DataFrame
        One row a run: ``arm``, ``converged``, a column of text for each of `axes`, the number,
        and its standard error in ``<metric>_se`` if it has one.
    axes : sequence of str
        The one or two settings, in the order in which they were swept.
    metric : str
        The column of the number.
    label : str
        What it is, for people.

    Returns
    -------
    matplotlib.figure.Figure
        A line, or a panel, for each arm. Runs that did not converge are marked in red.
    """
    arms = list(dict.fromkeys(table["arm"]))
    wrong = int((~table["converged"].astype(bool)).sum())
    about = [f"{len(table)} runs", " × ".join(axes)]
    if len(axes) == 1:
        about.append("error bars: ±1 standard error")
    if wrong:
        about.append(f"{wrong} did not converge")
    if len(arms) > MOST_ARMS:
        about.append(f"the first {MOST_ARMS} of {len(arms)} arms shown")
    shown = arms[:MOST_ARMS]
    draw = _lines if len(axes) == 1 else _heat_maps
    return draw(table, axes, metric, label, shown, " · ".join(about))


def _lines(table, axes, metric, label, arms, about) -> Figure:
    values = list(dict.fromkeys(table[axes[0]]))
    numbers = _numbers(values)
    made = style.headed(label.capitalize(), about, [], (style.WIDTH, 3.2))
    ax = made.subplots()
    entries = {}
    few = len(values) <= 60
    for place, arm in enumerate(arms):
        rows = table[table["arm"] == arm]
        x = np.array([values.index(v) if numbers is None else float(v) for v in rows[axes[0]]])
        order = np.argsort(x)
        rows, x = rows.iloc[order], x[order]
        y = rows[metric].where(np.isfinite(rows[metric])).values
        error = np.nan_to_num(rows[f"{metric}_se"].values) if f"{metric}_se" in rows else None
        color = [c for c in style.CYCLE if c != style.RED][place]
        # Arms stand side by side, so that their error bars can be told apart.
        beside = ScaledTranslation(4 * (place - (len(arms) - 1) / 2) / 72, 0, made.dpi_scale_trans)
        drawn = ax.errorbar(
            x, y, yerr=error, color=color, marker="o", markersize=4.5 if few else 2,
            capsize=2.5 if few else 0, elinewidth=1.1, linewidth=1.0 if numbers else 0.6,
            linestyle="-" if numbers else ":",
        )  # fmt: skip
        bad = ~rows["converged"].values.astype(bool)
        (marked,) = ax.plot(
            x[bad], y[bad], "o", color=style.RED, markerfacecolor="white",
            markersize=5.5 if few else 3, zorder=4,
        )  # fmt: skip
        for artist in (*drawn.get_children(), marked):  # once the limits know where they belong
            artist.set_transform(artist.get_transform() + beside)
        entries[arm.replace("_", " ")] = Line2D([], [], color=color, marker="o", markersize=4.5)
    if not table["converged"].all():
        looks: dict[str, Any] = {"color": style.RED, "markerfacecolor": "white", "linestyle": ""}
        entries["not converged"] = Line2D([], [], marker="o", markersize=5.5, **looks)
    if numbers is None:
        _name_ticks(ax, "x", values)
        ax.set_xlim(-0.5, len(values) - 0.5)
    elif min(numbers) > 0 and max(numbers) >= 30 * min(numbers):
        ax.set_xscale("log")
        if len(values) <= 8:
            ax.set_xticks(numbers, values)
            ax.minorticks_off()
    elif len(values) <= 8:
        ax.set_xticks(numbers, values)
    ax.set_xlabel(axes[0])
    ax.set_ylabel(label)
    ax.yaxis.set_major_locator(MaxNLocator(6))
    ax.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    ax.grid(axis="y", color=style.PALE, linewidth=0.5)
    ax.set_axisbelow(True)
    ax.margins(x=0.06)
    style.legend(made, entries)
    return made


def _heat_maps(table, axes, metric, label, arms, about) -> Figure:
    columns, rows = (_ordered(table[axis]) for axis in axes)
    across = 1 if len(arms) == 1 or len(columns) > 6 else 2
    down = -(-len(arms) // across)
    names = max(len(str(v)) for v in rows) * 0.065
    width = (style.WIDTH - 1.0) / across - names - 0.5
    tall = max(len(str(v)) for v in columns) * 0.05 if _is_long(columns) else 0.0
    low = max(1.1, 0.068 * len(axes[1]))  # the setting's name stands beside the rows
    panel = float(np.clip((0.42 if len(rows) <= 8 else 0.24) * len(rows), low, 6))
    height = down * (panel + 0.3) + 0.4 + tall
    made = style.headed(f"{label.capitalize()} over two settings", about, [], (style.WIDTH, height))
    panels = made.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    finite = table[metric][np.isfinite(table[metric]) & table["converged"].astype(bool)]
    finite = finite if len(finite) else table[metric][np.isfinite(table[metric])]
    least, most = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    norm = Normalize(least - (least == most), most + (least == most))
    colours = mpl.colormaps["viridis"].with_extremes(bad="white")
    numbered = width / len(columns) > NUMBER_WIDTH and len(columns) * len(rows) <= MOST_NUMBERS
    for place, ax in enumerate(panels.flat):
        if place >= len(arms):
            ax.set_visible(False)
            continue
        part = table[table["arm"] == arms[place]]
        cells = np.full((len(rows), len(columns)), np.nan)
        ax.set_facecolor("#F2F2F2")
        for _, run in part.iterrows():
            x, y = columns.index(run[axes[0]]), rows.index(run[axes[1]])
            cells[y, x] = run[metric]
            if not run["converged"]:
                ax.add_patch(
                    Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, fill=False, edgecolor=style.RED,
                              linewidth=2.2, zorder=3)
                )  # fmt: skip
            if numbered and np.isfinite(run[metric]):
                ax.text(
                    x, y, _number(run, metric), ha="center", va="center", fontsize=6.8, zorder=4,
                    color=_readable(colours(norm(run[metric]))),
                )  # fmt: skip
        masked = np.ma.masked_invalid(cells)
        image = ax.imshow(masked, cmap=colours, norm=norm, aspect="auto", interpolation="none")
        if len(arms) > 1:
            ax.set_title(arms[place].replace("_", " "))
        _name_ticks(ax, "x", columns)
        _name_ticks(ax, "y", rows)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
    for ax in panels[-1]:
        ax.set_xlabel(axes[0])
    for ax in panels[:, 0]:
        ax.set_ylabel(axes[1])
    plain = ScalarFormatter(useOffset=False)
    bar = made.colorbar(image, ax=panels, label=label, format=plain, aspect=height / 0.17, pad=0.02)
    bar.outline.set_visible(False)
    if not table["converged"].all():
        mark = Rectangle((0, 0), 1, 1, fill=False, edgecolor=style.RED, linewidth=2.2)
        style.legend(made, {"not converged": mark})
    return made


def _numbers(values: Sequence[str]) -> list[float] | None:
    try:
        found = [float(value) for value in values]
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None


def _ordered(column: pd.Series) -> list[str]:
    """Put numbers in order; other values stay as they were swept."""
    values = list(dict.fromkeys(column))
    return sorted(values, key=float) if _numbers(values) else values


def _is_long(values: Sequence[str]) -> bool:
    return max(len(str(value)) for value in values) > max(LONG_LABEL, 50 // len(values))


def _name_ticks(ax: Axes, which: str, values: Sequence[str]) -> None:
    """Name every value, or every second, third and so on where there are many."""
    step = -(-len(values) // MOST_TICKS)
    places = range(0, len(values), step)
    names = [values[place] for place in places]
    if which == "y":
        ax.set_yticks(places, names)
    elif _is_long(names):
        ax.set_xticks(places, names, rotation=25, ha="right", rotation_mode="anchor")
    else:
        ax.set_xticks(places, names)


def _number(run: pd.Series, metric: str) -> str:
    text = f"{run[metric]:.5g}" if abs(run[metric]) >= 1000 else f"{run[metric]:.2f}"
    error = run.get(f"{metric}_se", np.nan)
    if np.isfinite(error):
        text += f"\n± {error:.2g}"
    return text.replace("-", "\N{MINUS SIGN}")


def _readable(colour) -> str:
    red, green, blue, _ = colour
    return style.INK if 0.3 * red + 0.6 * green + 0.1 * blue > 0.5 else "white"

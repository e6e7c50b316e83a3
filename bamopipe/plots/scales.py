"""Axes on which both a wide prior and the data can be seen: linear, logarithmic, or both."""

import math
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, StrMethodFormatter


class Scale(NamedTuple):
    """How an axis shows values.

    Attributes
    ----------
    name : str
        ``"linear"``, ``"log"`` or ``"symlog"``.
    low, high : float
        The least and the greatest value to show.
    linear_to : float
        Where a symlog axis turns from linear to logarithmic.
    """

    name: str
    low: float
    high: float
    linear_to: float = 0.0


def choose(ends: list[np.ndarray], observed: np.ndarray) -> list[Scale]:
    """Choose scales on which intervals and observations can be seen; one if they are similar."""
    scales = [_scale(part, observed) for part in ends]
    low, high = min(scale.low for scale in scales), max(scale.high for scale in scales)
    narrowest = min(scale.high / 2 - scale.low / 2 for scale in scales)
    if {scale.name for scale in scales} == {"linear"} and high / 2 - low / 2 < 2 * narrowest:
        return [Scale("linear", low, high)] * len(scales)
    return scales


def _scale(ends: np.ndarray, observed: np.ndarray) -> Scale:
    everything = np.append(ends, observed)
    everything = everything[np.isfinite(everything)].clip(-1e200, 1e200)  # room for a margin
    low, high = float(everything.min()), float(everything.max())
    if low > 0 and 1e3 * low < high < 1e9 * low:
        return Scale("log", low, high)
    largest = float(np.max(np.abs(observed[np.isfinite(observed)]), initial=0))
    if largest and max(high, -low) > 30 * largest:
        digit = 10 ** math.floor(math.log10(largest))
        return Scale("symlog", low, high, math.ceil(largest / digit) * digit)
    room = (abs(low) / 2 or 1.0) if low == high else 0.0
    return Scale("linear", low - room, high + room)


def apply(ax: Axes, which: str, scale: Scale, name: str) -> np.ndarray:
    """Give the x or y axis its scale, ticks, name and limits; return these."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    options: dict[str, float] = {}
    if scale.name == "log":
        name += " (log scale)"
    elif scale.name == "symlog":
        name += f" (log scale beyond ±{_number(scale.linear_to)})"
        decades = [math.log10(max(1, end / scale.linear_to)) for end in (scale.high, -scale.low)]
        sides = (scale.high > 0) + (scale.low < 0)
        # A third of the axis is for the data.
        options = {"linthresh": scale.linear_to, "linscale": max(0.5, sum(decades) / 2 / sides)}
    (ax.set_xscale if which == "x" else ax.set_yscale)(scale.name, **options)
    if scale.name == "symlog":
        ticks = _symlog_ticks(scale)
        axis.set_ticks(list(ticks), list(ticks.values()))
        axis.set_ticks([], minor=True)
    elif scale.name == "linear":
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
    transform = axis.get_transform()
    low, high = transform.transform([scale.low, scale.high])
    room = 0.04 * (high - low)
    limits = transform.inverted().transform([low - room, high + room])
    ax.set(**{f"{which}lim": limits, f"{which}label": name})
    return limits


def _symlog_ticks(scale: Scale) -> dict[float, str]:
    """Mark zero, the ends of the linear part, and up to two powers of ten on either side."""
    ticks = {0.0: "0"}
    for sign, minus, end in ((1, "", scale.high), (-1, "−", -scale.low)):
        if end < scale.linear_to:
            continue
        ticks[sign * scale.linear_to] = minus + _number(scale.linear_to)
        start, stop = math.log10(scale.linear_to), math.log10(end)
        apart = 0.3 * (stop - start)
        last = math.floor(stop)
        middle = round((start + last) / 2)
        for power in (last, middle) if last - middle > apart else (last,):
            if power - start > apart:
                ticks[sign * 10.0**power] = f"${minus}10^{{{power}}}$"
    return ticks


def _number(value: float) -> str:
    """Write a number of one digit and its power of ten."""
    if 1e-3 <= value < 1e5:
        return f"{value:,g}"
    power = math.floor(math.log10(value))
    return rf"${value / 10.0**power:.0f}\times10^{{{power}}}$"

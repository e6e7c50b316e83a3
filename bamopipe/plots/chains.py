"""Seeds and chains, each a whole run by itself, against each other."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import ScalarFormatter

from bamopipe.diagnostics import ESS_ABOVE, R_HAT_BELOW, convergence, labels
from bamopipe.plots import style
from bamopipe.posterior import by_chain, is_mcmc

MOST_ROWS = 40


def plot(tree: xr.DataTree) -> Figure:
    """Draw each chain's mean against the pooled mean, and its log evidence or effective draws.

    Means are in units of the posterior standard deviation, so all scalars share an axis; the grey
    bar is two Monte Carlo standard errors of the pooled mean either side. Chains are coloured by
    seed.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior with the group ``smc`` or ``mcmc``.

    Returns
    -------
    matplotlib.figure.Figure
        Means at the left, evidence at the right, or, for Markov chains, the effective number of
        draws; the scalars that agree least where there are too many rows.
    """
    posterior = tree.children["posterior"].dataset
    table = convergence(tree)
    table["name"] = [name for draws in posterior.values() for name in labels(draws, style.NAMES)]
    draws = [d.transpose("chain", "draw", ...).mean("draw").values for d in posterior.values()]
    means = np.concatenate([d.reshape(len(d), -1) for d in draws], axis=1).T
    # Worst agreement first, then back to the order of the model.
    shown = np.sort(np.argsort(-table["r_hat"].fillna(0).values, kind="stable")[:MOST_ROWS])
    note = f"the {shown.size} of {len(table):,} scalars with the largest R-hat"
    note = note if shown.size < len(table) else ""
    size = (style.WIDTH, max(2.2, 0.21 * shown.size + 0.7))
    made = style.figure(tree, "Chains against each other", size, note)
    # The empty column is room for the numbers beside the left panel.
    left, between, right = made.subplots(1, 3, width_ratios=[1.7, 0.1, 1])
    between.set_axis_off()
    seeds = by_chain(tree)["seed"].values
    colours = style.seed_colours(seeds)
    _means(left, table.iloc[shown], means[shown], [colours[int(seed)] for seed in seeds])
    if is_mcmc(tree):
        _effective_draws(
            right, table.iloc[shown], posterior.sizes["chain"] * posterior.sizes["draw"]
        )
    else:
        _evidence(right, tree, colours)
    entries: dict[str, Artist] = {
        "±2 standard errors": Patch(color=style.PALE),
    }
    if len(colours) <= 4:
        for seed, colour in colours.items():
            entries[f"seed {seed}"] = Line2D(
                [], [], linestyle="", marker="o", markersize=4, markeredgewidth=0, color=colour
            )
    style.legend(made, entries)
    return made


def _means(ax: Axes, table: pd.DataFrame, means: np.ndarray, colours: list[Any]) -> None:
    unit = table["sd"].where(table["sd"] > 0, 1.0).values
    away = (means - table["mean"].values[:, None]) / unit[:, None]
    bars = np.nan_to_num(2 * table["mcse_mean"].values / unit)
    rows = np.arange(len(table))
    ax.barh(rows, 2 * bars, left=-bars, height=0.75, color=style.PALE, linewidth=0)
    ax.axvline(0, color=style.GREY, linewidth=0.7)
    for chain, colour in zip(away.T, colours, strict=True):
        ax.plot(chain, rows, "o", color=colour, markersize=3.2, alpha=0.8, markeredgewidth=0)
    reach = 1.15 * max(0.01, np.nanmax(np.abs(away), initial=0), bars.max())
    room = max(0, 5 - len(table)) / 2  # keeps the bars of few rows slender
    ax.set(xlim=(-reach, reach), ylim=(len(table) - 0.4 + room, -0.6 - room))
    ax.set_yticks(rows, table["name"])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("(chain mean − pooled mean) / posterior sd")
    beside: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "fontsize": 7}
    ax.text(1.02, -0.6, "R-hat", va="bottom", color=style.GREY, **beside)
    for row, value in zip(rows, table["r_hat"], strict=True):
        text = f"{value:.3f}" if np.isfinite(value) else "–"
        color = style.RED if value >= R_HAT_BELOW else style.INK
        ax.text(1.02, float(row), text, va="center", color=color, **beside)


def _effective_draws(ax: Axes, table: pd.DataFrame, most: int) -> None:
    """Draw a bar for each scalar, beside its row at the left."""
    rows = np.arange(len(table))
    ax.barh(rows, table["ess"], height=0.5, color=style.GREY, linewidth=0)
    ax.axvline(ESS_ABOVE, color=style.INK, linewidth=0.8, linestyle="--")
    ax.axvline(most, color=style.GREY, linewidth=0.7, linestyle=":")
    room = max(0, 5 - len(table)) / 2
    ax.set(ylim=(len(table) - 0.4 + room, -0.6 - room), xlabel="Effective draws")
    ax.set_yticks([])


def _evidence(ax: Axes, tree: xr.DataTree, colours: dict[int, Any]) -> None:
    """Draw one point a chain, a column a seed, over the estimate from all of them."""
    smc = tree.children["smc"].dataset
    value, error = tree.attrs["log_evidence"], tree.attrs["log_evidence_se"]
    if np.isfinite(error):
        ax.axhspan(value - 2 * error, value + 2 * error, color=style.PALE, linewidth=0)
    if np.isfinite(value):
        ax.axhline(value, color=style.GREY, linewidth=0.7)
    for place, (seed, colour) in enumerate(colours.items()):
        own = smc["log_evidence"].values[smc["seed"].values == seed]
        beside = place + np.linspace(-0.25, 0.25, own.size + 2)[1:-1]
        ax.plot(beside, own, "o", color=colour, markersize=4, alpha=0.9, markeredgewidth=0)
    every = 1 + len(colours) // 12
    ax.set_xticks(range(0, len(colours), every), [str(seed) for seed in list(colours)[::every]])
    ax.set_xlim(-0.6, len(colours) - 0.4)
    ax.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    ax.set(xlabel="seed", ylabel="log evidence")

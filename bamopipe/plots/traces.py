"""Markov chains, draw by draw."""

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import rankdata

from bamopipe.diagnostics import convergence, labels
from bamopipe.plots import style

MOST_ROWS = 6
MOST_POINTS = 500
RANK_BINS = 20


def plot(tree: xr.DataTree) -> Figure:
    """Draw the scalars that agree least: traces at the left, ranks at the right.

    Traces of chains that explore the same distribution look alike. So do their ranks among the
    draws of all chains, which are uniform then (Vehtari et al. 2021): every line near the dashed
    one. Chains are coloured by seed.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior with the group ``mcmc``.

    Returns
    -------
    matplotlib.figure.Figure
        One row a scalar.
    """
    posterior = tree.children["posterior"].dataset
    r_hat = convergence(tree)["r_hat"].fillna(0).values
    names = [name for draws in posterior.values() for name in labels(draws, style.NAMES)]
    arrays = [d.transpose("chain", "draw", ...).values for d in posterior.values()]
    values = np.concatenate([v.reshape(*v.shape[:2], -1) for v in arrays], axis=2)
    shown = np.sort(np.argsort(-r_hat, kind="stable")[:MOST_ROWS])
    note = f"the {shown.size} of {len(names):,} scalars with the largest R-hat"
    note = note if shown.size < len(names) else ""
    made = style.figure(tree, "Traces and ranks", (style.WIDTH, 0.9 + 1.1 * shown.size), note)
    axes = made.subplots(shown.size, 2, width_ratios=[2, 1], squeeze=False, sharex="col")
    seeds = tree.children["mcmc"].dataset["seed"].values
    colours = style.seed_colours(seeds)
    own = [colours[int(seed)] for seed in seeds]
    for (left, right), index in zip(axes, shown, strict=True):
        _trace(left, values[:, :, index], own)
        _ranks(right, values[:, :, index], own)
        left.set_title(names[index], loc="left")
    axes[-1, 0].set_xlabel("Draw")
    axes[-1, 1].set_xlabel("Rank among all draws")
    entries: dict[str, Artist] = {}
    if len(colours) <= 5:
        entries = {f"seed {seed}": Line2D([], [], color=c) for seed, c in colours.items()}
    style.legend(made, entries)
    return made


def _trace(ax: Axes, draws: np.ndarray, colours: list) -> None:
    every = 1 + draws.shape[1] // MOST_POINTS
    steps = np.arange(1, draws.shape[1] + 1)[::every]
    for chain, colour in zip(draws[:, ::every], colours, strict=True):
        ax.plot(steps, chain, color=colour, linewidth=0.5, alpha=0.6)


def _ranks(ax: Axes, draws: np.ndarray, colours: list) -> None:
    ranks = rankdata(draws).reshape(draws.shape) / draws.size
    edges = np.linspace(0, 1, RANK_BINS + 1)
    for chain, colour in zip(ranks, colours, strict=True):
        share = np.histogram(chain, edges)[0] / chain.size * RANK_BINS
        ax.stairs(share, edges, color=colour, linewidth=0.9, alpha=0.8)
    ax.axhline(1, color=style.INK, linewidth=0.7, linestyle="--", zorder=0)
    ax.set_ylim(0, None)
    ax.set_yticks([])

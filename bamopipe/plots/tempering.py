"""The way from the prior to the posterior, stage by stage."""

import json

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from bamopipe.plots import style


def plot(tree: xr.DataTree) -> Figure:
    """Draw temperature, effective sample size, acceptance and log evidence by stage.

    One line a chain, coloured by seed; the acceptance panel has the mean over chains of each
    update of the kernel, in a band from the lowest to the highest chain.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior with the group ``smc``.

    Returns
    -------
    matplotlib.figure.Figure
        Four panels over the same stages.
    """
    smc = tree.children["smc"].dataset
    smc = smc.assign_coords(failed=smc["status"] != "ok")
    made = style.figure(tree, "Tempering path", (style.WIDTH, 4.6))
    axes = made.subplots(2, 2, sharex=True)
    stage = np.arange(1, smc.sizes["stage"] + 1)
    colours = style.seed_colours(smc["seed"].values)
    particles = tree.children["posterior"].sizes["draw"]
    shown = {
        "Temperature": smc["temperature"],
        "Effective sample size": smc["ess"] / particles,
        "Log evidence so far": smc["log_evidence_increment"].cumsum("stage", skipna=False),
    }
    for ax, (label, values) in zip(axes.flat[[0, 1, 3]], shown.items(), strict=True):
        for chain in values.transpose("chain", "stage"):
            colour = colours[int(chain["seed"])]
            ax.plot(stage, chain, "o-", color=colour, markersize=2.2, linewidth=0.9, alpha=0.7)
            if chain["failed"]:
                last = np.flatnonzero(np.isfinite(chain))[-1:]
                ax.plot(stage[last], chain[last], "X", color=style.RED, markersize=7, zorder=5)
        ax.set_ylabel(label)
    _temperature(axes[0, 0], smc)
    _target(axes[0, 1], tree)
    _acceptance(axes[1, 0], smc, stage)
    _evidence(axes[1, 1], tree)
    for ax in axes[1]:
        ax.set_xlabel("Stage")
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    entries: dict[str, Artist] = {}
    if len(colours) <= 5:
        entries = {f"seed {seed}": Line2D([], [], color=c) for seed, c in colours.items()}
    if smc["failed"].any():
        entries["failed"] = Line2D([], [], linestyle="", marker="X", markersize=7, color=style.RED)
    style.legend(made, entries)
    return made


def _temperature(ax: Axes, smc: xr.Dataset) -> None:
    if smc["temperature"].min() < 0.02:
        ax.set_yscale("log")
        ax.set_ylabel("Temperature (log scale)")
    ax.axhline(1, color=style.GREY, linewidth=0.7, linestyle=":", zorder=0)


def _target(ax: Axes, tree: xr.DataTree) -> None:
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    settings = json.loads(tree.attrs["config"])["inference"]
    target = None if "temperatures" in settings else settings.get("target_ess")
    if target is not None:
        ax.axhline(target, color=style.INK, linewidth=0.8, linestyle="--", zorder=0)
        ax.annotate(
            f"target {target:.0%}", (0, target), (2, -3), va="top", fontsize=7,
            xycoords=("axes fraction", "data"), textcoords="offset points",
        )  # fmt: skip
    low, high = ax.get_ylim()
    # Particles of several temperatures together can be worth more than those of one.
    ax.set_ylim(max(0, min(low, (target or 1) - 0.1)), max(1.02, high))


def _acceptance(ax: Axes, smc: xr.Dataset, stage: np.ndarray) -> None:
    # Colours unlike those of the seeds, which this panel does not tell apart.
    rates = smc["acceptance_rate"].transpose("update", "chain", "stage")
    shades = mpl.colormaps["magma"](np.linspace(0.1, 0.75, rates.sizes["update"]))
    for rate, shade in zip(rates, shades, strict=True):
        done = np.isfinite(rate).any("chain").values
        own = rate.isel(stage=done)
        ax.fill_between(
            stage[done], own.min("chain"), own.max("chain"), color=shade, alpha=0.25, linewidth=0
        )
        name = style.name(rate["update"].item())
        ax.plot(stage[done], own.mean("chain"), "o-", color=shade, markersize=2.2, label=name)
    ax.set_ylim(0, 1)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_ylabel("Accepted proposals")
    if len(shades) <= 12:
        ax.legend(ncols=3, loc="upper right")


def _evidence(ax: Axes, tree: xr.DataTree) -> None:
    value, error = tree.attrs["log_evidence"], tree.attrs["log_evidence_se"]
    text = f"log evidence {value:.3f}" + (f" ± {error:.3f}" if np.isfinite(error) else "")
    text = text.replace("-", "\N{MINUS SIGN}")
    ax.text(0.97, 0.95, text, transform=ax.transAxes, ha="right", va="top", fontsize=8)

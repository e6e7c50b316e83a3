"""What all figures share: colours, fonts, names and the line at the top."""

import contextlib
import json
import textwrap
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
import xarray as xr
from arviz_base.labels import MapLabeller, NoVarLabeller
from cycler import cycler
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bamopipe.diagnostics import problems
from bamopipe.errors import UserError, nearest
from bamopipe.files import atomic_write

# Okabe and Ito's colours, which people with any colour vision can tell apart.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
RED, PURPLE, SKY, YELLOW = "#D55E00", "#CC79A7", "#56B4E9", "#F0E442"
INK, GREY, PALE = "#222222", "#767676", "#D9D9D9"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, INK)

POSTERIOR, PRIOR, OBSERVED = BLUE, ORANGE, RED

WIDTH = 7.5
"""Inches: the width of a page's text."""

STYLE = {
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=CYCLE),
    "lines.linewidth": 1.2,
}

SYMBOLS: dict[Hashable, Hashable] = dict(
    alpha="α", beta="β", gamma="γ", delta="δ", epsilon="ε", zeta="ζ", eta="η", theta="θ",
    iota="ι", kappa="κ", mu="μ", nu="ν", xi="ξ", pi="π", rho="ρ", sigma="σ", tau="τ",
    upsilon="υ", phi="φ", chi="χ", psi="ψ", omega="ω",
)  # fmt: skip
"""Greek letters for variables that are named after them."""

NAMES = MapLabeller(var_name_map=SYMBOLS)
ELEMENTS = NoVarLabeller()


def name(variable: Hashable) -> str:
    """Write a variable's name, as a Greek letter if it is one.

    Parameters
    ----------
    variable : str
        The name in the posterior.

    Returns
    -------
    str
        The name in a figure.
    """
    return str(SYMBOLS.get(variable, variable))


def use(style: str) -> contextlib.AbstractContextManager[None]:
    """Draw in a style for a while: ours, or any that matplotlib knows.

    Parameters
    ----------
    style : str
        ``"bamopipe"`` or a name in ``matplotlib.style.available``.

    Returns
    -------
    context manager
        Inside it, figures are made in this style.

    Raises
    ------
    UserError
        If no style has this name.
    """
    if style == "bamopipe":
        return matplotlib.style.context(["default", STYLE])
    if style not in matplotlib.style.available:
        known = ["bamopipe", *matplotlib.style.available]
        raise UserError(f"plots.style: there is no style {style!r}{nearest(style, known)}")
    return matplotlib.style.context(["default", style])


def save(
    path: Path, plot: Callable[..., Figure], *content: Any, style: str = "bamopipe", dpi: int = 150
) -> None:
    """Draw a figure in a style and write it to a file.

    Parameters
    ----------
    path : pathlib.Path
        The file; its suffix says the format.
    plot : callable
        Makes the figure, of `content`.
    *content
        What is drawn.
    style : str
        As in `use`.
    dpi : int
        Pixels an inch.

    Raises
    ------
    UserError
        If no style has this name.
    """
    with use(style), atomic_write(path) as temporary:
        plot(*content).savefig(temporary, dpi=dpi)


def figure(tree: xr.DataTree, title: str, size: tuple[float, float], note: str = "") -> Figure:
    """Make an empty figure with its line at the top: title, run, and a mark if it failed.

    Parameters
    ----------
    tree : xarray.DataTree
        The posterior that is drawn.
    title : str
        What the figure shows.
    size : tuple of float
        Width and height in inches of the part below the top line.
    note : str
        A few words on what the figure leaves out.

    Returns
    -------
    matplotlib.figure.Figure
        A figure whose axes are laid out below the top line.
    """
    draws = tree.children["posterior"].sizes
    seeds = json.loads(tree.attrs["seeds"])
    about = [
        tree.attrs["name"].replace("_", " "),
        f"{draws['chain']} chain{'s' * (draws['chain'] > 1)} × {draws['draw']:,} draws",
        f"{len(seeds)} seed{'s' * (len(seeds) > 1)}",
        note,
    ]
    return headed(title, " · ".join(part for part in about if part), problems(tree), size)


def headed(title: str, about: str, wrong: list[str], size: tuple[float, float]) -> Figure:
    """Make an empty figure with a title, a line about it, and what is wrong in red.

    Parameters
    ----------
    title, about : str
        The two lines at the top.
    wrong : list of str
        Why what is drawn should not be trusted; empty if it can be.
    size : tuple of float
        Width and height in inches of the part below these lines.

    Returns
    -------
    matplotlib.figure.Figure
        A figure whose axes are laid out below these lines.
    """
    width, height = size
    line = 0.16
    banner = textwrap.wrap(f"Not converged. {wrong[0]}", int(width * 13.5)) if wrong else []
    top = 0.5 + line * len(banner) + (0.1 if banner else 0)
    below = ConstrainedLayoutEngine(rect=(0, 0, 1, height / (height + top)))
    made = Figure(figsize=(width, height + top), layout=below)

    def write(text: str, inches_down: float, **style: Any) -> None:
        y = 1 - inches_down / (height + top)
        made.text(0.06 / width, y, text, va="baseline", ha="left", in_layout=False, **style)

    write(title, 0.2, fontsize=11, fontweight="bold")
    write(about, 0.38, fontsize=8, color=GREY)
    for place, text in enumerate(banner):
        write(text, 0.58 + line * place, fontsize=8, color=RED, fontweight="bold")
    return made


def seed_colours(seeds: np.ndarray) -> dict[int, Any]:
    """Give each seed its colour: told apart up to seven, a gradient beyond.

    Parameters
    ----------
    seeds : numpy.ndarray
        The seed of each chain.

    Returns
    -------
    dict
        From seed to colour.
    """
    different = sorted({int(seed) for seed in seeds})
    if len(different) <= len(CYCLE):
        return dict(zip(different, CYCLE, strict=False))
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.9, len(different)))
    return dict(zip(different, shades, strict=True))


def legend(made: Figure, entries: Mapping[str, Artist]) -> None:
    """Put one legend for all axes at the right of the top line.

    Parameters
    ----------
    made : matplotlib.figure.Figure
        From `figure` or `headed`.
    entries : dict
        From what is said to what is shown.
    """
    made.legend(
        entries.values(),
        entries.keys(),
        ncols=len(entries),
        loc="upper right",
        bbox_to_anchor=(1, 1),
        borderaxespad=0.3,
        columnspacing=1.2,
    ).set_in_layout(False)


def density_axis(ax: Axes) -> None:
    """Leave out the scale of a density, which nobody reads, and keep its base line.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        An axis with a density drawn in it.
    """
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)

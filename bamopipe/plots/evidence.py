"""The log evidence of each run of an experiment."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from bamopipe.plots import style

MOST_ROWS = 100


def plot(table: pd.DataFrame, chains: Mapping[str, np.ndarray]) -> Figure:
    """Draw the evidence of each run with its standard error, over that of each chain.

    Parameters
    ----------
    table : pandas.DataFrame
        From `bamopipe.comparison.evidence_table`; runs are drawn in its order, best on top.
    chains : mapping
        From each run's name to the log evidence of its chains.

    Returns
    -------
    matplotlib.figure.Figure
        One row a run, with its log Bayes factor at the right.
    """
    about = f"{len(table)} run{'s' * (len(table) > 1)} · error bars: ±1 standard error"
    if len(table) > MOST_ROWS:
        about += f" · the first {MOST_ROWS} of evidence.csv shown"
    table = table.head(MOST_ROWS)
    count = len(table)
    size = (style.WIDTH, 0.75 + 0.24 * max(count, 2))
    made = style.headed("Log evidence", about, [], size)
    ax = made.subplots()
    for row, run in table.iterrows():
        color = style.BLUE if run["converged"] else style.RED
        own = _finite(chains[run["run"]])
        ax.plot(own, np.full(own.size, row), "|", color=color, alpha=0.45, markersize=7)
        ax.errorbar(
            _finite(run["log_evidence"]), row, xerr=np.nan_to_num(run["log_evidence_se"]),
            fmt="o", color=color, markerfacecolor=color if run["converged"] else "white",
            markersize=5, capsize=2.5, elinewidth=1.3,
        )  # fmt: skip
        ax.text(
            1.02, row, _beside(run), transform=ax.get_yaxis_transform(), va="center",
            fontsize=7.5, color=style.INK if run["converged"] else style.RED,
        )  # fmt: skip
    ax.text(
        1.02, -0.55, "log Bayes factor", transform=ax.get_yaxis_transform(), va="bottom",
        fontsize=7.5, color=style.GREY,
    )  # fmt: skip
    names = table["arm"].str.replace("_", " ")
    swept = table["settings"] != ""
    names = names.where(~swept, names + ": " + table["settings"].str.replace("; ", "\n"))
    names = names.where(~names.duplicated(keep=False), table["run"])
    ax.set_yticks(range(count), names)
    ax.set_ylim(max(count, 2) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", color=style.PALE, linewidth=0.5)
    ax.set_axisbelow(True)
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.xaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    ax.set_xlabel("log evidence")
    entries = {
        "run": Line2D([], [], color=style.BLUE, marker="o", markersize=5),
        "each chain": Line2D([], [], color=style.BLUE, linestyle="", marker="|", alpha=0.6),
    }
    if not table["converged"].all():
        entries["not converged"] = Line2D(
            [], [], color=style.RED, marker="o", markersize=5, markerfacecolor="white"
        )
    style.legend(made, entries)
    return made


def _finite(values: np.ndarray | float) -> np.ndarray:
    """Leave out the evidence of failed chains, which may be infinite."""
    return np.where(np.isfinite(values), values, np.nan)


def _beside(run: pd.Series) -> str:
    if not run["converged"]:
        return "not converged"
    if np.isnan(run["log_bayes_factor"]):
        return "not comparable" if run["note"] else "–"
    if run["log_bayes_factor"] == 0:
        return "best"
    text = f"{run['log_bayes_factor']:.2f}"
    if np.isfinite(run["log_bayes_factor_se"]):
        text += f" ± {run['log_bayes_factor_se']:.2f}"
    return text.replace("-", "\N{MINUS SIGN}")

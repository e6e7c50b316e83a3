"""How the draws came about."""

import xarray as xr
from matplotlib.figure import Figure

from bamopipe.plots import tempering, traces
from bamopipe.posterior import is_mcmc


def plot(tree: xr.DataTree) -> Figure:
    """Draw the traces of Markov chains, or the tempering path of sequential Monte Carlo.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior with the group ``mcmc`` or ``smc``.

    Returns
    -------
    matplotlib.figure.Figure
        From `traces` or `tempering`.
    """
    return (traces if is_mcmc(tree) else tempering).plot(tree)

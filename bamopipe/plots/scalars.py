"""Choosing which scalars of a posterior to draw when there are many."""

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
import xarray as xr
from arviz_base import xarray_sel_iter

from bamopipe.plots.style import NAMES


class Scalar(NamedTuple):
    """One scalar of a posterior.

    Attributes
    ----------
    variable : str
        The variable that it belongs to.
    where : dict
        The position of the element in the variable, empty for a scalar variable.
    label : str
        Its name in figures, such as ``θ[Choate]``.
    draws : xarray.DataArray
        Its draws, with dimensions ``chain`` and ``draw``.
    """

    variable: str
    where: dict[Hashable, int]
    label: str
    draws: xr.DataArray


def choose(tree: xr.DataTree, most: int) -> tuple[list[Scalar], str]:
    """Choose the scalars to draw: scalar variables, then evenly spread elements of the others.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior.
    most : int
        How many there is room for.

    Returns
    -------
    scalars : list of Scalar
        At most `most` of them.
    note : str
        What to say if not all are drawn; else empty.
    """
    posterior = tree.children["posterior"].dataset
    every = list(xarray_sel_iter(posterior, skip_dims={"chain", "draw"}))
    plain = [one for one in every if not one[2]][:most]
    elements = [one for one in every if one[2]]
    room = min(most - len(plain), len(elements))
    spread = np.linspace(0, len(elements) - 1, room).astype(int)
    chosen = [
        Scalar(name, where, NAMES.make_label_flat(name, names, where), posterior[name].isel(where))
        for name, names, where in [*plain, *(elements[place] for place in spread)]
    ]
    note = f"{len(chosen)} of {len(every):,} scalars shown" if len(chosen) < len(every) else ""
    return chosen, note

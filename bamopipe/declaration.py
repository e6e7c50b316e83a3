"""What a person gives to `Model.add_node`, read into plain form."""

import sys
from collections.abc import Mapping, Sequence

import numpy as np

from bamopipe.distributions import adapter
from bamopipe.errors import UserError


def check_kind(name, distribution, observations, parents, link_fn, bijector) -> None:
    """Raise UserError unless the arguments of `add_node` make one kind of node."""
    if distribution is None:
        if bijector is not None:
            raise UserError(f"node {name!r} has a bijector, but no distribution to transform")
        if observations is None and link_fn is None:
            raise UserError(
                f"node {name!r} has neither a distribution nor observations nor a link_fn; give "
                "one of them"
            )
        if observations is None and not parents:
            raise UserError(
                f"node {name!r} is deterministic, but has no parents; give observations={name} if "
                "it is a constant"
            )
        if observations is not None and (parents or link_fn is not None):
            raise UserError(f"node {name!r} is a constant: it takes no parents and no link_fn")
        return
    if adapter.is_instance(distribution):
        if parents or link_fn is not None:
            raise UserError(
                f"node {name!r} has parents, but its distribution is already complete; give "
                f"the class, distribution={type(distribution).__name__}, instead"
            )
    elif not callable(distribution):
        raise UserError(
            f"the distribution of node {name!r} is {distribution!r}; expected a distrax or TFP "
            "distribution, its class, or a function that returns one"
        )
    if bijector is not None and not adapter.is_bijector(bijector):
        raise UserError(
            f"the bijector of node {name!r} is {bijector!r}; expected one of TFP or distrax, such "
            "as tfb.Exp()"
        )


def read_shape(name: str, shape) -> tuple[tuple[int, ...], bool]:
    """Return the sample shape, and whether it ended in `...`."""
    entries = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    with_own = bool(entries) and entries[-1] is ...
    sizes = entries[:-1] if with_own else entries
    for size in sizes:
        whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
        if not whole or size < 0:
            raise UserError(
                f"node {name!r} has shape={shape!r}; expected whole numbers, such as 4 or (4, 3), "
                "and `...` at the end only"
            )
    return tuple(int(size) for size in sizes), with_own


def as_data(value, what: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return numbers and where they are missing, if anywhere; missing entries are NaN."""
    try:
        array = np.ma.filled(value.astype(float), np.nan) if np.ma.isMaskedArray(value) else value
        array = np.array(array)  # a copy: what its owner does with it later changes nothing here
    except (TypeError, ValueError) as error:
        raise UserError(f"the {what} must be numbers; {error}") from None
    if array.size == 0:
        raise UserError(f"the {what} are empty, of shape {array.shape}; expected at least one")
    if array.dtype == bool:
        array = array.astype(int)
    if array.dtype.kind not in "iuf":
        raise UserError(f"the {what} must be numbers; {_not_a_number(array)}")
    array.flags.writeable = False
    missing = np.isnan(array)
    return array, missing if missing.any() else None


def _not_a_number(array: np.ndarray) -> str:
    if array.dtype == object:
        for index, entry in np.ndenumerate(array):
            if not isinstance(entry, int | float | np.number):
                where = ", ".join(map(str, index))
                return f"at index ({where}) there is {entry!r} (what is missing has to be NaN)"
    return f"their type is {array.dtype}"


def in_order(value, dims: tuple[str, ...] | None, coords: Mapping[str, np.ndarray], what: str):
    """Bring an xarray.DataArray into the order of a node's dimensions and a model's labels.

    Parameters
    ----------
    value
        Anything; what is not from xarray is returned as it is.
    dims
        The node's, if it has names for them.
    coords
        Dimension -> labels of the model.
    what
        What to call the value in errors.
    """
    if not _is_data_array(value) or dims is None:
        return value
    if set(value.dims) != set(dims):
        raise UserError(
            f"the {what} have the dimensions {value.dims}, but the node has {dims}; rename them "
            "with `.rename`, or give `.values` for an array without names"
        )
    value = value.transpose(*dims)
    for dim in dims:
        if dim in coords and dim in value.coords:
            own, labels = value[dim].values, coords[dim]
            if set(own.tolist()) != set(labels.tolist()) or len(own) != len(labels):
                raise UserError(
                    f"the {what} have other labels along {dim!r} than the model's coords; expected "
                    f"{', '.join(map(str, labels[:5]))}{', ...' if len(labels) > 5 else ''}"
                )
            value = value.sel({dim: labels})
    return value


def labels_of(
    value, dims: tuple[str, ...] | None, coords: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return an xarray.DataArray's labels along `dims`, in the order of `coords` if the same."""
    found = {}
    if _is_data_array(value):
        for dim in (dim for dim in dims or () if dim in value.coords):
            labels, known = value[dim].values, coords.get(dim, np.array([]))
            found[dim] = known if set(labels.tolist()) == set(known.tolist()) else labels
    return found


def _is_data_array(value) -> bool:
    """Tell whether a value is from xarray, which takes half a second to import."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(value, xarray.DataArray)


def read_coords(coords) -> dict[str, np.ndarray]:
    """Return the labels along each dimension as arrays, or raise UserError."""
    if not isinstance(coords, Mapping | None):
        raise UserError(f'coords are {coords!r}; expected a dict such as {{"school": ["A", "B"]}}')
    read = {}
    for dim, labels in (coords or {}).items():
        array = np.asarray(labels)
        if array.ndim != 1:
            raise UserError(
                f"coords of {dim!r} are {labels!r}; expected a sequence with a label for each index"
            )
        if len(np.unique(array)) < len(array):
            raise UserError(f"coords of {dim!r} have the same label twice; make them unique")
        read[dim] = array
    return read


def nan_error(missing: np.ndarray, what: str) -> UserError:
    """Make the error that names the first NaN of data that must not have any."""
    where = ", ".join(str(i) for i in np.argwhere(missing)[0])
    return UserError(
        f"{what}: NaN at index ({where}), {missing.sum()} in all; remove those entries, or "
        "give them a distribution"
    )

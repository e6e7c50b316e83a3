"""What a person gives to `Model.add_node`, read into plain form."""

from collections.abc import Sequence

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
                f"node {name!r} has shape={shape!r}; expected whole numbers, such as 4 or (4, 3)"
            )
    return tuple(int(size) for size in sizes), with_own


def as_data(value, what: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return numbers and where they are missing, if anywhere; missing entries are NaN."""
    try:
        array = np.ma.filled(value.astype(float), np.nan) if np.ma.isMaskedArray(value) else value
        array = np.array(array)  # a copy: what its owner does with it later changes nothing here
        if array.dtype == bool:
            array = array.astype(int)
        if not np.issubdtype(array.dtype, np.number):
            raise TypeError(f"its type is {array.dtype}")
    except (TypeError, ValueError) as error:
        raise UserError(f"the {what} must be numbers; {error}") from None
    array.flags.writeable = False
    missing = np.isnan(array)
    return array, missing if missing.any() else None


def nan_error(missing: np.ndarray, what: str) -> UserError:
    """Make the error that names the first NaN of data that must not have any."""
    where = ", ".join(str(i) for i in np.argwhere(missing)[0])
    return UserError(
        f"the {what} have NaN at index ({where}), {missing.sum()} in all; remove those entries, or "
        "give them a distribution"
    )

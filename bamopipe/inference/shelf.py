"""Arrays that grow by rows, in memory or in files that may be larger than it."""

import math
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jax
import numpy as np

from bamopipe.errors import UserError


class Shelf:
    """A tree of arrays of shape (chain, row, ...), written some rows at a time.

    Parameters
    ----------
    num_rows
        How many there will be.
    folder
        For one ``.npy`` file a leaf, whose arrays are mapped into memory and so need none: the
        system reads what is looked at, and forgets it where it needs the room. In memory if None.

    Examples
    --------
    >>> import numpy as np
    >>> from bamopipe.inference.shelf import Shelf
    >>> shelf = Shelf(3)
    >>> shelf.put(0, {"mu": np.zeros((2, 1))})
    >>> shelf.put(1, {"mu": np.ones((2, 2))})
    >>> shelf.read()["mu"]
    array([[0., 1., 1.],
           [0., 1., 1.]])
    """

    def __init__(self, num_rows: int, folder: Path | None = None):
        self._folder = folder
        self._num_rows = num_rows
        self._leaves: list[np.ndarray | Path] = []
        self._structure: Any = None

    def reserve(self, tree: Any, keep: bool = False) -> None:
        """Make room for arrays; leaves have shape (chain, any number of rows, ...) and a dtype.

        Raises
        ------
        UserError
            The disk has no room, or there are no files to keep.
        """
        paths, self._structure = jax.tree.flatten_with_path(tree)
        self._leaves = [self._make(path, like, keep) for path, like in paths]

    def put(self, begin: int, tree: Any) -> None:
        """Write rows from `begin` on; leaves have shape (chain, some rows, ...)."""
        if self._structure is None:
            self.reserve(tree)
        for leaf, rows in zip(self._leaves, jax.tree.leaves(tree), strict=True):
            # A map that is closed at once does not count as memory of this process.
            array = np.load(leaf, mmap_mode="r+") if isinstance(leaf, Path) else leaf
            array[:, begin : begin + rows.shape[1]] = rows

    def read(self) -> Any:
        """Return the tree of arrays."""
        arrays = [np.load(x, mmap_mode="r") if isinstance(x, Path) else x for x in self._leaves]
        return jax.tree.unflatten(self._structure, arrays)

    def flush(self) -> None:
        """Return when everything is on the disk, whatever happens to the machine."""
        for leaf in self._leaves:
            if isinstance(leaf, Path):
                with leaf.open("rb") as file:
                    os.fsync(file.fileno())

    def _make(self, path: tuple, like: Any, keep: bool) -> np.ndarray | Path:
        shape, dtype = (like.shape[0], self._num_rows, *like.shape[2:]), np.dtype(like.dtype)
        if self._folder is None:
            return np.zeros(shape, dtype)
        parts = [quote(jax.tree_util.keystr((key,), simple=True), safe="") for key in path]
        file = self._folder.joinpath(*parts).with_name(f"{parts[-1]}.npy")
        if file.exists():
            found = np.load(file, mmap_mode="r")
            if found.shape == shape and found.dtype == dtype:
                return file
        if keep:
            raise UserError(
                f"{file}, with what a run that was stopped had made, is gone or of another run; "
                f"delete the folder {self._folder}, and the run starts afresh"
            )
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
            if sys.platform == "linux":  # where a map of a full disk would end the process
                with file.open("rb+") as opened:
                    os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
        except OSError as error:
            file.unlink(missing_ok=True)
            size = math.prod(shape) * dtype.itemsize / 1e9
            raise UserError(
                f"{file} of {size:.3g} GB cannot be made: {error.strerror}; free some room, or "
                "keep fewer draws (num_thin keeps one step in so many)"
            ) from None
        return file

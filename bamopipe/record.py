"""A posterior as the record of a fit: what was run, on what, where. It is data and never code.

Records may come from anybody. Nothing in one is called, imported or followed as a path here, and
text that is too long or nested too deeply is refused.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bamopipe import posterior
from bamopipe.config import complete
from bamopipe.errors import UserError
from bamopipe.schema import bounded

FILES = "data_files"
LONGEST = 10_000_000


@dataclass(frozen=True)
class Record:
    """What a posterior says about how it was made.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    tree : xarray.DataTree
        All of it, in memory.
    config : dict
        The frozen config; settings that came later stand for what they stood for before.
    seeds : list of int
        In the order of the chains.
    model_source : str
        The text of the model's file.
    data_sha256 : dict
        Name of a data file -> the hash of its content.
    environment : dict
        Versions, machine and commit: name -> text.
    """

    path: Path
    tree: xr.DataTree
    config: dict[str, Any]
    seeds: list[int]
    model_source: str
    data_sha256: dict[str, str]
    environment: dict[str, str]

    def data(self, name: str) -> bytes | None:
        """Return the content of a data file, if the record has it, as it was when it was fitted.

        Raises
        ------
        UserError
            When the content is not what its hash says.
        """
        files = self.tree.children.get(FILES)
        if files is None or name not in files.data_vars:
            return None
        array = files.dataset[name].values
        content = array.tobytes() if array.dtype == np.uint8 else b""
        if hashlib.sha256(content).hexdigest() != self.data_sha256.get(name):
            raise UserError(f"{self.path}: the data {name!r} in it are not those of the fit")
        return content


def read(path: str | os.PathLike) -> Record:
    """Read a posterior and what it says about itself.

    Raises
    ------
    UserError
        When it is no posterior that bamopipe wrote.
    """
    tree = posterior.read(path)
    if "config" not in tree.attrs:
        raise UserError(f"{path} does not say how it was made: it has no attribute config")
    seeds = posterior.by_chain(tree)["seed"].values
    texts = {name: _text(tree, name, path) for name in ("model_source", "git_commit")}
    return Record(
        path=Path(path),
        tree=tree,
        config=complete(_mapping(tree, "config", path)),
        seeds=list(dict.fromkeys(int(seed) for seed in seeds)),
        model_source=texts["model_source"],
        data_sha256={k: str(v) for k, v in _mapping(tree, "data_sha256", path).items()},
        environment={
            name: str(value)
            for name, value in {
                **_mapping(tree, "versions", path),
                **_mapping(tree, "machine", path),
                "git_commit": texts["git_commit"],
            }.items()
        },
    )


def _mapping(tree: xr.DataTree, name: str, path: str | os.PathLike) -> dict[str, Any]:
    """Read an attribute that holds JSON; one that is not there has nothing in it."""
    text = _text(tree, name, path)
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UserError(f"{path}: its attribute {name} is no JSON mapping")
    return dict(bounded(value, f"{path}: its attribute {name}"))


def _text(tree: xr.DataTree, name: str, path: str | os.PathLike) -> str:
    text = tree.attrs.get(name, "")
    if not isinstance(text, str):
        raise UserError(f"{path}: its attribute {name} must be text, got {type(text).__name__}")
    if len(text) > LONGEST:
        raise UserError(f"{path}: its attribute {name} is too long ({len(text)} characters)")
    return text

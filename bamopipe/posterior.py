"""Results as xarray trees in ArviZ's schema, and as netCDF files.

Groups: ``posterior``, ``sample_stats``, ``smc`` (one row a temperature) or ``mcmc``, ``prior``,
``prior_predictive``, ``posterior_predictive``, ``log_likelihood``, ``observed_data`` and
``constant_data``; with new data also ``predictions`` and ``predictions_constant_data``; and the
bytes of the data files in ``data_files``. Independent
seeds are stacked along ``chain``, with the seed of each chain as the coordinate ``seed``.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import psutil
import xarray as xr

from bamopipe.errors import UserError
from bamopipe.evidence.combine import combine_log_evidence
from bamopipe.files import atomic_write

Arrays = Mapping[str, np.ndarray]

# Leading dimensions of each group's variables. That of the engine names all dimensions itself.
SAMPLE_DIMS = {
    "posterior": ("chain", "draw"),
    "sample_stats": ("chain", "draw"),
    "prior": ("chain", "draw"),
    "prior_predictive": ("chain", "draw"),
    "posterior_predictive": ("chain", "draw"),
    "log_likelihood": ("chain", "draw"),
    "observed_data": (),
    "constant_data": (),
}


def make(
    groups: Mapping[str, Arrays],
    engine: tuple[str, xr.Dataset],
    dims: Mapping[str, Sequence[str] | None],
    coords: Mapping[str, np.ndarray],
    attrs: Mapping[str, Any],
    seed: int,
) -> xr.DataTree:
    """Put arrays into a tree.

    Parameters
    ----------
    groups
        Group -> variable -> array, with the leading dimensions of `SAMPLE_DIMS`.
    engine
        The engine's name, "smc" or "mcmc", and what it says of each chain: ``status``,
        ``compile_seconds``, ``sample_seconds`` and more.
    dims
        Variable, or ``group/variable`` where a group differs, -> names of its own dimensions;
        ``<variable>_dim_<n>`` where there are none.
    coords
        Labels along named dimensions.
    attrs
        Provenance, for the root.
    seed
        The number that the run's key came from.
    """
    tree = {
        group: dataset(
            arrays,
            SAMPLE_DIMS[group],
            {name: dims.get(f"{group}/{name}", dims.get(name)) for name in arrays},
            coords,
        )
        for group, arrays in groups.items()
        if arrays
    }
    name, statistics = engine
    tree[name] = statistics.assign_coords(chain=np.arange(statistics.sizes["chain"]))
    for group, part in tree.items():
        if "chain" in part.dims:
            tree[group] = part.assign_coords(seed=("chain", np.full(part.sizes["chain"], seed)))
    return _finish(xr.DataTree.from_dict(tree), attrs)


def concatenate(trees: Sequence[xr.DataTree], seeds: Sequence[int]) -> xr.DataTree:
    """Stack the chains of several trees of one run, and keep those of the wanted seeds.

    Chains are numbered anew, in the order of `seeds`, and the evidence is that of all of them.

    Raises
    ------
    UserError
        No tree has one of the seeds.
    """
    parts = []
    for seed in seeds:
        holding = [tree for tree in trees if np.any(by_chain(tree)["seed"] == seed)]
        if not holding:
            raise UserError(f"seed {seed} is in none of the {len(trees)} files of this run")
        parts.append((holding[0], seed))
    if len(trees) == 1 and list(dict.fromkeys(by_chain(trees[0])["seed"].values)) == [*seeds]:
        return _finish(trees[0].copy(), trees[0].attrs)  # no copies of large arrays
    merged = {}
    for group, node in trees[0].children.items():
        if "chain" not in node.dims:
            merged[group] = node.to_dataset()
            continue
        pieces = []
        for tree, seed in parts:
            part = tree[group].to_dataset()
            pieces.append(part.isel(chain=np.flatnonzero(part["seed"].values == seed)))
        stacked = xr.concat(pieces, dim="chain", join="outer", data_vars="all", coords="minimal")
        merged[group] = stacked.assign_coords(chain=np.arange(stacked.sizes["chain"]))
    return _finish(xr.DataTree.from_dict(merged), trees[0].attrs)


def is_mcmc(tree: xr.DataTree) -> bool:
    """Tell whether the draws of a chain follow each other, as those of SMC do not."""
    return "mcmc" in tree.children


def by_chain(tree: xr.DataTree) -> xr.Dataset:
    """Return what the engine says of each chain, the group ``smc`` or ``mcmc``."""
    return tree.children["mcmc" if is_mcmc(tree) else "smc"].dataset


def write(tree: xr.DataTree, path: str | os.PathLike) -> None:
    """Write a netCDF file, which appears under its name when it is complete.

    Raises
    ------
    UserError
        The library could not write it, as on a full disk, of which it gives no better account.
    """
    with atomic_write(path) as temporary:
        try:
            tree.to_netcdf(temporary, engine="netcdf4")
        except RuntimeError as error:
            free = shutil.disk_usage(temporary.parent).free
            raise UserError(
                f"the posterior {path} cannot be written ({error}); {free / 2**20:.0f} MiB are "
                "free there. Make room, and run again: it goes on from here"
            ) from None


def read(path: str | os.PathLike) -> xr.DataTree:
    """Read a netCDF file into memory, and close it.

    Raises
    ------
    UserError
        When it cannot be read, or would not fit: a small file may declare arrays of any size.
    """
    try:
        with xr.open_datatree(path, engine="netcdf4") as tree:
            needed, free = tree.nbytes, psutil.virtual_memory().available
            if needed > free:
                raise UserError(
                    f"the posterior {path} has arrays of {needed / 2**30:.1f} GiB, more than the "
                    f"{free / 2**30:.1f} GiB of memory that are free"
                )
            tree.load()
    except UserError:
        raise
    except Exception as error:  # whatever the libraries make of a file that is no posterior
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"the posterior {path} cannot be read: {reason}; if it was damaged, delete it and run "
            "again"
        ) from None
    problem = _problem(tree)
    if problem:
        raise UserError(f"{path} is no posterior of `bamopipe fit`: {problem}")
    return tree


def _problem(tree: xr.DataTree) -> str:
    """Say what a tree lacks that every stage takes for granted; it may come from anybody."""
    engines = {"smc", "mcmc"} & {*tree.children}
    if "posterior" not in tree.children or len(engines) != 1:
        return "it needs the group posterior, and either smc or mcmc"
    for name, array in tree.children["posterior"].data_vars.items():
        if array.dims[:2] != ("chain", "draw") or array.dtype.kind not in "biuf":
            return f"its variable {name!r} is no array of numbers, by chain and draw"
    chains = by_chain(tree)
    seeds = chains.coords.get("seed", xr.DataArray("none"))
    if seeds.dims != ("chain",) or seeds.dtype.kind not in "iu" or not seeds.size:
        return "its chains have no seeds"
    if "status" not in chains or not all(f"{w}_seconds" in chains for w in ("compile", "sample")):
        return f"its group {engines.pop()} does not say how its chains ended and how long they took"
    for name in ("log_evidence", "log_evidence_se"):
        if not isinstance(tree.attrs.get(name), float | np.floating):
            return f"its attribute {name} is no number"
    return ""


def dataset(
    arrays: Arrays,
    leading: tuple[str, ...],
    dims: Mapping[str, Sequence[str] | None],
    coords: Mapping[str, np.ndarray],
) -> xr.Dataset:
    """Name the dimensions of arrays.

    Parameters
    ----------
    arrays
        Variable -> array.
    leading
        Names of the first dimensions of all of them.
    dims
        Variable -> names of the others.
    coords
        Labels along named dimensions; whole numbers where there are none.
    """
    variables = {}
    for name, array in arrays.items():
        own = dims.get(name)
        if own is None:
            own = [f"{name}_dim_{i}" for i in range(array.ndim - len(leading))]
        # A likelihood has no event dimensions, which come last.
        own = own[: array.ndim - len(leading)]
        variables[name] = ((*leading, *own), array)
    named = xr.Dataset(variables)
    return named.assign_coords(
        {d: coords.get(str(d), np.arange(size)) for d, size in named.sizes.items()}
    )


def _finish(tree: xr.DataTree, attrs: Mapping[Any, Any]) -> xr.DataTree:
    """Set the root attributes, those that sum up the chains included."""
    chains = by_chain(tree)
    value = error = float("nan")
    if "log_evidence" in chains:
        value, error = combine_log_evidence(
            chains["log_evidence"].values, chains["log_evidence_se"].values
        )
    failures = [str(s) for s in chains["status"].values if s != "ok"]
    seeds = list(dict.fromkeys(int(s) for s in chains["seed"].values))
    seconds = {
        name: float(sum(chains[name].values[chains["seed"].values == seed][0] for seed in seeds))
        for name in ("compile_seconds", "sample_seconds")
    }
    tree.attrs = {
        **attrs,
        "seeds": json.dumps(seeds),
        "status": failures[0] if failures else "ok",
        "log_evidence": value,
        "log_evidence_se": error,
        **seconds,
    }
    return tree

"""Run a fit again from its posterior alone, and compare."""

import dataclasses
import importlib.util
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bamopipe import datafiles, local, source
from bamopipe.config import read_frozen
from bamopipe.errors import UserError, printable
from bamopipe.record import Record
from bamopipe.stages import fit, own

logger = logging.getLogger("bamopipe")


def main(
    path: Path,
    seeds: list[int] | None = None,
    out: Path | None = None,
    trust_source: bool = False,
    threads: int | None = None,
) -> bool:
    """Run a fit again and say whether the result is the same.

    Settings, seeds and data are those in the record. The model's code is that of this place; what
    the record carries of it runs only if a person says so, for it may have come from anybody.

    Parameters
    ----------
    path : pathlib.Path
        A file that ``fit`` or ``diagnose`` wrote.
    seeds : list of int, optional
        Which of its seeds; by default all.
    out : pathlib.Path, optional
        Where to keep the new posterior; by default it is thrown away.
    trust_source : bool
        Run the model's source that the record carries, if it is not that of this place.
    threads : int, optional
        CPU cores to use; all by default.

    Returns
    -------
    bool
        Whether the numbers are identical, or equal within Monte Carlo error.

    Raises
    ------
    UserError
        When the record cannot be run here.
    """
    from bamopipe import difference, posterior, provenance, record
    from bamopipe.stages.diff import show, show_numbers, source_lines

    old = record.read(path)
    frozen = read_frozen(old.config, f"the config in {path}")
    wanted = seeds or old.seeds
    if not set(wanted) <= set(old.seeds):
        raise UserError(f"--seeds must be among those of {path}: {', '.join(map(str, old.seeds))}")
    if wanted != old.seeds:
        tree = posterior.concatenate([old.tree], wanted)
        old = dataclasses.replace(old, tree=tree, seeds=wanted)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        files = _data(old, frozen, scratch)
        model_file, function = _model(old, frozen, scratch, trust_source)
        fit.prepare(frozen, threads)
        engine = fit.build_engine({**frozen, "data": {"files": files}}, function)
        attrs = {
            "config": json.dumps(frozen, sort_keys=True),
            "fit_id": str(old.tree.attrs.get("fit_id", "")),
            **provenance.describe(files, model_file),
        }
        made = out or scratch / "posterior.nc"
        fit.draw(engine, wanted, attrs, files, made, scratch / "unfinished")
        new = record.read(made)
    found = difference.verdict(old.tree, new.tree)
    print(f"{path} run again, with the seeds {', '.join(map(str, wanted))}")
    print(printable(found.sentence))
    if found.numbers is not None:
        print()
        if not found.agree:
            show_numbers(found.numbers, ("record", "here"))
        print("\n".join(source_lines(old.model_source, new.model_source)), end="")
        rows = difference.environment(old, new)
        show("environment", rows, ("record", "here"))
        if not rows and old.model_source == new.model_source:
            print("nothing that a record says of its making differs")
    return found.agree


def show_source(path: Path) -> None:
    """Print the model's source that a record carries, to be read before it is trusted."""
    from bamopipe import record

    print(printable(record.read(path).model_source, record.LONGEST))


def _data(old: Record, frozen: Mapping[str, Any], scratch: Path) -> dict[str, str]:
    """Return paths of the data files with the content that the record's hashes name."""
    found = {}
    for number, (name, entry) in enumerate(frozen["data"]["files"].items()):
        key, given = f"data.files.{name}", datafiles.place(entry)
        if given.suffix not in datafiles.ENDINGS:
            raise UserError(f"{key} must end in .csv or .nc, got {str(given)!r}")
        copy = scratch / f"{number}{given.suffix}"
        content, hash_ = old.data(name), old.data_sha256.get(name, "")
        if content is not None:
            copy.write_bytes(content)
        elif (here := datafiles.find(hash_, entry)) is not None:
            copy = here
        elif not isinstance(entry, str):
            datafiles.fetch(key, entry, copy)
        else:
            raise UserError(
                f"{key}: the record has the hash of the data and not their content, and neither "
                f"{given} nor a file in {datafiles.COPIES} has it (sha256 {hash_ or 'unknown'})"
            )
        found[name] = str(copy)
    return found


def _model(
    old: Record, frozen: dict[str, Any], scratch: Path, trust_source: bool
) -> tuple[Path, Callable | None]:
    """Find the model's code: that of this place, or if it may run, that of the record."""
    target = frozen["model"]["_target_"]
    here, problem = None, ""
    try:
        here = source.find(target, local.settings().trusted)
    except UserError as error:
        problem = str(error)
    if here is not None and here.read_text() == old.model_source:
        source.check(frozen)
        return here, None
    if not old.model_source and here is None:
        raise UserError(f"{problem}; nor does the record carry the model's source")
    if trust_source and old.model_source:
        return _load(old.model_source, frozen, scratch)
    if here is None:
        raise UserError(
            f"{problem}. The record carries the model's source: read it with `bamopipe reproduce "
            f"{old.path} --show-source`, and if it may run here, add --trust-source"
        )
    print(
        f"the model's source in {here} is not that of the record, which --trust-source would run",
        file=sys.stderr,
    )
    source.check(frozen)
    return here, None


def _load(text: str, frozen: dict[str, Any], scratch: Path) -> tuple[Path, Callable]:
    """Run the model's source that the record carries, which a person has allowed."""
    path = scratch / "model_of_the_record.py"
    path.write_text(text)
    source.check(frozen, path)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    own.see_project()  # for what it imports from there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the source raises
        raise UserError(
            f"the model's source in the record fails with {type(error).__name__}: {error}"
        ) from error
    return path, getattr(module, frozen["model"]["_target_"].rpartition(".")[2])

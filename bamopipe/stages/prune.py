"""Remove the results that no experiment uses."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from bamopipe import compose, index, locks, plan, programs
from bamopipe.errors import UserError
from bamopipe.files import TEMPORARY
from bamopipe.index import FITS, RESULTS
from bamopipe.stages.disk import bytes_text
from bamopipe.stages.explain import request_of


def main(remove: bool) -> None:
    """List what no experiment uses, and remove it if told to.

    In use are the runs of every experiment in ``conf/experiment``, and of every folder in
    ``results/`` that `bamopipe run` made with overrides and whose experiment still exists. Of the
    rest, these are listed: fits, folders of runs within an experiment, and experiments whose file
    is gone; and what killed processes left half-written. Nothing else in ``results/`` and nothing
    outside it is ever touched.

    Parameters
    ----------
    remove : bool
        Remove them.
    """
    lock = locks.take_over()
    if lock is None:
        raise UserError("nothing is pruned while Snakemake runs here")
    try:
        _prune(remove)
    finally:
        os.close(lock)


def _prune(remove: bool) -> None:
    unused = [path for path in _unused() if _is_ours(path)] + sorted(_leftovers())
    if not unused:
        print(f"everything in {RESULTS}/ is used by an experiment")
        return
    total = 0
    for path in unused:
        files = path.rglob("*") if path.is_dir() else [path]
        size = sum(f.lstat().st_size for f in files if not f.is_dir())
        total += size
        print(f"  {path}  {bytes_text(size)}")
        if remove and path.is_dir():
            shutil.rmtree(path)
        elif remove:
            path.unlink()
    print(f"{'removed' if remove else 'not used'}: {len(unused)}, {bytes_text(total)}")
    if not remove:
        print("remove them with: bamopipe prune --yes")


def _unused() -> Iterator[Path]:
    known = set(compose.experiments())
    folders = index.homes()
    gone = [home for home in folders if home.name.partition("+")[0] not in known]
    wanted: set[str] = set()
    runs: dict[Path, set[str]] = {}
    requests = {RESULTS / name: {"experiment": name} for name in sorted(known)}
    requests |= {h: request_of(h) for h in folders if "+" in h.name and h not in gone}
    for home, request in requests.items():
        try:
            made = plan.load(request)
        except UserError as error:
            raise UserError(
                f"nothing is pruned, since it is not known what {home} uses ({error}); mend that, "
                "or remove that folder by hand"
            ) from None
        wanted |= set(made.by_id)
        runs[Path(made.home)] = set(made.by_name)
    yield from gone
    for home in folders:
        if home in runs:
            yield from (r for r in sorted(home.glob("*-*/")) if r.name not in runs[home])
    yield from (fit for fit in sorted(FITS.glob("*/")) if fit.name not in wanted)


def _leftovers() -> Iterator[Path]:
    """Find what processes that were killed had not finished writing: it is an hour old."""
    for path in RESULTS.rglob(".*"):
        is_half = path.is_file() and TEMPORARY.fullmatch(path.name)
        is_cache = path.is_dir() and path.name.startswith(programs.OF_A_PROCESS)
        if (is_half or is_cache) and time.time() - path.lstat().st_mtime > 3600:
            yield path


def _is_ours(path: Path) -> bool:
    """Tell whether a folder is one that the pipeline made, in ``results/`` and no link."""
    if path.is_symlink() or not path.resolve().is_relative_to(RESULTS.resolve()):
        return False
    if path.parent == FITS:
        return bool(re.fullmatch("[0-9a-f]{8}", path.name))
    is_run = re.fullmatch(r"\w[\w.]*-[0-9a-f]{8}", path.name)
    return bool(is_run) or (path / "index.csv").is_file()

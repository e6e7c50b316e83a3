"""Kill a pipeline again and again, at any instant, and see what it leaves.

Run as a program it kills an experiment as often as told, and prints when, and in what phase:

    uv run python tests/kills.py 50

Each time the whole tree, Snakemake, its jobs and theirs, gets SIGKILL at once, at a random instant,
or at the very moment when a netCDF file, a checkpoint or a compiled program is being written. Then
every file that has its final name must be whole; a plain rerun goes on. In the end the arrays must
be those of an experiment that was never disturbed.
"""

import contextlib
import csv
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import netCDF4
import numpy as np
from PIL import Image

from bamopipe.files import TEMPORARY

ROOT = Path(__file__).parent.parent
# Chains of both engines, in blocks of one seed.
EXPERIMENT = """\
# @package _global_
defaults:
  - override /model: eight_schools
seeds: [0, 1]
seeds_per_block: 1
inference: {num_chains: 2}
arms:
  smc: [sampler=gibbs, inference.num_particles=50, inference.num_mutations=5]
  mcmc:
    - inference=mcmc
    - sampler=random_walk
    - inference.num_samples=100
    - inference.num_warmup=100
"""
COMMAND = [sys.executable, "-m", "bamopipe", "run", "kills", "--", "--cores", "2", "--quiet"]
PHASES = {"nc": "netCDF", "npz": "checkpoint", "npy": "checkpoint"}


class Kill(NamedTuple):
    """When a run was killed, and what was being written."""

    seconds: float
    phases: tuple[str, ...]


def make(folder: Path) -> Path:
    """Make a project with the experiment of this module."""
    for name in ("conf", "data", "profiles", "report"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "conf/experiment/kills.yaml").write_text(EXPERIMENT)
    return folder


@contextlib.contextmanager
def started(folder: Path) -> Iterator[subprocess.Popen]:
    """Run the experiment in a process group of its own, which is killed at the end."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (folder / "output.log").open("a") as log:
        process = subprocess.Popen(
            COMMAND,
            cwd=folder,
            env={**os.environ, "PATH": path, "BAMOPIPE_CHECKPOINT_SECONDS": "0"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def finish(folder: Path) -> None:
    """Run the experiment to its end, as a person would after a power cut."""
    with started(folder) as process:
        status = process.wait()
    assert status == 0, (folder / "output.log").read_text()[-3000:]


def digests(folder: Path) -> dict[str, dict[str, str]]:
    """Return the sha256 of each array of each netCDF file that has its final name."""
    return {
        str(path.relative_to(folder)): _digests(path)
        for path in sorted((folder / "results").rglob("*.nc"))
        if not path.name.startswith(".") and ".unfinished" not in str(path)
    }


def _digests(path: Path) -> dict[str, str]:
    with netCDF4.Dataset(path) as file:
        return {
            f"{group.path}/{name}": hashlib.sha256(_bytes(variable)).hexdigest()
            for group in [file, *file.groups.values()]
            for name, variable in group.variables.items()
            if not name.endswith("_seconds")
        }


def _bytes(variable: netCDF4.Variable) -> bytes:
    values = np.ma.getdata(variable[...])
    # Text is an array of objects, whose bytes are their addresses.
    return json.dumps(values.tolist()).encode() if values.dtype == object else values.tobytes()


def check_whole(folder: Path, expected: dict[str, dict[str, str]]) -> None:
    """Open every file that has its final name; netCDF files must hold what they will hold."""
    for name, arrays in digests(folder).items():
        other = {
            key for key in arrays | expected[name] if arrays.get(key) != expected[name].get(key)
        }
        assert not other, f"{name} has other {other}"
    for path in (folder / "results").rglob("*"):
        if path.name.startswith(".") or not path.is_file() or "programs" in path.parts:
            continue
        match path.suffix:
            case ".json":
                json.loads(path.read_text())
            case ".csv":
                with path.open(newline="") as file:
                    rows = list(csv.reader(file))
                assert len({len(row) for row in rows}) == 1, path
                assert len(rows) > 1, path
            case ".png":
                with Image.open(path) as image:
                    image.load()
            case ".html":
                assert path.read_text().rstrip().endswith("</html>"), path
            case ".yaml":
                assert path.read_text().endswith("\n"), path


def _phases(folder: Path) -> tuple[str, ...]:
    """Tell what is being written at this moment."""
    found = set()
    for place, folders, files in os.walk(folder / "results"):
        for name in files:
            match = TEMPORARY.fullmatch(name)
            if match and match["kind"] in PHASES:
                found.add(PHASES[match["kind"]])
        if "/.of-a-process-" in place and any(_is_new(Path(place, name)) for name in files):
            found.add("program")
        del folders
    return tuple(sorted(found))


def _is_new(path: Path) -> bool:
    """Tell a program that was compiled a moment ago from a link to one that is shared."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return found.st_nlink == 1 and time.time() - found.st_mtime < 0.02


def kill(folder: Path, chance: random.Random, longest: float, wanted: str | None) -> Kill | None:
    """Start the experiment and kill it; None if it came to its end before.

    Parameters
    ----------
    folder
        The project.
    chance
        Draws the instant.
    longest
        Seconds that a run takes at most.
    wanted
        What has to be being written at that moment; None for any moment.
    """
    begin = time.monotonic()
    limit = chance.uniform(0, longest)
    skip = chance.randrange(4)  # of the moments that would do
    with started(folder) as process:
        while process.poll() is None:
            now = time.monotonic() - begin
            if wanted is None:
                if now >= limit:
                    break
                time.sleep(min(0.01, limit - now))
            elif wanted in _phases(folder):
                if skip == 0:
                    break
                skip -= 1
                time.sleep(0.05)
        if process.poll() is not None:
            return None
        os.killpg(process.pid, signal.SIGKILL)
        return Kill(time.monotonic() - begin, _phases(folder))


def harass(folder: Path, count: int, seed: int = 0) -> list[Kill]:
    """Kill an experiment `count` times and check what is left each time, and at the end."""
    chance = random.Random(seed)
    begin = time.monotonic()
    undisturbed = make(folder / "undisturbed")
    finish(undisturbed)
    longest = time.monotonic() - begin
    expected = digests(undisturbed)
    assert len(expected) == 6, expected
    project = make(folder / "killed")
    kills: list[Kill] = []
    while len(kills) < count:
        wanted = (None, "netCDF", None, "checkpoint", "program")[len(kills) % 5]
        one = kill(project, chance, longest, wanted)
        if one is None:
            assert digests(project) == expected
            shutil.rmtree(project / "results")
            shutil.rmtree(project / ".snakemake")
            continue
        kills.append(one)
        phases = ", ".join(one.phases) or "-"
        print(f"{len(kills):3}  after {one.seconds:5.1f} s  writing {phases}", flush=True)
        check_whole(project, expected)
    finish(project)
    check_whole(project, expected)
    assert digests(project) == expected
    assert (project / "results/kills/report.html").is_file()
    return kills


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        killed = harass(Path(scratch), int(sys.argv[1]))
    phases = Counter(phase for one in killed for phase in one.phases)
    print(f"{len(killed)} kills; inside a write: {sum(bool(k.phases) for k in killed)} {phases}")

"""A fit has the same bytes however its work is divided, by the real command line."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import project
from bamopipe import posterior

MODEL = "logistic_regression"  # has a product with a matrix, which threads may sum in parts
OVERRIDES = [
    f"model={MODEL}",
    "seeds=[0,1]",
    "inference.num_chains=1",
    "inference.num_particles=1000",
    "inference.num_mutations=2",
]


def run(folder: Path, *, cores: int, threads: int, block: int) -> dict[str, str]:
    """Make the fits of an experiment; return the hash of every array in them."""
    shutil.rmtree(folder / "results" / "fits", ignore_errors=True)
    for home in (folder / "results").glob("single*"):
        shutil.rmtree(home)
    flags = ["--cores", str(cores), "--set-threads", f"fit={threads}", "--until", "fit"]
    overrides = [*OVERRIDES, f"seeds_per_block={block}"]
    own = Path(sys.executable).parent
    done = subprocess.run(
        [sys.executable, "-m", "bamopipe", "run", "single", *overrides, "--", *flags],
        cwd=folder,
        env={**os.environ, "PATH": os.pathsep.join([str(own), os.environ["PATH"]])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    blocks = list((folder / "results" / "fits").glob("*/seeds_*.nc"))
    assert len(blocks) == (2 if block == 1 else 1)
    tree = posterior.concatenate([posterior.read(path) for path in blocks], [0, 1])
    return {
        f"{group}/{name}": hashlib.sha256(repr(v.dims).encode() + content(v.values)).hexdigest()
        for group, node in tree.children.items()
        for name, v in node.dataset.variables.items()
        if not str(name).endswith("_seconds")  # how long it took
    }


def content(array: np.ndarray) -> bytes:
    return repr(array.tolist()).encode() if array.dtype == object else array.tobytes()


@pytest.mark.slow
def test_bytes_depend_on_no_division_of_the_work(tmp_path):
    """Blocks of 1 and 4 seeds, 1 and 2 cores, 1 and 2 threads, cold and warm cache."""
    folder = project.make(tmp_path)
    shutil.rmtree(folder / "bin")
    settings = [
        dict(cores=2, threads=2, block=4),  # cold; all others but the last are warm
        dict(cores=2, threads=2, block=4),
        dict(cores=2, threads=1, block=1),  # two fits at once
        dict(cores=1, threads=1, block=1),
        dict(cores=1, threads=1, block=4),  # cold again
    ]
    found = []
    for number, setting in enumerate(settings):
        if number == len(settings) - 1:
            shutil.rmtree(folder / "results" / "programs")
        found.append(run(folder, **setting))
    assert len(found[0]) > 30
    for setting, hashes in zip(settings[1:], found[1:], strict=True):
        changed = [
            name for name in hashes.keys() | found[0] if hashes.get(name) != found[0].get(name)
        ]
        assert changed == [], setting

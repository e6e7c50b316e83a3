"""Fits of models of one form share compiled programs, and nothing of their results changes."""

import contextlib
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import xarray as xr
import yaml

import project
from bamopipe import programs

CONFIG = {
    "fit_version": 4,
    "precision": "float64",
    "model": {
        "_target_": "bamopipe.models.expectancy_valence.model",
        "w": "Uniform(0, 1)",
        "a": "Uniform(0, 1)",
        "c": "Uniform(-2, 2)",
    },
    "sampler": {"name": "mcmc", "kernel": "normal_random_walk", "sigma": 0.2},
    "inference": {
        "name": "smc",
        "num_chains": 2,
        "num_particles": 50,
        "num_mutations": 2,
        "target_ess": 0.5,
        "max_mutations": 100,
        "max_temperatures": 100,
        "data_blocks": 1,
        "scheme": "standard",
        "resampling": "systematic",
    },
    "trusted": [],
}


def fit(folder, subject):
    path = f"data/expectancy_valence/subject_{subject}.csv"
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump({**CONFIG, "data": {"files": {"trials": path}}}))
    out = folder / f"{subject}.nc"
    command = [sys.executable, "-m", "bamopipe", "fit", config, "--seeds", "0", "--out", out]
    run = subprocess.run(list(map(str, command)), cwd=folder, check=True, capture_output=True)
    (folder / "fit.log").write_bytes(run.stderr)
    with xr.open_datatree(out) as tree:
        return tree["posterior"]["w"].values


def entries(folder):
    return {p.name for p in (folder / "results" / "programs").rglob("*") if p.is_file()}


def test_another_subject_compiles_nothing(tmp_path):
    folder = project.make(tmp_path)
    fit(folder, 1)
    first = entries(folder)
    assert len(first) > 3
    shared = fit(folder, 2)
    assert entries(folder) == first
    shutil.rmtree(folder / "results")
    alone = fit(folder, 2)
    assert np.array_equal(shared, alone)
    # and nothing is left of the folders that processes had
    assert not list((folder / "results" / "programs").rglob(".of-a-process-*"))


def test_damaged_programs_are_found_removed_and_made_again(tmp_path):
    """A third of them cut short, a third empty, a third with one byte changed."""
    folder = project.make(tmp_path)
    undisturbed = fit(folder, 1)
    programs = [p for p in (folder / "results" / "programs").rglob("*") if p.is_file()]
    keys = {p.name.rpartition(".")[0] for p in programs}
    for number, path in enumerate(sorted(programs)):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes([content[: len(content) // 2], b"", content][number % 3])
    assert np.array_equal(fit(folder, 1), undisturbed)
    log = (folder / "fit.log").read_text()
    assert log.count("is damaged; it is made again") == len(programs)
    assert "Error reading" not in log  # JAX did not even see them
    assert {name.rpartition(".")[0] for name in entries(folder)} == keys
    for path in (folder / "results" / "programs").rglob("*-cache.*"):
        assert path.name.endswith(hashlib.sha256(path.read_bytes()).hexdigest()[:12])
    assert np.array_equal(fit(folder, 1), undisturbed)
    assert "damaged" not in (folder / "fit.log").read_text()


def test_a_folder_among_programs_stays_with_its_process(tmp_path):
    """On GPUs XLA keeps one of what it has tried."""
    with contextlib.chdir(tmp_path):
        with programs.shared("example"):
            own = Path(jax.config.jax_compilation_cache_dir)
            Path(own, "xla_gpu_per_fusion_autotune_cache_dir").mkdir()
            jax.jit(lambda x: 3 * x)(2.0)
        names = [path.name for path in (tmp_path / programs.PROGRAMS).rglob("*") if path.is_file()]
        assert any("-cache." in name for name in names)
        assert not list((tmp_path / programs.PROGRAMS).rglob("xla_gpu*"))

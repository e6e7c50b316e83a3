"""Fits of models of one form share compiled programs, and nothing of their results changes."""

import shutil
import subprocess
import sys

import numpy as np
import xarray as xr
import yaml

import project

CONFIG = {
    "fit_version": 3,
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
    subprocess.run(list(map(str, command)), cwd=folder, check=True, capture_output=True)
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

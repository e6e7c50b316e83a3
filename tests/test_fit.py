"""The fit stage by itself: what it writes, and what it refuses."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

from bamopipe import posterior
from bamopipe.exclusive import exclusive
from bamopipe.stages import diagnose

CONFIG = {
    "fit_version": 4,
    "precision": "float64",
    "model": {
        "_target_": "bamopipe.models.eight_schools.model",
        "mu": "Normal(0, 10)",
        "tau": "LogNormal(5, 1)",
    },
    "data": {"files": {"schools": "data/eight_schools.csv"}},
    "sampler": {
        "name": "gibbs",
        "steps": {
            name: {"kernel": "normal_random_walk", "sigma": sigma}
            for name, sigma in (("mu", 6.0), ("tau", 6.0), ("theta", 5.0))
        },
    },
    "inference": {
        "name": "smc",
        "num_chains": 3,
        "num_particles": 120,
        "num_mutations": 5,
        "target_ess": 0.5,
        "max_mutations": 100,
        "max_temperatures": 100,
        "data_blocks": 1,
        "scheme": "standard",
        "resampling": "systematic",
    },
    "trusted": [],
}


def edited(**changes):
    return {**CONFIG, **changes}


MCMC = edited(
    sampler={"name": "mcmc", "kernel": "normal_random_walk"},
    inference={
        "name": "mcmc",
        "num_chains": 2,
        "num_samples": 1500,
        "num_warmup": 300,
        "num_burn": 0,
        "num_thin": 1,
        "start": "prior",
    },
)


def command_of(folder, config, *words, seeds="0-1"):
    """Write a config; return the command that fits it, and the file that will be made."""
    path = Path(folder) / "config.yaml"
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    out = Path(folder) / "out.nc"
    command = ["-m", "bamopipe", "fit", path, "--seeds", seeds, "--out", out, *words]
    return [sys.executable, *map(str, command)], out


def fit(folder, config, *words, seeds="0-1"):
    """Run `bamopipe fit` as a rule does, with the project's folder as the working directory."""
    command, out = command_of(folder, config, *words, seeds=seeds)
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run, out


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    run, out = fit(tmp_path_factory.mktemp("fit"), CONFIG, "--threads", "1")
    assert run.returncode == 0, run.stderr
    return run, out


@pytest.fixture(scope="module")
def fitted_by_mcmc(tmp_path_factory):
    run, out = fit(tmp_path_factory.mktemp("mcmc"), MCMC, seeds="0")
    assert run.returncode == 0, run.stderr
    return run, out


def test_posterior_has_the_groups_and_dimensions_of_arviz(fitted):
    with xr.open_datatree(fitted[1]) as tree:
        assert set(tree.children) == {
            "posterior",
            "sample_stats",
            "smc",
            "prior",
            "prior_predictive",
            "posterior_predictive",
            "log_likelihood",
            "observed_data",
            "constant_data",
            "data_files",
        }
        theta = tree["posterior"]["theta"]
        assert theta.dims == ("chain", "draw", "school")
        assert theta.shape == (6, 120, 8)
        assert theta.dtype == np.float64
        assert theta["school"].values[0] == "Choate"
        assert theta["seed"].values.tolist() == [0, 0, 0, 1, 1, 1]
        assert tree["smc"]["acceptance_rate"].dims == ("chain", "stage", "update")
        last = tree["smc"]["num_stages"].values
        temperature = tree["smc"]["temperature"].values
        assert np.all(temperature[np.arange(6), last - 1] == 1)
        increments = tree["smc"]["log_evidence_increment"].sum("stage")
        np.testing.assert_allclose(increments, tree["smc"]["log_evidence"])
        # the likelihood of each observation adds up to that of the whole
        total = tree["log_likelihood"]["y"].sum("school")
        stats = tree["sample_stats"]
        np.testing.assert_allclose(total, stats["lp"] - stats["log_prior"])
        assert tree["constant_data"]["scale_y"].dims == ("school",)


def test_arviz_uses_it_unchanged(fitted):
    import arviz as az

    with xr.open_datatree(fitted[1]) as tree:
        table = az.summary(tree)
        assert "theta[Choate]" in table.index
        with pytest.warns(UserWarning, match="Pareto"):  # at eight schools LOO is known to be hard
            assert np.isfinite(az.loo(tree).elpd)


def test_provenance(fitted):
    attrs = posterior.read(fitted[1]).attrs
    assert json.loads(attrs["config"]) == CONFIG
    assert attrs["status"] == "ok"
    assert json.loads(attrs["seeds"]) == [0, 1]
    assert attrs["model_source"] == Path("bamopipe/models/eight_schools.py").read_text()
    assert set(json.loads(attrs["data_sha256"])) == {"schools"}
    assert json.loads(attrs["versions"])["jax"]
    assert json.loads(attrs["machine"])["isa"]
    assert attrs["compile_seconds"] > 0
    assert attrs["sample_seconds"] > 0


def test_log_has_a_line_a_temperature_and_no_noise(fitted):
    lines = fitted[0].stderr.splitlines()
    assert any("stage 1, temperature" in line for line in lines)
    assert [line for line in lines if line.startswith("seed ")][1].startswith(
        "seed 1: log evidence"
    )
    assert all(line.startswith(("SMC of eight schools", "seed ")) for line in lines)


def test_seeds_do_not_depend_on_their_block_nor_on_threads(fitted, tmp_path):
    run, alone = fit(tmp_path, CONFIG, "--threads", "2", seeds="1")
    assert run.returncode == 0, run.stderr
    single, block = posterior.read(alone), posterior.read(fitted[1])
    chains = block["posterior"].ds["seed"].values == 1
    for group in ("posterior", "prior", "posterior_predictive", "log_likelihood"):
        for name, values in single[group].ds.data_vars.items():
            other = block[group].ds[name].values[chains]
            np.testing.assert_array_equal(values, other, err_msg=f"{group}/{name}")


def first_seed_is_done(line, folder):
    return bool(list(folder.glob("*.unfinished/seed_0-*.nc")))


def some_draws_are_made(line, folder):
    return ", step " in line and "warm-up" not in line


def hashes(path):
    """Return the sha256 of every array of a posterior but how long it took."""
    return {
        f"{group}/{name}": hashlib.sha256(
            repr(values.values.tolist()).encode()
            if values.dtype == object
            else f"{values.dtype} {values.shape}".encode() + values.values.tobytes()
        ).hexdigest()
        for group, node in posterior.read(path).children.items()
        for name, values in node.dataset.variables.items()
        if not str(name).endswith("_seconds")
    }


@pytest.mark.parametrize(
    ("undisturbed", "config", "seeds", "signals", "is_time", "said"),
    [
        (
            "fitted",
            CONFIG,
            "0-1",
            [signal.SIGKILL],
            first_seed_is_done,
            ["seed 0: done before", "seed 1: log evidence"],
        ),
        # First when only draws are on the disk, last when they are more than the checkpoint knows.
        pytest.param(
            "fitted_by_mcmc",
            MCMC,
            "0",
            [signal.SIGKILL, signal.SIGTERM, signal.SIGKILL],
            some_draws_are_made,
            ["goes on from"],
            marks=pytest.mark.slow,
        ),
    ],
    ids=["smc", "mcmc"],
)
def test_killed_and_started_again_it_goes_on(
    undisturbed, config, seeds, signals, is_time, said, request, tmp_path
):
    """By the signal that Slurm sends first, and by the one that no process can catch."""
    undisturbed = request.getfixturevalue(undisturbed)[1]
    command, out = command_of(tmp_path, config, seeds=seeds)
    for number in signals:
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as killed:
            lines = []
            for line in killed.stderr:
                lines.append(line)
                if is_time(line, tmp_path):
                    killed.send_signal(number)
                    break
            lines += killed.stderr
        expected = 128 + number if number == signal.SIGTERM else -number
        assert killed.returncode == expected, "".join(lines)
        assert not out.exists()
    run, out = fit(tmp_path, config, seeds=seeds)
    assert run.returncode == 0, run.stderr
    for words in said:
        assert words in run.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml", "out.nc"}
    assert hashes(out) == hashes(undisturbed)
    evidence = [posterior.read(path).attrs["log_evidence"] for path in (out, undisturbed)]
    np.testing.assert_array_equal(*evidence)


def test_a_second_one_waits_and_finds_it_made(fitted, tmp_path):
    folder = tmp_path / fitted[1].parent.name
    folder.mkdir()
    command, out = command_of(folder, CONFIG)
    with exclusive(out):
        second = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert "; waiting" in second.stderr.readline()
        shutil.copy(fitted[1], out)
        made = out.stat()
    _, told = second.communicate()
    assert second.returncode == 0
    assert told == f"{out}: made meanwhile\n"
    assert (out.stat().st_ino, out.stat().st_mtime) == (made.st_ino, made.st_mtime)
    assert {path.name for path in folder.iterdir()} == {"config.yaml", "out.nc"}


def test_diagnose_stacks_the_wanted_seeds(fitted, tmp_path):
    diagnose.main([fitted[1]], [1], tmp_path / "posterior.nc")
    tree = posterior.read(tmp_path / "posterior.nc")
    assert tree["posterior"].ds["seed"].values.tolist() == [1, 1, 1]
    assert tree["posterior"].ds["chain"].values.tolist() == [0, 1, 2]
    expected = posterior.read(fitted[1])["smc"].ds["log_evidence"].values[3:]
    np.testing.assert_allclose(
        tree.attrs["log_evidence"], np.log(np.mean(np.exp(expected + 36))) - 36
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("a: [", "is no YAML"),
        ("just text", "must be a mapping"),
        (edited(precison="float64"), "precison"),
        (edited(fit_version=2), "fit_version"),
        (edited(model={**CONFIG["model"], "_target_": "os.system"}), "trusted"),
        (edited(model={**CONFIG["model"], "tau": "LgNormal(5, 1)"}), "did you mean 'LogNormal'"),
        (edited(model={**CONFIG["model"], "tau": "__import__('os')"}), "__import__"),
        (edited(data={"files": {"schools": "data/none.csv"}}), "no file"),
        (edited(sampler={"name": "mcmc", "kernel": "normal_random_walk", "sigma": [1.0]}), "sigma"),
    ],
)
def test_bad_configs_get_one_sentence(config, message, tmp_path):
    run, out = fit(tmp_path, config)
    assert run.returncode == 2
    assert message in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
    assert run.stderr.startswith("bamopipe: ")
    assert list(tmp_path.iterdir()) == [tmp_path / "config.yaml"]
    assert not out.exists()


def test_bad_data_name_the_node(tmp_path):
    table = Path("data/eight_schools.csv").read_text()
    bad = tmp_path / "bad.csv"
    bad.write_text(table.replace("-3,", "x,"))
    run, _ = fit(tmp_path, edited(data={"files": {"schools": str(bad)}}))
    assert run.returncode == 2
    assert "observations of 'y'" in run.stderr
    assert "must be numbers" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_a_model_that_raises_is_no_traceback_of_ours_but_says_where(tmp_path):
    table = Path("data/eight_schools.csv").read_text().replace("school,y,sd", "school,z,sd")
    bad = tmp_path / "bad.csv"
    bad.write_text(table)
    run, out = fit(tmp_path, edited(data={"files": {"schools": str(bad)}}))
    assert run.returncode == 2
    assert "bamopipe/models/eight_schools.py" in run.stderr
    assert "'y'" in run.stderr
    assert not out.exists()

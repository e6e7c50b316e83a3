"""A posterior is run again from its record alone, by code that is trusted here."""

import contextlib
import json
import shutil
from pathlib import Path

import jax
import pytest
import yaml

from bamopipe import cli, config, posterior
from bamopipe.stages import fit

SOURCE = """
import distrax as dx
from bamopipe.base import Model


def model(data, mu):
    m = Model("reaction times")
    mu = m.add_node("mu", distribution=mu)
    y = data["rt"]["seconds"]
    m.add_node("y", distribution=dx.Normal, parents=dict(loc=mu, scale=2.0), observations=y)
    return m
"""
CONFIG = {
    "fit_version": config.FIT_VERSION,
    "precision": "float64",
    "model": {"_target_": "models_of_reproduce.rt.model", "mu": "Normal(0, 10)"},
    "data": {"files": {"rt": "data/rt.csv"}},
    "sampler": {"name": "gibbs", "steps": {"mu": {"kernel": "normal_random_walk", "sigma": 1.0}}},
    "inference": {"name": "smc", "num_chains": 3, "num_particles": 60, "num_mutations": 3},
    "trusted": [],
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with a model of its own, and the record of a fit with two seeds."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("conf", "data", "models_of_reproduce"):
        (folder / name).mkdir()
    (folder / "conf" / "config.yaml").write_text("trusted: [models_of_reproduce]\n")
    (folder / "models_of_reproduce" / "rt.py").write_text(SOURCE)
    (folder / "data" / "rt.csv").write_text("seconds\n1.5\n2.0\n0.5\n")
    (folder / "fit.yaml").write_text(yaml.safe_dump(CONFIG))
    with contextlib.chdir(folder):
        fit.main(Path("fit.yaml"), [0, 1], folder / "posterior.nc")
    yield folder
    jax.config.update("jax_enable_x64", False)


@pytest.fixture
def place(project, tmp_path):
    """The project again, without its data: a copy to spoil, to work in."""
    folder = tmp_path / "copy"
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns("data", "results"))
    with contextlib.chdir(folder):
        yield folder


def change(path, numbers=None, without=(), **attrs):
    """Write a record anew: other attributes, other draws, some groups less."""
    tree = posterior.read(path)
    tree.attrs |= {k: v if isinstance(v, str) else json.dumps(v) for k, v in attrs.items()}
    if numbers is not None:
        tree["posterior"]["mu"] = numbers(tree["posterior"]["mu"])
    for group in without:
        del tree[group]
    posterior.write(tree, path)


def test_the_same_bytes_from_the_record_alone(place, capsys):
    assert cli.main(["reproduce", "posterior.nc", "--out", "again.nc"]) == 0
    assert "identical: all arrays have the same bytes" in capsys.readouterr().out
    assert cli.main(["diff", "posterior.nc", "again.nc"]) == 0
    assert capsys.readouterr().out == "numbers: identical: all arrays have the same bytes\n"
    assert not (place / "results").exists()
    assert not (place / "data").exists()


def test_other_rounding_is_equal_within_monte_carlo_error(place, capsys):
    change("posterior.nc", lambda mu: mu * (1 + 1e-12), machine={"isa": "riscv"})
    assert cli.main(["reproduce", "posterior.nc", "--seeds", "1"]) == 0
    out = capsys.readouterr().out
    assert "equal within Monte Carlo error" in out
    assert "riscv" in out


def test_other_numbers_are_different_and_it_says_what_differs(place, capsys):
    change(
        "posterior.nc",
        lambda mu: mu + 300.0,  # which even three chains tell, whatever their error is by chance
        model_source=SOURCE.replace("scale=2.0", "scale=1.0"),
        versions={"jax": "0.0.1"},
    )
    assert cli.main(["reproduce", "posterior.nc", "--seeds", "0"]) == 1
    out, err = capsys.readouterr()
    assert "different: the largest of 3 differences is" in out
    assert "(mean of mu)" in out
    assert "model source: 2 lines differ" in out
    assert "0.0.1" in out
    assert "is not that of the record, which --trust-source would run" in err


def test_a_config_from_before_a_setting_existed(place, capsys):
    assert "scheme" not in CONFIG["inference"]
    change("posterior.nc", config=CONFIG)
    assert cli.main(["reproduce", "posterior.nc", "--seeds", "1"]) == 0
    assert "identical" in capsys.readouterr().out


def test_code_in_a_record_runs_only_if_a_person_says_so(place, capsys):
    marked = SOURCE + "\nopen('executed', 'w').close()\n"
    change("posterior.nc", model_source=marked)
    shutil.rmtree("models_of_reproduce")
    assert cli.main(["reproduce", "posterior.nc"]) == 2
    message = capsys.readouterr().err
    assert "--show-source" in message
    assert "--trust-source" in message
    assert len(message.splitlines()) == 1
    assert cli.main(["reproduce", "posterior.nc", "--show-source"]) == 0
    assert capsys.readouterr().out == marked + "\n"
    assert not (place / "executed").exists()
    assert cli.main(["reproduce", "posterior.nc", "--seeds", "1", "--trust-source"]) == 0
    assert "identical" in capsys.readouterr().out
    assert (place / "executed").exists()


def test_whom_a_record_trusts_counts_for_nothing(place, capsys):
    (place / "conf" / "config.yaml").write_text("trusted: []\n")
    change("posterior.nc", config={**CONFIG, "trusted": ["models_of_reproduce"]})
    assert cli.main(["reproduce", "posterior.nc"]) == 2
    assert "which `trusted` in conf/config.yaml does not list" in capsys.readouterr().err


def test_data_that_the_record_lacks_are_found_by_their_hash(place, project, monkeypatch, capsys):
    change("posterior.nc", without=["data_files"])
    assert cli.main(["reproduce", "posterior.nc"]) == 2
    assert "neither data/rt.csv nor a file in BAMOPIPE_DATA has it" in capsys.readouterr().err
    (place / "data").mkdir()
    (place / "data" / "rt.csv").write_text("seconds\n1.5\n2.0\n0.6\n")
    assert cli.main(["reproduce", "posterior.nc"]) == 2
    monkeypatch.setenv("BAMOPIPE_DATA", str(project / "data"))
    assert cli.main(["reproduce", "posterior.nc", "--seeds", "0"]) == 0
    assert "identical" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("attrs", "words", "message"),
    [
        ({"data_sha256": {"rt": "00"}}, [], "the data 'rt' in it are not those of the fit"),
        ({"config": {**CONFIG, "fit_version": 2}}, [], "another version wrote this"),
        ({"config": {**CONFIG, "sampler": {"name": "magic"}}}, [], "sampler.name"),
        ({"config": "{"}, [], "its attribute config is no JSON mapping"),
        ({}, ["--seeds", "7"], "--seeds must be among those of posterior.nc: 0, 1"),
        ({"model_source": SOURCE + "\nraise ValueError('no')"}, ["--trust-source"], "ValueError"),
        ({"model_source": "def model("}, ["--trust-source"], "is no Python"),
    ],
)
def test_what_cannot_be_run_is_told_in_one_sentence(place, capsys, attrs, words, message):
    change("posterior.nc", **attrs)
    assert cli.main(["reproduce", "posterior.nc", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_diff_lists_what_differs(place, capsys):
    shutil.copy("posterior.nc", "other.nc")
    changed = {**CONFIG, "model": {**CONFIG["model"], "mu": "Normal(0, 5)"}}
    change("other.nc", lambda mu: mu + 1, config=changed, data_sha256={"rt": "ab"})
    assert cli.main(["diff", "posterior.nc", "other.nc"]) == 1
    out = capsys.readouterr().out
    assert '"Normal(0, 5)"' in out
    assert "inference" not in out  # settings that came later stand for what they stood for
    assert out.splitlines()[-1].startswith("numbers: different")


def test_the_same_numbers_of_another_config_are_not_the_same_fit(place, capsys):
    shutil.copy("posterior.nc", "other.nc")
    change("other.nc", config={**CONFIG, "precision": "float32"})
    assert cli.main(["diff", "posterior.nc", "other.nc"]) == 1
    assert "numbers: identical" in capsys.readouterr().out

"""Results as a notebook gets them, and as R does."""

import contextlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import bamopipe
import trees
from bamopipe import cli
from bamopipe import results as results_module
from bamopipe.errors import UserError
from bamopipe.posterior import read
from bamopipe.stages import compare, diagnose, sweep

INDEX = """\
run,arm,fit_id,seeds,inference.num_particles,model.mu
walk-00000000,walk,00000000,0,100,"Normal(0, 5)"
walk-11111111,walk,11111111,1,1000,"Normal(0, 5)"
gibbs-22222222,gibbs,22222222,2,100,"Normal(0, 5)"
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """An experiment of three runs, of which two are made."""
    home = tmp_path_factory.mktemp("project") / "results" / "swept"
    home.mkdir(parents=True)
    (home / "index.csv").write_text(INDEX)
    for name, seed in (("walk-00000000", 0), ("walk-11111111", 1)):
        block = trees.write_block(home.parent / f"{seed}.nc", seed)
        diagnose.main([block], [seed], home / name / "posterior.nc")
    compare.main(sorted(home.glob("*/posterior.nc")), home, {"dpi": 50})
    return home


def test_tables_have_a_row_a_run_and_a_column_a_setting(home):
    results = bamopipe.load(home)
    assert results.index.shape == (3, 5)
    assert results.index["inference.num_particles"].tolist() == [100, 1000, 100]
    swept = results.evidence["inference.num_particles"]
    assert swept.to_dict() == {"walk-00000000": 100, "walk-11111111": 1000}
    assert np.isfinite(results.evidence["log_evidence"]).all()
    mean = results.posterior["walk-00000000"]["posterior"]["mu"].values.mean()
    assert results.summary.loc[("walk-00000000", "mu"), "mean"] == pytest.approx(mean, rel=1e-5)
    found = json.loads((home / "walk-11111111" / "diagnostics.json").read_text())["checks"]
    for check in found:
        assert bool(results.checks.loc[("walk-11111111", check["name"]), "ok"]) is check["ok"]
    assert "2 of 3 runs made" in repr(results)


def test_posteriors_are_read_when_they_are_asked_for(home, monkeypatch):
    asked = []
    monkeypatch.setattr(results_module, "read", lambda path: asked.append(path) or read(path))
    posterior = bamopipe.load(home).posterior
    assert list(posterior) == ["walk-00000000", "walk-11111111"]
    assert asked == []
    assert posterior["walk-11111111"].attrs["name"] == "eight_schools"
    assert asked == [home / "walk-11111111" / "posterior.nc"]
    with pytest.raises(KeyError, match="did you mean 'walk-00000000'"):
        posterior["walk-0000000"]


def test_an_experiment_is_found_by_its_name(home):
    with contextlib.chdir(home.parent.parent):
        assert len(bamopipe.load("swept").index) == 3
        with pytest.raises(UserError, match="did you mean 'swept'"):
            bamopipe.load("results/swpt")


def test_all_draws_in_a_table_that_r_reads(home, tmp_path):
    assert cli.main(["load", str(home), "--csv", str(tmp_path / "draws.csv.gz")]) == 0
    table = pd.read_csv(tmp_path / "draws.csv.gz", dtype={"index": str}, keep_default_na=False)
    assert list(table.columns) == [
        "run", "arm", "inference.num_particles", "model.mu",
        "seed", "chain", "draw", "variable", "index", "value",
    ]  # fmt: skip
    assert len(table) == 2 * 4 * 500 * (1 + 1 + 8)
    tree = bamopipe.load(home).posterior["walk-11111111"]
    row = table[
        (table["run"] == "walk-11111111")
        & (table["index"] == "St. Paul's")
        & (table["chain"] == 3)
        & (table["draw"] == 7)
    ]
    expected = tree["posterior"]["theta"].sel(school="St. Paul's", chain=3, draw=7)
    assert row["value"].item() == float(expected)
    assert row["seed"].item() == 1
    assert row["inference.num_particles"].item() == 1000
    assert set(table.loc[table["variable"] == "mu", "index"]) == {""}


def test_some_variables_and_an_unknown_one(home, tmp_path, capsys):
    out = str(tmp_path / "draws.csv")
    assert cli.main(["load", str(home), "--csv", out, "--variables", "tau,mu"]) == 0
    assert set(pd.read_csv(out)["variable"]) == {"tau", "mu"}
    assert cli.main(["load", str(home), "--csv", out, "--variables", "ta"]) == 2
    assert "has no variable 'ta'; did you mean 'tau'" in capsys.readouterr().err


def test_importing_bamopipe_stays_cheap():
    code = (
        "import sys, bamopipe; bamopipe.load; print('arviz' in sys.modules, 'jax' in sys.modules)"
    )
    before = "import sys, bamopipe; print(len([m for m in sys.modules if 'bamopipe' in m]))"
    for program, expected in ((code, "False False"), (before, "1")):
        run = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == expected


def test_the_sweep_is_shown_as_a_page_a_table_and_a_figure(home):
    sweep.main(home, {"dpi": 50})
    table = pd.read_csv(home / "sweep.csv")
    assert list(table.columns[:2]) == ["arm", "inference.num_particles"]  # model.mu does not vary
    assert table["inference.num_particles"].tolist() == [100, 1000]
    summary = bamopipe.load(home).summary.xs("walk-00000000")
    assert table["ess"][0] == pytest.approx(summary["ess"].min())
    page = (home / "sweep.html").read_text()
    assert "inference.num_particles" in page
    assert "largest <code>r_hat</code>" in page
    assert (home / "sweep.png").is_file()


def test_a_sweep_without_evidence_shows_the_smallest_sample_size(home, tmp_path, monkeypatch):
    for name in ("index.csv", "evidence.csv", "summary.csv"):
        shutil.copy(home / name, tmp_path)
    table = pd.read_csv(tmp_path / "evidence.csv").assign(log_evidence=np.nan)
    table.to_csv(tmp_path / "evidence.csv", index=False)
    asked = []
    plot = sweep.sweep.plot
    monkeypatch.setattr(sweep.sweep, "plot", lambda *words: asked.append(words) or plot(*words))
    sweep.main(tmp_path, {"dpi": 50})
    assert asked[0][1:] == (["inference.num_particles"], "ess", "smallest effective sample size")
    assert (tmp_path / "sweep.png").is_file()

"""Evidence tables: who is compared with whom."""

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

import trees
from bamopipe.comparison import Evidence, evidence_table
from bamopipe.plots import evidence, style
from bamopipe.stages import compare, diagnose


def run(name, value, *, error=0.03, model="m", data="d", converged=True, chains=4):
    each = value + error * np.linspace(-1, 1, chains)
    return Evidence(f"{name}-0123abcd", "", model, data, value, error, each, converged, 12.0)


def rows(*runs):
    return evidence_table(runs).set_index("arm")


def test_bayes_factors_and_probabilities_of_models():
    table = rows(run("a", -11, model="a", error=0.04), run("b", -10, model="b", error=0.03))
    assert list(table.index) == ["b", "a"]
    assert table["log_bayes_factor"].tolist() == [0, -1]
    assert table["log_bayes_factor_se"].tolist() == pytest.approx([0, 0.05])
    assert table["model_probability"].tolist() == pytest.approx(
        [1 / (1 + np.exp(-1)), 1 / (1 + np.e)]
    )
    assert table["note"].tolist() == ["", ""]


def test_two_samplers_of_one_model_do_not_compete():
    table = rows(run("gibbs", -36.13), run("walk", -36.15))
    assert table["model_probability"].isna().all()
    assert table["log_bayes_factor"].tolist() == pytest.approx([0, -0.02])
    assert table["note"].str.startswith("same model").all()


def test_runs_of_one_model_are_averaged_and_share_its_probability():
    table = rows(
        run("a1", np.log(2), model="a"),
        run("a2", np.log(4), model="a"),
        run("b", np.log(1), model="b"),
    )
    assert table["model_probability"].to_dict() == pytest.approx(
        {"a1": 0.75, "a2": 0.75, "b": 0.25}
    )


def test_different_data_are_never_compared():
    table = rows(
        run("a", -10, data="x", model="a"),
        run("b", -12, data="x", model="b"),
        run("c", -1, data="y", model="a"),
    )
    assert table.loc["b", "log_bayes_factor"] == -2
    assert table.loc["c", ["log_bayes_factor", "model_probability"]].isna().all()
    assert "same data" in table.loc["c", "note"]
    assert "same data" in table.loc["a", "note"]


def test_a_run_that_did_not_converge_is_no_reference():
    table = rows(
        run("bad", -1, converged=False), run("a", -10, model="a"), run("b", -11, model="b")
    )
    assert table.loc["a", "log_bayes_factor"] == 0
    assert np.isnan(table.loc["bad", "log_bayes_factor"])
    assert table.loc["bad", "note"] == "did not converge: not compared"


def test_a_failed_evidence_is_no_reference():
    table = rows(run("bad", np.inf), run("nan", np.nan), run("a", -10), run("b", -11))
    assert table.loc["a", "log_bayes_factor"] == 0
    assert table.loc[["bad", "nan"], "log_bayes_factor"].isna().all()


@pytest.mark.parametrize("count", [1, 2, 40, 150])
def test_figure_of_few_and_many_runs(count, tmp_path):
    runs = [run(f"m{i}", -10.0 - i, model=str(i), converged=i != 1) for i in range(count)]
    runs[-1] = runs[-1]._replace(log_evidence_se=np.nan)
    table, chains = evidence_table(runs), {run.run: run.chains for run in runs}
    style.save(tmp_path / "evidence.png", evidence.plot, table, chains, dpi=50)
    assert imread(tmp_path / "evidence.png")[..., :3].std() > 0.02
    labels = evidence.plot(table, chains).get_axes()[0].get_yticklabels()
    assert len(labels) == min(count, 100)
    assert labels[0].get_text() == "m0"


def test_stage_compares_runs_on_disk(tmp_path):
    for name, seed in (("gibbs-00000000", 0), ("random_walk-11111111", 1)):
        diagnose.main(
            [trees.write_block(tmp_path / f"{seed}.nc", seed)],
            [seed],
            tmp_path / name / "posterior.nc",
        )
    (tmp_path / "index.csv").write_text(
        "run,arm,fit_id,seeds,a\ngibbs-00000000,gibbs,00000000,0,1\n"
        "random_walk-11111111,random_walk,11111111,1,2\n"
    )
    compare.main(sorted(tmp_path.glob("*/posterior.nc")), tmp_path, {"dpi": 50})
    table = pd.read_csv(tmp_path / "evidence.csv").set_index("arm")
    assert set(table.index) == {"gibbs", "random_walk"}
    found = json.loads((tmp_path / "gibbs-00000000" / "diagnostics.json").read_text())
    assert table.loc["gibbs", "log_evidence"] == pytest.approx(found["log_evidence"], abs=1e-6)
    assert table["log_bayes_factor"].max() == 0
    assert table["num_chains"].tolist() == [4, 4]
    assert (tmp_path / "evidence.png").is_file()

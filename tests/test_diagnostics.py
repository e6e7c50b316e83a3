"""Numbers and flags against cases whose answers are known."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import trees
from bamopipe.diagnostics import checks, convergence, diagnose, problems, summary
from bamopipe.stages import diagnose as stage


def named(tree):
    return {check.name: check for check in checks(tree)}


def test_independent_draws_have_the_textbook_errors():
    """64 chains of 1,000 normal draws: mcse of the mean is sd / sqrt(n), of the sd sd / sqrt(2n).

    A standard deviation from 64 chains has a relative error of 1 / sqrt(126) = 9%: four of these.
    """
    chains, draws = 64, 1000
    total = chains * draws
    tree = trees.tree({"x": 3 + 2 * np.random.default_rng(1).normal(size=(chains, draws))})
    row = summary(tree).loc["x"]
    assert row["mean"] == pytest.approx(3, abs=4 * 2 / np.sqrt(total))
    assert row["sd"] == pytest.approx(2, abs=4 * 2 / np.sqrt(2 * total))
    assert row["mcse_mean"] == pytest.approx(2 / np.sqrt(total), rel=0.36)
    assert row["mcse_sd"] == pytest.approx(2 / np.sqrt(2 * total), rel=0.36)
    assert total * 0.5 < row["ess"] <= total
    assert row["r_hat"] == pytest.approx(1, abs=1e-3)
    # The 5.5% quantile of a normal; its error is 2 sd / sqrt(total).
    assert row["eti89_lb"] == pytest.approx(3 - 2 * 1.598193, abs=4 * 4 / np.sqrt(total))
    assert row["eti89_ub"] == pytest.approx(3 + 2 * 1.598193, abs=4 * 4 / np.sqrt(total))


def test_correlated_chains_have_a_larger_error():
    """A shift of each chain by s adds s^2 to the variance of a chain's mean."""
    chains, draws, shift = 64, 1000, 0.5
    rng = np.random.default_rng(2)
    x = rng.normal(size=(chains, draws)) + rng.normal(0, shift, (chains, 1))
    row = convergence(trees.tree({"x": x})).loc["x"]
    assert row["mcse_mean"] == pytest.approx(shift / np.sqrt(chains), rel=0.36)
    assert row["ess"] == pytest.approx(chains * (1 + shift**2) / shift**2, rel=0.72)
    assert row["r_hat"] == pytest.approx(np.sqrt(1 + shift**2), rel=0.1)


def test_order_of_particles_does_not_matter():
    tree = trees.eight_schools(draws=500)
    shuffled = tree.copy()
    order = np.random.default_rng(3).permutation(500)
    shuffled["posterior"] = tree["posterior"].to_dataset().isel(draw=order)
    pd.testing.assert_frame_equal(summary(tree), summary(shuffled))


def test_eight_schools_has_one_labelled_row_a_scalar():
    table = summary(trees.eight_schools())
    assert list(table.columns) == [
        "mean", "sd", "eti89_lb", "eti89_ub", "mcse_mean", "mcse_sd", "ess", "r_hat",
    ]  # fmt: skip
    assert list(table.index) == ["mu", "tau", *(f"theta[{school}]" for school in trees.SCHOOLS)]
    exact = {"mu": 5.79904, "tau": 13.1666, "theta[Choate]": 14.7701, "theta[Mt. Hermon]": 7.9677}
    for name, mean in exact.items():  # 16,000 independent draws
        assert table.loc[name, "mean"] == pytest.approx(mean, abs=4 * table.loc[name, "sd"] / 126)


def test_matrix_labels_and_values_belong_together():
    table = summary(trees.matrix())
    assert list(table.index[:3]) == ["omega[left, a]", "omega[left, b]", "omega[left, c]"]
    np.testing.assert_allclose(table["mean"][:6], [0, 1, 2, 0, 1, 2], atol=4 / np.sqrt(2000))


def test_a_good_run_has_converged():
    found = diagnose(trees.eight_schools())
    assert found["converged"]
    assert all(check["ok"] for check in found["checks"])
    assert found["num_chains"] == 8
    assert found["log_evidence"] == pytest.approx(trees.LOG_EVIDENCE, abs=0.1)
    assert found["seconds"] == {"compile": 2.5, "sample": 10.0}
    assert json.loads(json.dumps(found, allow_nan=False)) is not None


def test_chains_that_disagree_are_flagged():
    x = np.random.default_rng(4).normal(np.repeat([[0], [0.5]], 4, axis=0), 1, (8, 1000))
    tree = trees.tree({"fine": x - x.mean(axis=1, keepdims=True), "x": x})
    check = named(tree)["r_hat"]
    assert check.value > 1.01
    assert not check.ok
    assert "about x: R-hat 1.0" in check.message
    assert problems(tree) == [check.message]
    assert not diagnose(tree)["converged"]


def test_a_stalled_chain_is_flagged_in_its_own_words():
    tree = trees.disagreeing()
    status, temperature = named(tree)["status"], named(tree)["final_temperature"]
    assert not status.ok
    assert "chain 3 (seed 1): Tempering stalled at temperature 0.016" in status.message
    assert not temperature.ok
    assert 0.01 < temperature.value < 0.03
    assert problems(tree)[0] == status.message


def test_one_chain_is_not_trusted():
    tree = trees.one_chain()
    table = summary(tree)
    assert table[["mcse_mean", "mcse_sd", "ess", "r_hat"]].isna().all(axis=None)
    assert table[["mean", "sd", "eti89_lb"]].notna().all(axis=None)
    assert "at least 2 chains" in problems(tree)[0]
    found = diagnose(tree)
    assert not found["converged"]
    assert found["log_evidence_se"] == pytest.approx(0.02)


def test_draws_that_are_not_finite_are_flagged():
    tree = trees.not_finite()
    assert named(tree)["finite_draws"].value == 20 + 4 * 500
    assert problems(tree) == ["2,020 draws of alpha, sigma are not finite."]


def test_a_constant_has_no_r_hat_and_raises_no_alarm():
    tree = trees.constant()
    row = summary(tree).loc["fixed"]
    assert row[["mean", "eti89_lb", "eti89_ub"]].tolist() == pytest.approx([3.1, 3.1, 3.1])
    assert row[["sd", "mcse_mean", "mcse_sd"]].tolist() == [0, 0, 0]
    assert row["ess"] == 2000
    assert np.isnan(row["r_hat"])
    assert diagnose(tree)["converged"]


def test_constants_that_differ_between_chains_are_flagged():
    tree = trees.tree({"x": np.repeat([[1.0], [2.0], [2.0], [1.0]], 100, axis=1)})
    assert named(tree)["r_hat"].value == np.inf
    assert not named(tree)["r_hat"].ok
    json.dumps(diagnose(tree), allow_nan=False)


@pytest.mark.parametrize(("rate", "advice"), [(0.01, "shorter"), (0.97, "longer")])
def test_acceptance_is_advice(rate, advice):
    tree = trees.eight_schools(draws=200)
    tree["smc/acceptance_rate"][:, -1, 1] = rate
    found = named(tree)
    assert not found["acceptance_tau"].ok
    assert advice in found["acceptance_tau"].message
    assert found["acceptance_mu"].ok
    assert diagnose(tree)["converged"]


def test_few_chains_are_rough_but_not_wrong():
    tree = trees.scalars_only()
    check = named(tree)["num_chains"]
    assert (check.value, check.ok, check.required) == (4, False, False)
    assert "rough" in check.message
    assert diagnose(tree)["converged"]


def test_stage_joins_blocks_and_writes_its_three_files(tmp_path):
    blocks = [trees.write_block(tmp_path / f"seeds_{seed}.nc", seed) for seed in (0, 1)]
    out = tmp_path / "run-01234567" / "posterior.nc"
    stage.main(blocks, [1, 0], out)
    assert sorted(p.name for p in out.parent.iterdir()) == [
        "diagnostics.json", "posterior.nc", "summary.csv",
    ]  # fmt: skip
    with xr.open_datatree(out) as tree:
        assert tree["posterior/seed"].values.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    table = pd.read_csv(out.with_name("summary.csv"), index_col="variable")
    assert table.loc["theta[St. Paul's]", "r_hat"] == pytest.approx(1, abs=0.01)
    found = json.loads(out.with_name("diagnostics.json").read_text())
    assert found["num_chains"] == 8
    assert found["converged"]

"""When two posteriors count as the same: false alarms, planted defects, what has no error."""

import numpy as np
import pytest
import xarray as xr

import trees
from bamopipe import difference

ELEMENTS, CHAINS, DRAWS = 3, 8, 500


def normal(key, shift=0.0, scale=1.0, chains=CHAINS, **options):
    """Draw from what is exactly a normal posterior; one of the chains' groups is as of SMC."""
    values = np.random.default_rng(key).normal(size=(chains, DRAWS, ELEMENTS))
    return trees.tree({"mu": shift + scale * values}, **options)


def markov(key, shift=0.0):
    """Draw Markov chains of a standard normal, each draw correlated by 0.9 with the one before."""
    noise = np.random.default_rng(key).normal(size=(4, DRAWS, ELEMENTS))
    values = noise.copy()
    for i in range(1, DRAWS):
        values[:, i] = 0.9 * values[:, i - 1] + np.sqrt(1 - 0.9**2) * noise[:, i]
    made = trees.tree({"mu": values + shift})
    chains = made["smc"].to_dataset()[["status"]]
    return xr.DataTree.from_dict({"/posterior": made["posterior"].to_dataset(), "/mcmc": chains})


def test_a_tree_is_identical_to_itself_and_seconds_do_not_count():
    first, second = normal(1), normal(1)
    second["smc"]["sample_seconds"] = second["smc"]["sample_seconds"] + 1
    assert difference.verdict(first, second).sentence.startswith("identical")
    second["posterior"]["mu"].values[0, 0, 0] = np.nextafter(first["posterior"]["mu"][0, 0, 0], 9)
    found = difference.verdict(first, second)
    assert found.agree
    assert found.sentence.startswith("equal within Monte Carlo error")
    assert difference.arrays(first, second) == ["posterior/mu"]


def test_false_alarms_are_as_rare_as_promised(monkeypatch):
    """200 pairs of independent runs at a level of 5%: at most 10 + 4 sd = 22 are told apart."""
    monkeypatch.setattr(difference, "LEVEL", 0.05)
    pairs = [(normal(2 * i, chains=4), normal(2 * i + 1, chains=4)) for i in range(200)]
    alarms = sum(not difference.numbers(a, b).agree for a, b in pairs)
    assert alarms <= 22
    assert alarms >= 1  # and they are not so rare that nothing would be seen


def test_markov_chains_are_compared_by_their_autocorrelation(monkeypatch):
    monkeypatch.setattr(difference, "LEVEL", 0.05)
    pairs = [(markov(2 * i), markov(2 * i + 1)) for i in range(50)]
    alarms = sum(not difference.numbers(a, b).agree for a, b in pairs)
    assert alarms <= 2.5 + 4 * np.sqrt(2.5)
    assert not difference.numbers(markov(0), markov(1, shift=1.0)).agree


@pytest.mark.parametrize("defect", [{"shift": 0.2}, {"scale": 1.15}])
def test_planted_defects_are_seen(defect):
    found = difference.verdict(normal(3), normal(4, **defect))
    assert not found.agree
    what = "mean" if "shift" in defect else "sd"
    assert found.numbers.largest[1] == what
    assert f"({what} of mu[" in found.sentence


def test_another_log_evidence_is_seen():
    first, second = normal(5), normal(6)
    assert difference.verdict(first, second).agree
    second.attrs["log_evidence"] += 0.3
    found = difference.verdict(first, second)
    assert not found.agree
    assert found.numbers.largest[0] == "log evidence"


def test_constants_agree_up_to_rounding_or_not_at_all():
    first = trees.tree({"mu": np.full((4, 10), 3.0)})
    second = trees.tree({"mu": np.full((4, 10), 3.0 + 1e-12)})
    assert difference.verdict(first, second).agree
    second["posterior"]["mu"] = second["posterior"]["mu"] + 0.1
    assert not difference.verdict(first, second).agree


def test_what_is_not_finite_on_one_side_only_differs():
    first, second = normal(7), normal(8)
    second["posterior"]["mu"].values[0, 0, 0] = np.nan
    assert not difference.verdict(first, second).agree


def test_one_chain_has_no_error_of_its_own():
    first, second = (
        trees.tree({"mu": np.random.default_rng(k).normal(size=(1, 99))}) for k in (1, 2)
    )
    assert difference.verdict(first, second).numbers.table["mean_p"].notna().sum() == 1  # evidence


def test_other_variables_and_another_end_differ():
    first, second = normal(9), normal(10)
    second.attrs["status"] = "a density is NaN"
    assert "one ended with 'ok', one with 'a density is NaN'" in (
        difference.verdict(first, second).sentence
    )
    third = trees.tree({"nu": np.random.default_rng(1).normal(size=(8, 50))})
    assert "only one of the two has" in difference.verdict(first, third).sentence

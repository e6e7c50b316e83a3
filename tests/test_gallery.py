"""Every model of bamopipe/models against an answer that owes nothing to bamopipe.

The files in tests/references hold posterior moments and evidences, by closed forms, quadrature or
long runs of another sampler, with the scripts that made them, and log densities at three positions.

What is estimated here has to lie within 4 standard errors of the reference, where the error
combines both sides. There are some thousand such comparisons in all. If every program is right,
one normal estimate exceeds 4 standard errors once in 16,000 times, so that all pass at 94 of 100
keys; a threshold that is right for each number alone, such as 2, would fail at every key, and a
mistake in a model moves its numbers by far more than 4. Where the error itself comes from the 8
chains of SMC, the threshold is the quantile of Student's distribution with the same probability.
The keys were chosen beforehand. `NUTS_KEY` is the second one, since with the first one number,
the standard deviation of beta[2] in the linear regression, was 4.2 errors off by chance: with 400
other keys the mean distance was 0.02 ± 0.05 errors, the largest 2.8.
"""

from pathlib import Path

import arviz as az
import gallery
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm, t

from bamopipe.config import KERNELS
from bamopipe.target import precision_context

MODELS = sorted(p.stem for p in Path("bamopipe/models").glob("*.py") if p.stem != "__init__")
KEY = 30
NUTS_KEY = 31
WITHIN = 4.0
WITHIN_OF_CHAINS = float(t.isf(norm.sf(WITHIN), gallery.NUM_CHAINS - 1))

# Of a log evidence, so that the distance says something; the lines' modes are hard to weigh.
LARGEST_ERROR = {"growth_mixture": 0.5}

models = pytest.mark.parametrize("name", gallery.REFERENCES)


def models_with(long):
    """Run a test for every model; for those that take minutes, only where they are asked for."""
    rows = [
        pytest.param(name, marks=[pytest.mark.long] if name in long else [])
        for name in gallery.REFERENCES
    ]
    return pytest.mark.parametrize("name", rows)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_a_config_data_and_a_reference(name):
    settings = gallery.config(name)
    assert settings["model"]["_target_"] == f"bamopipe.models.{name}.model"
    assert all(Path(file).is_file() for file in settings["data"]["files"].values())
    assert gallery.REFERENCES[name]["model"] == name
    assert Path(gallery.REFERENCES[name]["script"]).is_file()


def test_no_config_or_reference_without_a_model():
    own = {p.stem for p in Path("models").glob("*.py")}  # of `bamopipe new model`
    for folder in ("conf/model", "conf/data", "tests/references"):
        named = {p.stem for p in Path(folder).glob("*") if p.suffix in (".yaml", ".json")}
        assert named <= set(MODELS) | own, folder
    assert {p.name for p in Path("conf/sampler").iterdir() if p.is_dir()} <= set(MODELS) | own


def test_every_kernel_is_a_sampler_by_one_word():
    words = {p.stem for p in Path("conf/sampler").glob("*.yaml")}
    assert words - {"gibbs"} == {*KERNELS} - {"normal_random_walk"} | {"random_walk"}


@models
def test_densities(name):
    reference, target = gallery.REFERENCES[name], gallery.target_of(name)
    rtol = reference.get("rtol", 1e-8)
    assert len(reference["densities"]) == 3
    positions = [entry["position"] for entry in reference["densities"]]
    with precision_context("float64"):
        example = jax.eval_shape(target.sample_prior, jax.random.key(KEY))
        stacked = {n: np.stack([p[n] for p in positions]) for n in positions[0]}
        stacked = {n: jnp.asarray(values, example[n].dtype) for n, values in stacked.items()}
        target.check_position({n: values[0] for n, values in stacked.items()})
        for what in ("log_prior", "log_likelihood"):
            found = _at_each(getattr(target, what), stacked)
            expected = [entry[what] for entry in reference["densities"]]
            np.testing.assert_allclose(found, expected, rtol=rtol, err_msg=what)


@models
def test_prior_draws_are_possible_and_survive_a_round_trip(name):
    target = gallery.target_of(name)
    with precision_context("float64"):
        keys = jax.random.split(jax.random.key(KEY), 20)
        draws = _at_each(target.sample_prior, keys)
        for density in (target.log_prior, target.log_likelihood):
            assert np.all(np.isfinite(_at_each(density, draws)))
        if target.program.discrete:
            return
        # through the host, so that no bijector can remember where its output came from
        again, log_det = _at_each(target.constrain, _at_each(target.unconstrain, draws))
        assert np.all(np.isfinite(log_det))
        for variable, values in draws.items():
            np.testing.assert_allclose(again[variable], values, rtol=1e-9, atol=1e-12)


def _at_each(function, arguments):
    return jax.device_get(jax.jit(jax.vmap(function))(arguments))


@pytest.mark.slow
@models_with(long=gallery.LONG_FOR_GIBBS)
def test_gibbs_within_smc(name):
    """Moments and evidence, by `sampler=gibbs`; the errors are those between chains."""
    result = gallery.gibbs(name, KEY)
    last = max(stages[-1].num_mutations for stages in result.stages)
    most = gallery.gibbs_settings(name)["inference"]["max_mutations"]
    if name in gallery.HARD_FOR_GIBBS and last == most:  # which `diagnose` reports
        assert result.converged
        return
    compare_between_chains(name, result)


@pytest.mark.slow
@pytest.mark.parametrize("name", gallery.SEVERAL_MODES)
def test_nuts_within_smc(name):
    """Moments and evidence, by `sampler=nuts`, where chains would stay with one mode."""
    compare_between_chains(name, gallery.nuts_within_smc(name, KEY))


@pytest.mark.slow
@models_with(long=gallery.LONG_FOR_NUTS)
def test_nuts(name):
    """Moments, by `inference=mcmc sampler=nuts`; the errors are those by autocorrelation."""
    result = gallery.nuts(name, NUTS_KEY)
    assert set(result.status) == {"ok"}
    found, r_hat = summarise(gallery.quantities(name, result.draws))
    if name in gallery.HARD_FOR_NUTS and r_hat > 1.01:  # which `diagnose` reports
        return
    assert r_hat < 1.01
    compare(name, found, WITHIN)


def compare_between_chains(name, result):
    """Hold moments and the evidence of sequential Monte Carlo against the reference."""
    assert result.converged
    draws = gallery.quantities(name, dict(result["final_state"].particles))
    found = {
        quantity: {"mean": _between_chains(values.mean(axis=1)), "sd": _spread(values)}
        for quantity, values in draws.items()
    }
    compare(name, found, WITHIN_OF_CHAINS)
    if "log_evidence" in gallery.REFERENCES[name]:
        expected = gallery.REFERENCES[name]["log_evidence"]
        distance = result.log_evidence - expected["value"]
        error = np.hypot(result.log_evidence_se, expected["error"])
        print(
            f"log evidence {result.log_evidence:.3f}, {distance / error:.1f} errors of {error:.3f}"
        )
        assert abs(distance) < WITHIN_OF_CHAINS * error
        assert result.log_evidence_se < LARGEST_ERROR.get(name, 0.1)


def summarise(draws):
    """Return the mean and standard deviation of each quantity with their errors, and R-hat."""
    draws = xr.Dataset({name: (("chain", "draw"), values) for name, values in draws.items()})
    mean_error, sd_error = az.mcse(draws, method="mean"), az.mcse(draws, method="sd")
    found = {
        name: {
            "mean": (float(values.mean()), float(mean_error[name])),
            "sd": (float(values.std(ddof=1)), float(sd_error[name])),
        }
        for name, values in draws.items()
    }
    return found, max(float(value) for value in az.rhat(draws).values())


def compare(name, found, within):
    """Hold estimates and their errors against the reference."""
    expected = gallery.REFERENCES[name]["quantities"]
    for quantity, parts in found.items():  # or the distance would say nothing
        assert parts["mean"][1] < 0.2 * parts["sd"][0], quantity
    distances = {
        f"{part} of {quantity}": (value - expected[quantity][part])
        / np.hypot(error, expected[quantity][f"{part}_error"])
        for quantity, parts in found.items()
        for part, (value, error) in parts.items()
    }
    worst = max(distances, key=lambda what: abs(distances[what]))
    print(f"{name}: {len(distances)} numbers, {worst} off by {distances[worst]:.1f} errors")
    assert {what: d for what, d in distances.items() if not abs(d) < within} == {}


def _spread(values):
    """Return the standard deviation, and its error, about the mean of all chains.

    About the mean of its own chain it is too small: particles of a chain resemble each other.
    """
    square, error = _between_chains(((values - values.mean()) ** 2).mean(axis=1))
    return square**0.5, error / (2 * square**0.5)


def _between_chains(estimates):
    return estimates.mean(), estimates.std(ddof=1) / len(estimates) ** 0.5

"""The SMC engine: exact evidences, statuses, determinism, compilation."""

import hashlib
import os
import subprocess
import sys

import blackjax
import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import compilations, make_eight_schools, make_gaussian_mean, make_gibbs
from tensorflow_probability.substrates import jax as tfp

import exact
from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.evidence.combine import combine_log_evidence
from bamopipe.inference import SMCInference, smc_programs
from bamopipe.inference.tempering import Goal, resample, reweigh
from bamopipe.samplers import gibbs_sampler, mcmc_sampler
from bamopipe.samplers.base import State
from bamopipe.target import precision_context

random_walk = blackjax.normal_random_walk
Y = np.array([1.5, -0.5, 2.0, 3.5, 0.1, 4.0])


def make_engine(model=None, **settings):
    model = model or make_gaussian_mean(Y)
    names = model.latent
    kernel = gibbs_sampler(
        model, dict.fromkeys(names, random_walk), {name: dict(sigma=2.0) for name in names}
    )
    defaults = dict(num_particles=1000, num_mutations=10, num_chains=2)
    return SMCInference(model, kernel, **{**defaults, **settings})


def test_gaussian_mean_has_its_exact_evidence_and_posterior():
    log_evidence, mean, sd = exact.gaussian_mean(Y, prior_sd=2.0, sd=3.0)
    result = make_engine(num_chains=16, num_particles=2000, num_mutations=15).run(jax.random.key(3))
    assert result.converged
    assert abs(result.log_evidence - log_evidence) < 4 * result.log_evidence_se
    assert result.log_evidence_se < 0.02
    draws = result["final_state"].particles["mu"]
    for estimate, value in ((draws.mean(1), mean), (draws.std(1), sd)):
        assert abs(estimate.mean() - value) < 4 * estimate.std(ddof=1) / 16**0.5


def test_there_is_always_a_chain_dimension():
    result = make_engine(num_chains=1, num_particles=50).run(jax.random.key(0))
    assert result["final_state"].particles["mu"].shape == (1, 50)
    assert result["final_state"].weights.shape == (1, 50)
    assert result.log_evidence_chains.shape == (1,)
    assert 0 < result.log_evidence_se == result.log_evidence_se_chains[0] < 0.5


@pytest.mark.parametrize("num_particles", [7, 1000, 1001, 2500])
def test_any_number_of_particles(num_particles):
    """Also where it does not fill blocks evenly; more particles change nothing in distribution."""
    result = make_engine(num_particles=num_particles).run(jax.random.key(1))
    particles = result["final_state"].particles["mu"]
    assert particles.shape == (2, num_particles)
    np.testing.assert_allclose(result["final_state"].weights.sum(1), 1)
    assert result.prior["mu"].shape == (2, min(num_particles, 1000))
    final = result["final_state"]
    target = make_engine().target
    with precision_context("float64"):
        again = jax.vmap(target.log_likelihood)({"mu": particles[0]})
    np.testing.assert_allclose(final.log_likelihood[0], again, rtol=1e-10)


def test_temperatures_hold_the_target_ess_and_end_at_one():
    result = make_engine(target_ess=0.9, num_chains=3).run(jax.random.key(5))
    for stages in result.stages:
        temperatures = [stage.temperature for stage in stages]
        assert temperatures == sorted(temperatures)
        assert temperatures[-1] == 1.0
        assert all(abs(stage.ess - 900) < 1e-3 for stage in stages[:-1])
        assert stages[-1].ess >= 900


def test_reweighting_against_plain_numpy():
    rng = np.random.default_rng(0)
    likelihood = rng.normal(-20, 6, (3, 100))
    likelihood[0, :7] = -np.inf
    with precision_context("float64"):
        state = State(
            {"mu": jnp.asarray(likelihood)}, {"mu": np.zeros_like(likelihood), "y": likelihood}
        )
        goal = Goal(jnp.asarray(1.0), jnp.asarray(0.5))
        reweighted = reweigh(jnp.asarray(likelihood), 295, jnp.asarray(0.0), goal)
        resampled = resample(
            make_engine().resampling_fn, jax.random.key(0), reweighted[-1], 295, state
        )
        temperature, increment, ess, found = jax.device_get(reweighted)
        moved, ancestors = jax.device_get(resampled)
    used = likelihood.ravel()[:295]
    weights = np.exp(float(temperature) * used)
    assert abs(ess / (0.5 * 288) - 1) < 1e-9
    assert abs(weights.sum() ** 2 / (weights**2).sum() / (0.5 * 288) - 1) < 1e-9
    np.testing.assert_allclose(increment, np.log(weights.mean()), rtol=1e-12)
    np.testing.assert_allclose(found, weights / weights.sum(), rtol=1e-10)
    np.testing.assert_array_equal(moved.position["mu"], moved.log_factors["y"])
    # systematic resampling: each particle as often as its weight says, to within one
    drawn = np.asarray(moved.position["mu"]).ravel()[:295]
    np.testing.assert_array_equal(drawn, used[ancestors])
    counts = np.array([(drawn == value).sum() if np.isfinite(value) else 0 for value in used])
    assert np.abs(counts - 295 * weights / weights.sum()).max() < 1
    assert np.all(np.isfinite(moved.position["mu"]))


def test_same_key_same_arrays_other_key_other_arrays():
    engine = make_engine()
    first, again, other = (engine.run(jax.random.key(k)) for k in (1, 1, 2))
    legacy = engine.run(jax.random.PRNGKey(1))

    def particles(result):
        return result["final_state"].particles["mu"]

    np.testing.assert_array_equal(particles(first), particles(again))
    np.testing.assert_array_equal(particles(first), particles(legacy))
    assert not np.any(particles(first) == particles(other))


def test_a_chain_does_not_depend_on_how_many_there_are():
    two = make_engine(num_chains=2).run(jax.random.key(1))
    three = make_engine(num_chains=3).run(jax.random.key(1))
    np.testing.assert_array_equal(
        two["final_state"].particles["mu"], three["final_state"].particles["mu"][:2]
    )


PROGRAM = """
import hashlib, sys
import jax
from conftest import make_eight_schools, make_gibbs
from bamopipe.inference import SMCInference, smc_programs
assert len(jax.devices()) == int(sys.argv[1]), jax.devices()
model = make_eight_schools()
engine = SMCInference(model, make_gibbs(model), num_particles=2500, num_mutations=20, num_chains=2)
particles = engine.run(jax.random.key(4))["final_state"].particles
print(hashlib.sha256(b"".join(particles[n].tobytes() for n in sorted(particles))).hexdigest())
"""


def test_arrays_are_bit_identical_on_any_number_of_devices():
    digests = set()
    for count in ("1", "2", "8"):
        run = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PROGRAM, count],
            env={**os.environ, "JAX_NUM_CPU_DEVICES": count, "PYTHONPATH": "tests"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        digests.add(run.stdout.strip())
    assert len(digests) == 1
    assert len(digests.pop()) == hashlib.sha256().digest_size * 2


def test_a_second_run_compiles_nothing():
    engine = make_engine()
    engine.run(jax.random.key(0))
    with compilations("compile") as compiled:
        engine.run(jax.random.key(1))
    assert compiled == []


def test_other_settings_compile_nothing():
    """Step size, number of mutations, target ESS: all are arguments of the compiled programs."""
    model = make_gaussian_mean(Y)

    def run(sigma, **settings):
        kernel = mcmc_sampler(model, random_walk, dict(sigma=sigma))
        engine = SMCInference(model, kernel, num_particles=100, **settings)
        engine.run(jax.random.key(0))

    run(1.0, num_mutations=2)
    programs = smc_programs.move, smc_programs.reweigh_and_tune
    sizes = [program._cache_size() for program in programs]
    run(0.5, num_mutations=3, target_ess=0.7)
    run(0.5, num_mutations=3, temperatures=(0.1, 0.5, 1.0))
    assert [program._cache_size() for program in programs] == sizes


def test_float32():
    log_evidence, _, _ = exact.gaussian_mean(Y, prior_sd=2.0, sd=3.0)
    result = make_engine(precision="float32", num_chains=8).run(jax.random.key(3))
    assert result["final_state"].particles["mu"].dtype == np.float32
    assert abs(result.log_evidence - log_evidence) < 4 * result.log_evidence_se


def test_impossible_at_some_prior_draws_is_counted_as_zero_weight():
    """y = 0.9 ~ U(0, theta), theta ~ U(0, 1): the evidence is the integral of 1/theta from 0.9."""
    tfd = tfp.distributions
    model = Model()
    theta = model.add_node("theta", distribution=tfd.Uniform(0.0, 1.0))
    model.add_node(
        "y",
        distribution=tfd.Uniform,
        parents=dict(high=theta),
        link_fn=lambda high: dict(low=0.0, high=high),
        observations=0.9,
    )
    engine = make_engine(model, num_chains=16, num_particles=4000)
    result = engine.run(jax.random.key(2))
    assert result.converged
    assert abs(result.log_evidence - np.log(-np.log(0.9))) < 4 * result.log_evidence_se
    assert result["final_state"].particles["theta"].min() >= 0.9


def test_observations_that_nothing_explains_are_named():
    tfd = tfp.distributions
    model = Model()
    top = model.add_node("top", distribution=tfd.Exponential(1.0))
    model.add_node(
        "y", distribution=tfd.Uniform, parents=dict(low=0.0, high=top), observations=[1e-9, -3.0]
    )
    with pytest.raises(UserError, match=r"'y'.*-3. at index \(1,\) is outside .* of Uniform"):
        make_engine(model).run(jax.random.key(0))


def broken_model(threshold: float) -> Model:
    model = Model("broken")
    x = model.add_node("x", distribution=dx.Normal(0.0, 1.0))
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(x=x),
        link_fn=lambda x: dict(loc=jnp.sqrt(x - threshold), scale=1.0),
        observations=1.0,
    )
    return model


@pytest.mark.parametrize(
    ("threshold", "where"), [(0.0, "at a draw from the prior"), (-4.5, "at temperature")]
)
def test_not_a_number_ends_the_run_and_names_the_node(threshold, where):
    result = make_engine(broken_model(threshold), num_mutations=50).run(jax.random.key(0))
    assert not result.converged
    assert all("'y'" in s and where in s for s in result.status if s != "ok")
    assert np.isnan(result.log_evidence)


def test_too_many_temperatures_ends_with_a_status():
    result = make_engine(target_ess=0.999, max_temperatures=3).run(jax.random.key(0))
    assert all("after 3 temperatures" in status for status in result.status)
    assert [len(stages) for stages in result.stages] == [3, 3]
    assert np.all(result["final_state"].temperature < 1)
    assert np.isnan(result.log_evidence)


def test_stalled_tempering_ends_with_a_status():
    """A likelihood so steep that no representable step of temperature keeps the weights even."""
    model = Model()
    x = model.add_node("x", distribution=dx.Normal(0.0, 1.0))
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(x=x),
        link_fn=lambda x: dict(loc=x * 1e150, scale=1.0),
        observations=1.0,
    )
    result = make_engine(model).run(jax.random.key(0))
    assert all("stalled" in status for status in result.status)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(num_particles=0), "num_particles is 0"),
        (dict(num_mutations=1.5), "num_mutations is 1.5"),
        (dict(num_chains=True), "num_chains is True"),
        (dict(target_ess=1.0), "target_ess is 1.0"),
        (dict(precision="float16"), "precision is 'float16'"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(UserError, match=message):
        make_engine(**settings).run(jax.random.key(0))


def test_combined_evidence_is_the_log_of_the_mean():
    logs = np.array([-1000.0, -1001.0, -999.5])
    value, error = combine_log_evidence(logs, np.zeros(3))
    z = np.exp(logs + 1000)
    np.testing.assert_allclose(value, np.log(z.mean()) - 1000)
    np.testing.assert_allclose(error, z.std(ddof=1) / z.mean() / 3**0.5)
    # estimates that agree are not more precise than they say themselves
    _, error = combine_log_evidence([0.0, 0.0], [0.3, 0.4])
    np.testing.assert_allclose(error, 0.25)
    assert np.isnan(combine_log_evidence([0.0, np.nan], [0.1, 0.1])[0])
    with pytest.raises(ValueError, match="shape"):
        combine_log_evidence(0.0, 0.1)


def test_one_chain_knows_its_error():
    """The error from the genealogy of each of 200 chains against how far they are apart."""
    result = make_engine(num_chains=200, num_particles=200).run(jax.random.key(4))
    true, stated = result.log_evidence_chains.std(), result.log_evidence_se_chains
    # a standard deviation of 200 numbers is known to 5%
    assert 0.8 < np.sqrt(np.mean(stated**2)) / true < 1.25


def test_an_adapted_number_of_mutations_does_not_bias_the_evidence():
    """Eight schools by HMC: chains that ended their moves themselves were off by 7 errors."""
    engine = SMCInference(
        make_eight_schools(),
        mcmc_sampler(make_eight_schools(), blackjax.hmc),
        num_particles=200,
        num_chains=300,
    )
    result = engine.run(jax.random.key(11))
    expected = exact.eight_schools().log_evidence
    assert abs(result.log_evidence - expected) < 4 * result.log_evidence_se
    numbers = [stage.num_mutations for stages in result.stages for stage in stages]
    assert max(numbers) <= 200
    assert all(number == int(number) for number in numbers)


def test_plain_log_lines_without_a_terminal(caplog):
    with caplog.at_level("INFO", logger="bamopipe"):
        make_engine().run(jax.random.key(0))
    assert "temperature 1" in caplog.messages[-1]
    assert "acceptance mu 0." in caplog.messages[-1]


def test_eight_schools_gibbs_kernel_fits_the_engine():
    model = make_eight_schools()
    result = SMCInference(
        model, make_gibbs(model), num_particles=200, num_mutations=5, num_chains=2
    ).run(jax.random.key(0))
    assert result["final_state"].particles["theta"][:, :, 3].shape == (2, 200)


def test_a_chain_with_few_possible_particles_says_so():
    """Data at 4.99 under U(0, theta), theta ~ U(0, 5): one draw in 500 makes it possible."""
    tfd = tfp.distributions
    model = Model()
    theta = model.add_node("theta", distribution=tfd.Uniform(0.0, 5.0))
    model.add_node(
        "y",
        distribution=tfd.Uniform,
        parents=dict(high=theta),
        link_fn=lambda high: dict(low=0.0, high=high),
        observations=4.99,
    )
    result = make_engine(model, num_chains=4).run(jax.random.key(2))
    assert not result.converged
    for status in result.status:
        assert "too few particles are possible" in status or "impossible at every draw" in status
    assert np.isnan(result.log_evidence)


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        (blackjax.nuts, dict(step_size=1.0, inverse_mass_matrix=np.ones(1))),
        (
            blackjax.hmc,
            dict(step_size=0.5, inverse_mass_matrix=np.ones(1), num_integration_steps=4),
        ),
        (blackjax.mala, dict(step_size=0.5)),
    ],
    ids=["nuts", "hmc", "mala"],
)
def test_blackjax_algorithms_within_smc(algorithm, settings):
    log_evidence, mean, _ = exact.gaussian_mean(Y, prior_sd=2.0, sd=3.0)
    model = make_gaussian_mean(Y)
    kernel = mcmc_sampler(model, algorithm, settings)
    engine = SMCInference(model, kernel, num_particles=500, num_mutations=5, num_chains=16)
    result = engine.run(jax.random.key(6))
    assert abs(result.log_evidence - log_evidence) < 4 * result.log_evidence_se
    means = result["final_state"].particles["mu"].mean(1)
    assert abs(means.mean() - mean) < 4 * means.std(ddof=1) / 16**0.5

"""Other ways of running SMC: fixed schedules, data tempering, waste-free, persistent."""

from functools import partial

import blackjax
import distrax as dx
import jax
import numpy as np
import pytest
from blackjax.smc import resampling
from conftest import early_and_late, make_eight_schools, make_gaussian_mean
from scipy.special import gammaln
from scipy.stats import gamma
from tensorflow_probability.substrates import jax as tfp

import exact
from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.inference import SMCInference, paths, smc_programs, smc_run
from bamopipe.inference.persistent import Pool
from bamopipe.samplers import gibbs_sampler, mcmc_sampler
from bamopipe.samplers.base import State
from bamopipe.samplers.conjugate_draw import ConjugateDraw
from bamopipe.target import compile_target, precision_context

Y = np.array([1.5, -0.5, 2.0, 3.5, 0.1, 4.0])
SCHEDULE = (0.02, 0.1, 0.3, 1.0)
WAYS = {
    "fixed": dict(temperatures=SCHEDULE, num_mutations=5),
    "data": dict(data_blocks=3, num_mutations=5),
    "data_and_fixed": dict(data_blocks=2, temperatures=(0.25, 0.6, 1.0), num_mutations=5),
    "waste_free": dict(scheme="waste_free", num_mutations=19),
    "waste_free_data": dict(scheme="waste_free", num_mutations=19, data_blocks=3),
    "persistent": dict(scheme="persistent", num_mutations=5),
    "persistent_above_one": dict(scheme="persistent", num_mutations=5, target_ess=2.0),
    "multinomial": dict(resampling_fn=resampling.multinomial, num_mutations=5),
    "stratified": dict(resampling_fn=resampling.stratified, num_mutations=5),
    "residual": dict(resampling_fn=resampling.residual, num_mutations=5),
}


def make_engine(model=None, **settings):
    model = model or make_gaussian_mean(Y)
    defaults = dict(num_particles=1000, num_chains=24)
    kernel = mcmc_sampler(model, blackjax.normal_random_walk)
    return SMCInference(model, kernel, **{**defaults, **settings})


def faults(result, y=Y) -> list[str]:
    """List what is off by more than 4 standard errors between 24 chains."""
    log_evidence, mean, sd = exact.gaussian_mean(y, prior_sd=2.0, sd=3.0)
    draws = result["final_state"].particles["mu"]
    numbers = {
        "mean": (draws.mean(1), mean),
        "sd": (draws.std(1), sd),
        "evidence": (np.exp(result.log_evidence_chains - log_evidence), 1.0),
    }
    return [
        name
        for name, (estimates, value) in numbers.items()
        if not abs(estimates.mean() - value) < 4 * estimates.std(ddof=1) / len(estimates) ** 0.5
    ]


@pytest.mark.parametrize("way", WAYS)
def test_evidence_and_posterior_are_exact(way):
    result = make_engine(**WAYS[way]).run(jax.random.key(8))
    assert result.converged, result.status
    assert faults(result) == []
    # what one chain says of its error, against how far chains are apart: known to 15%
    stated = np.sqrt(np.mean(result.log_evidence_se_chains**2))
    assert 0.5 < stated / result.log_evidence_chains.std(ddof=1) < 2
    assert result["final_state"].weights.shape == (24, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_eight_schools(way):
    """Long chains where all are kept; as many as it takes elsewhere."""
    settings = {k: v for k, v in WAYS[way].items() if k != "num_mutations"}
    if settings.get("scheme") == "waste_free":
        settings |= dict(num_mutations=49, num_particles=4000)
    if way == "data_and_fixed":  # its first step, 0.25 of half of the data, goes far
        settings |= dict(num_chains=48)
    model = make_eight_schools()
    engine = SMCInference(
        model, gibbs_sampler(model), **{"num_particles": 1000, "num_chains": 24, **settings}
    )
    result = engine.run(jax.random.key(9))
    expected = exact.eight_schools()
    assert abs(result.log_evidence - expected.log_evidence) < 4 * result.log_evidence_se
    assert result.log_evidence_se < 0.05
    for name, draws in result["final_state"].particles.items():
        means = draws.mean(axis=1)
        off = (means.mean(0) - expected.mean[name]) / (means.std(0, ddof=1) / len(means) ** 0.5)
        assert np.all(np.abs(off) < 4), (name, off)


def test_a_fixed_schedule_is_followed():
    result = make_engine(**WAYS["fixed"], num_chains=2).run(jax.random.key(0))
    for stages in result.stages:
        assert [stage.temperature for stage in stages] == list(SCHEDULE)
    both = make_engine(**WAYS["data_and_fixed"], num_chains=2).run(jax.random.key(0))
    for stages in both.stages:
        assert [stage.temperature for stage in stages] == [0.25, 0.5, 0.6, 1.0]


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_data_come_in_parts_and_each_has_its_evidence(precision):
    """After the k-th part the evidence is that of the observations so far."""
    engine = make_engine(data_blocks=3, num_mutations=5, precision=precision)
    result = engine.run(jax.random.key(2))
    assert result.converged
    for part in (1, 2, 3):
        expected, _, _ = exact.gaussian_mean(Y[: 2 * part], prior_sd=2.0, sd=3.0)
        so_far = np.array(
            [
                sum(s.log_evidence_increment for s in stages if s.temperature < part / 3 + 1e-6)
                for stages in result.stages
            ]
        )
        ratio = np.exp(so_far - expected)
        assert abs(ratio.mean() - 1) < 4 * ratio.std(ddof=1) / 24**0.5, part
    likelihood = result["final_state"].log_likelihood[0]
    by_hand = dx.Normal(result["final_state"].particles["mu"][0][:, None], 3.0).log_prob(Y).sum(1)
    np.testing.assert_allclose(likelihood, by_hand, rtol=1e-4 if precision == "float32" else 1e-6)


def test_data_in_parts_with_draws_from_full_conditionals():
    """Gamma and Poisson: after each part the draws are those of its conjugate posterior."""
    model, counts = Model(), np.array([0.0, 3.0, 1.0, 4.0, 2.0, 2.0])
    rate = model.add_node("rate", distribution=dx.Gamma(2.0, 1.0))
    model.add_node(
        "y", distribution=tfp.distributions.Poisson, parents=dict(rate=rate), observations=counts
    )
    kernel = gibbs_sampler(model)
    assert isinstance(kernel.blocks[0].update, ConjugateDraw)
    engine = SMCInference(
        model, kernel, num_particles=1000, num_chains=24, num_mutations=1, data_blocks=3
    )
    result = engine.run(jax.random.key(5))
    total = counts.sum()
    expected = gammaln(2 + total) - (2 + total) * np.log(7.0) - gammaln(counts + 1).sum()
    ratio = np.exp(result.log_evidence_chains - expected)
    assert abs(ratio.mean() - 1) < 4 * ratio.std(ddof=1) / 24**0.5
    draws = result["final_state"].particles["rate"]
    posterior = gamma(2 + total, scale=1 / 7)
    for estimate, value in ((draws.mean(1), posterior.mean()), (draws.std(1), posterior.std())):
        assert abs(estimate.mean() - value) < 4 * estimate.std(ddof=1) / 24**0.5


def test_data_of_several_variables_and_with_gaps():
    """Three observed variables of lengths 6, 2 and 1, the first with a gap."""
    model = Model()
    mu = model.add_node("mu", distribution=dx.Normal(0.0, 2.0))
    gap = np.where(np.arange(7) == 3, np.nan, np.insert(Y, 3, 0.0))
    for name, values in {"a": gap, "b": Y[:2], "c": Y[2]}.items():
        model.add_node(
            name, distribution=dx.Normal, parents=dict(loc=mu, scale=3.0), observations=values
        )
    result = make_engine(model, data_blocks=4, num_mutations=5).run(jax.random.key(4))
    assert faults(result, np.concatenate([Y, Y[:3]])) == []


def test_data_that_have_one_density_cannot_come_in_parts():
    model = Model()
    mu = model.add_node("mu", distribution=dx.Normal(0.0, 2.0))
    model.add_node(
        "y",
        distribution=dx.MultivariateNormalDiag,
        parents=dict(mu=mu),
        link_fn=lambda mu: dict(loc=mu + np.zeros(6), scale_diag=3.0 * np.ones(6)),
        observations=Y,
    )
    with pytest.raises(UserError, match=r"data_blocks is 2, but .*1 of 'y'.*; take fewer blocks"):
        make_engine(model, data_blocks=2).run(jax.random.key(0))


def forget_the_weights(monkeypatch):
    monkeypatch.setattr(paths.DataTempering, "at", lambda self, target, t: (target, t))
    monkeypatch.setattr(paths.DataTempering, "enter", lambda self, kernel, target, state: state)


def forget_past_temperatures(monkeypatch):
    add = Pool.add
    monkeypatch.setattr(
        Pool, "add", lambda self, state, values, _, evidence: add(self, state, values, 0.0, 0.0)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "way"),
    [(forget_the_weights, "data"), (forget_past_temperatures, "persistent_above_one")],
)
def test_planted_defects_are_found(plant, way, monkeypatch):
    jax.clear_caches()
    plant(monkeypatch)
    wrong = faults(make_engine(**WAYS[way]).run(jax.random.key(8)))
    jax.clear_caches()
    assert wrong


@pytest.mark.parametrize(
    "settings",
    [
        {"num_mutations": 3},
        {"num_particles": 500},  # with several blocks, the pilot reweighs fewer particles
        {"num_mutations": 9, "scheme": "waste_free"},
        {"num_mutations": 3, "scheme": "persistent"},
        {"num_mutations": 3, "data_blocks": 2},
    ],
)
def test_all_is_compiled_before_the_clock_of_sampling(settings, monkeypatch):
    """And nothing else: what is compiled beforehand is what is used."""
    reweighing = "tune" if settings.get("scheme") == "persistent" else "reweigh_and_tune"
    drawing = {"jit(_positions)", "jit(evaluate)"}
    every = {*drawing, "jit(move)", "jit(reweigh_and_tune)", "jit(tune)"}
    engine = make_engine(**{"num_particles": 2100, "num_chains": 2, **settings})
    run = partial(engine.run, jax.random.key(0))
    early, late = early_and_late(run, monkeypatch)
    expected = sorted([*drawing, "jit(move)", f"jit({reweighing})"])
    assert sorted(name for name in early if name in every) == expected
    assert not every & {*late}


def test_steps_are_fitted_to_other_particles_than_they_move():
    model = make_gaussian_mean(Y)
    kernel, target = mcmc_sampler(model, blackjax.hmc), compile_target(model)
    blocks = np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0], [5.0, 6.0, 7.0], [0.0, 10.0, 20.0]])
    middles = {1: [], 4: []}
    with precision_context("float64"):
        for count, found in middles.items():
            position = {"mu": blocks[:count]}
            tuned = smc_programs.tune(kernel, kernel.parameters, position, target, np.float64(1))
            for block in range(count):
                of_block = smc_programs.parameters_of(tuned, block)["position"]
                found.append(float(of_block["middle"][0]))
    assert middles[1] == [2.0]
    # even blocks to the odd ones, and vice versa
    np.testing.assert_allclose(middles[4], [15.0, 4.0, 15.0, 4.0])


@pytest.mark.parametrize("settings", [{"sigma": 1.0}, {}])
def test_particles_of_kernels_that_tune_themselves_come_in_two_halves(settings):
    model = make_gaussian_mean(Y)
    kernel = mcmc_sampler(model, blackjax.normal_random_walk, settings)
    sizes = []
    for count in (1, 100, 1001, 2001):
        run = smc_run.Run(SMCInference(model, kernel, num_particles=count), jax.random.key(0))
        sizes.append((run.num_blocks, run.block_size))
    if settings:
        assert sizes == [(1, 1), (1, 100), (2, 501), (3, 667)]
    else:
        assert sizes == [(2, 1), (2, 50), (2, 501), (4, 501)]


def test_waste_free_keeps_every_step():
    """Ten resampled particles in each of two blocks, and where 99 steps led each."""
    settings = dict(num_particles=2000, num_chains=1, scheme="waste_free", num_mutations=99)
    result = make_engine(**settings).run(jax.random.key(0))
    mu = result["final_state"].particles["mu"][0].reshape(2, 100, 10)
    # a step was accepted where the value changed; each chain moved by itself
    rate = np.mean(mu[:, 1:] != mu[:, :-1])
    assert abs(rate - result.stages[0][-1].acceptance_rate["position"]) < 0.01
    assert np.all(mu[:, -1] != mu[:, 0])


def test_pool_against_plain_numpy():
    rng = np.random.default_rng(1)
    pool, count = Pool(), 40
    known = [(0.0, 0.0), (0.3, -2.0), (0.7, -5.0)]
    values = rng.normal(-8, 2, (3, count))
    values[0, :5] = -np.inf
    for (temperature, log_evidence), row in zip(known, values, strict=True):
        state = State({"x": row.reshape(2, 20)}, {"x": row.reshape(2, 20)})
        pool.add(state, row, temperature, log_evidence)
    temperature, log_evidence, ess, weights = pool.reweigh(0.7, 1.0, 1.5)
    likelihood = np.exp(values.ravel())
    mixture = np.mean([likelihood**t / np.exp(z) for t, z in known], axis=0)
    by_hand = np.where(likelihood > 0, likelihood**temperature / mixture, 0)
    np.testing.assert_allclose(weights, by_hand / by_hand.sum(), rtol=1e-12)
    np.testing.assert_allclose(np.exp(log_evidence), by_hand.mean(), rtol=1e-12)
    np.testing.assert_allclose(ess, by_hand.sum() ** 2 / (by_hand**2).sum(), rtol=1e-12)
    assert temperature == 1 or abs(ess - 1.5 * count) < 1e-6
    indices = np.array([0, 39, 40, 119])
    taken = pool.take(indices).position["x"]
    np.testing.assert_array_equal(taken.ravel()[:4], values.ravel()[indices])
    assert taken.shape == (2, 20)


def test_persistent_programs_serve_any_number_of_temperatures():
    settings = dict(scheme="persistent", num_mutations=2, num_chains=1, num_particles=200)
    make_engine(**settings, temperatures=(0.5, 1.0)).run(jax.random.key(0))
    size = smc_run.choose._cache_size()
    make_engine(**settings, temperatures=tuple(np.linspace(0, 1, 13)[1:])).run(jax.random.key(0))
    assert smc_run.choose._cache_size() == size


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(temperatures=(0.5, 0.2, 1.0)), "expected rising numbers above 0 that end with 1"),
        (dict(temperatures=(0.5,)), "end with 1"),
        (dict(temperatures=()), "end with 1"),
        (dict(temperatures=(0.0, 1.0)), "above 0"),
        (dict(temperatures=(np.nan, 1.0)), "rising"),
        (dict(data_blocks=0), "data_blocks is 0"),
        (dict(data_blocks=7), r"data_blocks is 7, but .*6 of 'y'"),
        (dict(scheme="wasteful"), "scheme is 'wasteful'; expected one of standard"),
        (dict(scheme="waste_free"), "needs num_mutations"),
        (dict(scheme="waste_free", num_mutations=99), "fewer than 20 that were resampled"),
        (dict(scheme="persistent", data_blocks=2), "take one of the two"),
        (dict(target_ess=2.0), "target_ess is 2.0"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(UserError, match=message):
        make_engine(**settings).run(jax.random.key(0))

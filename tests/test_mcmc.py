"""The MCMC engine: exact moments, thinning, determinism, compilation, statistics."""

import logging
import warnings
from dataclasses import replace
from functools import partial

import arviz as az
import blackjax
import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from conftest import compilations, early_and_late, make_eight_schools, make_gaussian_mean
from kernels import GROUPS, LOG_SPREAD, three_schools
from tensorflow_probability.substrates.jax import distributions as tfd

import exact
from bamopipe import diagnostics
from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.inference import MCMCInference, follow, mcmc_run, prior_draws, starts
from bamopipe.inference.datatree import to_datatree
from bamopipe.inference.devices import Dealer
from bamopipe.inference.mcmc_run import DRAWS_PER_TURN, windows
from bamopipe.inference.turn import take_turn
from bamopipe.samplers import chees, gibbs_sampler, mcmc_sampler
from bamopipe.target import compile_target, precision_context

Y = np.array([1.5, -0.5, 2.0, 3.5, 0.1, 4.0])
SAMPLERS = {
    "nuts": (lambda model: mcmc_sampler(model, blackjax.nuts), 1000),
    "gibbs": (gibbs_sampler, 4000),
    "random walk": (lambda model: mcmc_sampler(model, blackjax.normal_random_walk), 4000),
    "a given step": (
        lambda model: mcmc_sampler(model, blackjax.normal_random_walk, dict(sigma=2.0)),
        4000,
    ),
}


def make_engine(**settings):
    model = make_gaussian_mean(Y)
    kernel = mcmc_sampler(model, blackjax.normal_random_walk)
    return MCMCInference(model, kernel, **{"num_warmup": 200, "num_samples": 100, **settings})


@pytest.mark.parametrize("name", SAMPLERS)
def test_moments_of_a_hierarchical_model(name):
    """Three schools against quadrature, with the Monte Carlo error by autocorrelation."""
    make, num_samples = SAMPLERS[name]
    model = three_schools()
    result = MCMCInference(model, make(model), num_samples=num_samples).run(jax.random.key(6))
    assert result.status == ("ok",) * 4
    expected = exact.eight_schools(1.0, *GROUPS, LOG_SPREAD)
    for variable, draws in result.draws.items():
        flat = draws.reshape(*draws.shape[:2], -1)
        for index in range(flat.shape[2]):
            one = flat[:, :, index]
            mean, sd = (
                np.ravel(expected.mean[variable])[index],
                np.ravel(expected.sd[variable])[index],
            )
            assert abs(one.mean() - mean) < 4 * az.mcse(one, method="mean"), variable
            assert abs(one.std() - sd) < 4 * az.mcse(one, method="sd"), variable
            assert az.rhat(one) < 1.05


def test_steps_are_shorter_once_transitions_of_the_warm_up_diverge(caplog):
    """Unless somebody said how long; where a product is known, which two factors share."""
    model = Model()
    model.add_node("a", distribution=tfd.LogNormal(0.0, 1.0))
    model.add_node("b", distribution=dx.Normal(0.0, 1.0))
    parents, product = dict(a="a", b="b"), lambda a, b: dict(loc=a * b, scale=0.02)
    model.add_node("y", distribution=dx.Normal, parents=parents, link_fn=product, observations=1.0)
    rates = {}
    for name, settings in {"auto": {}, "given": {"target_acceptance_rate": 0.8}}.items():
        kernel = mcmc_sampler(model, blackjax.nuts, settings)
        engine = MCMCInference(model, kernel, num_samples=200, num_chains=12)
        with caplog.at_level(logging.INFO, "bamopipe"):
            result = engine.run(jax.random.key(6))
        # The median of many chains: now and then one is stuck where the ridge is narrow.
        of_chains = np.mean(result.statistics["acceptance_rate"]["position"], axis=1)
        rates[name] = np.median(of_chains)
    assert "divergences: steps are tuned to accept 0.95 of proposals" in caplog.text
    assert rates["given"] < 0.87 < rates["auto"]


def test_thinning_keeps_every_nth_step_and_drops_no_remainder():
    dense = make_engine(num_samples=21).run(jax.random.key(1)).draws["mu"]
    thin = make_engine(num_samples=7, num_thin=3).run(jax.random.key(1)).draws["mu"]
    assert thin.shape == (4, 7)
    np.testing.assert_array_equal(thin, dense[:, 2::3])


def test_draws_of_several_turns_go_on_from_each_other():
    """A chain that began anew at each turn would repeat itself or jump."""
    size = DRAWS_PER_TURN + 30
    draws = make_engine(num_samples=size, num_chains=2).run(jax.random.key(2)).draws["mu"]
    assert draws.shape == (2, size)
    moves = np.diff(draws, axis=1)
    assert np.mean(moves == 0) > 0.3  # rejections, between turns as well as within
    assert np.unique(draws).size > 20


def assert_same_bytes(one, other):
    """Compare all numbers of two results."""
    numbers = [
        jax.tree.leaves((r.draws, r.statistics, r.scale, r.path_length)) for r in (one, other)
    ]
    for these, those in zip(*numbers, strict=True):
        assert np.asarray(these).tobytes() == np.asarray(those).tobytes()


def test_the_same_bytes_come_in_turns_of_any_length(monkeypatch):
    """However long a turn takes, and whether anything is known of that."""
    engine = make_engine(num_samples=250, num_thin=2, num_burn=30)
    whole = engine.run(jax.random.key(3))
    for seconds in (0, 1e-3, 1e9):
        monkeypatch.setattr(mcmc_run, "SECONDS_PER_TURN", seconds)
        assert_same_bytes(whole, engine.run(jax.random.key(3)))


def test_the_same_key_gives_the_same_bytes_on_any_number_of_cores(monkeypatch):
    draws = []
    for cores in ("1", "2"):
        monkeypatch.setenv("BAMOPIPE_NUM_THREADS", cores)
        draws.append(make_engine().run(jax.random.key(3)).draws["mu"])
    assert draws[0].tobytes() == draws[1].tobytes()
    assert draws[0].tobytes() != make_engine().run(jax.random.key(4)).draws["mu"].tobytes()


def test_a_second_run_and_other_lengths_compile_nothing():
    engine = make_engine()
    engine.run(jax.random.key(0))
    with compilations("compile") as compiled:
        engine.run(jax.random.key(1))
        replace(engine, num_samples=133, num_thin=2, num_burn=10).run(jax.random.key(1))
    assert compiled == []


def test_all_is_compiled_before_anything_is_done(monkeypatch):
    """Each program once: the same one tunes to the prior's draws and to those of the warm-up."""
    programs = {"jit(_positions)", "jit(evaluate)", "jit(_tune)", "jit(take_turn)"}
    model = make_gaussian_mean(Y)
    engine = MCMCInference(model, mcmc_sampler(model, blackjax.nuts), num_samples=50)
    run = partial(engine.run, jax.random.key(0))
    early, late = early_and_late(run, monkeypatch)
    assert sorted(name for name in early if name in programs) == sorted(programs)
    assert not programs & {*late}


def test_windows_use_up_the_warm_up():
    for size in (0, 1, 9, 10, 50, 100, 333, 1000, 5000):
        assert sum(length for length, _ in windows(size)) == size
    assert windows(1000) == [(100, False), (200, False), (600, False), (100, True)]


def test_other_data_and_other_steps_compile_nothing(tmp_path):
    """Counted in the entries of the programs' caches, for a kernel that is set by hand."""
    programs = (
        take_turn,
        mcmc_run._tune,
        prior_draws.positions(),
        prior_draws.evaluate,
        starts._jitter,
    )

    def run(y, sigma, key, **settings):
        model = make_gaussian_mean(y)
        kernel = mcmc_sampler(model, blackjax.normal_random_walk, dict(sigma=sigma))
        engine = MCMCInference(model, kernel, num_warmup=20, start="jitter", **settings)
        return to_datatree(engine, engine.run(jax.random.key(key), tmp_path / f"{key}.npz"), key)

    run(Y, 1.0, 0, num_samples=30)
    before = [program._cache_size() for program in programs], follow._some._cache_size()
    run(Y + 1, 2.0, 1, num_samples=130, num_thin=2)
    after = [program._cache_size() for program in programs], follow._some._cache_size()
    assert before == after


@pytest.mark.parametrize("start", ["jitter", "pathfinder"])
def test_chains_start_apart_where_all_densities_are_finite(start):
    model = three_schools()
    kernel, target = mcmc_sampler(model, blackjax.nuts), compile_target(model)
    with precision_context("float64"):
        dealer = Dealer((target,), "float64", 4, 1)
        found = starts.find(start, kernel, target, dealer, jax.random.key(1), 4)
    values = [np.ravel(state.position["mu"]) for state in found.states]
    assert len(np.unique(values)) == 4
    for state in found.states:
        assert all(np.isfinite(f).all() for f in state.log_factors.values())
    spread = {name: v.std(axis=-1) for name, v in found.shape.items()}
    if start == "jitter":
        assert np.ptp(values) < 2  # the prior's median is 0, its standard deviation 10
        np.testing.assert_array_equal(found.shape["mu"], found.prior["mu"])
    else:  # the posterior is known
        sd = exact.eight_schools(1.0, *GROUPS, LOG_SPREAD).sd
        np.testing.assert_allclose(np.log(spread["theta"]), np.log(sd["theta"]), atol=0.7)


def test_pathfinder_finds_a_normal_posterior():
    """Its approximation is the posterior itself then, up to the noise of 1,000 draws."""
    model = make_gaussian_mean(Y)
    kernel, target = mcmc_sampler(model, blackjax.nuts), compile_target(model)
    with precision_context("float64"):
        dealer = Dealer((target,), "float64", 4, 1)
        found = starts.find("pathfinder", kernel, target, dealer, jax.random.key(2), 4)
    variance = 1 / (1 / 4 + len(Y) / 9)
    mean, sd = variance * Y.sum() / 9, variance**0.5
    draws = found.shape["mu"]
    assert abs(draws.mean() - mean) < 4 * sd / 1000**0.5
    assert abs(draws.std() / sd - 1) < 4 / 2000**0.5


@pytest.mark.parametrize("start", ["jitter", "pathfinder"])
def test_starts_in_unconstrained_space_refuse_whole_numbers(start):
    model = Model()
    count = model.add_node("count", distribution=tfd.Poisson(3.0))
    model.add_node("y", distribution=dx.Normal, parents=dict(loc=count, scale=1.0), observations=2)
    engine = MCMCInference(model, gibbs_sampler(model), start=start)
    with pytest.raises(UserError, match=f"start='{start}' .* variable 'count' takes whole numbers"):
        engine.run(jax.random.key(0))


def test_a_start_that_is_nowhere_possible_names_the_node():
    model = Model()
    x = model.add_node("x", distribution=tfd.Uniform(0.0, 1.0))
    model.add_node("y", distribution=tfd.Uniform, parents=dict(low=0.0, high=x), observations=3.0)
    engine = MCMCInference(model, gibbs_sampler(model), start="jitter")
    with pytest.raises(UserError, match=r"at 100 of 100 points the log density of node 'y'"):
        engine.run(jax.random.key(0))


@pytest.mark.parametrize("start", [0.3, 7.0])
def test_paths_become_as_long_as_chees_says(start, monkeypatch):
    """In a standard normal E sin(t)^2 / E t is highest at 1.0, with paths t of whole steps of 0.86.

    The longest path was off by 0.11 (one standard deviation) in six other runs.
    """
    monkeypatch.setattr(chees, "FIRST_PATH", start)
    model = Model()
    model.add_node("x", distribution=dx.Normal(0.0, jnp.geomspace(0.01, 100.0, 20)))
    engine = MCMCInference(model, mcmc_sampler(model, blackjax.dynamic_hmc), num_samples=200)
    tree = to_datatree(engine, engine.run(jax.random.key(0)), seed=0)
    assert abs(tree["mcmc"]["path_length"].values[0, 0] - 1.0) < 4 * 0.11
    assert tree["mcmc"]["scale"].dims == tree["mcmc"]["path_length"].dims


class StopError(Exception):
    """What stands for the end of the process."""


def test_a_run_that_was_stopped_ends_with_the_same_bytes(tmp_path, monkeypatch):
    """Stopped after each of its turns in turn, of which there are some of every kind."""
    model = make_gaussian_mean(Y)
    engine = MCMCInference(
        model,
        mcmc_sampler(model, blackjax.dynamic_hmc),
        num_warmup=350,
        num_burn=50,
        num_samples=DRAWS_PER_TURN + 30,
        num_chains=2,
    )
    whole = engine.run(jax.random.key(5))
    monkeypatch.setattr(mcmc_run, "MOST_DRAWS", DRAWS_PER_TURN)
    monkeypatch.setattr(mcmc_run, "SECONDS_PER_TURN", 1e9)
    original, ends = mcmc_run.Run._tell, []
    # The turn that was just made is not offered any more, so that each is made twice.
    monkeypatch.setattr(mcmc_run.Run, "_tell", lambda run, *a: ends.append(run._steps()[0]))
    engine.run(jax.random.key(5), tmp_path / "undisturbed.npz")
    assert len(ends) == 8  # 1 + 3 + 1 of warm-up, 1 of burn, 2 that are kept
    for end in ends:

        def tell(run, *arguments, end=end):
            if run._steps()[0] >= end:
                raise StopError

        monkeypatch.setattr(mcmc_run.Run, "_tell", tell)
        with pytest.raises(StopError):
            engine.run(jax.random.key(5), tmp_path / "run.npz")
    monkeypatch.setattr(mcmc_run.Run, "_tell", original)
    again = engine.run(jax.random.key(5), tmp_path / "run.npz")
    assert isinstance(again.draws["mu"], np.memmap)
    assert_same_bytes(whole, again)
    trees = [to_datatree(engine, result, seed=5) for result in (whole, again)]
    xr.testing.assert_identical(
        trees[0]["posterior_predictive"].dataset, trees[1]["posterior_predictive"].dataset
    )


def test_files_that_are_gone_are_missed(tmp_path, monkeypatch):
    monkeypatch.setattr(mcmc_run, "MOST_DRAWS", DRAWS_PER_TURN)
    engine = make_engine(num_samples=3 * DRAWS_PER_TURN)
    original = mcmc_run.Run._tell

    def tell(run, *arguments):
        original(run, *arguments)
        if run.phase == len(run.phases) - 1 and run.num_done > DRAWS_PER_TURN:
            raise StopError

    monkeypatch.setattr(mcmc_run.Run, "_tell", tell)
    with pytest.raises(StopError):
        engine.run(jax.random.key(0), tmp_path / "run.npz")
    monkeypatch.setattr(mcmc_run.Run, "_tell", original)
    (file,) = tmp_path.glob("run.draws/*/mu.npy")
    file.unlink()
    with pytest.raises(UserError, match=r"mu.npy, with what a run .* is gone"):
        engine.run(jax.random.key(0), tmp_path / "run.npz")


def test_statistics_of_gradient_kernels_reach_arviz():
    model = make_eight_schools()
    engine = MCMCInference(
        model, mcmc_sampler(model, blackjax.nuts), num_samples=200, num_warmup=300, num_chains=2
    )
    tree = to_datatree(engine, engine.run(jax.random.key(0)), seed=0)
    stats = tree["sample_stats"]
    assert {"lp", "log_prior", "diverging", "energy", "n_steps", "tree_depth"} < set(
        stats.data_vars
    )
    assert stats["acceptance_rate"].dims == ("chain", "draw", "update")
    assert stats["diverging"].dtype == bool
    np.testing.assert_array_equal(stats["n_steps"] > 0, True)
    names = [check.name for check in diagnostics.checks(tree)]
    assert {"diverging", "bfmi", "r_hat", "ess", "acceptance_position"} < set(names)
    assert np.isnan(tree.attrs["log_evidence"])


def test_diagnostics_follow_autocorrelation():
    """Chains that stand still agree with nobody."""
    model = make_gaussian_mean(Y)
    kernel = mcmc_sampler(model, blackjax.normal_random_walk, dict(sigma=1e-4))
    engine = MCMCInference(model, kernel, num_samples=300, num_warmup=0)
    tree = to_datatree(engine, engine.run(jax.random.key(0)), seed=0)
    problems = diagnostics.problems(tree)
    assert any(
        "disagree about mu" in problem and "longer chains" in problem for problem in problems
    )
    assert diagnostics.convergence(tree)["ess"].iloc[0] < 20


def test_a_density_that_is_no_number_ends_in_a_status():
    model = Model()
    x = model.add_node("x", distribution=dx.Normal(0.0, 1.0))
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(x=x),
        link_fn=lambda x: dict(loc=jnp.sqrt(x), scale=1.0),
        observations=0.5,
    )
    engine = MCMCInference(model, gibbs_sampler(model), num_samples=50, num_warmup=50)
    result = engine.run(jax.random.key(0))
    assert "log density of node 'y' is not a number" in result.status[0]


def test_an_impossible_start_is_told():
    model = Model()
    x = model.add_node("x", distribution=tfd.Uniform(0.0, 1.0))
    model.add_node("y", distribution=tfd.Uniform, parents=dict(low=0.0, high=x), observations=3.0)
    engine = MCMCInference(model, gibbs_sampler(model))
    with pytest.raises(UserError, match=r"impossible at each of .* where chain 0 could start"):
        engine.run(jax.random.key(0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(num_samples=0), "num_samples is 0; expected a whole number, at least 1"),
        (dict(num_warmup=-1), "num_warmup is -1"),
        (dict(num_thin=1.5), "num_thin is 1.5"),
        (dict(start="zero"), "start is 'zero'; expected one of prior, jitter, pathfinder"),
        (dict(precision="half"), "precision is 'half'"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(UserError, match=message):
        make_engine(**settings).run(jax.random.key(0))


def test_a_constant_and_a_discrete_variable_have_diagnostics():
    model = Model()
    count = model.add_node("count", distribution=tfd.Poisson(3.0))
    model.add_node("same", parents=dict(count=count), link_fn=lambda count: 0.0 * count)
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(loc=count, scale=1.0),
        observations=2.0,
    )
    engine = MCMCInference(model, gibbs_sampler(model), num_samples=400, num_warmup=100)
    tree = to_datatree(engine, engine.run(jax.random.key(0)), seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = diagnostics.convergence(tree)
    assert np.isnan(table.loc["same", "r_hat"])
    assert table.loc["count", "r_hat"] < 1.1

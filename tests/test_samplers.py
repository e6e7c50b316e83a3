"""Kernels: one contract for all, tempering against exact answers, BlackJAX as reference."""

import itertools

import blackjax
import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_eight_schools, make_gibbs
from kernels import two_level, two_level_errors
from scipy.stats import norm, poisson
from tensorflow_probability.substrates.jax import bijectors as tfb
from tensorflow_probability.substrates.jax import distributions as tfd

import exact
from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.samplers import gibbs_sampler, mcmc_sampler
from bamopipe.samplers.base import Block, Kernel, log_factors
from bamopipe.samplers.blackjax_update import BlackJAXUpdate
from bamopipe.samplers.coordinates import quartiles
from bamopipe.samplers.random_walk import RandomWalk
from bamopipe.target import compile_target, precision_context

random_walk = blackjax.normal_random_walk


@pytest.fixture(autouse=True)
def x64():
    with precision_context("float64"):
        yield


def gibbs_of(factory, **settings):
    def make(model):
        names = model.latent
        return gibbs_sampler(model, dict.fromkeys(names, factory), dict.fromkeys(names, settings))

    return make


# With settings; tests/test_kernels.py has those that tune themselves.
KERNELS = {
    "gibbs of random walks": gibbs_of(random_walk, sigma=2.0),
    "gibbs of hmc": gibbs_of(
        blackjax.hmc,
        step_size=0.8,
        inverse_mass_matrix=np.ones(1),
        num_integration_steps=3,
    ),
    "whole-position random walk": lambda m: mcmc_sampler(m, random_walk, dict(sigma=1.5)),
    "whole-position random walk, a scale each": lambda m: mcmc_sampler(
        m, random_walk, dict(sigma=dict(mu=2.0, theta=1.5))
    ),
    "whole-position random walk, matrix": lambda m: mcmc_sampler(
        m, random_walk, dict(sigma=np.array([[1.5, 0.5], [0.0, 1.5]]))
    ),
    "whole-position mala": lambda m: mcmc_sampler(m, blackjax.mala, dict(step_size=0.4)),
    "whole-position nuts": lambda m: mcmc_sampler(
        m, blackjax.nuts, dict(step_size=0.7, inverse_mass_matrix=np.ones(2))
    ),
}


def run_kernel(kernel, target, position, temperature, steps, seed):
    @jax.jit
    def run(key, position):
        def step(index, carry):
            state, parameters = carry
            state, infos = kernel.step(
                jax.random.fold_in(key, index), state, temperature, parameters, target
            )
            return state, kernel.adapt(parameters, infos)

        parameters = kernel.tune(kernel.parameters, position, target)
        carry = kernel.init(target, position), parameters
        return jax.lax.fori_loop(0, steps, step, carry)[0]

    return run(jax.random.key(seed), position)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("name", KERNELS)
def test_kernel_finds_the_tempered_posterior(name, temperature):
    """4,000 particles from the prior, 60 steps: independent draws, so plain Monte Carlo error."""
    num_particles = 4_000
    model = two_level()
    target, kernel = compile_target(model), KERNELS[name](model)
    kernel.check(target)
    keys = jax.random.split(jax.random.key(11), num_particles)
    prior = jax.vmap(target.sample_prior, out_axes=-1)(keys)
    state = run_kernel(kernel, target, prior, jnp.asarray(temperature), 60, seed=12)
    errors = two_level_errors(jax.device_get(state.position), temperature)
    assert {what: error for what, error in errors.items() if not abs(error) < 4} == {}


@pytest.mark.parametrize("name", KERNELS)
def test_kernel_keeps_its_cache_and_reports(name):
    model = two_level()
    target, kernel = compile_target(model), KERNELS[name](model)
    keys = jax.random.split(jax.random.key(1), 100)
    state = kernel.init(target, jax.vmap(target.sample_prior, out_axes=-1)(keys))
    parameters = kernel.tune(kernel.parameters, state.position, target)
    state, infos = jax.jit(kernel.step, static_argnums=())(
        jax.random.key(2), state, jnp.asarray(0.5), parameters, target
    )
    for factor, value in log_factors(target, state.position).items():
        np.testing.assert_allclose(state.log_factors[factor], value, rtol=1e-10)
    assert list(infos) == [block.name for block in kernel.blocks]
    for info in infos.values():
        assert 0.05 < info.acceptance_rate.mean() <= 1
        assert not any(flags.any() for flags in info.is_nan.values())


def test_whole_numbers_move_by_one():
    """A count, bits and a category against sums over all their values, at temperature 0.5."""
    num_particles = 20_000
    model = Model()
    count = model.add_node("count", distribution=tfd.Poisson(3.0))
    bits = model.add_node("bits", distribution=dx.Bernoulli(probs=0.3), shape=(2,))
    kind = model.add_node("kind", distribution=dx.Categorical(probs=jnp.array([0.5, 0.1, 0.4])))
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(count=count, bits=bits, kind=kind),
        link_fn=lambda count, bits, kind: dict(loc=count + 2.0 * bits[0] - kind, scale=1.0),
        observations=4.0,
    )
    weights = {}
    for c, b0, b1, k in itertools.product(range(25), range(2), range(2), range(3)):
        prior = poisson(3).pmf(c) * 0.3 ** (b0 + b1) * 0.7 ** (2 - b0 - b1) * [0.5, 0.1, 0.4][k]
        weights[c, b0, b1, k] = prior * np.exp(0.5 * norm.logpdf(4.0, c + 2 * b0 - k, 1))
    values, weights = np.array(list(weights)), np.array(list(weights.values()))
    mean = weights @ values / weights.sum()
    sd = np.sqrt(weights @ (values - mean) ** 2 / weights.sum())

    target, kernel = compile_target(model), mcmc_sampler(model, blackjax.nuts)
    assert [block.variables for block in kernel.blocks] == [("count",), ("bits",), ("kind",)]
    kernel.check(target)
    keys = jax.random.split(jax.random.key(31), num_particles)
    prior = jax.vmap(target.sample_prior, out_axes=-1)(keys)
    state = run_kernel(kernel, target, prior, jnp.asarray(0.5), 200, seed=32)
    found = np.stack([state.position["count"], *state.position["bits"], state.position["kind"]])
    assert np.all(np.abs(found.mean(axis=1) - mean) < 4 * sd / num_particles**0.5)


def test_random_walk_is_equal_in_law_to_blackjax():
    """Accepted fraction and squared jump of one step, in eight schools near the posterior."""
    num_particles = 20_000
    model = make_eight_schools()
    target = compile_target(model)
    rng = np.random.default_rng(5)
    position = {
        "mu": jnp.asarray(rng.normal(6, 5, num_particles)),
        "tau": jnp.asarray(rng.lognormal(2.4, 0.5, num_particles)),
        "theta": jnp.asarray(rng.normal(7, 8, (8, num_particles))),
    }
    sigma = np.diag(np.linspace(2.0, 5.0, 8)) + 0.3
    statistics = []
    for update in (RandomWalk(), BlackJAXUpdate(random_walk)):
        kernel = Kernel((Block("theta", ("theta",), update),), {"theta": {"sigma": sigma}})
        moved, infos = jax.jit(kernel.step)(
            jax.random.key(9),
            kernel.init(target, position),
            jnp.asarray(0.7),
            kernel.parameters,
            target,
        )
        info = infos["theta"]
        jump = np.asarray(moved.position["theta"] - position["theta"])
        accepted = np.any(jump != 0, axis=0)
        np.testing.assert_allclose(accepted.mean(), info.acceptance_rate.mean(), atol=0.05)
        statistics.append((accepted, jump))
    (accept_ours, jump_ours), (accept_theirs, jump_theirs) = statistics
    p = accept_theirs.mean()
    error = (2 * p * (1 - p) / num_particles) ** 0.5
    assert abs(accept_ours.mean() - p) < 4 * error
    for function in (lambda j: j**2, lambda j: j * np.roll(j, 1, axis=0)):
        ours, theirs = function(jump_ours), function(jump_theirs)
        error = np.sqrt((ours.var(1) + theirs.var(1)) / num_particles)
        assert np.all(np.abs(ours.mean(1) - theirs.mean(1)) < 4 * error)


def test_matrix_scale_follows_the_alphabetical_order_of_variables():
    model = Model()
    model.add_node("b", distribution=dx.Normal(0.0, 1e6))
    model.add_node("a", distribution=dx.Normal(0.0, 1e6))
    target = compile_target(model)
    kernel = mcmc_sampler(model, random_walk, dict(sigma=np.diag([1.0, 100.0])))
    start = {"a": jnp.zeros(5000), "b": jnp.zeros(5000)}
    state, _ = kernel.step(
        jax.random.key(0), kernel.init(target, start), jnp.asarray(1.0), kernel.parameters, target
    )
    assert 0.9 < state.position["a"].std() < 1.1
    assert 90 < state.position["b"].std() < 110


def test_a_step_evaluates_each_factor_it_touches_once():
    """Counted in the traced program: a Gibbs sweep of eight schools has 2 + 2 + 2 factors."""
    model = make_eight_schools()
    target, kernel = compile_target(model), make_gibbs(make_eight_schools())
    calls = []
    for (kind, name), lifted in target.program.functions.items():

        def counted(*arguments, kind=kind, name=name, lifted=lifted):
            calls.extend([name] if kind == "log_prob" else [])
            return lifted(*arguments)

        target.program.functions[kind, name] = counted
    keys = jax.random.split(jax.random.key(1), 10)
    state = kernel.init(target, jax.vmap(target.sample_prior, out_axes=-1)(keys))
    calls.clear()
    kernel.step(jax.random.key(0), state, jnp.asarray(1.0), kernel.parameters, target)
    assert calls == ["mu", "theta", "tau", "theta", "theta", "y"]


def test_proposals_outside_the_support_are_rejected_and_no_fault():
    model = make_eight_schools()
    target, kernel = compile_target(model), make_gibbs(model)
    keys = jax.random.split(jax.random.key(1), 1000)
    start = jax.vmap(target.sample_prior, out_axes=-1)(keys)
    state = run_kernel(kernel, target, start, jnp.asarray(1.0), 50, seed=0)
    assert np.all(state.position["tau"] > 0)
    assert all(np.all(np.isfinite(f)) for f in state.log_factors.values())
    _, infos = kernel.step(jax.random.key(0), state, jnp.asarray(1.0), kernel.parameters, target)
    assert not any(flags.any() for info in infos.values() for flags in info.is_nan.values())


def test_a_nan_at_a_proposal_is_reported_with_its_factor():
    model = Model()
    x = model.add_node("x", distribution=dx.Normal(0.0, 1.0))
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(x=x),
        link_fn=lambda x: dict(loc=jnp.sqrt(x - 2.0), scale=1.0),
        observations=0.0,
    )
    target = compile_target(model)
    kernel = gibbs_sampler(model, dict(x=random_walk), dict(x=dict(sigma=1.0)))
    state = kernel.init(target, {"x": jnp.full(100, 2.5)})
    _, infos = kernel.step(jax.random.key(0), state, jnp.asarray(1.0), kernel.parameters, target)
    assert {n: f.shape for n, f in infos["x"].is_nan.items()} == {"x": (100,), "y": (100,)}
    assert {n: bool(f.any()) for n, f in infos["x"].is_nan.items()} == {"x": False, "y": True}


def test_settings_are_not_changed_for_the_caller():
    step_fns = dict.fromkeys(("mu", "theta"), random_walk)
    settings = dict(mu=dict(sigma=[1.0]), theta=dict(sigma=1.0))
    gibbs_sampler(two_level(), step_fns, settings)
    assert settings == dict(mu=dict(sigma=[1.0]), theta=dict(sigma=1.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda m: gibbs_sampler(m, dict(mu=random_walk, thta=random_walk)),
            "'thta' is not known; did you mean 'theta'",
        ),
        (lambda m: gibbs_sampler(m, dict.fromkeys(m.latent, 3.0)), "not callable"),
        (lambda m: mcmc_sampler(m, random_walk, dict(sgma=1.0)), "'sgma' is not known"),
        (lambda m: mcmc_sampler(m, random_walk, dict(sigma=[1.0, 2.0, 3.0])), r"shape \(3,\)"),
        (lambda m: mcmc_sampler(m, random_walk, dict(sigma=np.nan)), "not finite"),
        (
            lambda m: mcmc_sampler(m, random_walk, dict(sigma=dict(mu=1.0))),
            "no entry for variable 'theta'",
        ),
        (lambda m: mcmc_sampler(m, random_walk, dict(sigma="auto")), "expected a number"),
        (lambda m: mcmc_sampler(m, random_walk, dict(sigma=None)), "leave it out"),
        (lambda m: mcmc_sampler(m, blackjax.mala, dict(stepsize=1.0)), "does not take"),
        (lambda m: mcmc_sampler(m, blackjax.mala, dict(step_size=np.nan)), "not finite"),
        (
            lambda m: mcmc_sampler(m, blackjax.mala, dict(step_size=np.ones(3))),
            r"step_size=array\(\[1., 1., 1.\]\)",
        ),
        (
            lambda m: mcmc_sampler(m, blackjax.mala, dict(step_size=dict(mu=1.0))),
            "step_size={'mu': 1.0}",
        ),
        (
            lambda m: mcmc_sampler(m, blackjax.nuts, dict(step_size=0.1)),
            "needs settings for inverse_mass_matrix; or leave out step_size",
        ),
        (
            lambda m: mcmc_sampler(
                m, blackjax.nuts, dict(step_size=0.1, inverse_mass_matrix=np.ones(5))
            ),
            "inverse_mass_matrix=array",
        ),
        (
            lambda m: mcmc_sampler(m, blackjax.hmc, dict(num_integration_steps=3.0)),
            "num_integration_steps=3.0",
        ),
        (lambda m: mcmc_sampler(m, blackjax.sgld), "sgld is not offered: it takes estimates"),
        (lambda m: mcmc_sampler(m, blackjax.tempered_smc), "needs settings for loglikelihood_fn"),
        (lambda m: mcmc_sampler(m, blackjax.rmh), "needs settings for proposal_generator"),
        (lambda m: gibbs_sampler(m, blackjax.nuts), "expected a dict by latent variable"),
        (lambda m: gibbs_sampler(m, None, dict(mu=0.1)), "expected a dict by name"),
        (
            lambda m: gibbs_sampler(m, dict.fromkeys(m.latent, blackjax.adjusted_mclmc)),
            "at least 2 coordinates, and 'mu' has 1",
        ),
        (lambda m: make_gibbs(make_eight_schools()), "make the kernel from the same model"),
    ],
)
def test_mistakes_name_the_variable(make, message):
    model = two_level()
    with pytest.raises(UserError, match=message):
        make(model).check(compile_target(model))


@pytest.mark.parametrize(
    "distribution",
    [
        tfd.Multinomial(30.0, probs=[0.2, 0.3, 0.5]),
        tfd.TransformedDistribution(tfd.Poisson(3.0), tfb.Scale(2.0)),
    ],
)
def test_values_that_steps_of_one_cannot_reach_are_refused(distribution):
    model = Model()
    model.add_node("x", distribution=distribution)
    with pytest.raises(UserError, match=r"'x' cannot be moved by one .* blackjax.rmh"):
        gibbs_sampler(model).check(compile_target(model))


def test_settings_of_whole_numbers_are_refused():
    model = Model()
    model.add_node("x", distribution=tfd.Poisson(3.0))
    with pytest.raises(UserError, match="'x' are for a random walk, but 'x' takes whole"):
        gibbs_sampler(model, None, dict(x=dict(sigma=1.0)))


def test_what_is_true_or_false_is_flipped():
    model = Model()
    model.add_node("x", distribution=tfd.Bernoulli(probs=0.3, dtype=bool), shape=(3,))
    target, kernel = compile_target(model), gibbs_sampler(model)
    kernel.check(target)
    start = {"x": jnp.zeros((3, 20_000), bool)}
    state = run_kernel(kernel, target, start, jnp.asarray(1.0), 60, seed=1)
    share = np.asarray(state.position["x"]).mean(axis=1)
    assert np.all(np.abs(share - 0.3) < 4 * (0.3 * 0.7 / 20_000) ** 0.5)


def test_a_heavy_tail_does_not_set_the_size_of_steps():
    """One of a thousand Cauchy draws can be as far out as the rest of them together."""
    model = Model()
    model.add_node("wild", distribution=tfd.Cauchy(0.0, 1.0))
    model.add_node("tame", distribution=dx.Normal(0.0, 1.0))
    target, kernel = compile_target(model), mcmc_sampler(model, random_walk)
    keys = jax.random.split(jax.random.key(3), 1000)
    start = jax.vmap(target.sample_prior, out_axes=-1)(keys)
    assert np.abs(start["wild"]).max() > 100
    shape = kernel.tune(kernel.parameters, start, target)["position"]["shape"]
    scale = np.sqrt(np.diag(shape @ shape.T)) / (2.38 / 2**0.5)
    assert 1 < scale[0] < 4
    assert 0.9 < scale[1] < 1.1


@pytest.mark.parametrize("factory", [random_walk, blackjax.nuts])
def test_no_particle_is_lost_to_a_bound_by_rounding(factory):
    """In single precision a logit beyond 10 is the bound itself, between 9,999 and 10,000."""
    with precision_context("float32"):
        model = Model()
        x = model.add_node("x", distribution=tfd.Uniform(9_999.0, 10_000.0))
        model.add_node(
            "y", distribution=dx.Normal, parents=dict(loc=x, scale=0.1), observations=10_000.0
        )
        target, kernel = compile_target(model, "float32"), mcmc_sampler(model, factory)
        start = {"x": jnp.linspace(9_999.1, 9_999.9, 1000, dtype=jnp.float32)}
        state = run_kernel(kernel, target, start, jnp.float32(1.0), 100, seed=2)
    assert np.all((state.position["x"] > 9_999) & (state.position["x"] < 10_000))


def test_the_reference_of_the_two_level_model_is_consistent():
    """Quadrature against the closed form of eight schools' neighbour: a plain Gaussian mean."""
    log_evidence, mean, sd = exact.gaussian_mean(np.array([1.0, 2.0]), 2.0, 3.0, temperature=0.5)
    axis = np.linspace(-30, 30, 60_001)
    density = np.exp(
        norm.logpdf(axis, 0, 2) + 0.5 * norm.logpdf(np.array([[1.0], [2.0]]), axis, 3).sum(0)
    )
    step = axis[1] - axis[0]
    np.testing.assert_allclose(np.log(density.sum() * step), log_evidence, rtol=1e-8)
    density /= density.sum()
    np.testing.assert_allclose(density @ axis, mean, rtol=1e-8)
    np.testing.assert_allclose(np.sqrt(density @ (axis - mean) ** 2), sd, rtol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 101])
def test_quartiles_are_those_of_all_numbers_in_a_row(dtype, size):
    rng = np.random.default_rng(size)
    rows = rng.standard_cauchy((5, size)).astype(dtype)
    rows[1, rng.random(size) < 0.5] = np.nan
    rows[2, 1:] = -np.nan
    rows[3] = np.where(rows[3] < 0, -0.0, 0.0)
    rows[4] = np.nan
    with jax.enable_x64(dtype == "float64"):
        found = np.concatenate(quartiles(jnp.asarray(rows)), axis=1)
    assert found.dtype == dtype
    full = [row[~np.isnan(row)] for row in rows]
    expected = [np.quantile(row, [0.25, 0.75]) if row.size else [np.nan] * 2 for row in full]
    np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == "float32" else 1e-14)

"""Blocks of variables that move together, their order and their repeats."""

import blackjax
import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_eight_schools, make_gibbs
from kernels import run, two_level, two_level_errors
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.samplers import gibbs_sampler
from bamopipe.samplers.base import LOG_SCALE
from bamopipe.samplers.random_walk import RandomWalk
from bamopipe.target import compile_target, precision_context

walk = blackjax.normal_random_walk


@pytest.fixture(autouse=True)
def x64():
    with precision_context("float64"):
        yield


SWEEPS = {
    "together": (dict(step_fns={("theta", "mu"): blackjax.hmc}), 2),
    "written as text": (dict(step_fns={"mu, theta": walk}), 8),
    "theta first": (dict(step_fns=dict(mu=walk, theta=walk), order=["theta", "mu"]), 8),
    "theta twice": (dict(step_fns=dict(theta=walk), order=["theta", "mu", "theta"]), 6),
    "repeated": (dict(step_fns=dict(theta=walk), repeats=dict(theta=3)), 5),
}


@pytest.mark.parametrize("name", SWEEPS)
def test_posterior_at_two_temperatures(name):
    settings, num_rounds = SWEEPS[name]
    model, temperatures = two_level(), (1.0, 0.5)
    target, kernel = compile_target(model), gibbs_sampler(model, **settings)
    kernel.check(target)
    positions = run(kernel, target, temperatures, num_rounds)
    for temperature, position in zip(temperatures, positions, strict=True):
        errors = two_level_errors(position, temperature)
        assert {what: error for what, error in errors.items() if not abs(error) < 4} == {}


def test_names_of_blocks_follow_the_graph():
    kernel = gibbs_sampler(make_eight_schools(), {("theta", "mu"): blackjax.nuts})
    assert [block.name for block in kernel.blocks] == ["mu, theta", "tau"]
    assert kernel.blocks[0].variables == ("mu", "theta")


def test_what_is_named_stays_joint():
    """The effects of eight schools are independent, and Gaussian given the rest."""
    assert all(isinstance(b.update, RandomWalk) for b in make_gibbs(make_eight_schools()).blocks)


def count_steps(**settings):
    """Take one sweep in which mu is shifted by a random walk, and return the rates by block."""
    model = two_level()
    target, kernel = compile_target(model), gibbs_sampler(model, dict(mu=walk), **settings)
    state = kernel.init(target, {"mu": jnp.zeros(2000), "theta": jnp.zeros(2000)})
    parameters = kernel.tune(kernel.parameters, state.position, target)
    step = jax.jit(kernel.step)
    return step(jax.random.key(1), state, jnp.asarray(1.0), parameters, target)


def test_rates_are_means_over_moves():
    """One move is accepted or not; of four moves a share is."""
    _, once = count_steps()
    for settings in (dict(repeats=dict(mu=4)), dict(order=["mu", "theta", "mu", "mu", "mu"])):
        _, four = count_steps(**settings)
        assert set(np.unique(once["mu"].acceptance_rate)) == {0.0, 1.0}
        assert set(np.unique(four["mu"].acceptance_rate)) == {0.0, 0.25, 0.5, 0.75, 1.0}
        means = [float(np.mean(info["mu"].acceptance_rate)) for info in (four, once)]
        assert abs(means[0] - means[1]) < 0.1


def test_the_program_does_not_grow_with_repeats():
    def length(count):
        model = two_level()
        target = compile_target(model)
        kernel = gibbs_sampler(model, dict(mu=blackjax.hmc), repeats=dict(mu=count))
        state = kernel.init(target, {"mu": jnp.zeros(10), "theta": jnp.zeros(10)})
        parameters = kernel.tune(kernel.parameters, state.position, target)
        program = jax.make_jaxpr(kernel.step)(
            jax.random.key(0), state, jnp.asarray(1.0), parameters, target
        )
        return len(str(program))

    assert abs(length(50) - length(2)) < 100


def test_a_sweep_describes_itself(capsys):
    model = two_level()
    gibbs_sampler(model, {"mu": walk}, order=["theta", "mu"], repeats={"mu": 2}).describe()
    lines = capsys.readouterr().out.splitlines()
    assert "    mu     random walk that tunes itself, 2 times in a row" in lines
    assert lines[-1] == "in the order theta; mu"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(step_fns={"mu": walk, ("mu", "theta"): walk}), "'mu' is in two blocks, 'mu, theta'"),
        (dict(step_fns={"mu": walk}, order=["mu, theta"]), "'mu' is in two blocks"),
        (dict(step_fns={("mu", "thta"): walk}), "'thta' is not known; did you mean 'theta'"),
        (dict(step_fns={("mu", "mu"): walk}), "a variable twice in 'mu, mu'"),
        (dict(order=["mu"]), "'theta' has no place in the order"),
        (dict(order="mu, theta"), "expected a list"),
        (dict(order=["mu", "tau"]), "variable in order 'tau' is not known"),
        (dict(repeats={"mu": 0}), "repeats of 'mu' is 0; expected a whole number"),
        (dict(repeats={"mu": 1.5}), "expected a whole number"),
        (dict(repeats=3), "repeats is of type int; expected a dict"),
    ],
)
def test_mistakes_are_named(settings, message):
    with pytest.raises(UserError, match=message):
        gibbs_sampler(two_level(), **settings)


def test_a_kernel_that_does_not_fit_names_itself_the_variable_and_another():
    model = Model()
    model.add_node("k", distribution=tfd.Poisson(3.0))
    model.add_node("x", distribution=dx.Gamma(2.0, 1.0))
    target = compile_target(model)
    for factory, name in (
        (blackjax.nuts, "nuts"),
        (blackjax.mala, "mala"),
        (walk, "normal_random_walk"),
        (blackjax.elliptical_slice, "elliptical_slice"),
    ):
        for key in ("k", ("k", "x")):
            kernel = gibbs_sampler(model, {key: factory})
            with pytest.raises(UserError, match=f"^{name} cannot move variable 'k'.* leave its"):
                kernel.check(target)
    for key in ("x", ("k", "x")):
        with pytest.raises(UserError, match="'k' takes whole numbers" if key != "x" else "sigma"):
            gibbs_sampler(model, None, {key: dict(sigma=-np.inf)}).check(target)


def test_parameters_of_blocks_are_tuned_together():
    kernel = gibbs_sampler(two_level(), {("mu", "theta"): walk})
    assert kernel.parameters == {"mu, theta": {LOG_SCALE: 0.0}}

"""What a GPU does with many blocks at once is what processors do one by one."""

from functools import partial

import blackjax
import distrax as dx
import jax
import numpy as np
import pytest

from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.inference import MCMCInference, SMCInference, devices, memory, starts
from bamopipe.samplers import gibbs_sampler, mcmc_sampler
from bamopipe.target import compile_target, precision_context


def schools() -> Model:
    model = Model()
    mu = model.add_node("mu", distribution=dx.Normal(0.0, 10.0))
    tau = model.add_node("tau", distribution=dx.Gamma(2.0, 0.2))
    theta = model.add_node(
        "theta", distribution=dx.Normal, parents=dict(loc=mu, scale=tau), shape=(8,)
    )
    y = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    model.add_node("y", distribution=dx.Normal, parents=dict(loc=theta, scale=12.0), observations=y)
    return model


def smc(**settings) -> SMCInference:
    model = schools()
    return SMCInference(model, gibbs_sampler(model), num_particles=300, **settings)


def mcmc(**settings) -> MCMCInference:
    model = schools()
    kernel = mcmc_sampler(model, blackjax.nuts)
    return MCMCInference(model, kernel, num_samples=150, num_warmup=200, **settings)


ENGINES = {
    "as many moves as needed": lambda: smc(num_chains=3),
    "waste-free": lambda: smc(num_chains=3, num_mutations=5, scheme="waste_free"),
    "mcmc": lambda: mcmc(num_chains=3),
}


def arrays(result) -> list[np.ndarray]:
    found = [result.status]
    if hasattr(result, "draws"):
        return [*jax.tree.leaves((result.draws, result.statistics)), *found]
    return [*result.final_state.particles.values(), result.log_evidence_chains, *found]


@pytest.mark.parametrize("engine", ENGINES)
def test_together_as_one_by_one(engine, monkeypatch):
    one_by_one = arrays(ENGINES[engine]().run(jax.random.key(0)))
    monkeypatch.setattr(devices, "on_processors", lambda: False)
    monkeypatch.setattr(memory, "on_processors", lambda: False)
    together = arrays(ENGINES[engine]().run(jax.random.key(0)))
    for ours, theirs in zip(together, one_by_one, strict=True):
        if isinstance(ours, tuple):
            assert ours == theirs
        else:
            # Rounding, which a chain lets grow as it goes.
            assert np.mean(np.isclose(ours, theirs, rtol=1e-5, atol=1e-5)) > 0.9


def test_as_many_as_the_memory_is_for(monkeypatch):
    monkeypatch.setattr(devices, "on_processors", lambda: False)
    monkeypatch.setattr(devices, "LARGEST_ARRAY", 3000.0)
    monkeypatch.setattr(devices, "PARTICLES_PER_BLOCK", 10)
    assert devices.particles_per_block(64.0) == 46
    dealer = devices.Dealer((np.float64(2.0),), "float64", 100, 640.0)
    sizes = []

    @jax.jit
    def double(factor, x):
        sizes.append(x.shape)
        return factor * x

    items = [(np.arange(3.0) + i,) for i in range(10)]
    found = dealer.map(partial(double), items)
    np.testing.assert_array_equal(found, [2 * item for (item,) in items])
    assert sizes == [(3,)]  # one program, whose vmap is over four


def test_pathfinder_together_as_one_by_one(monkeypatch):
    engine = mcmc()

    def found() -> list[np.ndarray]:
        with precision_context("float64"):
            dealer = devices.Dealer((engine.target,), "float64", 3, 1.0)
            key = jax.random.key(0)
            kernel, target = engine.mcmc_kernel, engine.target
            states = starts.find("pathfinder", kernel, target, dealer, key, 3).states
        return [state.position["theta"] for state in states]

    one_by_one = found()
    monkeypatch.setattr(devices, "on_processors", lambda: False)
    # The way to a mode lets rounding grow.
    np.testing.assert_allclose(found(), one_by_one, rtol=0.02)


def test_the_largest_array_of_a_step(monkeypatch):
    monkeypatch.setattr(memory, "on_processors", lambda: False)
    model = Model()
    model.add_node("x", distribution=dx.Normal(0.0, 1.0), shape=(5, 8))
    kernel = gibbs_sampler(model, dict(x=blackjax.normal_random_walk), dict(x=dict(sigma=1.0)))
    target = compile_target(model, "float32")
    assert memory.of_largest_array(kernel, target) == 5 * 8 * 4


def test_too_little_memory_is_told():
    told = memory.exhaustion_told("use fewer particles")
    with pytest.raises(UserError, match=r"memory of this .pu device.*use fewer particles"), told:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory of 1 byte.")

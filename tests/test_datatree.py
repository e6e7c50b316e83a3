"""From results to trees: shapes that are easily got wrong."""

import blackjax
import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bamopipe.base import Model
from bamopipe.diagnostics import diagnose
from bamopipe.inference import SMCInference
from bamopipe.inference.datatree import to_datatree
from bamopipe.samplers import mcmc_sampler


def run(model):
    kernel = mcmc_sampler(model, blackjax.normal_random_walk, dict(sigma=0.5))
    engine = SMCInference(model, kernel, num_particles=60, num_mutations=5, num_chains=2)
    return to_datatree(engine, engine.run(jax.random.key(0)), seed=0)


def test_a_likelihood_of_vectors_has_no_event_dimension():
    model = Model(coords={"k": ["a", "b"]})
    mu = model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
    model.add_node(
        "y",
        distribution=dx.MultivariateNormalDiag,
        parents=dict(mu=mu),
        link_fn=lambda mu: dict(loc=jnp.stack([mu, -mu]), scale_diag=jnp.ones(2)),
        observations=np.arange(6.0).reshape(3, 2),
        dims=("obs", "k"),
    )
    tree = run(model)
    assert tree["log_likelihood"]["y"].dims == ("chain", "draw", "obs")
    assert tree["posterior_predictive"]["y"].dims == ("chain", "draw", "obs", "k")
    assert tree["observed_data"]["y"].dims == ("obs", "k")


def test_a_run_that_failed_at_the_prior_can_be_diagnosed():
    model = Model("broken")
    x = model.add_node("x", distribution=dx.Normal(0.0, 1.0))
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(x=x),
        link_fn=lambda x: dict(loc=jnp.sqrt(x), scale=1.0),
        observations=1.0,
    )
    tree = run(model)
    found = diagnose(tree)
    assert not found["converged"]
    assert "'y'" in found["checks"][0]["message"]
    assert tree["smc"]["num_stages"].values.tolist() == [0, 0]


@pytest.mark.parametrize(("rate", "converged"), [(0.0, False), (0.3, True)])
def test_what_never_moves_has_not_converged(rate, converged):
    model = Model()
    mu = model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
    model.add_node("y", distribution=dx.Normal, parents=dict(loc=mu, scale=1.0), observations=1.0)
    tree = run(model)
    tree["smc"]["acceptance_rate"].values[:] = rate
    checks = {check["name"]: check for check in diagnose(tree)["checks"]}
    assert checks["acceptance_position"]["required"] is not converged
    assert checks["acceptance_position"]["ok"] is converged

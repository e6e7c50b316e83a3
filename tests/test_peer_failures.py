"""What bamojax 0.4.3, a library for models of this kind, gets wrong, and does not go wrong here.

Each line is a failure that concerns something that bamopipe has, and the test that holds it.

Wrong results:

- Of several children only the last counted in Gibbs (in older versions) - test_kernels.py,
  posterior at two temperatures, where theta has two; test_elements.py, both children count
- Latent children were tempered in Gibbs (in older versions) - the same at temperature 0.5;
  test_truth.py plants the defect
- Observed nodes with children have no likelihood - test_target.py, observed variable with a child
  counts; test_kernels.py, as above
- `bijector` is ignored on instances - test_language.py, a bijector on any node
- Beta, Gamma, half-normal and uniform variables are not unconstrained - test_bijectors.py, for
  every distribution; test_kernels.py, the constrained target
- Nodes that are added after the model was printed vanish - here; test_base.py, no node after
  compilation
- Duplicate names overwrite nodes and constants - test_base.py, duplicate names are refused
- Draws hang on PYTHONHASHSEED if several nodes have no children - here
- Densities outside the support are finite or not numbers - test_target.py, outside the support;
  test_distributions.py, support, for every distribution
- The ESS that sets the next temperature is not that of the weights - test_smc.py, temperatures hold
  the target ESS; reweighting against plain NumPy
- Predictions of Gaussian processes leave out the prior mean, and add jitter in the wrong place -
  test_gaussian_process.py, conditioning on observations and on the function
- Predictions in batches lose the last draws, and their covariance - here;
  test_gaussian_process.py, predictive draws are joint
- Autoregressions simulate with other lags than their density has, and with the initial values among
  the series - test_autoregressive.py, draws have the moments of the joint Gaussian, and go on from
  the initial values
- Several functions at once change their shape after one step - here

Crashes, and what goes unnoticed:

- Engines and kernels fail without settings - test_gallery.py, every model by `gibbs` and `nuts`
- Deterministic nodes and latent variables without children fail - here
- The default step of Gibbs fails on a vector - here
- The caller's dicts are changed - test_samplers.py, settings are not changed for the caller
- A warm-up exchanges any kernel for NUTS and leaves tracers behind - test_mcmc.py, moments of a
  hierarchical model, by a random walk and Gibbs; a second run compiles nothing
- Thinning drops a remainder - test_mcmc.py, thinning keeps every nth step
- The names that minibatches go by - test_language.py, minibatches are unbiased
- A temperature that is stuck never ends - test_smc.py, stalled tempering; too many temperatures
- A trace, or none, of several chains changes what comes back - test_smc.py, there is always a chain
  dimension
- No errors of the evidence - test_calibration.py
- Unknown settings, wrong shapes and NaN are not told - test_base.py, mistakes in a node;
  test_samplers.py, mistakes name the variable; test_smc.py, bad settings
"""

import os
import subprocess
import sys

import blackjax
import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tensorflow_probability.substrates.jax import distributions as tfd
from tinygp import kernels

from bamopipe.base import Model
from bamopipe.distributions.gaussian_process import GaussianProcess
from bamopipe.inference import MCMCInference, SMCInference, follow
from bamopipe.samplers import gibbs_sampler, mcmc_sampler
from bamopipe.target import compile_target, precision_context


def test_a_node_added_after_the_model_was_printed_counts(capsys):
    model = Model()
    mu = model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
    model.describe()
    model.order()
    model.add_node("y", distribution=dx.Normal, parents=dict(loc=mu, scale=1.0), observations=1.0)
    assert "mu" in capsys.readouterr().out
    assert compile_target(model).observed == ("y",)


SEVERAL_LEAVES = """
import distrax as dx, jax
from bamopipe.base import Model
from bamopipe.target import compile_target, precision_context
model = Model()
mu = model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
for name in ("delta", "alpha", "omega", "kappa"):
    model.add_node(name, distribution=dx.Normal, parents=dict(loc=mu, scale=1.0))
target = compile_target(model)
with precision_context("float64"):
    draws = target.sample_prior(jax.random.key(0))
    print(target.latent, {name: value.tobytes() for name, value in draws.items()})
"""


def test_draws_do_not_hang_on_the_hash_seed():
    said = set()
    for seed in ("0", "1"):
        run = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SEVERAL_LEAVES],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        said.add(run.stdout)
    assert len(said) == 1


def test_no_draw_is_lost_at_the_end_of_a_batch(monkeypatch):
    """45 draws in batches of 20, each followed by what belongs to it."""
    monkeypatch.setattr(follow, "DRAWS_AT_ONCE", 20)
    model = Model()
    mu = model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
    model.add_node("twice", parents=dict(mu=mu), link_fn=lambda mu: 2 * mu)
    model.add_node("y", distribution=dx.Normal, parents=dict(loc=mu, scale=1.0), observations=1.0)
    draws = np.linspace(-1.0, 1.0, 90).reshape(2, 45)
    with precision_context("float64"):
        found = follow.follow(compile_target(model), jax.random.key(0), {"mu": draws})
    assert found.predictions["y"].shape == (2, 45)
    np.testing.assert_array_equal(found.deterministics["twice"], 2 * draws)


@pytest.mark.parametrize(
    "make_kernel", [gibbs_sampler, lambda model: mcmc_sampler(model, blackjax.nuts)]
)
def test_several_functions_and_matrices_keep_their_shape(make_kernel):
    model = Model()
    f = model.add_node(
        "f",
        distribution=GaussianProcess,
        parents=dict(kernel=kernels.Matern32, x=np.arange(7.0), scale=2.0),
        shape=(3, 2),
    )
    model.add_node("matrix", distribution=tfd.WishartTriL(5.0, jnp.eye(2)))
    model.add_node(
        "y", distribution=dx.Normal, parents=dict(loc=f, scale=1.0), observations=np.ones((3, 2, 7))
    )
    engine = SMCInference(model, make_kernel(model), num_particles=20, num_mutations=1)
    particles = engine.run(jax.random.key(0))["final_state"].particles
    assert particles["f"].shape == (1, 20, 3, 2, 7)
    assert particles["matrix"].shape == (1, 20, 2, 2)
    with precision_context("float64"):
        target = compile_target(model)
        factors = target.log_factors({n: jnp.asarray(v[0, 0]) for n, v in particles.items()})
        assert all(np.isfinite(factor) for factor in factors.values())


@pytest.mark.parametrize("engine", [SMCInference, MCMCInference])
def test_what_nothing_hangs_on_and_vectors_without_a_shape(engine):
    """Both by the default steps: a vector whose parameters make it one, and two loose ends."""
    model = Model()
    theta = model.add_node(
        "theta", distribution=dx.Normal, parents=dict(loc=np.zeros(4), scale=1.0)
    )
    model.add_node("unused", parents=dict(theta=theta), link_fn=lambda theta: theta.sum())
    model.add_node("leaf", distribution=dx.Normal, parents=dict(loc=theta, scale=1.0))
    model.add_node(
        "y", distribution=dx.Normal, parents=dict(loc=theta, scale=1.0), observations=np.ones(4)
    )
    sizes = dict(num_particles=50) if engine is SMCInference else dict(num_samples=50)
    result = engine(model, gibbs_sampler(model), num_chains=1, **sizes).run(jax.random.key(0))
    assert result.status == ("ok",)
    draws = result.draws if engine is MCMCInference else result.final_state.particles
    assert {name: values.shape for name, values in draws.items()} == {
        "theta": (1, 50, 4),
        "leaf": (1, 50, 4),
    }

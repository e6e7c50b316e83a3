"""Full conditionals that are Gaussian: how they are found, and draws from them."""

import blackjax
import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernels import run
from scipy.stats import multivariate_normal, norm
from tensorflow_probability.substrates.jax import distributions as tfd
from test_elements import GROUP, POINTS, points, points_uniform

from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.inference import SMCInference
from bamopipe.samplers import gibbs_sampler
from bamopipe.samplers.gaussian_conditional import GaussianConditional
from bamopipe.samplers.tuned_random_walk import TunedRandomWalk
from bamopipe.target import compile_target, is_quadratic, precision_context

STEPS = {
    "sign": jnp.sign,
    "floor": jnp.floor,
    "round": jnp.round,
    "threshold": lambda x: (x > 0).astype(x.dtype),
    "choice": lambda x: jnp.where(x > 1e6, 2 * x, x),
    "maximum": lambda x: jnp.maximum(x, -1e6),
    "absolute value": jnp.abs,
    "clip": lambda x: jnp.clip(x, -1e6, 1e6),
    "whole number": lambda x: x.astype(int).astype(x.dtype),
    "stopped gradient": jax.lax.stop_gradient,
    "half stopped": lambda x: x + jax.lax.stop_gradient(x),
    "sort": jnp.sort,
    "largest": lambda x: jnp.ones(3) * jnp.argmax(x),
    "loop": lambda x: jax.lax.while_loop(
        lambda s: s[0] < 3, lambda s: (s[0] + 1, 2 * s[1]), (0, x)
    )[1],
    "branch": lambda x: jax.lax.cond(x[0] > 0, lambda: x, lambda: 2 * x),
    "square": jnp.square,
    "exponential": jnp.exp,
    "quotient": lambda x: 1 / (3 + x),
    "product": lambda x: x * x[::-1],
}
LINES = {
    "itself": lambda x: x,
    "groups": lambda x: x[GROUP][:3],
    "regression": lambda x: (
        jnp.array([[1.0, 2.0, 0.5], [0.0, 1.0, 3.0], [1.0, 1.0, 1.0]]) @ x + 4.0
    ),
    "differences": lambda x: jnp.concatenate([x[:1], jnp.diff(x)]),
    "running sum": jnp.cumsum,
    "jitted": jax.jit(lambda x: 2 * x / 3),
}


def seen_through(function, prior=None, observations=(1.0, -2.0, 0.5)):
    """x is normal, and y is normal around a function of it with a scale of its own."""
    model = Model()
    scale = model.add_node("scale", distribution=dx.Gamma(2.0, 1.0))
    shape = () if prior is not None and prior.event_shape else (3,)
    x = model.add_node("x", distribution=prior or dx.Normal(1.0, 2.0), shape=shape)
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(x=x, s=scale),
        link_fn=lambda x, s: dict(loc=function(x), scale=s),
        observations=np.asarray(observations),
    )
    return model


@pytest.mark.parametrize("name", LINES)
def test_what_is_linear_is_found(name):
    target = compile_target(seen_through(LINES[name]))
    assert is_quadratic(target, "x")
    assert not is_quadratic(target, "scale")


@pytest.mark.parametrize("name", STEPS)
def test_what_is_not_linear_is_seen(name):
    """Corners and steps have no second derivative that would tell, however far away."""
    assert not is_quadratic(compile_target(seen_through(STEPS[name])), "x")


@pytest.mark.parametrize(
    "prior",
    [
        dx.Laplace(0.0, 1.0),
        tfd.Uniform(-9.0, 9.0),
        tfd.TruncatedNormal(0.0, 1.0, -9.0, 9.0),
        tfd.HalfNormal(1.0),
        tfd.StudentT(5.0, 0.0, 1.0),
        dx.Gamma(2.0, 1.0),
    ],
    ids=lambda prior: type(prior).__name__,
)
def test_other_priors_are_seen(prior):
    assert not is_quadratic(compile_target(seen_through(lambda x: x, prior)), "x")


def test_scales_and_discrete_children_are_seen():
    model = seen_through(lambda x: x)
    model.add_node("z", distribution=tfd.Poisson, parents=dict(x="x"), observations=np.zeros(3),
                   link_fn=lambda x: dict(log_rate=x))  # fmt: skip
    assert not is_quadratic(compile_target(model), "x")


def test_what_is_named_wins():
    model = seen_through(lambda x: x)
    assert isinstance(gibbs_sampler(model).blocks[1].update, GaussianConditional)
    kernel = gibbs_sampler(model, dict(x=blackjax.normal_random_walk))
    assert kernel.blocks[1].update == TunedRandomWalk()


def test_a_kernel_of_another_model_is_refused():
    kernel = gibbs_sampler(seen_through(lambda x: x))
    target = compile_target(seen_through(jnp.exp))
    with pytest.raises(UserError, match=r"'x': its full conditional is not Gaussian"):
        kernel.check(target)


DESIGN = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [1.0, 4.0]])
RESPONSE, NOISE = np.array([1.0, 2.5, 2.0, 5.0]), 0.7


def regression() -> Model:
    """A Gaussian linear regression with a known scale."""
    model = Model()
    x = model.add_node("x", distribution=dx.Normal(0.0, 2.0), shape=(2,))
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(x=x),
        link_fn=lambda x: dict(loc=DESIGN @ x, scale=NOISE),
        observations=RESPONSE,
    )
    return model


def regression_uniform(x, temperature):
    covariance = np.linalg.inv(np.eye(2) / 4 + temperature * DESIGN.T @ DESIGN / NOISE**2)
    mean = covariance @ (temperature * DESIGN.T @ RESPONSE / NOISE**2)
    white = np.linalg.solve(np.linalg.cholesky(covariance), x - mean[:, None])
    return [norm.cdf(row) for row in white]


@pytest.mark.parametrize(
    ("make_model", "uniform", "axes"),
    [(points, points_uniform, (0,)), (regression, regression_uniform, ())],
)
def test_one_step_is_a_draw_from_the_posterior(make_model, uniform, axes):
    """From 4,000 draws of the prior, at two temperatures, in one step of one round."""
    model, temperatures = make_model(), (1.0, 0.5)
    kernel = gibbs_sampler(model)
    assert kernel.blocks[0].update == GaussianConditional(axes)
    with precision_context("float64"):
        positions = run(kernel, compile_target(model), temperatures, 1)
    for temperature, position in zip(temperatures, positions, strict=True):
        numbers = uniform(np.asarray(position["x"]), temperature)
        root = numbers[0].size ** 0.5
        for row in numbers:
            assert abs(np.mean(row) - 1 / 2) < 4 * (1 / 12) ** 0.5 / root
            assert abs(np.mean(row**2) - 1 / 3) < 4 * (4 / 45) ** 0.5 / root
        assert abs(np.corrcoef(numbers[0], numbers[1])[0, 1]) < 4 / root


def test_evidence_of_a_regression():
    """Against the marginal density of the responses, a Gaussian."""
    covariance = 4 * DESIGN @ DESIGN.T + NOISE**2 * np.eye(4)
    expected = multivariate_normal(np.zeros(4), covariance).logpdf(RESPONSE)
    model = regression()
    engine = SMCInference(model, gibbs_sampler(model), num_particles=1000, num_chains=8)
    result = engine.run(jax.random.key(3))
    assert abs(result.log_evidence - expected) < 4 * result.log_evidence_se
    # One draw forgets all, and as many follow as were looked at.
    assert {stage.num_mutations for stages in result.stages for stage in stages} == {2}


def test_draws_in_single_precision():
    model = points()
    engine = SMCInference(
        model, gibbs_sampler(model), num_particles=4000, num_chains=1, precision="float32"
    )
    draws = engine.run(jax.random.key(4)).final_state.particles["x"][0]
    assert draws.dtype == np.float32
    for row in points_uniform(np.moveaxis(draws, 0, -1), 1.0):
        assert abs(np.mean(row) - 1 / 2) < 4 * (1 / 12) ** 0.5 / row.size**0.5
    assert draws.shape == (4000, *POINTS.shape)

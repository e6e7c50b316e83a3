"""Distributions as noise that their parameters shift and scale, and kernels that keep the noise."""

import functools

import blackjax
import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_eight_schools
from kernels import run, three_schools, three_schools_errors
from tensorflow_probability.substrates.jax import distributions as tfd
from tinygp import kernels

from bamopipe.base import Model
from bamopipe.distributions.autoregressive import AutoRegressive
from bamopipe.distributions.gaussian_process import GaussianProcess
from bamopipe.distributions.noise import from_noise
from bamopipe.errors import UserError
from bamopipe.samplers import gibbs_sampler
from bamopipe.samplers.base import LOG_SCALE, Block, Kernel
from bamopipe.samplers.coordinates import fit, from_coordinates, to_coordinates
from bamopipe.samplers.tuned_random_walk import TunedRandomWalk
from bamopipe.target import Target, compile_target, precision_context

KEY = jax.random.key(41)


@pytest.fixture(autouse=True)
def x64():
    with precision_context("float64"):
        yield


def covariance_factor(scale):
    return scale * jnp.array([[1.0, 0.0], [0.5, 2.0]])


# Each from a place and a scale.
FAMILIES = {
    "dx.Normal": dx.Normal,
    "dx.Laplace": dx.Laplace,
    "dx.Logistic": dx.Logistic,
    "dx.Gumbel": dx.Gumbel,
    "dx.LogStddevNormal": lambda loc, scale: dx.LogStddevNormal(loc, jnp.log(scale)),
    "tfd.Normal": tfd.Normal,
    "tfd.Cauchy": tfd.Cauchy,
    "tfd.HalfCauchy": tfd.HalfCauchy,
    "tfd.Laplace": tfd.Laplace,
    "tfd.Logistic": tfd.Logistic,
    "tfd.StudentT": lambda loc, scale: tfd.StudentT(jnp.asarray(3.0), loc, scale),
    "tfd.LogNormal": tfd.LogNormal,
    "tfd.LogitNormal": tfd.LogitNormal,
    "tfd.HalfNormal": lambda loc, scale: tfd.HalfNormal(scale),
    "tfd.Exponential": lambda loc, scale: tfd.Exponential(1 / scale),
    "tfd.Uniform": lambda loc, scale: tfd.Uniform(loc, loc + scale),
    "dx.Uniform": lambda loc, scale: dx.Uniform(loc, loc + scale),
    "own scales": lambda loc, scale: tfd.Independent(
        tfd.Normal(loc, scale * jnp.array([1.0, 2.0])), reinterpreted_batch_ndims=1
    ),
    "batch": lambda loc, scale: dx.Normal(loc, scale * jnp.array([1.0, 2.0])),
    "sample": lambda loc, scale: tfd.Sample(tfd.Normal(loc, scale), 3),
    "tfd.MultivariateNormalTriL": lambda loc, scale: tfd.MultivariateNormalTriL(
        loc * jnp.ones(2), covariance_factor(scale)
    ),
    "dx.MultivariateNormalTri": lambda loc, scale: dx.MultivariateNormalTri(
        loc * jnp.ones(2), covariance_factor(scale)
    ),
    "dx.MultivariateNormalDiag": lambda loc, scale: dx.MultivariateNormalDiag(
        loc * jnp.ones(2), scale * jnp.array([1.0, 2.0])
    ),
    "AutoRegressive": lambda loc, scale: AutoRegressive(
        jnp.array([0.5, 0.2]), scale, jnp.array([1.0, 2.0]), length=3, intercept=loc
    ),
    "GaussianProcess": lambda loc, scale: GaussianProcess(
        scale**2 * kernels.Matern32(0.7), jnp.array([0.0, 0.3, 1.0]), mean=loc
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_same_noise_whatever_the_parameters(name):
    """What one key draws under two settings of the parameters is the same noise."""
    first, second = (FAMILIES[name](*jnp.array(p)) for p in ((0.3, 1.5), (-1.0, 0.4)))
    draws = [d.sample(seed=KEY, sample_shape=5) for d in (first, second)]
    assert not np.allclose(*draws)
    noise = [
        from_noise(d).inverse(jnp.array(x)) for d, x in zip((first, second), draws, strict=True)
    ]
    np.testing.assert_allclose(*noise, rtol=1e-9, atol=1e-11)
    again = from_noise(second).forward(jnp.array(np.asarray(noise[0])))
    np.testing.assert_allclose(again, draws[1], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", FAMILIES)
def test_jacobian(name):
    made = FAMILIES[name](*jnp.array((0.3, 1.5)))
    noise = from_noise(made).inverse(jnp.array(np.asarray(made.sample(seed=KEY))))
    noise = jnp.array(np.asarray(noise))
    matrix = jax.jacobian(from_noise(made).forward)(noise).reshape(noise.size, noise.size)
    bijector = from_noise(made)
    ndims = bijector.forward_min_event_ndims
    log_det = bijector.forward_log_det_jacobian(noise, event_ndims=ndims)
    total = jnp.sum(jnp.broadcast_to(log_det, noise.shape[: noise.ndim - ndims]))
    np.testing.assert_allclose(total, jnp.linalg.slogdet(matrix)[1], rtol=1e-9, atol=1e-12)


def test_a_family_without_place_and_scale():
    with pytest.raises(UserError, match="Beta is not known as noise"):
        from_noise(dx.Beta(1.0, 2.0))
    batch = tfd.Normal(jnp.zeros(2), 1.0)
    with pytest.raises(UserError, match="parameters of their own"):
        from_noise(tfd.Sample(batch, 3))


def test_members_of_a_group_are_carried():
    target = compile_target(make_eight_schools())
    theta = jnp.linspace(-3.0, 9.0, 8)
    old, new = {"mu": 1.0, "tau": 2.0, "theta": theta}, {"mu": -1.0, "tau": 5.0, "theta": theta}
    assert target.has_noise("theta")
    carried, log_det = target.carry(["theta"], old, new)
    np.testing.assert_allclose(carried["theta"], -1.0 + (theta - 1.0) / 2.0 * 5.0)
    np.testing.assert_allclose(log_det, 8 * np.log(5.0 / 2.0))


def test_coordinates_of_noise():
    """A hierarchy and a function, with the Jacobian of the way to their own space."""
    model = Model()
    scale = model.add_node("scale", distribution=tfd.HalfNormal(1.0))
    mean = model.add_node("mean", distribution=dx.Normal, parents=dict(loc=0.5, scale=scale))
    model.add_node("x", distribution=dx.Normal, parents=dict(loc=mean, scale=scale), shape=3)
    model.add_node("positive", distribution=tfd.HalfNormal, parents=dict(scale=scale))
    model.add_node(
        "f",
        distribution=functools.partial(GaussianProcess, x=np.array([0.0, 0.3, 1.0])),
        parents=dict(kernel=lambda scale: scale**2 * kernels.Matern32(0.7), scale=scale),
    )
    target = compile_target(model)
    names = target.latent
    draws = jax.vmap(target.sample_prior, out_axes=-1)(jax.random.split(KEY, 400))
    noises = fit(target, draws, jnp.zeros(()), names)["as_noise"]
    # Of the prior all is noise, but what is positive has none of all real numbers.
    assert {name: bool(flag) for name, flag in noises.items()} == dict(mean=True, x=True, f=True)
    # Given its parents it stays as it is.
    assert fit(target, draws, jnp.zeros(()), ("x",))["as_noise"] == {}
    position = target.sample_prior(KEY)
    free = to_coordinates(target, position, names, noises)
    again, log_det = from_coordinates(target, free, {}, names, noises)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), again, position)

    def flat(free):
        moved = from_coordinates(target, free, {}, names, noises)[0]
        return jnp.concatenate([jnp.ravel(moved[name]) for name in names])

    np.testing.assert_allclose(log_det, jnp.linalg.slogdet(jax.jacobian(flat)(free))[1], rtol=1e-9)
    noise = (position["x"] - position["mean"]) / position["scale"]
    start = sum(int(np.prod(target.program.shapes[n])) for n in names[: names.index("x")])
    np.testing.assert_allclose(free[start : start + 3], noise, rtol=1e-9)


def test_what_is_carried_carries_on():
    """Through deterministic variables, and down two levels."""
    model = Model()
    spread = model.add_node("spread", distribution=dx.Gamma(2.0, 1.0))
    mean = model.add_node("mean", distribution=dx.Normal, parents=dict(loc=0.0, scale=spread))
    model.add_node("twice", parents=dict(mean=mean), link_fn=lambda mean: 2 * mean)
    model.add_node("x", distribution=tfd.LogNormal, parents=dict(loc="twice", scale=spread))
    target = compile_target(model)
    old = {"spread": 1.0, "mean": 0.5, "x": jnp.exp(1.0 + 0.25)}
    carried, log_det = target.carry(["mean", "x"], old, {**old, "spread": 2.0})
    assert float(carried["mean"]) == pytest.approx(1.0)
    assert float(carried["x"]) == pytest.approx(np.exp(2.0 + 0.5))
    # log scales, and log x of the logarithm's own
    assert float(log_det) == pytest.approx(2 * np.log(2.0) + 2.5 - 1.25)


def joint_kernel(target):
    """Three schools with a walk that carries the effects along, and their own draw."""
    default = gibbs_sampler(target.program.model)
    own = [block for block in default.blocks if block.name == "theta"]
    joint = Block("mu, tau, theta", ("mu", "tau", "theta"), TunedRandomWalk(carried=("theta",)))
    assert joint in default.blocks
    return Kernel((*own, joint), {"theta": {}, joint.name: {LOG_SCALE: 0.0}})


def test_posterior_at_two_temperatures(monkeypatch):
    target, temperatures = compile_target(three_schools()), (1.0, 0.5)

    def largest(kernel):
        positions = run(kernel, target, temperatures, 12)
        errors = [three_schools_errors(p, t) for p, t in zip(positions, temperatures, strict=True)]
        return [max(abs(e) for e in each.values()) for each in errors]

    assert max(largest(joint_kernel(target))) < 4
    carry = Target.carry
    monkeypatch.setattr(Target, "carry", lambda *a: (carry(*a)[0], jnp.zeros(())))
    assert min(largest(joint_kernel(target))) > 8


def blocks_of(model, *arguments, **settings):
    return {b.name: b.update for b in gibbs_sampler(model, *arguments, **settings).blocks}


def test_variables_walk_together_unless_a_person_named_them():
    joint = blocks_of(make_eight_schools())["mu, tau, theta"]
    assert str(joint) == "random walk that tunes itself, and carries theta along"
    named = blocks_of(make_eight_schools(), dict(theta=blackjax.normal_random_walk))
    assert set(named) == {"mu", "tau", "theta", "mu, tau"}
    assert named["mu, tau"] == TunedRandomWalk()
    ordered = blocks_of(make_eight_schools(), order=["mu", "tau", "theta"])
    assert set(ordered) == {"mu", "tau", "theta"}


def test_nothing_walks_that_hangs_on_what_is_carried():
    """Its bounds would move with it."""
    model = Model()
    mu = model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
    low = model.add_node("low", distribution=dx.Normal, parents=dict(loc=mu, scale=1.0))
    model.add_node(
        "x",
        distribution=tfd.TruncatedNormal,
        parents=dict(low=low),
        link_fn=lambda low: dict(loc=0.0, scale=1.0, low=low, high=low + 1.0),
    )
    model.add_node("count", distribution=dx.Bernoulli(probs=0.5))
    assert set(blocks_of(model)) == {"mu", "low", "x", "count", "mu, low"}


def test_a_gaussian_process_moves_along_ellipses():
    model = Model()
    scale = model.add_node("scale", distribution=tfd.HalfNormal(1.0))
    f = model.add_node(
        "f",
        distribution=functools.partial(GaussianProcess, x=np.linspace(0.0, 1.0, 12)),
        parents=dict(kernel=lambda scale: scale**2 * kernels.Matern32(0.7), scale=scale),
    )
    model.add_node("y", distribution=dx.Bernoulli, parents=dict(logits=f), observations=[1] * 12)
    blocks = blocks_of(model)
    assert str(blocks["f"]).startswith("elliptical slice")
    assert blocks["scale, f"] == TunedRandomWalk(carried=("f",))


@pytest.mark.parametrize(("sd", "expected"), [(0.01, False), (100.0, True)])
def test_coordinates_follow_what_the_data_say(sd, expected):
    """Values where observations pin them down, noise where they do not."""
    model = Model()
    scale = model.add_node("scale", distribution=tfd.HalfNormal(1.0))
    x = model.add_node("x", distribution=dx.Normal, parents=dict(loc=0.0, scale=scale), shape=8)
    model.add_node(
        "y", distribution=dx.Normal, parents=dict(loc=x, scale=sd), observations=np.arange(8.0) - 3
    )
    target = compile_target(model)
    # Draws from the posterior: given the scale, each x is normal.
    scales = jnp.abs(jax.random.normal(KEY, (500,))) + (2.0 if sd < 1 else 0.0)
    variance = 1 / (1 / scales**2 + 1 / sd**2)
    noise = jax.random.normal(jax.random.key(1), (8, 500))
    draws = {
        "scale": scales,
        "x": variance * (np.arange(8.0)[:, None] - 3) / sd**2 + jnp.sqrt(variance) * noise,
    }
    assert bool(fit(target, draws, jnp.ones(()), ("scale", "x"))["as_noise"]["x"]) is expected

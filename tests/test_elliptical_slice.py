"""Elliptical slices against exact posteriors, and BlackJAX's."""

from functools import partial

import blackjax
import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tensorflow_probability.substrates.jax import distributions as tfd
from tinygp import kernels as tinygp

from bamopipe.base import Model
from bamopipe.distributions.autoregressive import AutoRegressive
from bamopipe.distributions.gaussian_process import GaussianProcess
from bamopipe.errors import UserError
from bamopipe.samplers import elliptical_slice, gibbs_sampler, mcmc_sampler
from bamopipe.samplers.elliptical_slice import EllipticalSlice
from bamopipe.target import compile_target, precision_context

Y = np.array([1.0, 3.0, 2.5, 4.0])
PHI, INTERCEPT = 0.6, 1.0


@pytest.fixture(autouse=True)
def x64():
    with precision_context("float64"):
        yield


def series() -> Model:
    """A latent series, seen with noise, whose first value has a latent child."""
    model = Model()
    scale = model.add_node("scale", distribution=dx.Gamma(3.0, 1.0))
    f = model.add_node(
        "f",
        distribution=partial(AutoRegressive, length=4),
        parents=dict(coefficients=[PHI], scale=scale, initial=[0.5], intercept=INTERCEPT),
    )
    model.add_node(
        "g",
        distribution=dx.Normal,
        parents=dict(f=f),
        link_fn=lambda f: dict(loc=f[0], scale=0.8),
    )
    model.add_node("y", distribution=dx.Normal, parents=dict(loc=f, scale=1.0), observations=Y)
    return model


def series_errors(temperature: float) -> float:
    """Tell by how many standard errors the worst of means and variances is off.

    The scale is another for each half of the particles.
    """
    model, size, worst = series(), 8000, 0.0
    target = compile_target(model)
    kernel = gibbs_sampler(model, dict(f=blackjax.elliptical_slice))
    kernel.check(target)
    update = kernel.blocks[1].update
    position = {
        "scale": jnp.repeat(jnp.array([0.5, 2.0]), size // 2),
        "f": jnp.zeros((4, size)),
        "g": jnp.full(size, -2.0),
    }

    @jax.jit
    def moved(state):
        def step(index, state):
            key = jax.random.fold_in(jax.random.key(8), index)
            return update(key, state, jnp.asarray(temperature), {}, target, ("f",))[0]

        return jax.lax.fori_loop(0, 40, step, state)

    draws = np.asarray(moved(kernel.init(target, position)).position["f"])
    difference = np.eye(4) - PHI * np.eye(4, k=-1)
    start = np.full(4, INTERCEPT) + PHI * np.array([0.5, 0, 0, 0])
    first = np.array([1.0, 0, 0, 0])
    for half, scale in enumerate((0.5, 2.0)):
        precision = difference.T @ difference / scale**2
        precision += temperature * np.eye(4) + np.outer(first, first) / 0.8**2
        covariance = np.linalg.inv(precision)
        mean = covariance @ (
            difference.T @ start / scale**2 + temperature * Y - 2.0 * first / 0.8**2
        )
        mine = draws[:, half * size // 2 : (half + 1) * size // 2]
        white = np.linalg.solve(np.linalg.cholesky(covariance), mine - mean[:, None])
        root = (size // 2) ** 0.5
        products = white @ white.T / (size // 2)
        errors = np.sqrt(np.where(np.eye(4) == 1, 2.0, 1.0)) / root
        off = [np.abs(white.mean(1)) * root, np.abs(products - np.eye(4)) / errors]
        worst = max(worst, *(o.max() for o in off))
    return worst


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_series_at_its_current_scale(temperature):
    assert series_errors(temperature) < 4


def test_a_tempered_latent_child_would_be_found(monkeypatch):
    """A planted defect."""
    monkeypatch.setattr(
        elliptical_slice, "tempered", lambda target, factors, t: t * sum(factors.values())
    )
    assert series_errors(0.5) > 5


def test_a_prior_that_counts_twice_would_be_found(monkeypatch):
    """A planted defect: the variable's own factor is part of the likelihood as well."""
    original = elliptical_slice.log_factors
    monkeypatch.setattr(
        elliptical_slice,
        "log_factors",
        lambda target, position, names: original(target, position, tuple({*names, "f"})),
    )
    assert series_errors(1.0) > 5


def test_it_is_equal_in_law_to_blackjax():
    """Moments of one step in two dimensions from one point."""
    size, mean = 20_000, np.array([1.0, -1.0])
    covariance = np.array([[2.0, 0.6], [0.6, 0.5]])
    start, seen = np.array([0.0, 0.3]), np.array([2.0, 0.0])
    model = Model()
    x = model.add_node(
        "x", distribution=tfd.MultivariateNormalTriL(mean, np.linalg.cholesky(covariance))
    )
    model.add_node("y", distribution=dx.Normal, parents=dict(loc=x, scale=0.7), observations=seen)
    target, kernel = compile_target(model), mcmc_sampler(model, blackjax.elliptical_slice)
    kernel.check(target)
    state = kernel.init(target, {"x": jnp.broadcast_to(start[:, None], (2, size))})
    moved, infos = kernel.step(
        jax.random.key(1), state, jnp.asarray(1.0), kernel.parameters, target
    )
    assert np.all(infos["position"].acceptance_rate == 1)
    algorithm = blackjax.elliptical_slice(
        lambda x: -jnp.sum((x - seen) ** 2) / 2 / 0.7**2, mean=jnp.asarray(mean), cov=covariance
    )
    keys = jax.random.split(jax.random.key(2), size)
    theirs = jax.jit(
        jax.vmap(lambda key: algorithm.step(key, algorithm.init(jnp.asarray(start)))[0].position)
    )(keys)
    ours, theirs = np.asarray(moved.position["x"]), np.asarray(theirs).T
    for function in (lambda x: x, np.square, lambda x: x[:1] * x[1:], lambda x: np.abs(x - 1)):
        a, b = function(ours), function(theirs)
        error = np.sqrt((a.var(1) + b.var(1)) / size)
        assert np.all(np.abs(a.mean(1) - b.mean(1)) < 4 * error)


def hyper(distribution, **parents) -> Model:
    """A variable whose scale is a latent variable."""
    model = Model()
    scale = model.add_node("scale", distribution=dx.Gamma(3.0, 1.0))
    model.add_node("x", distribution=distribution, parents=dict(scale=scale, **parents))
    return model


def process(scale):
    return scale**2 * tinygp.ExpSquared(1.0)


GAUSSIAN = {
    "normal": lambda: hyper(dx.Normal, loc=np.zeros(3)),
    "normal vector": lambda: hyper(
        lambda scale: tfd.MultivariateNormalDiag(jnp.ones(3), scale * jnp.ones(3))
    ),
    "sample": lambda: hyper(lambda scale: tfd.Sample(tfd.Normal(1.0, scale), 3)),
    "process": lambda: hyper(partial(GaussianProcess, process, np.arange(3.0))),
}
OTHERS = {
    "Student's t": lambda: hyper(tfd.StudentT, df=4.0, loc=0.0),
    "half-normal": lambda: hyper(tfd.HalfNormal),
    "Laplace": lambda: hyper(dx.Laplace, loc=0.0),
    "truncated": lambda: hyper(tfd.TruncatedNormal, loc=0.0, low=-9.0, high=9.0),
}


@pytest.mark.parametrize("name", GAUSSIAN)
def test_gaussian_priors_keep_their_moments(name):
    """Nothing was seen: every step is a draw from the prior, or close to one."""
    model, size = GAUSSIAN[name](), 4000
    target = compile_target(model)
    kernel = gibbs_sampler(model, dict(x=blackjax.elliptical_slice))
    kernel.check(target)
    keys = jax.random.split(jax.random.key(4), size)
    start = {**jax.vmap(target.sample_prior, out_axes=-1)(keys), "scale": jnp.full(size, 2.0)}
    start["x"] = jax.vmap(lambda key, s: target.sample_prior(key, {"scale": s})["x"], out_axes=-1)(
        keys, start["scale"]
    )
    state, _ = kernel.blocks[1].update(
        jax.random.key(5), kernel.init(target, start), jnp.asarray(1.0), {}, target, ("x",)
    )
    before, after = (s.reshape(-1, size) for s in (start["x"], state.position["x"]))
    mean = np.asarray(target.prior_mean(["x"], {"scale": jnp.asarray(2.0)})["x"]).ravel()
    assert np.all(before != after)
    for draws in (before, after):
        assert np.all(np.abs(draws.mean(1) - mean) < 4 * 2 / size**0.5)
        assert np.all(np.abs(draws.var(1) - 4) < 4 * 4 * (2 / size) ** 0.5)


@pytest.mark.parametrize("name", OTHERS)
def test_other_priors_are_refused(name):
    model = OTHERS[name]()
    kernel = gibbs_sampler(model, dict(x=blackjax.elliptical_slice))
    message = "^elliptical_slice cannot move variable 'x', whose prior .* use blackjax.nuts"
    with pytest.raises(UserError, match=message):
        kernel.check(compile_target(model))


def test_a_joint_prior_that_is_not_gaussian_is_refused():
    model = Model()
    a = model.add_node("a", distribution=dx.Normal(0.0, 1.0))
    model.add_node("b", distribution=dx.Normal, parents=dict(a=a),
                   link_fn=lambda a: dict(loc=a**2, scale=1.0))  # fmt: skip
    target = compile_target(model)
    gibbs_sampler(model, dict(b=blackjax.elliptical_slice)).check(target)
    with pytest.raises(UserError, match="'a, b' together, whose joint prior"):
        gibbs_sampler(model, {("a", "b"): blackjax.elliptical_slice}).check(target)


def test_settings_are_refused():
    with pytest.raises(UserError, match="elliptical_slice takes no settings here, got cov"):
        gibbs_sampler(series(), dict(f=blackjax.elliptical_slice), dict(f=dict(cov=1.0)))


def test_it_describes_itself():
    kernel = gibbs_sampler(series(), dict(f=blackjax.elliptical_slice))
    assert kernel.blocks[1].update == EllipticalSlice()
    assert str(kernel.blocks[1].update) == "elliptical slice, as its prior is Gaussian"

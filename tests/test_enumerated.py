"""Draws of discrete variables over all their values, against exact probabilities."""

import itertools

import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kernels import run
from scipy.stats import norm
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.samplers import enumerated_draw, gibbs_sampler
from bamopipe.samplers.default_update import LARGEST_SWEEP
from bamopipe.samplers.enumerated_draw import EnumeratedDraw
from bamopipe.samplers.integer_walk import IntegerWalk
from bamopipe.target import compile_target, possible_values, precision_context

Y = np.array([-1.0, 0.3, 2.5, 1.0, 0.9])
MEANS = np.array([-0.5, 1.5])


@pytest.fixture(autouse=True)
def x64():
    with precision_context("float64"):
        yield


def mixture() -> Model:
    """Each observation is of one of two groups."""
    model = Model()
    z = model.add_node("z", distribution=dx.Bernoulli(probs=0.3), shape=(5,))
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(z=z, means=MEANS),
        link_fn=lambda z, means: dict(loc=means[z], scale=1.0),
        observations=Y,
    )
    return model


def test_independent_elements_are_drawn_at_once():
    """In one step from the prior, at two temperatures."""
    model, temperatures = mixture(), (1.0, 0.5)
    kernel = gibbs_sampler(model)
    assert kernel.blocks[0].update == EnumeratedDraw((0, 1), (0,))
    positions = run(kernel, compile_target(model), temperatures, 1)
    for t, position in zip(temperatures, positions, strict=True):
        odds = 0.3 / 0.7 * np.exp(t * (norm.logpdf(Y, MEANS[1]) - norm.logpdf(Y, MEANS[0])))
        check(np.asarray(position["z"]), odds / (1 + odds))


def check(draws, probability) -> None:
    size = draws.shape[-1]
    error = (probability * (1 - probability) / size) ** 0.5
    assert np.all(np.abs(draws.mean(-1) - probability) < 4 * error)


WEIGHTS = np.array([1.0, 2.0, -1.0])


def sums() -> Model:
    """Only a weighted sum of the bits was seen, so that they depend on each other."""
    model = Model()
    bits = model.add_node("bits", distribution=tfd.Bernoulli(probs=0.4), shape=(3,))
    kind = model.add_node("kind", distribution=tfd.OneHotCategorical(probs=[0.2, 0.0, 0.8]))
    count = model.add_node(
        "count", distribution=tfd.Binomial, parents=dict(total_count=2, probs=0.5)
    )
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(bits=bits, kind=kind, count=count),
        link_fn=lambda bits, kind, count: dict(
            loc=WEIGHTS @ bits + kind @ jnp.array([0.0, 9.0, 1.0]) + count, scale=1.0
        ),
        observations=1.5,
    )
    return model


def test_dependent_elements_are_drawn_one_after_the_other():
    """Against sums over all values."""
    model, temperatures = sums(), (1.0, 0.5)
    kernel = gibbs_sampler(model)
    assert [type(block.update) for block in kernel.blocks] == [EnumeratedDraw] * 3
    target = compile_target(model)
    kernel.check(target)
    positions = run(kernel, target, temperatures, 2)
    for t, position in zip(temperatures, positions, strict=True):
        weights, rows = [], []
        for *bits, kind, count in itertools.product([0, 1], [0, 1], [0, 1], [0, 2], [0, 1, 2]):
            prior = 0.4 ** sum(bits) * 0.6 ** (3 - sum(bits))
            prior *= [0.2, 0.0, 0.8][kind] * [0.25, 0.5, 0.25][count]
            mean = WEIGHTS @ bits + kind / 2 + count
            weights.append(prior * np.exp(t * norm.logpdf(1.5, mean)))
            rows.append([*bits, kind == 2, count == 0, count == 1, bits[0] * bits[1]])
        expected = np.array(weights) @ np.array(rows, float) / np.sum(weights)
        bits, kind, count = (np.asarray(position[n]) for n in ("bits", "kind", "count"))
        draws = np.stack([*bits, kind[2], count == 0, count == 1, bits[0] * bits[1]])
        check(draws, expected)
        assert np.all(kind.sum(0) == 1)


def with_latent_child() -> Model:
    model = Model()
    kind = model.add_node("kind", distribution=tfd.Categorical(probs=[0.5, 0.3, 0.2]))
    theta = model.add_node("theta", distribution=dx.Normal, parents=dict(loc=kind, scale=1.0))
    model.add_node(
        "y", distribution=dx.Normal, parents=dict(loc=theta, scale=1.0), observations=1.0
    )
    return model


def draw_given_theta() -> None:
    model = with_latent_child()
    target, kernel = compile_target(model), gibbs_sampler(model)
    state = kernel.init(target, {"kind": jnp.zeros(4000, int), "theta": jnp.full(4000, 1.6)})
    moved, _ = kernel.blocks[0].update(
        jax.random.key(3), state, jnp.asarray(0.5), {}, target, ("kind",)
    )
    weights = np.array([0.5, 0.3, 0.2]) * norm.pdf(1.6, np.arange(3))
    draws = np.asarray(moved.position["kind"])
    check(np.stack([draws == k for k in range(3)]), weights / weights.sum())


def test_a_latent_child_is_not_tempered():
    draw_given_theta()


def test_a_tempered_latent_child_would_be_found(monkeypatch):
    """A planted defect."""
    monkeypatch.setattr(
        enumerated_draw,
        "tempered",
        lambda target, factors, t: factors["kind"] + t * factors["theta"],
    )
    with pytest.raises(AssertionError):
        draw_given_theta()


def test_rows_of_which_each_depends_on_itself():
    """Two chains of states: independent of each other, but not their steps."""
    model = Model()
    z = model.add_node("z", distribution=dx.Bernoulli(probs=0.5), shape=(2, 3))
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(z=z),
        link_fn=lambda z: dict(loc=jnp.sum(z, axis=1), scale=1.0),
        observations=[0.0, 3.0],
    )
    kernel = gibbs_sampler(model)
    assert kernel.blocks[0].update == EnumeratedDraw((0, 1), (0,))
    (position,) = run(kernel, compile_target(model), (1.0,), 2)
    for row, seen in enumerate((0.0, 3.0)):
        sums = np.arange(4)
        weights = np.array([1, 3, 3, 1]) * norm.pdf(seen, sums)
        found = np.asarray(position["z"][row]).sum(0)
        check(np.stack([found == k for k in sums]), weights / weights.sum())


def test_values_that_depend_on_another_variable_are_not_listed():
    model = Model()
    n = model.add_node("n", distribution=tfd.Poisson(3.0))
    model.add_node("k", distribution=tfd.Binomial, parents=dict(total_count=n, probs=0.5))
    target = compile_target(model)
    assert possible_values(target, "n") is None
    assert possible_values(target, "k") is None
    assert isinstance(gibbs_sampler(model).blocks[1].update, IntegerWalk)


def test_many_dependent_elements_walk():
    model = Model()
    bits = model.add_node("bits", distribution=dx.Bernoulli(probs=0.5), shape=(LARGEST_SWEEP,))
    model.add_node("y", distribution=dx.Normal, parents=dict(b=bits), observations=0.0,
                   link_fn=lambda b: dict(loc=jnp.sum(b), scale=1.0))  # fmt: skip
    assert isinstance(gibbs_sampler(model).blocks[0].update, IntegerWalk)


def test_a_kernel_of_another_model_is_refused():
    other = Model()
    other.add_node("z", distribution=tfd.Categorical(probs=[0.2, 0.3, 0.5]), shape=(5,))
    with pytest.raises(UserError, match="'z': this variable has other values"):
        gibbs_sampler(mixture()).check(compile_target(other))

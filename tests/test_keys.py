"""Keys made on the host are as good as those that JAX makes."""

import distrax as dx
import jax
import numpy as np
import pytest
from scipy import stats

from bamopipe.base import Model
from bamopipe.inference import prior_draws
from bamopipe.inference.keys import derived, split
from bamopipe.samplers import gibbs_sampler
from bamopipe.target import compile_target, precision_context

IMPLEMENTATIONS = ("threefry2x32", "rbg")


def words(keys) -> list[tuple[int, ...]]:
    return [tuple(row) for row in np.atleast_2d(jax.random.key_data(keys)).tolist()]


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_all_keys_are_different_and_always_the_same(impl):
    def many(seed):
        key = jax.random.key(seed, impl=impl)
        own = [derived(key, name, *at) for name in "ab" for at in ((), (1,), (1, 1), (0, 1))]
        return [w for k in own for w in [*words(k), *words(split(k, 500))]]

    found = [*many(0), *many(1), *many(-1)]
    assert len({*found}) == len(found) == 3 * 8 * 501
    assert many(1) == many(1)
    assert split(jax.random.key(0, impl=impl), 3).dtype == jax.random.key(0, impl=impl).dtype


def test_fewer_keys_are_the_first_of_many():
    key = jax.random.key(3)
    assert words(split(key, 5)) == words(split(key, 8))[:5]


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_what_is_drawn_with_them_is_independent(impl):
    """Of normal numbers by neighbouring keys, and by the keys of two names: p over 1e-4 each."""
    key = jax.random.key(4, impl=impl)
    size = 20_000
    a, b = (
        np.asarray(jax.vmap(jax.random.normal)(split(derived(key, name), size))) for name in "ab"
    )
    assert stats.kstest(a, "norm").pvalue > 1e-4
    for x, y in ((a, b), (a[1:], a[:-1]), (a[1:] ** 2, a[:-1] ** 2)):
        assert stats.pearsonr(x, y).pvalue > 1e-4


def test_a_prior_draw_does_not_hang_on_other_variables():
    def drawn(*names):
        model = Model()
        for name in names:
            model.add_node(name, distribution=dx.Normal(0.0, 1.0))
        model.add_node(
            "y", distribution=dx.Normal, parents=dict(loc="b", scale=1.0), observations=1
        )
        with precision_context("float64"):
            target = compile_target(model)
            return prior_draws.draw(gibbs_sampler(model), 50, target, jax.random.key(5)).position

    few, many = drawn("b"), drawn("a", "b", "c")
    np.testing.assert_array_equal(few["b"], many["b"])
    assert abs(stats.pearsonr(many["a"], many["b"]).statistic) < 0.9

"""The noise of random walks is standard normal, and independent."""

import jax
import numpy as np
import pytest
from scipy import stats

from bamopipe.samplers.normal import noise_and_uniform, standard_normal

SIZE = 1_000_000


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(standard_normal(jax.random.key(2026), (SIZE,), "float64"))


def test_distribution(noise):
    """A million numbers, in all and by the half that a pair's number comes from."""
    for part in (noise, noise[: SIZE // 2], noise[SIZE // 2 :]):
        assert stats.kstest(part, "norm").pvalue > 1e-4
        for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3), (6, 15)):
            error = np.std(part**power) / len(part) ** 0.5
            assert abs(np.mean(part**power) - moment) < 4 * error


@pytest.mark.parametrize("bound", [3, 4])
def test_tails(noise, bound):
    expected = SIZE * stats.norm.sf(bound)
    for count in (np.sum(noise > bound), np.sum(noise < -bound)):
        assert abs(count - expected) < 4 * expected**0.5


def test_the_two_of_a_pair_are_independent(noise):
    """The direction of a pair is uniform, in each of 64 parts of the circle, whatever its length.

    Leaving out the turn, or either of the mirrors, leaves whole parts empty.
    """
    x, y = np.split(noise, 2)
    long = x**2 + y**2 > 2 * np.log(2)  # half of all
    part = np.floor((np.arctan2(y, x) / (2 * np.pi) + 0.5) * 64).astype(int) % 64
    counts = np.stack([np.bincount(part[choice], minlength=64) for choice in (long, ~long)])
    assert stats.chisquare(counts.ravel()).pvalue > 1e-4


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (2, 3, 4), (0,)])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_shape_and_type(shape, precision):
    with jax.enable_x64(precision == "float64"):
        found = standard_normal(jax.random.key(0), shape, precision)
    assert found.shape == shape
    assert found.dtype == precision
    assert np.all(np.isfinite(found))


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_noise_and_uniform(precision):
    """Arrays of odd sizes from one key: each has its distribution, and all are independent."""
    size = SIZE // 10 + 1
    with jax.enable_x64(precision == "float64"):
        noise, uniform = jax.device_get(
            noise_and_uniform(jax.random.key(1), [(size,), (3, size)], (2, size), precision)
        )
    assert [x.shape for x in noise] == [(size,), (3, size)]
    assert uniform.shape == (2, size)
    assert {x.dtype for x in (*noise, uniform)} == {np.dtype(precision)}
    assert np.all((uniform >= 0) & (uniform < 1))
    even = np.concatenate([stats.norm.cdf(np.vstack(noise)), uniform])
    for row in even:
        assert stats.kstest(row, "uniform").pvalue > 1e-4
    # Of the numbers and of how far from the middle they are, which pairs might share.
    for rows in (even, np.abs(even - 0.5)):
        correlation = np.corrcoef(rows) - np.eye(len(rows))
        assert np.max(np.abs(correlation)) < 4.5 / size**0.5

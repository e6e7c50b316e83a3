"""The noise of random walks is standard normal, and independent."""

import jax
import numpy as np
import pytest
from scipy import stats

from bamopipe.samplers.normal import Shapes, draw_noise

SIZE = 1_000_000


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    with jax.enable_x64(True):
        (drawn,) = draw_noise(jax.random.key(2026), [Shapes([(SIZE,)])], "float64")
    return np.asarray(drawn.normal[0])


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


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_noise_of_several_moves(precision):
    """Arrays of odd sizes from one key: each has its distribution, and all are independent."""
    size = SIZE // 10 + 1
    shapes = [Shapes([(size,), (3, size)], (2, size)), Shapes([(1, size)]), Shapes([], (size,))]
    with jax.enable_x64(precision == "float64"):
        noise = jax.device_get(draw_noise(jax.random.key(1), shapes, precision))
    for found, wanted in zip(noise, shapes, strict=True):
        assert [x.shape for x in found.normal] == wanted.normal
        assert found.uniform.shape == wanted.uniform
        assert np.all((found.uniform >= 0) & (found.uniform < 1))
    normal = np.vstack([x for one in noise for x in one.normal])
    uniform = np.vstack([one.uniform for one in noise if one.uniform.size])
    assert {normal.dtype, uniform.dtype} == {np.dtype(precision)}
    even = np.concatenate([stats.norm.cdf(normal), uniform])
    assert even.shape == (8, size)
    for row in even:
        assert stats.kstest(row, "uniform").pvalue > 1e-4
    # Of the numbers and of how far from the middle they are, which pairs might share.
    for rows in (even, np.abs(even - 0.5)):
        correlation = np.corrcoef(rows) - np.eye(len(rows))
        assert np.max(np.abs(correlation)) < 4.5 / size**0.5


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (2, 3, 4), (0,)])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_shape_and_type(shape, precision):
    with jax.enable_x64(precision == "float64"):
        (noise,) = draw_noise(jax.random.key(0), [Shapes([shape])], precision)
    (found,) = noise.normal
    assert found.shape == shape
    assert found.dtype == precision
    assert np.all(np.isfinite(found))

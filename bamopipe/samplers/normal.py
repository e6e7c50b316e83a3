"""The random numbers of moves, on which random walks spend most of their time."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

# Of sin(x) / x and cos(x) in powers of x^2, highest first; exact to rounding for |x| < pi / 4.
_SINE = np.array([(-1) ** k / math.factorial(2 * k + 1) for k in reversed(range(8))])
_COSINE = np.array([(-1) ** k / math.factorial(2 * k) for k in reversed(range(9))])


class Shapes(NamedTuple):
    """Of the random numbers that a move takes, see `Noise`."""

    normal: Sequence[tuple[int, ...]]
    uniform: tuple[int, ...] = (0,)


class Noise(NamedTuple):
    """The random numbers of a move.

    Attributes
    ----------
    normal
        Arrays of independent standard normal numbers.
    uniform
        Numbers uniform in [0, 1), to accept or reject by.
    """

    normal: list[Array]
    uniform: Array


def draw_noise(key: Array, shapes: Sequence[Shapes], dtype) -> list[Noise]:
    """Draw the random numbers of several moves at once.

    Each use of a key is a loop of its own, which with what follows from it takes as long to
    compile as all else in a random walk; so there is one for all.

    In double precision normal numbers come by pairs, as points in the plane of a random length and
    direction (Box and Muller 1958), which on processors takes a half to a third of the time of
    `jax.random.normal`: its inverse error function costs several times what random bits do. The
    direction is a random angle within one eighth of the circle either side of an axis, for which
    short polynomials suffice, and three more random bits, which say where that is. In single
    precision JAX's own is as fast.

    Parameters
    ----------
    key
        For all numbers together.
    shapes
        Of the numbers of each move.
    dtype
        Of all numbers.

    References
    ----------
    Box and Muller (1958), Annals of Mathematical Statistics 29, 610-611.

    Examples
    --------
    >>> import jax
    >>> from bamopipe.samplers.normal import Shapes, draw_noise
    >>> with jax.enable_x64(True):
    ...     shapes = [Shapes([(8, 1000)], (1000,)), Shapes([(1000,)])]
    ...     walk, draw = draw_noise(jax.random.key(0), shapes, "float64")
    >>> walk.normal[0].shape, walk.uniform.shape, draw.normal[0].dtype
    ((8, 1000), (1000,), dtype('float64'))
    """
    normal_shapes = [shape for one in shapes for shape in one.normal]
    uniform_shapes = [one.uniform for one in shapes]
    num_normal, num_uniform = (
        sum(map(math.prod, every)) for every in (normal_shapes, uniform_shapes)
    )
    if np.dtype(dtype) == np.float64:
        in_pairs = 2 * -(-num_normal // 2)
        bits = jax.random.bits(key, (in_pairs + num_uniform,), "uint64")
        normal = _normal(bits[:in_pairs])[:num_normal]
        uniform = _from_1_to_2(bits[in_pairs:]) - 1
    else:
        normal_key, uniform_key = jax.random.split(key)
        normal = jax.random.normal(normal_key, (num_normal,), dtype)
        uniform = jax.random.uniform(uniform_key, (num_uniform,), dtype)
    normals, uniforms = _cut(normal, normal_shapes), _cut(uniform, uniform_shapes)
    return [Noise([next(normals) for _ in one.normal], next(uniforms)) for one in shapes]


def _cut(numbers: Array, shapes: Sequence[tuple[int, ...]]) -> Iterator[Array]:
    """Cut a vector into arrays."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    parts = jnp.split(numbers, ends)
    return (part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))


def _normal(bits: Array) -> Array:
    first, second = bits.reshape(2, -1)
    length = jnp.sqrt(-2 * jnp.log(2 - _from_1_to_2(first)))
    angle = (_from_1_to_2(second) - 1.5) * (math.pi / 2)
    square = angle * angle
    x, y = angle * jnp.polyval(_SINE, square, unroll=16), jnp.polyval(_COSINE, square, unroll=16)
    # The lowest 12 bits, which the angle leaves over, turn and mirror the point.
    x, y = jnp.where(second & 1 == 1, y, x), jnp.where(second & 1 == 1, x, y)
    x, y = jnp.where(second & 2 == 2, -x, x), jnp.where(second & 4 == 4, -y, y)
    # Put together by itself, or XLA computes each length twice.
    pair = jax.lax.optimization_barrier((length * x, length * y))
    return jnp.concatenate(pair)


def _from_1_to_2(bits: Array) -> Array:
    """Make the upper 52 of 64 random bits a number, uniform in [1, 2)."""
    return jax.lax.bitcast_convert_type((bits >> 12) | np.uint64(0x3FF << 52), np.float64)

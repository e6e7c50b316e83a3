"""Free coordinates of a block of variables, and their shape, for kernels that tune themselves."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import solve_triangular

from bamopipe.target import Position, Target, tempered

AsNoise = Mapping[str, Array | bool]
NOTHING: AsNoise = MappingProxyType({})

LARGEST_DENSE = 500
"""Coordinates up to which the shape of steps has correlations where nobody says whether.

With correlations every gradient costs two products with a square matrix. On one core, with a
density that costs nothing, a step of `hmc` (five gradients) takes one chain 4, 20, 45 and 130 to
200 times as long as without them, with 100, 300, 500 and 1,000 coordinates: 0.04, 0.3 to 0.8, 1.4
to 2.7 and 11 to 14 ms. A thousand particles, which share the matrix, take 2 to 6 times as long.
Without correlations it takes more gradients, by the root of their condition number. Up to 500 a
gradient takes half a millisecond more at most, which is little beside that of most models of this
size; with 1,000 it takes 2 to 3 ms more, and grows with the square.
"""

# A gradient may need far more memory than a particle has: several square matrices, for instance.
GRADIENTS_AT_ONCE = 50


def to_coordinates(
    target: Target,
    position: Position,
    variables: tuple[str, ...],
    as_noise: AsNoise = NOTHING,
) -> Array:
    """Return the unconstrained values of some variables of one particle as one vector.

    A variable without a known way to the unconstrained space keeps its own values; where
    `as_noise` says so, its noise stands for it.
    """
    own, free = _split(target, position, variables)
    values = {**own, **_unconstrain(target, free, position, as_noise)}
    return jnp.concatenate([jnp.ravel(values[name]) for name in variables])


def from_coordinates(
    target: Target,
    coordinates: Array,
    position: Position,
    variables: tuple[str, ...],
    as_noise: AsNoise = NOTHING,
) -> tuple[Position, Array]:
    """Return the variables at these coordinates, and the log determinant of the Jacobian.

    Parameters
    ----------
    target
        The compiled model.
    coordinates
        A vector as `to_coordinates` returns it.
    position
        Of one particle, for the values of all other variables.
    variables
        Which variables the coordinates are of.
    as_noise
        Of some of these, whether their coordinates are their noise; from `fit`.
    """
    shapes = coordinate_shapes(target, variables)
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    parts = jnp.split(coordinates, ends)
    values = {n: x.reshape(s) for n, x, s in zip(variables, parts, shapes, strict=True)}
    own, free = _split(target, values, variables)
    if not free:
        return own, jnp.zeros(())
    given = {name: value for name, value in {**position, **own}.items() if name not in free}
    constrained, log_det = target.constrain(free, given, as_noise)
    return {**own, **constrained}, log_det


def coordinate_shapes(target: Target, variables: tuple[str, ...]) -> list[tuple[int, ...]]:
    """Return the shapes of the variables' free values, or of their own where there is none."""
    shapes, free_shapes = target.program.shapes, target.program.free_shapes
    return [shapes[n] if (free := free_shapes[n]) is None else free for n in variables]


def fences(values: Array) -> tuple[Array, Array]:
    """Return bounds for each row that only stray values are outside of.

    They are three interquartile ranges away from the quartiles (Tukey 1977, "far out"), where a
    normal distribution has one value in a million. NaN is left out of account.
    """
    low, high = quartiles(values)
    reach = jnp.where(high > low, 3 * (high - low), jnp.inf)
    return low - reach, high + reach


def quartiles(values: Array) -> tuple[Array, Array]:
    """Return the lower and the upper quartile of each row; NaN is left out of account."""
    kind = np.dtype(f"i{values.dtype.itemsize}")

    def flip(bits: Array) -> Array:
        return jnp.where(bits < 0, bits ^ np.iinfo(kind).max, bits)

    # As whole numbers in the same order, which processors sort four times as fast.
    keys = flip(jax.lax.bitcast_convert_type(values, kind))
    ordered = jnp.sort(jnp.where(jnp.isnan(values), np.iinfo(kind).max, keys), axis=1)
    last = jnp.sum(~jnp.isnan(values), axis=1, keepdims=True) - 1

    def at(share: float) -> Array:
        below = (share * last).astype(int)
        places = jnp.concatenate([below, jnp.minimum(below + 1, last)], axis=1)
        found = flip(jnp.take_along_axis(ordered, places, axis=1))
        low, high = jnp.split(jax.lax.bitcast_convert_type(found, values.dtype), 2, axis=1)
        part = (share * last - below).astype(low.dtype)
        return low * (1 - part) + high * part

    return at(0.25), at(0.75)


def location_and_shape(
    target: Target,
    position: Position,
    variables: tuple[str, ...],
    is_diagonal: bool | None = None,
) -> tuple[Array, Array]:
    """Return the particles' mean, and their shape: a factor of their covariance.

    The factor is lower triangular, or, if it is diagonal, a vector of standard deviations. The
    sample covariance is shrunk towards its diagonal, the more so the fewer particles there are
    for each coordinate. Stray values, as heavy tails have them, are drawn in to `fences`.
    Coordinates in which all particles agree get a scale of one.

    Parameters
    ----------
    target
        The compiled model.
    position
        Particles last.
    variables
        Whose coordinates.
    is_diagonal
        Whether correlations are left out of account; by default if there are more than
        `LARGEST_DENSE` coordinates.
    """
    to_all = jax.vmap(lambda p: to_coordinates(target, p, variables), in_axes=-1, out_axes=-1)
    return moments(to_all(position), is_diagonal)


def fit(
    target: Target,
    position: Position,
    temperature: Array | None,
    variables: tuple[str, ...],
    is_diagonal: bool | None = None,
) -> dict[str, Any]:
    """Return the parameters of a kernel that moves in coordinates fitted to the particles.

    Variables that others among them shift and scale have noise, which may make better coordinates
    than their own values do. Where the data say little, it is distributed in the same way whatever
    the parents are, and kernels that move all together meet no funnels: the non-centred
    parametrisation of a hierarchy, the whitened one of a Gaussian process. Where the data say much,
    it is the noise that has to follow the parents.

    In standardised coordinates the mean square of the gradient of the log density is one for each
    coordinate if they are normal, and more if they are not (the Fisher divergence from a normal
    distribution). It is large where there are narrow places, which steps of one size cannot enter.
    What is chosen makes it small.

    Parameters
    ----------
    target, position, variables, is_diagonal
        As for `location_and_shape`.
    temperature
        Of the target that the particles were drawn from; without it own values are chosen.

    Returns
    -------
    dict
        "as_noise": variable -> whether its coordinates shall be its noise, of all that have noise;
        "middle" and "shape" from `location_and_shape`.

    References
    ----------
    Gorinova, Moore and Hoffman (2020), Automatic reparameterisation of probabilistic programs, who
    choose by another divergence.
    """
    names = tuple(
        name
        for name in variables
        if target.has_real_noise(name) and (target.program.upstream[name] - {name}) & {*variables}
    )
    if temperature is None or not names:
        middle, shape = location_and_shape(target, position, variables, is_diagonal)
        return {"middle": middle, "shape": shape, "as_noise": {}}
    factors = target.touching(variables)
    particles_first = jax.tree.map(lambda values: jnp.moveaxis(values, -1, 0), position)

    def divergence(flags: Array) -> tuple[Array, tuple[Array, Array]]:
        as_noise = dict(zip(names, flags, strict=True))

        def at(position):
            def log_density(x):
                moved, log_det = from_coordinates(target, x, position, variables, as_noise)
                known = target.log_factors({**position, **moved}, factors)
                return tempered(target, known, temperature) + log_det

            x = to_coordinates(target, position, variables, as_noise)
            return x, jax.grad(log_density)(x)

        x, gradient = jax.tree.map(
            lambda rows: rows.T, jax.lax.map(at, particles_first, batch_size=GRADIENTS_AT_ONCE)
        )
        middle, shape = moments(x, is_diagonal)
        square = jnp.sum(spread(shape.T, gradient) ** 2, axis=0)
        return jnp.nanmean(jnp.where(jnp.isfinite(square), square, jnp.nan)), (middle, shape)

    def try_own(index, best):
        """Let one of them have its own values; none the first time."""
        flags, least, _ = best
        other = jnp.where(jnp.arange(len(names)) == index - 1, False, flags)
        value, fitted = divergence(other)
        # The first counts even where it is not a number, since there has to be a shape.
        is_better = (value < least) | (index == 0)
        return jax.tree.map(
            partial(jnp.where, is_better), (other, jnp.fmin(value, least), fitted), best
        )

    flags = jnp.ones(len(names), bool)
    _, fitted = jax.eval_shape(divergence, flags)
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), fitted)
    best = (flags, jnp.asarray(jnp.inf, temperature.dtype), nothing)
    flags, _, (middle, shape) = jax.lax.fori_loop(0, len(names) + 1, try_own, best)
    return {"middle": middle, "shape": shape, "as_noise": dict(zip(names, flags, strict=True))}


def spread(shape: Array, x: Array) -> Array:
    """Give standardised coordinates, of one particle or of many (last axis), a shape."""
    return shape @ x if shape.ndim == 2 else _column(shape, x) * x


def standardise(shape: Array, x: Array) -> Array:
    """Undo `spread`."""
    if shape.ndim == 2:
        return solve_triangular(shape, x, lower=True)
    return x / _column(shape, x)


def _column(shape: Array, x: Array) -> Array:
    return shape[:, None] if x.ndim == 2 else shape


def moments(x: Array, is_diagonal: bool | None = None) -> tuple[Array, Array]:
    """Return what `location_and_shape` does, of coordinates of shape (coordinate, particle)."""
    is_diagonal = len(x) > LARGEST_DENSE if is_diagonal is None else is_diagonal
    # A value at the very edge of its support has coordinates that are not finite.
    usable = jnp.all(jnp.isfinite(x), axis=0)
    x = jnp.clip(x, *fences(jnp.where(usable, x, jnp.nan)))
    count = jnp.maximum(jnp.sum(usable), 1)

    def mean(rows):
        return jnp.sum(jnp.where(usable, rows, 0.0), axis=1, keepdims=True) / count

    rounding = 4 * jnp.finfo(x.dtype).eps * jnp.max(jnp.where(usable, jnp.abs(x), 0.0), axis=1)
    middle = mean(x)
    x = x - middle
    # Scaled before it is squared, which could overflow.
    largest = jnp.max(jnp.where(usable, jnp.abs(x), 0.0), axis=1)
    differs = largest > rounding
    largest = jnp.where(differs, largest, 1.0)[:, None]
    x = jnp.where(usable & differs[:, None], x / largest, 0.0)
    scale = jnp.where(differs[:, None], jnp.sqrt(mean(x * x)), 1.0)
    if is_diagonal:
        return middle[:, 0], (largest * scale)[:, 0]
    x = x / scale
    shrinkage = len(x) / (len(x) + count)
    correlation = (1 - shrinkage) * (x @ x.T / count)
    correlation = jnp.fill_diagonal(correlation, 1.0, inplace=False)
    return middle[:, 0], largest * scale * jnp.linalg.cholesky(correlation)


def _split(target: Target, values: Position, variables: tuple[str, ...]):
    """Part variables that keep their own values from those with unconstrained ones."""
    own = {n: values[n] for n in variables if target.program.free_shapes[n] is None}
    return own, {n: values[n] for n in variables if n not in own}


def _unconstrain(target: Target, free: Position, position: Position, as_noise: AsNoise) -> Position:
    if not free:
        return {}
    given = {n: v for n, v in position.items() if n not in free}
    return target.unconstrain(free, given, as_noise)

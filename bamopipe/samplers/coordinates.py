"""Free coordinates of a block of variables, and their shape, for kernels that tune themselves."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bamopipe.target import Position, Target


def to_coordinates(target: Target, position: Position, variables: tuple[str, ...]) -> Array:
    """Return the unconstrained values of some variables of one particle as one vector.

    A variable without a known way to the unconstrained space keeps its own values.
    """
    own, free = _split(target, position, variables)
    values = {**own, **_unconstrain(target, free, position)}
    return jnp.concatenate([jnp.ravel(values[name]) for name in variables])


def from_coordinates(
    target: Target, coordinates: Array, position: Position, variables: tuple[str, ...]
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
    """
    shapes = [target.program.free_shapes[n] or target.program.shapes[n] for n in variables]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    parts = jnp.split(coordinates, ends)
    values = {n: x.reshape(s) for n, x, s in zip(variables, parts, shapes, strict=True)}
    own, free = _split(target, values, variables)
    if not free:
        return own, jnp.zeros(())
    given = {name: value for name, value in {**position, **own}.items() if name not in free}
    constrained, log_det = target.constrain(free, given)
    return {**own, **constrained}, log_det


def shape_of(target: Target, position: Position, variables: tuple[str, ...]) -> Array:
    """Return a lower triangular matrix that gives standard normals the particles' covariance.

    The sample covariance is shrunk towards its diagonal, the more so the fewer particles there are
    for each coordinate, and coordinates in which all particles agree get a scale of one.

    Parameters
    ----------
    target
        The compiled model.
    position
        Particles last.
    variables
        Whose coordinates.
    """
    to_all = jax.vmap(lambda p: to_coordinates(target, p, variables), in_axes=-1, out_axes=-1)
    x = to_all(position)
    # A value at the very edge of its support has coordinates that are not finite.
    usable = jnp.all(jnp.isfinite(x), axis=0)
    count = jnp.maximum(jnp.sum(usable), 1)
    x = jnp.where(usable, x, 0.0)
    x = jnp.where(usable, x - jnp.sum(x, axis=1, keepdims=True) / count, 0.0)
    covariance = x @ x.T / count
    variance = jnp.diag(covariance)
    shrinkage = len(x) / (len(x) + count)
    covariance = covariance * (1 - shrinkage) + jnp.diag(
        jnp.where(variance > 0, shrinkage * variance, 1.0)
    )
    return jnp.linalg.cholesky(covariance)


def _split(target: Target, values: Position, variables: tuple[str, ...]):
    """Part variables that keep their own values from those with unconstrained ones."""
    own = {n: values[n] for n in variables if target.program.free_shapes[n] is None}
    return own, {n: values[n] for n in variables if n not in own}


def _unconstrain(target: Target, free: Position, position: Position) -> Position:
    if not free:
        return {}
    return target.unconstrain(free, {n: v for n, v in position.items() if n not in free})

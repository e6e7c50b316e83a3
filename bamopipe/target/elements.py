"""Which elements of a variable are independent of each other, given everything else.

In eight schools the effects of the schools are: each has an observation of its own, and a prior
that no other effect enters. A kernel may then move all elements at once and accept each by itself.
"""

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.target.axes import Merged, Place, evaluate
from bamopipe.target.target import Position, Target, precision_context


def independent_axes(target: Target, variable: str) -> tuple[int, ...]:
    """Return the axes of a variable along which its elements are independent, given all others.

    They may still depend on each other along the axes that are left: those of an event, say.

    Parameters
    ----------
    target
        The compiled model.
    variable
        Name of a latent variable.

    Returns
    -------
    tuple of int
        Empty if the elements depend on each other, or if that cannot be told.

    Examples
    --------
    >>> import distrax as dx
    >>> from bamopipe.base import Model
    >>> from bamopipe.target import compile_target, independent_axes
    >>> model = Model()
    >>> theta = model.add_node("theta", distribution=dx.Normal(0.0, 1.0), shape=(8,))
    >>> y = model.add_node(
    ...     "y", distribution=dx.Normal, parents=dict(loc=theta, scale=1.0), observations=[1.0] * 8
    ... )
    >>> independent_axes(compile_target(model), "theta")
    (0,)
    """
    if target.program.node_of[variable] != variable:
        return ()  # missing entries have no axes
    found = []

    def trace(target, position):
        found.append([marks for _, marks in _pointwise(target, position, variable).values()])

    with precision_context(target.program.precision):
        jax.eval_shape(trace, target, target.example)
    axes = range(len(target.program.shapes[variable]))
    return tuple(a for a in axes if all(m is None or m[a] is not None for m in found[0]))


def element_log_factors(
    target: Target, position: Position, variable: str, axes: tuple[int, ...]
) -> dict[str, Array]:
    """Return what each element of a variable adds to the log density of each factor.

    Parameters
    ----------
    target
        The compiled model.
    position
        Values of all latent variables of one particle.
    variable
        Name of a latent variable.
    axes
        From `independent_axes`.

    Returns
    -------
    dict
        Factor that depends on the variable -> array of the variable's shape along `axes`. The sum
        of its elements is the factor's log density.
    """
    sizes = [target.program.shapes[variable][axis] for axis in axes]
    factors = {}
    for name, (values, marks) in _pointwise(target, position, variable).items():
        if marks is not None:
            factors[name] = _sum_by_element(values, [marks[axis] for axis in axes], sizes)
    outside = jnp.any(jnp.stack([f == -jnp.inf for f in factors.values()]), axis=0)
    return {name: jnp.where(outside & jnp.isnan(f), -jnp.inf, f) for name, f in factors.items()}


def _pointwise(target: Target, position: Position, variable: str) -> dict[str, tuple]:
    """Evaluate the factors that depend on a variable, and find where its axes went."""
    names = target.touching([variable])
    others = {name: value for name, value in position.items() if name != variable}

    def pointwise(own):
        values = target.values({**others, variable: own}, names)
        return [target.pointwise(name, values) for name in names]

    own = jnp.asarray(position[variable])
    program = jax.make_jaxpr(pointwise)(own)
    # An axis of length one is broadcast along others without a trace.
    marks = tuple(Place(axis) if size > 1 else None for axis, size in enumerate(own.shape))
    values, found = evaluate(program, program.consts, [own], [marks])
    return dict(zip(names, zip(values, found, strict=True), strict=True))


def _sum_by_element(values: Array, places: list, sizes: list[int]) -> Array:
    """Sum over all that is not an axis of the variable."""
    kept = [place.axis for place in places]
    values = jnp.sum(values, axis=tuple(a for a in range(values.ndim) if a not in kept))
    values = jnp.transpose(values, [sorted(kept).index(axis) for axis in kept])
    for axis, (place, size) in enumerate(zip(places, sizes, strict=True)):
        if place.index is not None:
            moved = jnp.moveaxis(values, axis, 0)
            index = place.index
            index = index.positions() if isinstance(index, Merged) else index
            moved = jax.ops.segment_sum(moved, jnp.asarray(index), num_segments=size)
            values = jnp.moveaxis(moved, 0, axis)
    return values

"""Where the axes of one variable go in a program.

Every array in a program either does not depend on the variable, or keeps some axes of the variable
apart: the part of the array at one place along an axis depends on the variable at one place only.
What an operation does to that is known for those in `RULES`; all others, and any doubt, mix
everything.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import Literal


class Merged(NamedTuple):
    """The index of an axis that was merged with others, as when a table is flattened.

    Attributes
    ----------
    length
        Of the merged axis.
    inner
        How many of its parts in a row have the same element.
    size
        Number of elements.
    """

    length: int
    inner: int
    size: int

    def positions(self) -> np.ndarray:
        """Return the element of each part."""
        return np.arange(self.length) // self.inner % self.size


@dataclass(frozen=True, eq=False)
class Place:
    """Where an axis of the variable went.

    Attributes
    ----------
    axis
        The axis of the array that it became.
    index
        Which element of the variable each part along that axis depends on; None if they are in
        order.
    """

    axis: int
    index: Merged | Array | None = None

    def __eq__(self, other) -> bool:
        if not isinstance(other, Place) or self.axis != other.axis:
            return False
        if isinstance(self.index, Merged) and isinstance(other.index, Merged):
            return self.index == other.index
        return self.index is other.index


# For each axis of the variable its place, or None where elements along it were mixed.
# What does not depend on the variable has None instead of marks.
Marks = tuple[Place | None, ...]


def evaluate(jaxpr, consts: Sequence, values: Sequence, marks: Sequence[Marks | None]):
    """Run a program; return its results, and the marks of each."""
    known = dict(zip(jaxpr.constvars, consts, strict=True))
    known.update(zip(jaxpr.invars, values, strict=True))
    marked = {var: mark for var, mark in zip(jaxpr.invars, marks, strict=True) if mark is not None}

    def value_of(var):
        return var.val if isinstance(var, Literal) else known[var]

    def marks_of(var):
        return None if isinstance(var, Literal) else marked.get(var)

    for equation in jaxpr.eqns:
        given = [value_of(var) for var in equation.invars]
        in_marks = [marks_of(var) for var in equation.invars]
        inner = inner_program(equation)
        if inner is not None:
            made, out_marks = evaluate(inner, inner.consts, given, in_marks)
        else:
            parameters = equation.primitive.get_bind_params(equation.params)
            made = equation.primitive.bind(*given, **parameters)
            made = made if equation.primitive.multiple_results else [made]
            out_marks = _propagate(equation, in_marks, given)
        known.update(zip(equation.outvars, made, strict=True))
        marked.update(
            (v, m) for v, m in zip(equation.outvars, out_marks, strict=True) if m is not None
        )
    return [value_of(v) for v in jaxpr.outvars], [marks_of(v) for v in jaxpr.outvars]


def _follow(jaxpr, marks: Sequence[Marks | None]) -> list[Marks | None]:
    """Find the marks of a program's results without running it."""
    marked = {var: mark for var, mark in zip(jaxpr.invars, marks, strict=True) if mark is not None}

    def marks_of(var):
        return None if isinstance(var, Literal) else marked.get(var)

    for equation in jaxpr.eqns:
        in_marks = [marks_of(var) for var in equation.invars]
        inner = inner_program(equation)
        found = _propagate(equation, in_marks, None) if inner is None else _follow(inner, in_marks)
        marked.update((v, m) for v, m in zip(equation.outvars, found, strict=True) if m is not None)
    return [marks_of(var) for var in jaxpr.outvars]


def inner_program(equation):
    """Return the program that an operation only wraps."""
    if equation.primitive.name not in WRAPPERS:
        return None
    return equation.params.get("jaxpr", equation.params.get("call_jaxpr"))


def _propagate(equation, marks: Sequence[Marks | None], values: Sequence | None) -> list:
    """Return the marks of the results of one operation."""
    dependent = [mark for mark in marks if mark is not None]
    count = len(equation.outvars)
    if not dependent:
        return [None] * count
    name = equation.primitive.name
    mixed = (None,) * len(dependent[0])
    if name in ELEMENTWISE:
        return [_join(marks)] * count
    if name == "gather":
        return [_gather(equation, marks, values)]
    if name in ("scan", "cond"):
        return (_scan if name == "scan" else _cond)(equation, marks)
    if name in RULES:
        moved = [
            mark and tuple(p and RULES[name](equation, operand, p) for p in mark)
            for operand, mark in enumerate(marks)
        ]
        return [_join(moved)] * count
    return [mixed] * count


def _join(marks: Sequence[Marks | None]) -> Marks:
    """Keep apart what is apart, in the same way, in all that depends on the variable."""
    first, *others = [mark for mark in marks if mark is not None]
    return tuple(
        place if all(place == other[axis] for other in others) else None
        for axis, place in enumerate(first)
    )


Rule = Callable[[Any, int, Place], Place | None]


def _shape(equation, operand: int) -> tuple[int, ...]:
    return equation.invars[operand].aval.shape


def _out_shape(equation) -> tuple[int, ...]:
    return equation.outvars[0].aval.shape


def _without(axis: int, removed: Sequence[int], place: Place) -> Place | None:
    """Move a place when some axes vanish."""
    if axis in removed:
        return None
    return replace(place, axis=axis - sum(r < axis for r in removed))


def _broadcast(equation, operand: int, place: Place) -> Place | None:
    axis = equation.params["broadcast_dimensions"][place.axis]
    return replace(place, axis=axis)


def _reshape(equation, operand: int, place: Place) -> Place | None:
    """Find the axis among the new ones, also where it was merged with others, or is set free."""
    before, after = _shape(equation, operand), _out_shape(equation)
    length = before[place.axis]
    if 0 in before:
        return None
    ahead, behind = math.prod(before[: place.axis]), math.prod(before[place.axis + 1 :])
    if isinstance(place.index, Merged):
        ahead *= length // (place.index.inner * place.index.size)
        behind *= place.index.inner
        length, free = place.index.size, None
    else:
        free = place.index
    for axis, new_length in enumerate(after):
        new_ahead, new_behind = math.prod(after[:axis]), math.prod(after[axis + 1 :])
        if (new_ahead, new_length, new_behind) == (ahead, length, behind):
            return Place(axis, free)
        if free is None and ahead % new_ahead == 0 and behind % new_behind == 0:
            return Place(axis, Merged(new_length, behind // new_behind, length))
    return None


def _transpose(equation, operand: int, place: Place) -> Place | None:
    return replace(place, axis=equation.params["permutation"].index(place.axis))


def _reduce(equation, operand: int, place: Place) -> Place | None:
    return _without(place.axis, equation.params["axes"], place)


def _squeeze(equation, operand: int, place: Place) -> Place | None:
    return _without(place.axis, equation.params["dimensions"], place)


def _unless(key: str, equation, operand: int, place: Place) -> Place | None:
    """Mix along the axis that a parameter of the operation names."""
    axes = equation.params[key]
    return None if place.axis in (axes if isinstance(axes, tuple) else (axes,)) else place


def _if_whole(equation, operand: int, place: Place) -> Place | None:
    """Keep an axis of which nothing is left out and to which nothing is added."""
    if operand > 0:
        return None
    whole = _shape(equation, 0)[place.axis] == _out_shape(equation)[place.axis]
    return place if whole else None


def _pad(equation, operand: int, place: Place) -> Place | None:
    untouched = equation.params["padding_config"][place.axis] == (0, 0, 0)
    return place if operand == 0 and untouched else None


def _dot(equation, operand: int, place: Place) -> Place | None:
    contracted, batch = equation.params["dimension_numbers"]
    if place.axis in batch[operand]:
        return replace(place, axis=batch[operand].index(place.axis))
    if place.axis in contracted[operand]:
        return None
    used = sorted([*contracted[operand], *batch[operand]])
    axis = place.axis - sum(u < place.axis for u in used) + len(batch[0])
    if operand == 1:
        axis += len(_shape(equation, 0)) - len(contracted[0]) - len(batch[0])
    return replace(place, axis=axis)


def _of_matrices(equation, operand: int, place: Place) -> Place | None:
    """Keep the axes before those of the matrices."""
    return place if place.axis < len(_shape(equation, operand)) - 2 else None


def _triangular_solve(equation, operand: int, place: Place) -> Place | None:
    ndim = len(_shape(equation, operand))
    # Right-hand sides are solved one by one.
    spectator = ndim - 1 if equation.params["left_side"] else ndim - 2
    kept = place.axis < ndim - 2 or (operand == 1 and place.axis == spectator)
    return place if kept else None


def _gather(equation, marks: Sequence[Marks | None], values: Sequence | None) -> Marks:
    """Look up elements by the variable, as in ``table[x]``, or elements of it by something else."""
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    mark, by = marks
    shape, out_ndim = _shape(equation, 0), len(_out_shape(equation))
    batch = [axis for axis in range(out_ndim) if axis not in numbers.offset_dims]
    if mark is None:
        return tuple(
            replace(place, axis=batch[place.axis]) if place and place.axis < len(batch) else None
            for place in by or ()
        )
    if by is not None:
        return (None,) * len(mark)
    looked_up = numbers.start_index_map
    plain = (
        not numbers.operand_batching_dims
        and tuple(numbers.collapsed_slice_dims) == tuple(looked_up)
        and all(sizes[axis] == n for axis, n in enumerate(shape) if axis not in looked_up)
    )

    def move(place: Place | None) -> Place | None:
        if place is None or not plain:
            return None
        if place.axis not in looked_up:
            rest = [axis for axis in range(len(shape)) if axis not in looked_up]
            return replace(place, axis=numbers.offset_dims[rest.index(place.axis)])
        single = len(looked_up) == 1 and len(batch) == 1 and place.index is None
        if values is None or not single:
            return None
        # An index beyond the end takes the last element, or makes a NaN, which is not to be lost.
        return Place(batch[0], jnp.clip(values[1][:, 0], 0, shape[place.axis] - 1))

    return tuple(move(place) for place in mark)


def _scan(equation, marks: Sequence[Marks | None]) -> list[Marks | None]:
    """Follow a loop until its carry has settled."""
    body = equation.params["jaxpr"]
    consts, carry, xs = map(list, equation.params["ft_in"].update(marks).unpack())
    rows = [
        mark and tuple(p and _without(p.axis, (0,), p) for p in mark) for mark in xs
    ]  # the loop runs along the first axis
    while True:
        out = _follow(body, [*consts, *carry, *rows])
        after = [
            _join([before, now]) if before is not None or now is not None else None
            for before, now in zip(carry, out[: len(carry)], strict=True)
        ]
        if after == carry:
            break
        carry = after
    rows = out[len(carry) :]
    stacked = [mark and tuple(p and replace(p, axis=p.axis + 1) for p in mark) for mark in rows]
    return [*carry, *stacked]


def _cond(equation, marks: Sequence[Marks | None]) -> list[Marks | None]:
    """Keep apart what every branch does, if the choice does not depend on the variable."""
    choice, *operands = marks
    count = len(equation.outvars)
    if choice is not None:
        return [(None,) * len(choice)] * count
    found = [_follow(branch, operands) for branch in equation.params["branches"]]
    return [
        _join(each) if any(m is not None for m in each) else None
        for each in zip(*found, strict=True)
    ]


WRAPPERS = {
    *("jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"),
    *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
}

ELEMENTWISE = {
    *("add", "add_any", "sub", "mul", "div", "rem", "max", "min", "pow", "atan2", "nextafter"),
    *("and", "or", "xor", "not", "neg", "sign", "abs", "floor", "ceil", "round", "is_finite"),
    *("exp", "exp2", "log", "log1p", "expm1", "sqrt", "rsqrt", "cbrt", "square", "integer_pow"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh"),
    *("atanh", "logistic", "erf", "erfc", "erf_inv", "lgamma", "digamma", "polygamma", "zeta"),
    *("igamma", "igammac", "igamma_grad_a", "regularized_incomplete_beta"),
    *("bessel_i0e", "bessel_i1e", "random_gamma_grad"),
    *("eq", "ne", "lt", "le", "gt", "ge", "select_n", "clamp", "convert_element_type"),
    *("stop_gradient", "copy", "copy_p", "reduce_precision", "real", "imag", "conj", "complex"),
}

RULES: dict[str, Rule] = {
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "transpose": _transpose,
    "squeeze": _squeeze,
    **dict.fromkeys(
        [f"reduce_{kind}" for kind in ("sum", "max", "min", "prod", "and", "or", "xor")]
        + ["argmax", "argmin"],
        _reduce,
    ),
    **dict.fromkeys(
        ["cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"], partial(_unless, "axis")
    ),
    "sort": partial(_unless, "dimension"),
    "rev": partial(_unless, "dimensions"),
    "concatenate": partial(_unless, "dimension"),
    "split": partial(_unless, "axis"),
    "slice": _if_whole,
    "dynamic_slice": _if_whole,
    "pad": _pad,
    "dot_general": _dot,
    "cholesky": _of_matrices,
    "triangular_solve": _triangular_solve,
}

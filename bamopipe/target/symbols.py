"""A run of a program on symbols, which tells how its results depend on one positive variable x.

Every array in a program is free of x, or a power ``c x^p`` or ``c (1 - x)^p`` of its elements, the
logarithm of one, or a sum of powers and logarithms with coefficients that are free of x. What an
operation makes of these is known for those below; all others, and any doubt, make `UNKNOWN`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import Literal as Constant

from bamopipe.target.axes import inner_program

Domain = Literal["positive", "unit", "simplex"]
BOUNDS = {"positive": (0.0, math.inf), "unit": (0.0, 1.0), "simplex": (0.0, 1.0)}

# Exponent, and whether it is one of 1 - x. The exponent of a logarithm is 0.
Key = tuple[float, bool]


class Move(NamedTuple):
    """An operation that arranges elements anew, and its operands but the first."""

    name: str
    settings: str
    operands: tuple
    function: Callable[[Array], Array]

    def same_as(self, other: "Move") -> bool:
        """Tell whether both lead every element to the same place."""
        return (self.name, self.settings) == (other.name, other.settings) and all(
            one is another for one, another in zip(self.operands, other.operands, strict=True)
        )


@dataclass(frozen=True, eq=False)
class Power:
    """An array ``coefficient * base^exponent``, its base elements of x or of 1 - x.

    Attributes
    ----------
    coefficient
        A number that is known, or an array.
    exponent
        Not 0.
    complement
        Whether the base is 1 - x.
    moves
        How the elements of x came to their places.
    shape
        Of the array.
    event_axis
        Which axis is the last one of x, as a whole; None if none is, or that cannot be told.
    """

    coefficient: float | Array
    exponent: float
    complement: bool
    moves: tuple[Move, ...]
    shape: tuple[int, ...]
    event_axis: int | None


class Log(NamedTuple):
    """The logarithm of a power."""

    power: Power


class Sum(NamedTuple):
    """An array that is linear in the inputs of the run, but for what is free of x."""

    value: Array


class Full(NamedTuple):
    """An array of one number that is known."""

    value: float | bool
    shape: tuple[int, ...]


class Range(NamedTuple):
    """x itself, anywhere between two numbers outside of its domain."""

    low: float
    high: float


class _Unknown:
    """Anything else."""


UNKNOWN = _Unknown()


class Run:
    """A run of a program on symbols.

    Parameters
    ----------
    domain
        Where x has mass.
    shape, dtype
        Of x.
    inputs
        Powers and logarithms of x, by `Key`, of the shape of x; None to find out which are needed.

    Attributes
    ----------
    used
        The keys that were needed.
    """

    def __init__(self, domain: Domain, shape: tuple[int, ...], dtype, inputs: dict | None = None):
        self.domain, self.shape, self.dtype, self.inputs = domain, shape, dtype, inputs
        self.used: set[Key] = set()

    def variable(self) -> Power:
        """Return x."""
        event_axis = len(self.shape) - 1 if self.domain == "simplex" else None
        return Power(1.0, 1.0, False, (), self.shape, event_axis)

    def evaluate(self, jaxpr, consts: Sequence, values: Sequence) -> list:
        """Run a program."""
        known = dict(zip(jaxpr.constvars, consts, strict=True))
        known.update(zip(jaxpr.invars, values, strict=True))

        def value_of(var):
            return _constant(var.val) if isinstance(var, Constant) else known[var]

        for equation in jaxpr.eqns:
            given = [value_of(var) for var in equation.invars]
            inner, name = inner_program(equation), _name(equation)
            some_known = any(isinstance(value, Full) for value in given)
            if inner is not None:
                made = self.evaluate(inner, inner.consts, given)
            elif name == "select_n" and isinstance(given[0], Full):
                made = [given[1 + int(given[0].value)]]
            elif name in ("and", "or") and some_known and equation.outvars[0].aval.dtype == bool:
                made = [_logic(equation, given)]
            elif any(value is UNKNOWN for value in given):
                made = [UNKNOWN] * len(equation.outvars)
            elif given and all(isinstance(v, Full) for v in given) and name in FOLDED:
                made = [_fold(equation, given)]
            elif all(_is_number(value) for value in given):
                made = _bind(equation, given)
            else:
                made = [self._apply(equation, given)] * len(equation.outvars)
            known.update(zip(equation.outvars, made, strict=True))
        return [value_of(var) for var in jaxpr.outvars]

    def as_array(self, value) -> Array:
        """Return an array that is linear in the inputs."""
        if isinstance(value, Sum):
            return value.value
        if isinstance(value, Full):
            return jnp.full(value.shape, value.value)
        if isinstance(value, Log):
            power = value.power
            known = isinstance(power.coefficient, float)
            start = math.log(power.coefficient) if known else jnp.log(power.coefficient)
            return start + power.exponent * self._input((0.0, power.complement), power.moves)
        if isinstance(value, Power):
            key = (value.exponent, value.complement)
            return value.coefficient * self._input(key, value.moves)
        return value

    def _input(self, key: Key, moves: Sequence[Move]) -> Array:
        """Return an input, its elements arranged."""
        self.used.add(key)
        array = jnp.zeros(self.shape, self.dtype) if self.inputs is None else self.inputs[key]
        for move in moves:
            array = move.function(array)
        return array

    def _apply(self, equation, given: list) -> Any:
        """Return the result of one operation of which some operand is a symbol."""
        name = _name(equation)
        if name in ("eq", "ne", "lt", "le", "gt", "ge", "is_finite"):
            return self._compare(equation, given)
        if name == "select_n":
            return self._select(equation, given)
        if name in ARRANGING and all(_is_free(value) for value in given[1:]):
            return self._arrange(equation, given)
        if any(isinstance(value, Range) for value in given):
            return _size(given[0]) if name == "abs" else UNKNOWN
        if name in RULES:
            return RULES[name](self, equation, given)
        if name == "dot_general" and any(_is_free(value) for value in given):
            return self.linear(equation, given)
        return UNKNOWN

    def linear(self, equation, given: Sequence) -> Sum:
        """Carry out an operation that is linear."""
        return Sum(_bind(equation, [self.as_array(value) for value in given])[0])

    def _arrange(self, equation, given: list) -> Any:
        """Move the elements of an array about."""
        first, *rest = given
        shape = equation.outvars[0].aval.shape
        if isinstance(first, Full):
            return first._replace(shape=shape) if not rest else UNKNOWN
        if isinstance(first, Range):
            return first
        if isinstance(first, Log):
            return Log(self._arrange(equation, [first.power, *rest]))
        if isinstance(first, Sum):
            return self.linear(equation, given)
        rest = [self.as_array(value) for value in rest]

        def function(array):
            return _bind(equation, [array, *rest])[0]

        move = Move(_name(equation), str(equation.params), tuple(rest), function)
        coefficient = first.coefficient
        if not isinstance(coefficient, float):
            coefficient = function(jnp.broadcast_to(coefficient, first.shape))
        axis = _event_axis(equation, first)
        return Power(
            coefficient, first.exponent, first.complement, (*first.moves, move), shape, axis
        )

    def stretched(self, power: Power, shape: tuple[int, ...]) -> Power:
        """Repeat an array along axes of length one, as operations on two arrays do."""
        if power.shape == shape:
            return power
        move = Move("stretch", str(shape), (), lambda array: jnp.broadcast_to(array, shape))
        added = len(shape) - len(power.shape)
        axis = None if power.event_axis is None else power.event_axis + added
        return replace(power, moves=(*power.moves, move), shape=shape, event_axis=axis)

    def aligned(self, a: Power, b: Power) -> bool:
        """Tell whether two powers of one shape have the same elements of x at the same places."""
        if a.complement != b.complement:
            return False
        return math.prod(self.shape) == 1 or (
            len(a.moves) == len(b.moves)
            and all(one.same_as(other) for one, other in zip(a.moves, b.moves, strict=True))
        )

    def _select(self, equation, given: list) -> Any:
        """Choose between arrays, by what does not depend on x."""
        which, *cases = given
        if not _is_free(which) or any(isinstance(case, Range) for case in cases):
            return UNKNOWN
        shape = equation.outvars[0].aval.shape
        if all(isinstance(case, Power) for case in cases):
            first, second = (self.stretched(case, shape) for case in cases)
            if first.exponent == second.exponent and self.aligned(first, second):
                both = [jnp.broadcast_to(p.coefficient, shape) for p in (first, second)]
                return replace(first, coefficient=_bind(equation, [which, *both])[0])
        return self.linear(equation, given)

    def _compare(self, equation, given: list) -> Any:
        """Return the truth of a comparison if it is the same for all x in the domain."""
        name, shape = _name(equation), equation.outvars[0].aval.shape
        if name == "is_finite":
            return UNKNOWN if isinstance(given[0], Range) else Full(True, shape)
        first, second = given
        if name in ("eq", "ne"):
            # x != x asks for NaN, which no number is, and neither is it infinite.
            is_same = equation.invars[0] is equation.invars[1]
            infinite = any(isinstance(v, Full) and math.isinf(v.value) for v in given)
            if is_same or infinite:
                return Full((name == "eq") == is_same, shape)
        if isinstance(first, Full):
            first, second = second, first
            name = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}.get(name, name)
        bounds = self._bounds(first)
        if bounds is None or not isinstance(second, Full):
            return UNKNOWN
        below, above = bounds[1] <= second.value, bounds[0] >= second.value
        if not below and not above:
            return UNKNOWN
        truth = {"lt": below, "le": below, "gt": above, "ge": above, "eq": False, "ne": True}
        return Full(truth[name], shape)

    def _bounds(self, value) -> tuple[float, float] | None:
        """Return two numbers between which a value is, the ends left out."""
        if isinstance(value, Range):
            return value.low, value.high
        if not isinstance(value, Power) or not isinstance(value.coefficient, float):
            return None
        ends = [
            value.coefficient * (end**value.exponent if end or value.exponent > 0 else math.inf)
            for end in BOUNDS[self.domain]  # 1 - x is asked for on the unit interval only
        ]
        return min(ends), max(ends)


def _name(equation) -> str:
    return equation.primitive.name


def _is_free(value) -> bool:
    return not isinstance(value, Power | Log | Sum | Full | Range | _Unknown)


def _constant(value) -> Any:
    """Return a number that stands in a program."""
    return Full(np.asarray(value).item(), ()) if np.ndim(value) == 0 else value


def _bind(equation, given: Sequence) -> list:
    """Carry out an operation."""
    given = [
        jnp.full(v.shape, v.value, var.aval.dtype) if isinstance(v, Full) else v
        for v, var in zip(given, equation.invars, strict=True)
    ]
    parameters = equation.primitive.get_bind_params(equation.params)
    made = equation.primitive.bind(*given, **parameters)
    return list(made) if equation.primitive.multiple_results else [made]


def _fold(equation, given: Sequence[Full]) -> Full:
    """Carry out an operation on numbers that are known."""
    aval = equation.outvars[0].aval
    values = [
        np.asarray(v.value, var.aval.dtype) for v, var in zip(given, equation.invars, strict=True)
    ]
    with np.errstate(all="ignore"):
        value = FOLDED[_name(equation)](*values)
    if _name(equation) == "reduce_sum":
        value = value * (math.prod(given[0].shape) // max(math.prod(aval.shape), 1))
    return Full(np.asarray(value, aval.dtype).item(), aval.shape)


def _logic(equation, given: Sequence) -> Any:
    """Combine truths of which one is known."""
    decides = _name(equation) == "or"  # true or anything is true, false and anything is false
    aval = equation.outvars[0].aval
    known, *others = sorted(given, key=lambda value: not isinstance(value, Full))
    for value in (known, *others):
        if isinstance(value, Full) and value.value == decides:
            return Full(decides, aval.shape)
    (rest,) = others
    if isinstance(rest, Full):
        return Full(rest.value, aval.shape)
    return jnp.broadcast_to(rest, aval.shape) if _is_free(rest) else UNKNOWN


def _event_axis(equation, power: Power) -> int | None:
    """Find the last axis of x after its elements were moved."""
    axis, name = power.event_axis, _name(equation)
    if axis is None:
        return None
    parameters, shape = equation.params, equation.outvars[0].aval.shape
    if name == "broadcast_in_dim":
        return parameters["broadcast_dimensions"][axis]
    if name == "transpose":
        return parameters["permutation"].index(axis)
    if name in ("convert_element_type", "copy", "copy_p"):
        return axis
    if name == "reshape" and axis == len(power.shape) - 1 and shape[-1:] == power.shape[-1:]:
        return len(shape) - 1
    if name == "gather":
        numbers, sizes = parameters["dimension_numbers"], parameters["slice_sizes"]
        gone = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
        if sizes[axis] == power.shape[axis] and axis not in {*gone, *numbers.start_index_map}:
            return numbers.offset_dims[axis - sum(a < axis for a in gone)]
    return None


def _add(run: Run, equation, given: list) -> Any:
    sign = -1.0 if _name(equation) == "sub" else 1.0
    first, second = given
    shape = equation.outvars[0].aval.shape
    if run.domain == "unit" and isinstance(first, Full) and isinstance(second, Power):
        known = isinstance(second.coefficient, float) and sign * second.coefficient == -1
        if known and (first.value, second.exponent) == (1, 1):
            other = replace(second, coefficient=1.0, complement=not second.complement)
            return run.stretched(other, shape)
    if isinstance(first, Power) and isinstance(second, Power):
        first, second = run.stretched(first, shape), run.stretched(second, shape)
        if first.exponent == second.exponent and run.aligned(first, second):
            total = first.coefficient + sign * second.coefficient
            if isinstance(total, float) and total == 0:
                return Full(0.0, shape)
            return replace(first, coefficient=total)
    return run.linear(equation, given)


def _multiply(run: Run, equation, given: list) -> Any:
    divides = _name(equation) == "div"
    shape = equation.outvars[0].aval.shape
    first, second = given
    if isinstance(first, Power) and isinstance(second, Power):
        first, second = run.stretched(first, shape), run.stretched(second, shape)
        if not run.aligned(first, second):
            return UNKNOWN
        exponent = first.exponent + (-second.exponent if divides else second.exponent)
        coefficient = _times(first.coefficient, second.coefficient, divides)
        if exponent == 0:
            return jnp.broadcast_to(coefficient, shape).astype(equation.outvars[0].aval.dtype)
        return replace(first, coefficient=coefficient, exponent=exponent)
    numbers = [v.value if isinstance(v, Full) else v for v in given]
    if isinstance(first, Power) and _is_number(second):
        product = _times(first.coefficient, numbers[1], divides)
        return run.stretched(replace(first, coefficient=product), shape)
    if isinstance(second, Power) and _is_number(first):
        product = _times(numbers[0], second.coefficient, divides)
        exponent = -second.exponent if divides else second.exponent
        return run.stretched(replace(second, coefficient=product, exponent=exponent), shape)
    if _is_number(second) or (_is_number(first) and not divides):
        return run.linear(equation, given)
    return UNKNOWN


def _is_number(value) -> bool:
    return isinstance(value, Full) or _is_free(value)


def _times(a: Any, b: Any, divides: bool) -> Any:
    if divides and isinstance(b, float) and b == 0:
        b = jnp.asarray(b)
    return a / b if divides else a * b


def _raise(run: Run, equation, given: list) -> Any:
    """Raise a power to a power that is known."""
    first = given[0]
    if not isinstance(first, Power):
        return UNKNOWN
    times = {"square": 2.0, "sqrt": 0.5, "rsqrt": -0.5}.get(_name(equation))
    if times is None:
        exponent = given[1] if len(given) > 1 else Full(equation.params["y"], ())
        if not isinstance(exponent, Full) or exponent.value == 0:
            return UNKNOWN
        times = float(exponent.value)
    coefficient = first.coefficient
    if not isinstance(coefficient, float):
        (coefficient,) = _bind(equation, [coefficient, *given[1:]])
    elif coefficient <= 0 and not times.is_integer():
        return UNKNOWN
    else:
        coefficient = coefficient**times
    made = replace(first, coefficient=coefficient, exponent=first.exponent * times)
    return run.stretched(made, equation.outvars[0].aval.shape)


def _log(run: Run, equation, given: list) -> Any:
    (power,) = given
    if not isinstance(power, Power):
        return UNKNOWN
    if _name(equation) == "log1p":
        is_plain = isinstance(power.coefficient, float) and power.coefficient == -1
        if run.domain != "unit" or not is_plain or power.exponent != 1:
            return UNKNOWN
        power = replace(power, coefficient=1.0, complement=not power.complement)
    if isinstance(power.coefficient, float) and power.coefficient <= 0:
        return UNKNOWN
    return Log(power)


def _exp(run: Run, equation, given: list) -> Any:
    return given[0].power if isinstance(given[0], Log) else UNKNOWN


def _negate(run: Run, equation, given: list) -> Any:
    (value,) = given
    if isinstance(value, Power):
        return replace(value, coefficient=-value.coefficient)
    return run.linear(equation, given)


def _absolute(run: Run, equation, given: list) -> Any:
    (value,) = given
    if not isinstance(value, Power):
        return UNKNOWN
    return replace(value, coefficient=abs(value.coefficient))  # the rest is positive


def _size(value: Range) -> Range:
    """Return the range of the absolute value, of numbers of one sign."""
    return Range(-value.high, -value.low) if value.high <= 0 else value


def _reduce_sum(run: Run, equation, given: list) -> Any:
    """Add elements up; those of a simplex make one."""
    (value,) = given
    is_whole = (
        isinstance(value, Power)
        and isinstance(value.coefficient, float)
        and (run.domain, value.exponent) == ("simplex", 1)
        and tuple(equation.params["axes"]) == (value.event_axis,)
    )
    if is_whole:
        return Full(value.coefficient, equation.outvars[0].aval.shape)
    return run.linear(equation, given)


# They move elements and do nothing else to them.
ARRANGING = {
    *("broadcast_in_dim", "reshape", "transpose", "squeeze", "rev", "slice", "gather"),
    *("convert_element_type", "copy", "copy_p", "reduce_and", "reduce_or"),
}
RULES: dict[str, Callable[[Run, Any, list], Any]] = {
    **dict.fromkeys(["add", "add_any", "sub"], _add),
    **dict.fromkeys(["mul", "div"], _multiply),
    **dict.fromkeys(["integer_pow", "square", "sqrt", "rsqrt", "pow"], _raise),
    **dict.fromkeys(["log", "log1p"], _log),
    "abs": _absolute,
    "exp": _exp,
    "neg": _negate,
    "reduce_sum": _reduce_sum,
    "cumsum": Run.linear,
}
# What they make of arrays of one number each.
FOLDED: dict[str, Callable] = {
    **dict.fromkeys(["broadcast_in_dim", "reshape", "transpose", "squeeze", "slice"], lambda x: x),
    **dict.fromkeys(["convert_element_type", "copy", "copy_p", "reduce_sum"], lambda x: x),
    **dict.fromkeys(["reduce_and", "reduce_or", "stop_gradient"], lambda x: x),
    **{"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide},
    **{"neg": np.negative, "abs": np.abs, "log": np.log, "exp": np.exp, "square": np.square},
    **{"not": np.logical_not, "and": np.logical_and, "or": np.logical_or},
    **{"lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal},
    **{"eq": np.equal, "ne": np.not_equal},
}

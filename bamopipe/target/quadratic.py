"""Whether the log density is quadratic in a variable, so that its full conditional is Gaussian.

It is if the second derivative does not depend on the variable, which is read off its program: no
path leads from the variable to the result. That finds what books list as conjugate pairs (a normal
mean, the coefficients of a linear regression, a Gaussian process seen with Gaussian noise) and
their combinations, whatever link functions are in between.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import Literal

from bamopipe.target.axes import inner_program
from bamopipe.target.target import Position, Target, precision_context, tempered


def is_quadratic(target: Target, variable: str) -> bool:
    """Tell whether the log density is quadratic in a variable, at all values of the others.

    False if it is not, or if that cannot be told.

    Examples
    --------
    >>> import distrax as dx
    >>> from bamopipe.base import Model
    >>> from bamopipe.target import compile_target, is_quadratic
    >>> model = Model()
    >>> mu = model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
    >>> tau = model.add_node("tau", distribution=dx.Gamma(1.0, 1.0))
    >>> y = model.add_node(
    ...     "y", distribution=dx.Normal, parents=dict(loc=mu, scale=tau), observations=[1.0, 2.0]
    ... )
    >>> target = compile_target(model)
    >>> is_quadratic(target, "mu"), is_quadratic(target, "tau")
    (True, False)
    """
    return _has_constant_curvature(target, (variable,), target.touching([variable]))


def is_gaussian(target: Target, variables: tuple[str, ...]) -> bool:
    """Tell whether some variables are jointly Gaussian, given the parents that they have elsewhere.

    False if they are not, or if that cannot be told.

    Examples
    --------
    >>> import distrax as dx
    >>> from bamopipe.base import Model
    >>> from bamopipe.target import compile_target, is_gaussian
    >>> model = Model()
    >>> tau = model.add_node("tau", distribution=dx.Gamma(1.0, 1.0))
    >>> mu = model.add_node("mu", distribution=dx.Normal, parents=dict(loc=0.0, scale=tau))
    >>> theta = model.add_node("theta", distribution=dx.Normal, parents=dict(loc=mu, scale=tau))
    >>> target = compile_target(model)
    >>> is_gaussian(target, ("mu", "theta")), is_gaussian(target, ("tau",))
    (True, False)
    """
    return _has_constant_curvature(target, variables, variables)


def _has_constant_curvature(
    target: Target, variables: tuple[str, ...], factors: tuple[str, ...]
) -> bool:
    """Tell whether some factors are together quadratic in some variables."""
    if {*variables} & target.program.discrete:
        return False
    others = dict(target.example)
    own = {name: others.pop(name) for name in variables}

    def given(program):
        return [True] * len(own) + [False] * (len(program.invars) - len(own))

    with precision_context(target.program.precision):
        program = _log_density_of.trace(factors, own, others, target).jaxpr
        _, operations = trace(program, given(program))
        if not operations <= SMOOTH:
            return False
        program = _second_derivative.trace(factors, own, own, others, target).jaxpr
    depends, _ = trace(program, given(program))
    return not any(depends)


# Compiled functions, though they are never run, since JAX traces those once for all runs.
@partial(jax.jit, static_argnums=0)
def _log_density_of(factors: tuple[str, ...], own: Position, others: Position, target: Target):
    return _log_density(target, {**others, **own}, factors, jnp.ones(()))


@partial(jax.jit, static_argnums=0)
def _second_derivative(
    factors: tuple[str, ...], own: Position, direction: Position, others: Position, target: Target
):
    def gradient(value):
        return jax.grad(_log_density_of, argnums=1)(factors, value, others, target)

    return jax.jvp(gradient, (own,), (direction,))[1]


def tempered_log_density(
    target: Target, position: Position, variable: str, temperature: Array
) -> Array:
    """Return the tempered log density up to what does not depend on a variable.

    Without the provisions for values outside the support, which only get in the way of derivatives
    where there is no outside.
    """
    return _log_density(target, position, target.touching([variable]), temperature)


def _log_density(
    target: Target, position: Position, names: tuple[str, ...], temperature: Array
) -> Array:
    values = target.values(position, names)
    factors = {name: jnp.sum(target.pointwise(name, values)) for name in names}
    return tempered(target, factors, temperature)


def trace(program, given: Sequence[bool]) -> tuple[list[bool], set[str]]:
    """Tell which results of a program depend on those of its arguments, and by what operations."""
    dependent = {var for var, flag in zip(program.invars, given, strict=True) if flag}
    through: list[tuple] = []  # operations on the way, what they were given and what they made
    for equation in program.eqns:
        flags = [not isinstance(v, Literal) and v in dependent for v in equation.invars]
        if not any(flags) or _compares_with_infinity(equation):
            continue
        inner = inner_program(equation)
        if inner is None:
            found, names = [True] * len(equation.outvars), {equation.primitive.name}
        else:
            found, names = trace(inner, flags)
        made = {v for v, flag in zip(equation.outvars, found, strict=True) if flag}
        dependent |= made
        through.append((names, {v for v in equation.invars if not isinstance(v, Literal)}, made))
    results = [not isinstance(v, Literal) and v in dependent for v in program.outvars]
    needed = {v for v in program.outvars if not isinstance(v, Literal)}
    operations: set[str] = set()
    for names, used, made in reversed(through):
        if made & needed:
            operations |= names
            needed |= used
    return results, operations


def _compares_with_infinity(equation) -> bool:
    """Tell an operation whose result is the same for all numbers."""
    return equation.primitive.name in ("eq", "ne") and any(
        isinstance(v, Literal) and np.all(np.isinf(v.val)) for v in equation.invars
    )


# Operations without corners and steps, at which a second derivative could miss something; those
# that are not polynomials show in it.
SMOOTH = {
    *("add", "add_any", "sub", "mul", "neg", "div", "square", "integer_pow", "dot_general"),
    *("reduce_sum", "cumsum", "broadcast_in_dim", "reshape", "transpose", "squeeze", "rev"),
    *("concatenate", "split", "slice", "dynamic_slice", "dynamic_update_slice", "pad", "gather"),
    *("scatter", "scatter-add", "select_n", "copy", "copy_p", "triangular_solve"),
}

"""Functions of a model as programs whose arrays are arguments, and which can be compared."""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import ClosedJaxpr


@dataclass(frozen=True, eq=False)
class Lifted:
    """A traced function whose closed-over arrays have become arguments.

    Attributes
    ----------
    jaxpr
        The program.
    tree
        The structure of its result.
    text
        What it computes, also when it is differentiated; equal texts compute the same.
    """

    jaxpr: Any
    tree: Any
    text: str

    def __call__(self, closures: list[Array], *arguments):
        """Evaluate at arguments of the shapes it was traced with."""
        out = jax.core.eval_jaxpr(self.jaxpr, closures, *jax.tree.leaves(arguments))
        return jax.tree.unflatten(self.tree, out)


def lift(function: Callable, *examples) -> tuple[Lifted, list[Array]]:
    """Trace a function of arrays; return it and the arrays that it closes over.

    What a jitted function within it closes over stays inside, and is part of the text.
    """
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*examples)
    tree = jax.tree.structure(shapes)
    text = f"{_text(closed)} {tree}"
    if "callback" in text:
        text += f" {id(closed.jaxpr)}"  # of functions in Python nothing is known
    elif "custom_jvp" in text or "custom_vjp" in text:
        text += _rules(function, examples) or f" {id(closed.jaxpr)}"
    return Lifted(closed.jaxpr, tree, text), [jnp.asarray(c) for c in closed.consts]


def _text(closed: ClosedJaxpr) -> str:
    """Write down a program, with the arrays inside it but without the addresses of functions."""
    digests = [hashlib.sha256(np.asarray(array).tobytes()).hexdigest() for array in _inner(closed)]
    return " ".join([re.sub(r" at 0x\w+", "", str(closed.jaxpr)), *digests])


def _inner(closed: ClosedJaxpr) -> Iterator[Any]:
    """Find the arrays that programs within a program hold."""
    for equation in closed.jaxpr.eqns:
        leaves = jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: isinstance(x, ClosedJaxpr)
        )
        for inner in leaves:
            if isinstance(inner, ClosedJaxpr):
                yield from inner.consts
                yield from _inner(inner)
            elif isinstance(inner, type(closed.jaxpr)):
                yield from _inner(ClosedJaxpr(inner, ()))


def _rules(function: Callable, examples) -> str:
    """Write down the derivative, for a function that may bring a rule of its own."""

    def derivative(*primals):
        ones = jax.tree.map(
            lambda p: (
                jnp.ones_like(p)
                if jnp.issubdtype(p.dtype, jnp.floating)
                else np.zeros(p.shape, jax.dtypes.float0)
            ),
            primals,
        )
        return jax.jvp(function, primals, ones)[1]

    try:
        return _text(jax.make_jaxpr(derivative)(*examples))
    except (TypeError, ValueError, NotImplementedError):
        return ""  # reverse mode only, or none

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
    for mark, differentiate in (("custom_jvp", _forward), ("custom_vjp", _backward)):
        if mark in text:
            text += _rules(differentiate, function, examples) or f" {id(closed.jaxpr)}"
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


def _rules(differentiate: Callable, function: Callable, examples) -> str:
    """Write down a derivative, of a function that may bring a rule of its own."""
    try:
        return _text(jax.make_jaxpr(lambda *primals: differentiate(function, primals))(*examples))
    except (TypeError, ValueError, NotImplementedError):
        return ""  # there is none that way


def _forward(function: Callable, primals: tuple):
    return jax.jvp(function, primals, jax.tree.map(_one, primals))[1]


def _backward(function: Callable, primals: tuple):
    value, pull = jax.vjp(function, *primals)
    return [g for g in jax.tree.leaves(pull(jax.tree.map(_one, value))) if _is_real(g)]


def _one(leaf):
    return jnp.ones_like(leaf) if _is_real(leaf) else np.zeros(leaf.shape, jax.dtypes.float0)


def _is_real(leaf) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.floating)

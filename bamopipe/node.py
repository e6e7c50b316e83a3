"""One variable of a graph: what it holds, and its distribution or value given its parents."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.interpreters.partial_eval import dce_jaxpr

from bamopipe.distributions import adapter
from bamopipe.distributions.support import support
from bamopipe.errors import UserError, nearest


@dataclass(frozen=True, eq=False)
class Node:
    """One variable or constant of a model; made by `bamopipe.base.Model.add_node`.

    Attributes
    ----------
    name
        How positions, results and plots call it.
    distribution
        A distribution, a class or a function that makes one; None if nothing is random here.
    parents
        Which node gives each argument of `distribution` (or of `link_fn`).
    link_fn
        Maps the parents' values to the arguments of `distribution`; of a deterministic node, to its
        value.
    shape
        The sample shape: leading dimensions on top of the distribution's own.
    on_top
        Whether `shape` was given as ``(4, ...)``, so that it cannot be taken to include the batch.
    dims
        Names of the dimensions of the value, for results and plots.
    value
        The observations, or the constant; None for a latent or deterministic variable. Missing
        entries are NaN.
    options
        Arguments of `distribution` that are not numbers, such as ``validate_args=True``.
    bijector
        What the distribution is transformed by; None for nothing.
    missing
        True where an observation is missing, over all but the event dimensions; None if all of them
        are there.
    impute
        Whether missing observations, if there are any, are latent variables. Otherwise the
        likelihood leaves them out.
    """

    name: str
    distribution: Any = None
    parents: Mapping[str, str] = field(default_factory=dict)
    link_fn: Callable | None = None
    shape: tuple[int, ...] = ()
    on_top: bool = False
    dims: tuple[str, ...] | None = None
    value: np.ndarray | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    bijector: Any = None
    missing: np.ndarray | None = None
    impute: bool = False

    @property
    def imputes(self) -> bool:
        """Whether there are missing observations in a latent variable ``{name}_missing``."""
        return self.impute and self.missing is not None

    @property
    def is_constant(self) -> bool:
        """Whether this is data that nothing generates."""
        return self.distribution is None and self.value is not None

    @property
    def is_deterministic(self) -> bool:
        """Whether this follows from its parents."""
        return self.distribution is None and self.value is None

    @property
    def is_observed(self) -> bool:
        """Whether this is a random variable whose value was seen."""
        return self.distribution is not None and self.value is not None

    @property
    def is_latent(self) -> bool:
        """Whether this is a random variable to infer."""
        return self.distribution is not None and self.value is None


class Outline(NamedTuple):
    """What of a node's value is known before any number is.

    Attributes
    ----------
    shape
        Of the value: the sample shape, then the distribution's batch and event shape.
    dtype
        float64 for real numbers, or an integer type.
    sample_shape
        Leading dimensions on top of the distribution's own.
    event_ndims
        How many trailing dimensions one draw has.
    discrete
        Whether the distribution is one of whole numbers.
    """

    shape: tuple[int, ...]
    dtype: Any
    sample_shape: tuple[int, ...] = ()
    event_ndims: int = 0
    discrete: bool = False

    @property
    def example(self) -> jax.ShapeDtypeStruct:
        """A stand-in for the value, to trace with."""
        return jax.ShapeDtypeStruct(self.shape, self.dtype)


def make_distribution(node: Node, arguments: Mapping[str, Array], dtype):
    """Make the distribution of a random node from its parents' values.

    Parameters
    ----------
    node
        Latent or observed.
    arguments
        The parents' values, by the name of the argument.
    dtype
        The floating-point type of the distribution.

    Raises
    ------
    UserError
        The parents do not fit the distribution.
    """
    if adapter.is_instance(node.distribution):
        distribution = node.distribution
    else:
        arguments = _arguments_of_distribution(node, arguments, dtype)
        try:
            distribution = adapter.build(node.distribution, {**arguments, **node.options})
        except UserError as error:
            raise UserError(f"node {node.name!r}: {error}") from None
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            shapes = ", ".join(f"{a} of shape {jnp.shape(v)}" for a, v in arguments.items())
            raise UserError(
                f"the distribution of node {node.name!r} could not be made from {shapes}: {error}"
            ) from error
    if node.bijector is not None:
        distribution = adapter.transformed(distribution, node.bijector)
    return adapter.cast(distribution, dtype)


def compute(node: Node, arguments: Mapping[str, Array], dtype) -> Array:
    """Return the value of a deterministic node given its parents' values, by argument."""
    value = _call_link(node, arguments)
    try:
        array = jnp.asarray(value)
        if array.dtype == bool:
            array = array.astype(int)
        return array.astype(dtype) if jnp.issubdtype(array.dtype, jnp.floating) else array
    except (TypeError, ValueError):
        raise UserError(
            f"the link_fn of deterministic node {node.name!r} must return its value, an array; got "
            f"{type(value).__name__} (arguments of a distribution need a distribution)"
        ) from None


def _call_link(node: Node, arguments: Mapping[str, Array]):
    assert node.link_fn is not None
    try:
        return node.link_fn(**arguments)
    except UserError:
        raise
    except Exception as error:  # a person's own code may raise anything
        shapes = ", ".join(f"{a} of shape {jnp.shape(v)}" for a, v in arguments.items())
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        if isinstance(error, (jax.errors.TracerArrayConversionError, jax.errors.JAXTypeError)):
            reason = "use jax.numpy for numpy in it, and no Python `if` or `float` on values"
        raise UserError(
            f"the link_fn of node {node.name!r} failed with {shapes}: {reason}"
        ) from error


def _arguments_of_distribution(node: Node, arguments: Mapping[str, Array], dtype) -> dict[str, Any]:
    """Return the arguments of a node's distribution, checked against its signature."""
    if node.link_fn is None:
        # Neither library takes whole numbers everywhere. A link function gets them unchanged, since
        # they may be indices.
        found = {argument: jnp.asarray(value, dtype) for argument, value in arguments.items()}
    else:
        found = _call_link(node, arguments)
        if not isinstance(found, Mapping):
            raise UserError(
                f"the link_fn of node {node.name!r} must return the arguments of its distribution "
                f"as a dict, such as dict(loc=...); got {type(found).__name__}"
            )
    check_call(
        node.distribution,
        (*found, *node.options),
        f"node {node.name!r}: {family(node.distribution)}",
        "parameter",
        "" if node.link_fn is not None else " (what has to be computed first needs a link_fn)",
    )
    return dict(found)


def check_call(
    function: Callable, names: tuple[str, ...], what: str, noun: str, hint: str = ""
) -> None:
    """Raise UserError unless a function or class can be called with these named arguments."""
    try:
        known = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C: nothing is known of its arguments
        return
    open_ended = any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in known)
    takes = {p.name: p.default is p.empty for p in known if p.kind is not p.POSITIONAL_ONLY}
    if not takes and not open_ended and names:
        raise UserError(f"{what} takes no {noun}s by name; wrap it, lambda {', '.join(names)}: ...")
    listed = [name for name in takes if name not in ("validate_args", "allow_nan_stats", "name")]
    for name in names:
        if name not in takes and not open_ended:
            raise UserError(f"{what} has no {noun} {name!r}{nearest(name, listed)}{hint}")
    missing = [name for name, required in takes.items() if required and name not in names]
    if missing and not open_ended:
        raise UserError(f"{what} needs the {noun} {missing[0]!r}; it takes {', '.join(listed)}")


def family(distribution) -> str:
    """Name a distribution, its class, or the function that makes it."""
    if isinstance(distribution, functools.partial):
        distribution = distribution.func
    return getattr(distribution, "__name__", type(distribution).__name__)


def outline(node: Node, parents: Mapping[str, Outline]) -> Outline:
    """Find the shape of a node's value, without computing anything.

    Parameters
    ----------
    node
        Of any kind.
    parents
        Outlines of the parents, by the name of the argument.

    Raises
    ------
    UserError
        The parents do not fit the distribution, or the shapes one another.
    """
    with jax.enable_x64(True):
        if node.is_constant:
            assert node.value is not None
            return Outline(node.value.shape, _dtype(node.value.dtype))
        examples = {name: parent.example for name, parent in parents.items()}
        if node.is_deterministic:
            value = jax.eval_shape(lambda given: compute(node, given, jnp.float64), examples)
            return Outline(value.shape, value.dtype)
        return _outline_of_random(node, examples)


def _outline_of_random(node: Node, examples: Mapping[str, jax.ShapeDtypeStruct]) -> Outline:
    found: list[tuple] = []

    def look(arguments):
        d = make_distribution(node, arguments, jnp.float64)
        try:
            discrete, dtype = support(d).discrete, d.dtype
            if not discrete and not jnp.issubdtype(dtype, jnp.floating):
                raise UserError(
                    f"{family(d)} was made from arrays of whole numbers, to which its values "
                    "would be rounded; make them real, as in np.array([0.0, 1.0])"
                )
            found.append((tuple(d.batch_shape), tuple(d.event_shape), dtype, discrete))
        except UserError as error:
            raise UserError(f"node {node.name!r}: {error}") from None
        except (TypeError, ValueError) as error:
            shapes = ", ".join(f"{a} {example.shape}" for a, example in examples.items())
            raise UserError(
                f"the parents of node {node.name!r} do not fit one another: {shapes}: {error}"
            ) from error

    jax.eval_shape(look, dict(examples))
    batch, event, dtype, discrete = found[0]
    if node.value is not None and jnp.issubdtype(node.value.dtype, jnp.floating):
        dtype = node.value.dtype  # also that of whole numbers, which may be missing
    if node.value is None:
        _check_shape(node, batch)
        sample_shape = node.shape
    else:
        sample_shape = _sample_shape_of_observations(node, batch + event)
    return Outline(sample_shape + batch + event, _dtype(dtype), sample_shape, len(event), discrete)


def _dtype(dtype):
    return jnp.dtype(float if jnp.issubdtype(dtype, jnp.floating) else dtype)


def _check_shape(node: Node, batch: tuple[int, ...]) -> None:
    """Refuse a sample shape that reads as if it already included the batch."""
    shape = node.shape
    if node.on_top or not shape or not batch:
        return
    with contextlib.suppress(ValueError):  # (3,) over (4,) cannot be taken for anything else
        np.broadcast_shapes(shape, batch)
        own = ", ".join(map(str, batch))
        inner = ", ".join(map(str, shape))
        raise UserError(
            f"node {node.name!r} has shape={shape}, but its distribution has shape {batch} "
            f"from its parents, which would give {shape + batch}; leave `shape` out for one value "
            f"for each of the {own}, or write shape=({inner}, ...) if {shape + batch} is meant"
        )


def _sample_shape_of_observations(node: Node, own: tuple[int, ...]) -> tuple[int, ...]:
    assert node.value is not None
    shape = node.value.shape
    leading = len(shape) - len(own)
    if leading < 0 or shape[leading:] != own:
        raise UserError(
            f"the observations of node {node.name!r} have shape {shape}, but its distribution has "
            f"shape {own}; expected shape {own}, or leading dimensions before it (parameters are "
            "not stretched to the observations: do that in a link_fn)"
        )
    if node.shape and node.shape != shape[:leading]:
        raise UserError(
            f"node {node.name!r} has shape={node.shape}, but its observations of shape {shape} "
            f"have the leading dimensions {shape[:leading]}; leave `shape` out"
        )
    return shape[:leading]


def find_impossible(
    node: Node, known: Mapping[str, Any], unknown: Mapping[str, Outline]
) -> tuple[int, ...] | None:
    """Find an observation outside the support, if the support does not hang on latent variables.

    Parameters
    ----------
    node
        Observed, with an outline that fits.
    known
        Parents that are data, by argument.
    unknown
        Outlines of all other parents, by argument.

    Returns
    -------
    tuple of int or None
        The index of the first impossible observation.
    """

    def holds(unknown):
        arguments = {**{a: jnp.asarray(v) for a, v in known.items()}, **unknown}
        distribution = make_distribution(node, arguments, jnp.float64)
        return support(distribution).holds(node.value, len(distribution.event_shape))

    with jax.enable_x64(True):
        return _find_impossible(node, holds, {n: o.example for n, o in unknown.items()})


def _find_impossible(node: Node, holds: Callable, examples) -> tuple[int, ...] | None:
    closed = jax.make_jaxpr(holds)(examples)
    needed, uses_unknown = dce_jaxpr(closed.jaxpr, [True])
    if any(uses_unknown):
        return None
    # Operation by operation, since one program would be compiled again for all other data.
    (flags,) = jax.core.eval_jaxpr(needed, closed.consts)
    flags = np.asarray(flags)
    if node.missing is not None:
        flags = flags | node.missing
    return None if flags.all() else tuple(int(i) for i in np.argwhere(~flags)[0])

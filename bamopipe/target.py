"""The model as inference sees it: log densities of positions, factor by factor.

A *position* is a dict from the name of each latent variable to its value, in the variable's own
(constrained) space. A *factor* is the log density of one random variable given its parents.
"""

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.base import Model, Node
from bamopipe.distributions import adapter
from bamopipe.errors import UserError

Position = dict[str, Array]
PRECISIONS = ("float64", "float32")
RESERVED_DIMS = ("chain", "draw", "sample", "seed", "stage", "update")


def precision_context(precision: str):
    """Return a context in which JAX computes in this precision, whatever its global setting."""
    if precision not in PRECISIONS:
        raise UserError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
    return jax.enable_x64(precision == "float64")


@dataclass(frozen=True, eq=False)
class Lifted:
    """A traced function whose closed-over arrays have become arguments."""

    jaxpr: Any

    def __call__(self, closures: list[Array], *arguments) -> Array:
        """Evaluate at arguments of the shapes it was traced with."""
        (out,) = jax.core.eval_jaxpr(self.jaxpr, closures, *jax.tree.leaves(arguments))
        return out


def lift(function: Callable, *examples) -> tuple[Lifted, list[Array]]:
    """Trace a function of arrays; return it and the arrays that it closes over."""
    closed = jax.make_jaxpr(function)(*examples)
    return Lifted(closed.jaxpr), [jnp.asarray(c) for c in closed.consts]


@dataclass(frozen=True, eq=False)
class Program:
    """What of a Target is fixed once it is compiled: everything but numbers.

    Compared by identity, so that a jitted function is traced once for each compiled model.
    """

    model: Model
    precision: str
    latent: tuple[str, ...]
    observed: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]
    discrete: frozenset[str]
    inputs: dict[str, tuple[str, ...]]
    log_prob: dict[str, Lifted]
    sample: dict[str, Lifted]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Target:
    """A compiled model: a pytree whose leaves are data; see `compile_target`.

    All methods work on one position; map them over particles with `jax.vmap`. Call them within
    `precision_context(target.program.precision)`, as the engines do.

    Attributes
    ----------
    data
        Observed values and constants, by the name of their node.
    closures
        Arrays that the model's own functions close over. They are arguments of every compiled
        program rather than constants within it.
    program
        The structure: which variables, which factors.
    """

    data: dict[str, Array]
    closures: dict[str, dict[str, list[Array]]]
    program: Program = field(metadata={"static": True})

    @property
    def latent(self) -> tuple[str, ...]:
        """Names of the variables of a position, parents first."""
        return self.program.latent

    @property
    def observed(self) -> tuple[str, ...]:
        """Names of the observed variables, parents first."""
        return self.program.observed

    def touching(self, variables: Iterable[str]) -> tuple[str, ...]:
        """Names of the factors that depend on any of these variables: theirs, and their children's.

        Everything else cancels when only these variables move (their Markov blanket).
        """
        moved = set(variables)
        return tuple(
            name
            for name in (*self.latent, *self.observed)
            if moved & set(self.program.inputs[name])
        )

    def log_factors(
        self, position: Position, names: Iterable[str] | None = None
    ) -> dict[str, Array]:
        """Return the untempered log density of each factor, by name.

        Where one factor is -inf the position is outside the support, and other factors, whose
        parameters may be meaningless there, are -inf if they are not a number. A NaN that remains
        is a fault of the model.

        Parameters
        ----------
        position
            Values of all latent variables.
        names
            Which factors; all by default.
        """
        names = (*self.latent, *self.observed) if names is None else tuple(names)
        factors = {name: jnp.sum(self._log_prob(name, position)) for name in names}
        outside = jnp.any(jnp.stack([f == -jnp.inf for f in factors.values()]))
        return {name: jnp.where(outside & jnp.isnan(f), -jnp.inf, f) for name, f in factors.items()}

    def log_prior(self, position: Position) -> Array:
        """Return the log density of the latent variables, a scalar."""
        return sum_of(self.log_factors(position, self.latent), self.latent)

    def log_likelihood(self, position: Position) -> Array:
        """Return the log density of all observed variables, a scalar."""
        return sum_of(self.log_factors(position), self.observed)

    def pointwise_log_likelihood(self, position: Position) -> dict[str, Array]:
        """Return the log density of every observation, by observed variable."""
        return {name: self._log_prob(name, position) for name in self.observed}

    def sample_prior(self, key: Array) -> Position:
        """Draw a position from the prior."""
        values = self._simulate(key, self.latent, dict(self.data))
        return {name: values[name] for name in self.latent}

    def predict(self, key: Array, position: Position) -> dict[str, Array]:
        """Draw new values of the observed variables given a position."""
        values = self._simulate(key, self.observed, {**self.data, **position})
        return {name: values[name] for name in self.observed}

    def _log_prob(self, name: str, position: Position) -> Array:
        return self.program.log_prob[name](
            self.closures[name]["log_prob"], self._inputs(name, {**self.data, **position})
        )

    def _simulate(self, key: Array, names: Iterable[str], values: dict[str, Array]) -> dict:
        for name in names:
            node_key = jax.random.fold_in(key, zlib.crc32(name.encode()))
            inputs = self._inputs(name, values)
            inputs.pop(name, None)
            values[name] = self.program.sample[name](
                self.closures[name]["sample"], node_key, inputs
            )
        return values

    def _inputs(self, name: str, values: dict[str, Array]) -> dict[str, Array]:
        return {n: values[n] for n in self.program.inputs[name] if n in values}


def sum_of(factors: dict[str, Array], names: Iterable[str]) -> Array:
    """Add up the factors of these names; zero if there are none."""
    return sum((factors[name] for name in names), start=jnp.zeros(()))


def tempered(target: Target, factors: dict[str, Array], temperature: Array) -> Array:
    """Return the tempered log density of these factors: only observed ones are tempered.

    ``0 * -inf`` counts as 0: at temperature 0 the target is the prior.
    """
    total = jnp.zeros(())
    for name, factor in factors.items():
        if name in target.observed:
            factor = jnp.where(temperature == 0, 0.0, temperature * factor)
        total = total + factor
    return total


def compile_target(model: Model, precision: str = "float64") -> Target:
    """Turn a model into a Target.

    Parameters
    ----------
    model
        The graph. It takes no more nodes afterwards, and keeps what is compiled.
    precision
        "float64" or "float32", for data, parameters and latent variables alike.

    Raises
    ------
    UserError
        The graph has a cycle or an unknown parent; a distribution cannot be made from its parents;
        or observations do not have the shape that their distribution has.

    Examples
    --------
    >>> import distrax as dx
    >>> from bamopipe.base import Model
    >>> from bamopipe.target import compile_target, precision_context
    >>> model = Model()
    >>> mu = model.add_node("mu", distribution=dx.Normal(loc=0.0, scale=1.0))
    >>> y = model.add_node(
    ...     "y", distribution=dx.Normal, parents=dict(loc=mu, scale=1.0), observations=[1.0, 2.0]
    ... )
    >>> target = compile_target(model)
    >>> with precision_context(target.program.precision):
    ...     print(f"{target.log_likelihood({'mu': 1.0}):.4f}")
    -2.3379
    """
    if precision in model.compiled:
        return model.compiled[precision]
    order = model.order()
    with precision_context(precision):
        dtype = jnp.dtype(precision)
        example: dict[str, Any] = {}
        data, closures, inputs = {}, {}, {}
        log_prob: dict[str, Lifted] = {}
        sample: dict[str, Lifted] = {}
        for name in order:
            node = model.nodes[name]
            if not node.is_latent:
                value = jnp.asarray(node.value)
                is_float = jnp.issubdtype(value.dtype, jnp.floating)
                data[name] = example[name] = value.astype(dtype) if is_float else value
            if node.is_constant:
                continue
            parents = {p: example[p] for p in node.parents.values()}
            sample_shape = _sample_shape(node, parents, dtype)
            draw = _draw_function(node, sample_shape, dtype)
            sample[name], sample_closures = lift(draw, jax.random.key(0), parents)
            if node.is_latent:
                example[name] = jax.eval_shape(draw, jax.random.key(0), parents)
            inputs[name] = (name, *dict.fromkeys(node.parents.values()))
            log_prob[name], density_closures = lift(
                _density_function(node, dtype), {n: example[n] for n in inputs[name]}
            )
            closures[name] = {"log_prob": density_closures, "sample": sample_closures}
    latent = tuple(n for n in order if model.nodes[n].is_latent)
    if not latent:
        raise UserError(f"model {model.name!r} has no latent variable: there is nothing to infer")
    _check_dims(model, {n: tuple(jnp.shape(example[n])) for n in order})
    model.compiled[precision] = Target(
        data=data,
        closures=closures,
        program=Program(
            model=model,
            precision=precision,
            latent=latent,
            observed=tuple(n for n in order if model.nodes[n].is_observed),
            shapes={n: tuple(jnp.shape(example[n])) for n in order},
            discrete=frozenset(
                n for n in latent if not jnp.issubdtype(example[n].dtype, jnp.floating)
            ),
            inputs=inputs,
            log_prob=log_prob,
            sample=sample,
        ),
    )
    return model.compiled[precision]


def _check_dims(model: Model, shapes: dict[str, tuple[int, ...]]) -> None:
    """Raise UserError unless named dimensions fit the values, their labels and one another."""
    sizes = {dim: len(labels) for dim, labels in model.coords.items()}
    for name, node in model.nodes.items():
        if node.dims is None:
            continue
        if len(node.dims) != len(shapes[name]) or len(set(node.dims)) < len(node.dims):
            raise UserError(
                f"node {name!r} has dims {node.dims} but shape {shapes[name]}; give each dimension "
                "a name of its own"
            )
        for dim, size in zip(node.dims, shapes[name], strict=True):
            if dim in model.nodes or dim in RESERVED_DIMS:
                raise UserError(
                    f"dim {dim!r} of node {name!r} is also the name of a node or a dimension of "
                    "all results; choose another name"
                )
            if sizes.setdefault(dim, size) != size:
                raise UserError(
                    f"dim {dim!r} of node {name!r} has size {size}, but its labels or other nodes "
                    f"have {sizes[dim]}"
                )


def _distribution(node: Node, values: dict[str, Array], dtype):
    """Make the distribution of a node from its parents' values."""
    if adapter.is_instance(node.distribution):
        return adapter.cast(node.distribution, dtype)
    arguments = {argument: values[parent] for argument, parent in node.parents.items()}
    try:
        if node.link_fn is not None:
            arguments = node.link_fn(**arguments)
        else:
            # Neither library takes whole numbers everywhere. A link function gets them unchanged,
            # since they may be indices.
            arguments = {a: jnp.asarray(v, dtype) for a, v in arguments.items()}
        return adapter.cast(adapter.build(node.distribution, {**arguments, **node.options}), dtype)
    except UserError as error:
        raise UserError(f"node {node.name!r}: {error}") from None
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        shapes = ", ".join(f"{a} of shape {jnp.shape(v)}" for a, v in arguments.items())
        raise UserError(
            f"the distribution of node {node.name!r} could not be made from {shapes}: {error}"
        ) from error


def _sample_shape(node: Node, parents: dict[str, Any], dtype) -> tuple[int, ...]:
    """Return which leading dimensions a draw of the node has beyond those of its distribution."""
    shapes = []

    def inspect(parents):
        distribution = _distribution(node, parents, dtype)
        shapes.append((*distribution.batch_shape, *distribution.event_shape))

    jax.eval_shape(inspect, parents)
    own = tuple(shapes[0])
    if node.value is None:
        return node.shape
    shape = node.value.shape
    leading = len(shape) - len(own)
    if leading < 0 or shape[leading:] != own:
        raise UserError(
            f"the observations of node {node.name!r} have shape {shape}, but its distribution has "
            f"shape {own}; expected shape {own}, or leading dimensions before it"
        )
    return shape[:leading]


def _draw_function(node: Node, sample_shape: tuple[int, ...], dtype) -> Callable:
    def draw(key, parents):
        value = adapter.sample(_distribution(node, parents, dtype), key, sample_shape)
        return value.astype(dtype) if jnp.issubdtype(value.dtype, jnp.floating) else value

    return draw


def _density_function(node: Node, dtype) -> Callable:
    def density(values):
        distribution = _distribution(node, values, dtype)
        try:
            return adapter.log_prob(distribution, values[node.name])
        except UserError as error:
            raise UserError(f"node {node.name!r}: {error}") from None

    return density

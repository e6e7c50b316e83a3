"""From a model to its Target: every node's functions traced once, data and shapes apart."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tensorflow_probability.substrates.jax import bijectors as tfb

from bamopipe.base import Model, Node
from bamopipe.distributions import adapter
from bamopipe.distributions.bijectors import unconstraining
from bamopipe.distributions.noise import from_noise
from bamopipe.errors import UserError
from bamopipe.node import Outline, compute, make_distribution
from bamopipe.target.lift import Lifted, lift
from bamopipe.target.target import Program, Target, precision_context


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
        The graph has a cycle or an unknown parent, or something that was added before its parents
        does not fit them.

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
    if precision not in model.compiled:
        with precision_context(precision):
            model.compiled[precision] = _Compiler(model, precision).target()
    return model.compiled[precision]


KINDS = (
    *("compute", "sample", "log_prob", "mean"),
    *("constrain", "unconstrain", "to_noise", "from_noise"),
)


class _Compiler:
    """Traces the functions of all nodes of a model."""

    def __init__(self, model: Model, precision: str):
        self.model, self.precision = model, precision
        self.dtype = jnp.dtype(precision)
        self.functions: dict[tuple[str, str], Lifted | UserError] = {}
        self.closures: dict[tuple[str, str], list] = {}
        self.free_shapes: dict[str, tuple[int, ...] | None] = {}
        self.forms: dict[Any, str] = {}  # what is known of a node's form -> its name

    def target(self) -> Target:
        model = self.model
        order = tuple(n for n in model.finish() if not model.nodes[n].is_constant)
        latent = model.latent
        if not latent:
            raise UserError(
                f"model {model.name!r} has no latent variable: there is nothing to infer"
            )
        for name in order:
            self._trace_once(model.nodes[name], model.outlines[name])
        missing = {n: node.missing for n, node in model.nodes.items() if node.missing is not None}
        node_of = {
            **{name: name for name in order},
            **{f"{name}_missing": name for name in order if model.nodes[name].imputes},
        }
        return Target(
            data={
                name: jnp.asarray(_fill(node), self._dtype(model.outlines[name]))
                for name, node in model.nodes.items()
                if node.value is not None
            },
            missing={name: jnp.asarray(mask) for name, mask in missing.items()},
            closures=self.closures,
            program=Program(
                model=model,
                precision=self.precision,
                order=order,
                latent=latent,
                observed=model.observed,
                deterministic=model.deterministic,
                shapes={
                    **{name: found.shape for name, found in model.outlines.items()},
                    **{f"{name}_missing": _missing_shape(model, name) for name in missing},
                },
                free_shapes=self.free_shapes,
                dtypes={n: self._dtype(model.outlines[node_of[n]]) for n in latent},
                discrete=model.discrete,
                upstream=_upstream(model, order),
                node_of=node_of,
                functions=self.functions,
                text=self._text(order, missing),
            ),
        )

    def _trace_once(self, node: Node, outline: Outline) -> None:
        """Trace a node's functions, or take those of a node of the same form."""
        form: Any = None
        # Functions of a person's own may hold anything; what a class does is told by its arguments.
        if inspect.isclass(node.distribution) and node.link_fn is None and node.missing is None:
            shapes = tuple(
                (a, self._example(self.model.outlines[p])) for a, p in node.parents.items()
            )
            role = (node.is_latent, outline, None if node.value is None else node.value.dtype)
            options = tuple((a, id(option)) for a, option in node.options.items())
            form = (node.distribution, id(node.bijector), options, shapes, role)
        like = self.forms.setdefault(form, node.name) if form is not None else node.name
        if like == node.name:
            self._trace(node, outline)
            return
        for kind in KINDS:
            if (kind, like) in self.functions:
                self.functions[kind, node.name] = self.functions[kind, like]
                self.closures[kind, node.name] = self.closures.get((kind, like), [])
        if node.is_latent:
            self.free_shapes[node.name] = self.free_shapes[like]

    def _trace(self, node: Node, outline: Outline) -> None:
        """Trace the functions of one node."""
        name = node.name
        examples = {a: self._example(self.model.outlines[p]) for a, p in node.parents.items()}
        value = self._example(outline)
        if node.is_deterministic:
            self._add("compute", name, lambda given: compute(node, given, self.dtype), examples)
            return

        def distribution(arguments):
            return make_distribution(node, arguments, self.dtype)

        def draw(key, arguments):
            drawn = adapter.sample(distribution(arguments), key, outline.sample_shape)
            return drawn.astype(value.dtype)

        def log_prob(value, arguments):
            return adapter.log_prob(distribution(arguments), value)

        self._add("sample", name, draw, jax.eval_shape(jax.random.key, 0), examples)
        self._add("log_prob", name, log_prob, value, examples)
        if node.is_latent or node.imputes:
            self._trace_transform(node, outline, distribution, examples)
        if node.is_latent and self.free_shapes[name] is not None:
            self._trace_mean(node, outline, distribution, examples)
        if node.is_latent and node.parents and not outline.discrete:
            self._trace_noise(node, outline, distribution, examples)

    def _trace_mean(self, node: Node, outline: Outline, distribution, examples) -> None:
        """Trace the mean of a node whose values are any real numbers, if its family has one."""

        def mean(arguments):
            made = distribution(arguments)
            if not isinstance(unconstraining(made), tfb.Identity):
                raise UserError("it does not take all real numbers")
            return jnp.broadcast_to(made.mean(), outline.shape).astype(self.dtype)

        try:
            self._add("mean", node.name, mean, examples)
        except (NotImplementedError, UserError) as error:
            self.functions["mean", node.name] = UserError(f"its mean is not known: {error}")

    def _trace_noise(self, node: Node, outline: Outline, distribution, examples) -> None:
        """Trace the way to noise and back, of a node whose family has a place and a scale."""

        def bijector(arguments):
            return adapter.cast(from_noise(distribution(arguments)), self.dtype)

        def log_det(b, noise):
            event_ndims = b.forward_min_event_ndims
            shape = outline.shape[: len(outline.shape) - event_ndims]
            density = b.forward_log_det_jacobian(noise, event_ndims=event_ndims)
            return jnp.sum(jnp.broadcast_to(density, shape))

        def away(value, arguments):
            noise = bijector(arguments).inverse(value)
            # Another one, since TFP's remember what they inverted, and the Jacobian there.
            return noise, log_det(bijector(arguments), noise)

        def back(noise, arguments):
            b = bijector(arguments)
            return b.forward(noise), log_det(b, noise)

        value = self._example(outline)
        try:
            self._add("to_noise", node.name, away, value, examples)
            self._add("from_noise", node.name, back, value, examples)
        except UserError as error:
            for kind in ("to_noise", "from_noise"):
                self.functions[kind, node.name] = error

    def _trace_transform(self, node: Node, outline: Outline, distribution, examples) -> None:
        """Trace the way to real vectors and back, of a latent node or its missing entries."""
        name = f"{node.name}_missing" if node.imputes else node.name
        missing = None if node.missing is None else np.nonzero(node.missing)
        leading = outline.shape[: len(outline.shape) - outline.event_ndims]
        event = outline.shape[len(leading) :]
        found: list[tuple[int, ...]] = []

        def bijector(arguments):
            return adapter.cast(unconstraining(distribution(arguments)), self.dtype)

        def look(arguments):
            found.append(tuple(bijector(arguments).inverse_event_shape(event)))

        def pick(values):
            return values if missing is None else values[missing]

        def constrain(free, arguments):
            b = bijector(arguments)
            if missing is not None:
                free = jnp.zeros((*leading, *found[0]), self.dtype).at[missing].set(free)
            log_det = b.forward_log_det_jacobian(free, event_ndims=len(found[0]))
            return pick(b.forward(free)), pick(jnp.broadcast_to(log_det, leading))

        def unconstrain(value, arguments):
            b = bijector(arguments)
            if missing is not None:  # other entries need some value inside the support
                inside = b.forward(jnp.zeros((*leading, *found[0]), self.dtype))
                value = jnp.broadcast_to(inside, outline.shape).at[missing].set(value)
            return pick(b.inverse(value)), jnp.zeros(leading, self.dtype)

        try:
            if outline.discrete:
                raise UserError("it takes whole numbers, which have no unconstrained space")
            jax.eval_shape(look, examples)
            count = () if missing is None else (len(missing[0]),)
            free = jax.ShapeDtypeStruct((*(count or leading), *found[0]), self.dtype)
            value = jax.ShapeDtypeStruct((*(count or leading), *event), self.dtype)
            self.free_shapes[name] = free.shape
            self._add("constrain", name, constrain, free, examples)
            self._add("unconstrain", name, unconstrain, value, examples)
        except UserError as error:  # told when somebody asks for it
            self.functions["constrain", name] = self.functions["unconstrain", name] = error
            self.free_shapes[name] = None

    def _add(self, kind: str, name: str, function: Callable, *examples) -> None:
        self.functions[kind, name], self.closures[kind, name] = lift(function, *examples)

    def _dtype(self, outline: Outline):
        is_float = jnp.issubdtype(outline.dtype, jnp.floating)
        return self.dtype if is_float else jax.dtypes.canonicalize_dtype(outline.dtype)

    def _example(self, outline: Outline) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(outline.shape, self._dtype(outline))

    def _text(self, order: tuple[str, ...], missing: Mapping[str, np.ndarray]) -> str:
        """Write down all that a program compiled from this target depends on, but for numbers."""
        nodes = self.model.nodes
        lines = [self.precision]
        for name in order:
            node = nodes[name]
            lines.append(f"{name} {node.parents} {node.is_observed} {node.imputes}")
        lines += [
            f"{name} missing {mask.shape} {mask.tobytes().hex()}" for name, mask in missing.items()
        ]
        for (kind, name), function in self.functions.items():
            text = str(function) if isinstance(function, UserError) else function.text
            lines.append(f"{kind} {name}: {text}")
        return "\n".join(lines)


def _fill(node: Node) -> np.ndarray:
    """Put one of the seen observations in place of missing ones, where any possible value will do.

    A NaN would find its way into gradients, even of a density that does not count.
    """
    assert node.value is not None
    if node.missing is None or node.missing.all():
        return node.value if node.missing is None else np.zeros_like(node.value)
    values = node.value.copy()
    values[node.missing] = values[~node.missing][0]
    return values


def _missing_shape(model: Model, name: str) -> tuple[int, ...]:
    mask = model.nodes[name].missing
    assert mask is not None
    return (int(mask.sum()), *model.outlines[name].shape[mask.ndim :])


def _upstream(model: Model, order: tuple[str, ...]) -> dict[str, frozenset[str]]:
    """Collect what each node is computed from, up to the next random variables."""
    behind: dict[str, frozenset[str]] = {}  # node -> what its value is computed from, and itself
    upstream: dict[str, frozenset[str]] = {}
    for name in order:
        node = model.nodes[name]
        parents = frozenset().union(*(behind.get(p, frozenset()) for p in node.parents.values()))
        if node.is_deterministic:
            behind[name] = upstream[name] = parents | {name}
        elif node.is_latent:
            behind[name] = frozenset({name})
            upstream[name] = parents | {name}
        elif node.imputes:
            behind[name] = frozenset({name, f"{name}_missing"})
            upstream[name] = parents | {name}
            upstream[f"{name}_missing"] = parents | behind[name]
        else:
            behind[name] = frozenset()
            upstream[name] = parents
    return upstream

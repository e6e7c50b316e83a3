"""Target: a compiled model, a pytree whose leaves are data."""

import contextlib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bamopipe.base import Model
from bamopipe.errors import UserError, nearest
from bamopipe.node import make_distribution
from bamopipe.target.explain import Explanation, explain
from bamopipe.target.lift import Lifted

Position = dict[str, Array]
PRECISIONS = ("float64", "float32")


@contextlib.contextmanager
def precision_context(precision: str) -> Iterator[None]:
    """Let JAX compute in this precision, whatever its global setting."""
    if precision not in PRECISIONS:
        raise UserError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
    with contextlib.ExitStack() as settings:
        settings.enter_context(jax.enable_x64(precision == "float64"))
        if precision == "float32":  # of whose 24 bits GPUs multiply matrices with 11 otherwise
            settings.enter_context(jax.default_matmul_precision("highest"))
        yield


@dataclass(frozen=True, eq=False)
class Program:
    """What of a Target is fixed once it is compiled: everything but numbers.

    Programs of the same text are equal, so that models of one form share what is compiled of them,
    whatever their data.

    Attributes
    ----------
    model
        The graph.
    precision
        "float64" or "float32".
    order
        All random and deterministic nodes, parents first.
    latent, observed, deterministic
        Names of the variables of each kind, parents first. Missing observations are latent.
    shapes
        Of the value of each variable and constant.
    free_shapes
        Of the real vectors that `Target.constrain` takes for each latent variable; None where there
        is no way from real vectors.
    dtypes
        Of the value of each latent variable.
    discrete
        Latent variables that take whole numbers.
    upstream
        Factor -> everything that it is computed from, up to the next random variables.
    node_of
        Factor -> node: that of missing observations is the node that has them.
    functions
        Kind of function, and node -> traced function: "log_prob", "sample", "compute",
        "mean", "constrain", "unconstrain", "to_noise", "from_noise". A UserError where there is
        none.
    text
        What the program says, to compare.
    """

    model: Model
    precision: str
    order: tuple[str, ...]
    latent: tuple[str, ...]
    observed: tuple[str, ...]
    deterministic: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]
    free_shapes: dict[str, tuple[int, ...] | None]
    dtypes: dict[str, Any]
    discrete: frozenset[str]
    upstream: dict[str, frozenset[str]]
    node_of: dict[str, str]
    functions: dict[tuple[str, str], Lifted | UserError]
    text: str

    def __eq__(self, other) -> bool:
        return isinstance(other, Program) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Target:
    """A compiled model: a pytree whose leaves are data; see `compile_target`.

    All methods work on one position; map them over particles with `jax.vmap`. Call them within
    `precision_context(target.program.precision)`, as the engines do.

    Attributes
    ----------
    data
        Observed values and constants, by the name of their node. Missing observations have a value
        that is possible and does not count.
    missing
        Node -> where its observations are missing, for nodes with some.
    closures
        Arrays that the model's own functions close over, by function and node. They are arguments
        of every compiled program rather than constants within it.
    program
        The structure: which variables, which factors.
    weights
        Observed variable -> by what the log density of each of its observations is multiplied; 1
        where nothing is said.
    """

    data: dict[str, Array]
    missing: dict[str, Array]
    closures: dict[tuple[str, str], list[Array]]
    program: Program = field(metadata={"static": True})
    weights: dict[str, Array] = field(default_factory=dict)

    @property
    def latent(self) -> tuple[str, ...]:
        """Names of the variables of a position, parents first."""
        return self.program.latent

    @property
    def observed(self) -> tuple[str, ...]:
        """Names of the observed variables, parents first."""
        return self.program.observed

    @property
    def example(self) -> dict[str, jax.ShapeDtypeStruct]:
        """A position without numbers: shape and type of every variable, to trace functions with."""
        program = self.program
        return {
            name: jax.ShapeDtypeStruct(program.shapes[name], program.dtypes[name])
            for name in self.latent
        }

    def touching(self, variables: Iterable[str]) -> tuple[str, ...]:
        """Names of the factors that depend on any of these variables: theirs, and their children's.

        Everything else cancels when only these variables move (their Markov blanket).
        """
        moved = set(variables)
        for name in moved - set(self.latent):
            raise UserError(f"{name!r} is no latent variable{nearest(name, self.latent)}")
        return tuple(
            name for name in (*self.latent, *self.observed) if moved & self.program.upstream[name]
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
        values = self.values(position, names)
        factors = {name: jnp.sum(self.pointwise(name, values)) for name in names}
        outside = jnp.any(jnp.stack([f == -jnp.inf for f in factors.values()]))
        # Put together by itself, or XLA computes every factor once more for every other one.
        outside = jax.lax.optimization_barrier(outside)
        return {name: jnp.where(outside & jnp.isnan(f), -jnp.inf, f) for name, f in factors.items()}

    def log_prior(self, position: Position) -> Array:
        """Return the log density of the latent variables, a scalar."""
        return sum_of(self.log_factors(position, self.latent), self.latent)

    def log_likelihood(self, position: Position) -> Array:
        """Return the log density of all observed variables, a scalar."""
        return sum_of(self.log_factors(position), self.observed)

    def pointwise_log_likelihood(self, position: Position) -> dict[str, Array]:
        """Return the log density of every observation, by observed variable.

        Of the shape of the observations without event dimensions; a vector of those that were seen
        where some are missing.
        """
        values = self.values(position, self.observed)
        found = {}
        for name in self.observed:
            pointwise = self._log_prob(name, values)
            missing = self.program.model.nodes[name].missing
            found[name] = pointwise if missing is None else pointwise[np.nonzero(~missing)]
        return found

    def values(self, position: Position, names: Iterable[str] | None = None) -> dict[str, Array]:
        """Return data, position, and all that follows from them.

        Parameters
        ----------
        position
            Values of all latent variables.
        names
            Factors or deterministic variables, if only what these are computed from is wanted.
        """
        names = self.program.upstream if names is None else names
        upstream = set().union(*(self.program.upstream[name] for name in names))
        self.check_position(position)
        typed = {n: jnp.asarray(v, self.program.dtypes[n]) for n, v in position.items()}
        values = {**self.data, **typed}
        for name in self.program.order:
            if name in upstream:
                self._complete(name, values)
        return values

    def pointwise(self, factor: str, values: Mapping[str, Array]) -> Array:
        """Return the log density of each draw that a factor consists of; 0 for other draws.

        Parameters
        ----------
        factor
            Name of a latent or observed variable.
        values
            From `values`.
        """
        name = self.program.node_of[factor]
        pointwise = self._log_prob(name, values)
        if factor in self.weights:
            weight = self.weights[factor]
            pointwise = jnp.where(weight == 0, 0.0, weight * pointwise)
        if name not in self.missing:
            return pointwise
        belongs = self.missing[name] if factor != name else ~self.missing[name]
        return jnp.where(belongs, pointwise, 0.0)

    def distribution(self, name: str, position: Position):
        """Return the distribution of a random variable given its parents at a position."""
        node = self.program.model.nodes[name]
        arguments = self.arguments(name, self.values(position))
        return make_distribution(node, arguments, self.program.precision)

    def deterministics(self, position: Position) -> dict[str, Array]:
        """Return the values of the deterministic variables."""
        names = self.program.deterministic
        values = self.values(position, names)
        return {name: values[name] for name in names}

    def sample_prior(
        self, key: Array | Mapping[str, Array], given: Position | None = None
    ) -> Position:
        """Draw a position from the prior: every latent variable given its parents.

        An observed parent has the value that was observed. Variables in `given` keep the values
        that they have there. `key` is one, or has one for each node to draw, by its name.
        """
        given = given or {}
        drawn = [name for name in self.latent if name not in given]
        values = self._simulate(key, drawn, {**self.data, **given})
        return {name: values[name] for name in self.latent}

    def prior_mean(self, names: Iterable[str], given: Position) -> Position:
        """Return the means of variables given all others, each at the means of its parents.

        These are the means of their joint distribution if that is Gaussian.
        """
        values: dict[str, Array] = {**self.data, **given}
        names = set(names)
        for name in self.program.order:
            if name in names:
                values[name] = self._call("mean", name, self.arguments(name, values))
            self._complete(name, values)
        return {name: values[name] for name in names}

    def has_mean(self, name: str) -> bool:
        """Tell whether the family of a latent variable has a mean that is known."""
        found = self.program.functions.get(("mean", name))
        return found is not None and not isinstance(found, UserError)

    def carry(
        self, names: Iterable[str], position: Position, moved: Position
    ) -> tuple[Position, Array]:
        """Return the values that variables have from the same noise after their parents moved.

        Parameters
        ----------
        names
            Latent variables that have noise, as `has_noise` tells.
        position
            Values of all latent variables before the move.
        moved
            The same after it. The values there of those that are carried do not count.

        Returns
        -------
        tuple of dict and Array
            The new values of these variables, and the log determinant of the Jacobian of the old
            values' way to the new ones.
        """
        names = set(names)
        needed = set().union(*(self.program.upstream[name] for name in names))
        before = self.values(position, names)
        after: dict[str, Array] = {**self.data, **moved}
        total = jnp.zeros(())
        for name in self.program.order:
            if name not in needed:
                continue
            if name in names:
                way = (before[name], self.arguments(name, before))
                noise, log_det = self._call("to_noise", name, *way)
                way = (noise, self.arguments(name, after))
                after[name], new_log_det = self._call("from_noise", name, *way)
                total = total + new_log_det - log_det
            self._complete(name, after)
        return {name: after[name] for name in names}, total

    def has_noise(self, name: str) -> bool:
        """Tell whether a latent variable is noise that its parents shift and scale."""
        found = self.program.functions.get(("from_noise", name))
        return found is not None and not isinstance(found, UserError)

    def has_real_noise(self, name: str) -> bool:
        """Tell whether a latent variable has noise that takes all real numbers."""
        return self.has_noise(name) and self.has_mean(name)

    def predict(self, key: Array, position: Position) -> dict[str, Array]:
        """Draw new values of the observed variables given a position."""
        values = self.replicate(key, position)
        return {name: values[name] for name in self.observed}

    def replicate(self, key: Array, position: Position) -> dict[str, Array]:
        """Draw as `predict` does; return the deterministic variables as well, given the draws."""
        values = self._simulate(key, self.observed, {**self.data, **position})
        return {name: values[name] for name in (*self.observed, *self.program.deterministic)}

    def sample_prior_predictive(self, key: Array) -> dict[str, Array]:
        """Draw all variables from the model as if nothing had been observed."""
        names = set(self.program.order) - set(self.program.deterministic)
        values = self._simulate(key, names, dict(self.data))
        return {name: values[name] for name in self.program.order}

    def constrain(
        self,
        unconstrained: Position,
        given: Position | None = None,
        as_noise: Mapping[str, Array | bool] = MappingProxyType({}),
    ) -> tuple[Position, Array]:
        """Map real vectors to a position, or to some variables of a position.

        Parameters
        ----------
        unconstrained
            Latent variable -> array of any real numbers, of the shape that `unconstrain` returns.
        given
            Values of the other latent variables, if only some are to be mapped.
        as_noise
            Of some that `has_real_noise`, whether they are given as the noise that their parents
            shift and scale.

        Returns
        -------
        tuple of dict and Array
            The values of these variables, and the log determinant of the Jacobian: what to add to a
            log density of positions to have the log density of `unconstrained`.

        Raises
        ------
        UserError
            A variable is discrete, or its support is not known.
        """
        values, log_dets = self._transform("constrain", unconstrained, given, as_noise)
        return values, sum((jnp.sum(d) for d in log_dets.values()), start=jnp.zeros(()))

    def constrain_draws(
        self, name: str, unconstrained: Array, given: Position
    ) -> tuple[Array, Array]:
        """Map the real vectors of one variable, and keep the Jacobians of its draws apart.

        Parameters
        ----------
        name
            A latent variable.
        unconstrained
            As `unconstrain` returns it.
        given
            Values of all other latent variables.

        Returns
        -------
        tuple of Array and Array
            The value, and a log determinant for each draw that it consists of: its shape without
            event dimensions.
        """
        values, log_dets = self._transform("constrain", {name: unconstrained}, given)
        return values[name], log_dets[name]

    def unconstrain(
        self,
        position: Position,
        given: Position | None = None,
        as_noise: Mapping[str, Array | bool] = MappingProxyType({}),
    ) -> Position:
        """Map a position inside the support to real vectors, the inverse of `constrain`."""
        return self._transform("unconstrain", position, given, as_noise)[0]

    def check_constrains(self, name: str) -> None:
        """Raise UserError unless a latent variable has an unconstrained space."""
        function = self.program.functions["constrain", name]
        if isinstance(function, UserError):
            raise function

    def explain(self, position: Position) -> Explanation:
        """Tell each factor's value and support at a point, to find what is wrong there.

        Examples
        --------
        >>> import distrax as dx
        >>> from bamopipe.base import Model
        >>> from bamopipe.target import compile_target
        >>> model = Model()
        >>> scale = model.add_node("scale", distribution=dx.Gamma(2.0, 1.0))
        >>> y = model.add_node(
        ...     "y", distribution=dx.Normal, parents=dict(loc=0, scale=scale), observations=[1.0]
        ... )
        >>> print(compile_target(model).explain({"scale": -1.0}))
        variable  factor       log density
        scale     prior               -inf  -1. is outside the support of Gamma
        y         likelihood          -inf  follows from scale
        sum                           -inf
        """
        with precision_context(self.program.precision):
            return explain(self, position)

    def check_position(self, position: Position) -> None:
        """Raise UserError unless a position has every latent variable in its shape."""
        for name in position:
            if name not in self.latent:
                raise UserError(
                    f"the position has {name!r}, which is no latent variable"
                    f"{nearest(name, self.latent)}"
                )
        for name in self.latent:
            if name not in position:
                raise UserError(f"the position lacks the latent variable {name!r}")
            self._check_value(name, position[name], self.program.shapes[name])

    def _check_value(self, name: str, value, shape: tuple[int, ...] | None) -> None:
        if shape is not None and np.shape(value) != shape:
            raise UserError(
                f"{name!r} has shape {np.shape(value)} in the position; expected {shape}"
            )
        dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
        if not any(jnp.issubdtype(dtype, kind) for kind in (jnp.number, jnp.bool_)):
            raise UserError(f"{name!r} is {value!r} in the position; expected numbers")
        whole = jnp.issubdtype(self.program.dtypes[name], jnp.integer)
        if whole and jnp.issubdtype(dtype, jnp.floating):
            raise UserError(
                f"{name!r} takes whole numbers, but is of type {dtype} in the position; convert it "
                "with `.astype(int)`"
            )

    def _call(self, kind: str, name: str, *arguments):
        if self.program.precision == "float64" and not jax.config.jax_enable_x64:
            raise UserError(
                f"model {self.program.model.name!r} is compiled for float64, but JAX computes in "
                "float32 here; call it `with precision_context('float64'):`"
            )
        function = self.program.functions[kind, name]
        if isinstance(function, UserError):
            raise UserError(f"{name!r} cannot be moved in unconstrained space: {function}")
        return function(self.closures[kind, name], *arguments)

    def arguments(self, name: str, values: Mapping[str, Array]) -> dict[str, Array]:
        """Return the values of a node's parents, by the name of the argument."""
        return {a: values[p] for a, p in self.program.model.nodes[name].parents.items()}

    def _complete(self, name: str, values: dict[str, Array]) -> None:
        """Set the value of a node that is not in a position itself, if it is of that kind."""
        node = self.program.model.nodes[name]
        if node.is_deterministic:
            values[name] = self._call("compute", name, self.arguments(name, values))
        elif node.imputes:
            assert node.missing is not None
            values[name] = (
                self.data[name].at[np.nonzero(node.missing)].set(values[f"{name}_missing"])
            )

    def _log_prob(self, name: str, values: Mapping[str, Array]) -> Array:
        """Evaluate a node's density at each draw that its value has."""
        return self._call("log_prob", name, values[name], self.arguments(name, values))

    def _simulate(
        self, key: Array | Mapping[str, Array], names: Iterable[str], values: dict[str, Array]
    ) -> dict:
        """Draw these variables in order; add them to the values of their parents and data."""
        names = set(names)
        nodes = self.program.model.nodes
        wanted = {
            name: {name, f"{name}_missing"} & names if nodes[name].imputes else {name} & names
            for name in self.program.order
        }
        if isinstance(key, Mapping):
            keys = key
        else:  # all at once, since every use of a key is a loop of its own to compile
            codes = {name: zlib.crc32(name.encode()) for name, drawn in wanted.items() if drawn}
            numbers = np.array([*codes.values()], np.uint32)
            folded = jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)
            keys = dict(zip(codes, folded, strict=True))
        for name, drawn in wanted.items():
            node = nodes[name]
            if drawn:
                draw = self._call("sample", name, keys[name], self.arguments(name, values))
                # Put together by itself, or XLA draws once more for all that depends on it.
                draw = jax.lax.optimization_barrier(draw)
                if node.imputes:
                    assert node.missing is not None
                    values[f"{name}_missing"] = draw[np.nonzero(node.missing)]
                if name in drawn:
                    values[name] = draw
                    continue
            self._complete(name, values)
        return values

    def _transform(
        self,
        kind: str,
        inputs: Position,
        given: Position | None,
        as_noise: Mapping[str, Array | bool] = MappingProxyType({}),
    ) -> tuple[Position, dict[str, Array]]:
        """Constrain or unconstrain variables, parents first; return log determinants as well."""
        given = given or {}
        of_noise = "from_noise" if kind == "constrain" else "to_noise"
        if sorted([*inputs, *given]) != sorted(self.latent):
            got = ", ".join([*inputs, *given]) or "none"
            raise UserError(f"expected values of {', '.join(self.latent)}; got {got}")
        values: dict[str, Array] = {**self.data, **given}
        outputs: Position = {}
        log_dets: dict[str, Array] = {}
        shapes = self.program.free_shapes if kind == "constrain" else self.program.shapes
        for name, value in inputs.items():
            if name not in self.program.discrete:
                self._check_value(name, value, shapes[name])
        for name in self.program.order:
            factor = f"{name}_missing" if self.program.model.nodes[name].imputes else name
            if factor in inputs:
                arguments = (inputs[factor], self.arguments(name, values))
                output, log_det = self._call(kind, factor, *arguments)
                if factor in as_noise:
                    noise, of_all = self._call(of_noise, factor, *arguments)
                    output = jnp.where(as_noise[factor], noise, output)
                    log_det = jnp.where(as_noise[factor], jnp.sum(of_all), jnp.sum(log_det))
                outputs[factor], log_dets[factor] = output, log_det
                values[factor] = outputs[factor] if kind == "constrain" else inputs[factor]
            self._complete(name, values)
        return outputs, log_dets


def sum_of(factors: Mapping[str, Array], names: Iterable[str]) -> Array:
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

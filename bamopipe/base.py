"""The graph that a person writes: random variables, data, and who depends on whom."""

import dataclasses
import keyword
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from types import EllipsisType
from typing import Any

import numpy as np

from bamopipe.declaration import (
    as_data,
    check_kind,
    in_order,
    labels_of,
    nan_error,
    read_coords,
    read_shape,
)
from bamopipe.distributions import adapter, parameters
from bamopipe.errors import UserError, nearest
from bamopipe.graph import Graph, describe
from bamopipe.node import Node, Outline, check_call, family, find_impossible, outline

__all__ = ["Model", "Node"]

# Dimensions that all results have.
RESERVED_DIMS = ("chain", "draw", "sample", "seed", "stage", "update")


class Model:
    """A directed graph of random variables.

    Parameters
    ----------
    name
        What reports call the model.
    coords
        Labels along named dimensions, dimension -> sequence of labels.

    Attributes
    ----------
    nodes
        Name -> node, as they were added.
    outlines
        Name -> shape of the value, for nodes whose parents are all there.
    compiled
        Precision -> `bamopipe.target.Target`, once there is one; then no node can be added.

    Examples
    --------
    Eight schools (Rubin 1981):

    >>> import distrax as dx
    >>> import numpy as np
    >>> from bamopipe.base import Model
    >>> effects, errors = np.array([28.0, 8, -3, 7]), np.array([15.0, 10, 16, 11])
    >>> model = Model("schools", coords={"school": list("ABCD")})
    >>> mu = model.add_node("mu", distribution=dx.Normal(loc=0.0, scale=10.0))
    >>> theta = model.add_node(
    ...     "theta",
    ...     distribution=dx.Normal,
    ...     parents=dict(loc=mu, scale=10.0),
    ...     shape=(4,),
    ...     dims=("school",),
    ... )
    >>> y = model.add_node(
    ...     "y",
    ...     distribution=dx.Normal,
    ...     parents=dict(loc=theta, scale=errors),
    ...     observations=effects,
    ...     dims=("school",),
    ... )
    >>> model.latent
    ('mu', 'theta')
    """

    def __init__(self, name: str = "model", coords: Mapping[str, Sequence] | None = None):
        if not isinstance(name, str):
            raise UserError(f"the name of a model is {name!r}; expected text (coords come second)")
        self.name = name
        self.coords = read_coords(coords)
        self.nodes: dict[str, Node] = {}
        self.outlines: dict[str, Outline] = {}
        self.compiled: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}  # of named dimensions

    def add_node(
        self,
        name: str,
        distribution=None,
        observations=None,
        parents: Mapping[str, Any] | None = None,
        link_fn: Callable | None = None,
        shape: int | Sequence[int | EllipsisType] = (),
        dims: str | Sequence[str] | None = None,
        bijector=None,
        missing: str = "drop",
    ) -> Node:
        """Add a variable and return its node.

        With a distribution it is random: latent, or observed if there are observations. With
        observations alone it is a constant. With a `link_fn` alone it is deterministic: computed
        from its parents, and kept in the posterior.

        Parameters
        ----------
        name
            A Python identifier, unique in the model.
        distribution
            A distrax or TFP distribution (then it has no parents), a class of either, or a
            function that returns a distribution.
        observations
            The observed values. NaN and masked entries are missing; see `missing`.
        parents
            Argument name -> what it depends on: a node, the name of a node, or a number or array,
            which becomes a constant named ``{argument}_{name}``. Functions, True, False and None
            are handed to the distribution as they are.
        link_fn
            Called with the parents' values by name; returns the dict of arguments of
            `distribution`, or, without a distribution, the value.
        shape
            The sample shape, put before the distribution's own batch and event dimensions. Where
            it could be taken to include the batch, as in ``shape=4`` with a vector of four means
            among the parents, ``shape=(4, ...)`` says that it comes on top.
        dims
            A name for each dimension of the value; one name alone will do for one dimension.
        bijector
            A TFP or distrax bijector: the variable is its output, and `distribution` that of its
            input.
        missing
            ``"drop"`` leaves missing observations out of the likelihood. ``"impute"`` makes them a
            latent variable ``{name}_missing``, a vector of the missing entries, and children of
            this node see the completed values. Both give one posterior of everything else.

        Raises
        ------
        UserError
            The name is taken or no identifier; the parents do not fit the distribution, or the
            shapes or dims one another; or an observation is outside the support. The model is then
            as it was.

        Examples
        --------
        A regression with a deterministic node, a constrained slope and a missing observation:

        >>> import distrax as dx
        >>> from tensorflow_probability.substrates.jax import bijectors as tfb
        >>> from bamopipe.base import Model
        >>> model = Model()
        >>> slope = model.add_node("slope", distribution=dx.Normal(0.0, 1.0), bijector=tfb.Exp())
        >>> line = model.add_node(
        ...     "line", parents=dict(slope=slope, x=[1, 2, 3]), link_fn=lambda slope, x: x * slope
        ... )
        >>> y = model.add_node(
        ...     "y",
        ...     distribution=dx.Normal,
        ...     parents=dict(loc=line, scale=1.0),
        ...     observations=[1.2, float("nan"), 2.8],
        ...     missing="impute",
        ... )
        >>> model.latent, model.deterministic
        (('slope', 'y_missing'), ('line',))
        """
        if self.compiled:
            raise UserError(
                f"node {name!r} cannot be added to model {self.name!r}: the model was already "
                "compiled by an engine; add all nodes first"
            )
        if not isinstance(parents, Mapping | None):
            raise UserError(
                f"the parents of node {name!r} are {parents!r}; expected a dict such as "
                "dict(loc=mu, scale=1.0)"
            )
        parents = dict(parents or {})
        self._check_name(name)
        check_kind(name, distribution, observations, parents, link_fn, bijector)
        if missing not in ("drop", "impute"):
            raise UserError(f"node {name!r} has missing={missing!r}; expected 'drop' or 'impute'")
        dims = None if dims is None else (dims,) if isinstance(dims, str) else tuple(dims)
        shape, on_top = read_shape(name, shape)
        value, mask = None, None
        if observations is not None:
            what = f"observations of {name!r}"
            value, mask = as_data(in_order(observations, dims, self.coords, what), what)
            if mask is not None and distribution is None:
                raise nan_error(mask, f"values of constant {name!r}")

        names: dict[str, str] = {}
        options: dict[str, Any] = {}
        added: dict[str, Node] = {}
        for argument, parent in parents.items():
            if isinstance(parent, Node):
                if self.nodes.get(parent.name) is not parent:
                    raise UserError(
                        f"parent {argument!r} of node {name!r} is node {parent.name!r} of another "
                        f"model; add it to model {self.name!r} first"
                    )
                names[argument] = parent.name
            elif isinstance(parent, str):
                names[argument] = parent  # may be added later; `order` checks it
            elif adapter.is_instance(parent):
                raise UserError(
                    f"parent {argument!r} of node {name!r} is a distribution; give a function that "
                    "makes the whole distribution from numbers, distribution=lambda ...: ..."
                )
            elif parent is None or isinstance(parent, bool) or callable(parent):
                options[argument] = parent
            else:
                constant = f"{argument}_{name}"
                self._check_name(constant, f" (the constant for parent {argument!r} of {name!r})")
                number, nan = as_data(parent, f"parent {argument!r} of {name!r}")
                if nan is not None:
                    raise nan_error(nan, f"parent {argument!r} of {name!r}")
                same = value is not None and number.shape == value.shape
                added[constant] = Node(constant, value=number, dims=dims if same else None)
                names[argument] = constant
        if link_fn is not None:
            if options and distribution is None:
                raise UserError(
                    f"parent {next(iter(options))!r} of node {name!r} is no number; use it in "
                    "link_fn directly"
                )
            check_call(link_fn, tuple(names), f"the link_fn of node {name!r}", "argument")
        node = Node(
            name=name,
            distribution=distribution,
            parents=names,
            link_fn=link_fn,
            shape=shape,
            on_top=on_top,
            dims=dims,
            value=value,
            options=options,
            bijector=bijector,
            missing=mask,
            impute=missing == "impute",
        )
        if node.imputes:
            self._check_name(f"{name}_missing", f" (the missing observations of {name!r})")
        outlines = {n: outline(c, {}) for n, c in added.items()}
        known = {**self.nodes, **added}
        if all(p in self.outlines or p in outlines for p in names.values()):
            node, outlines[name] = self._inspect(node, known, {**self.outlines, **outlines})
        self.nodes |= {**added, name: node}
        self.outlines |= outlines
        return node

    @property
    def latent(self) -> tuple[str, ...]:
        """Names of the variables to infer, parents first, with those of missing observations."""
        return tuple(
            f"{name}_missing" if self.nodes[name].imputes else name
            for name in self.order()
            if self.nodes[name].is_latent or self.nodes[name].imputes
        )

    @property
    def discrete(self) -> frozenset[str]:
        """Names of the variables to infer that take whole numbers."""
        nodes = [node for node in self.nodes.values() if node.is_latent or node.imputes]
        return frozenset(
            f"{node.name}_missing" if node.imputes else node.name
            for node in nodes
            if self.outlines[node.name].discrete
        )

    @property
    def observed(self) -> tuple[str, ...]:
        """Names of the observed variables, parents first."""
        return tuple(name for name in self.order() if self.nodes[name].is_observed)

    @property
    def deterministic(self) -> tuple[str, ...]:
        """Names of the variables that follow from others, parents first."""
        return tuple(name for name in self.order() if self.nodes[name].is_deterministic)

    def order(self) -> tuple[str, ...]:
        """Names of all nodes, parents first, otherwise as they were added.

        Raises
        ------
        UserError
            A parent does not exist, or the graph has a cycle.
        """
        done: dict[str, None] = {}
        for start in self.nodes:
            path: dict[str, Iterator[tuple[str, str]]] = {}
            self._enter(start, path, done)
            while path:
                name, parents = next(reversed(path.items()))
                for argument, parent in parents:
                    if parent not in self.nodes:
                        raise UserError(
                            f"parent {argument!r} of node {name!r} is {parent!r}, which is not in "
                            f"model {self.name!r}{nearest(parent, self.nodes)}"
                        )
                    if parent not in done:
                        self._enter(parent, path, done)
                        break
                else:
                    del path[name]
                    done[name] = None
        return tuple(done)

    def _enter(self, name: str, path: dict, done: Mapping[str, None]) -> None:
        if name in path:
            names = list(path)
            cycle = " -> ".join([*names[names.index(name) :], name])
            raise UserError(
                f"model {self.name!r} has a cycle: {cycle}; a variable cannot depend on itself"
            )
        if name not in done:
            path[name] = iter(self.nodes[name].parents.items())

    def finish(self) -> tuple[str, ...]:
        """Check the nodes whose parents came after them; return `order()`."""
        order = self.order()
        for name in order:
            if name not in self.outlines:
                found = self._inspect(self.nodes[name], self.nodes, self.outlines)
                self.nodes[name], self.outlines[name] = found
        return order

    def with_data(
        self, data: Mapping[str, Any], coords: Mapping[str, Sequence] | None = None
    ) -> "Model":
        """Return a copy with other constants or observations, of other lengths if need be.

        Observed nodes that are not among `data` and whose shape changes with it count as not
        observed at all: such a copy serves to predict them.

        Parameters
        ----------
        data
            Name of a constant or observed node -> its new value.
        coords
            Labels for the named dimensions of `data`, whose old labels are dropped. An
            xarray.DataArray brings its own.

        Examples
        --------
        >>> import distrax as dx
        >>> from bamopipe.base import Model
        >>> model = Model()
        >>> b = model.add_node("b", distribution=dx.Normal(0.0, 1.0))
        >>> x = model.add_node("x", observations=[1.0, 2.0])
        >>> y = model.add_node(
        ...     "y",
        ...     distribution=dx.Normal,
        ...     parents=dict(b=b, x=x),
        ...     link_fn=lambda b, x: dict(loc=b * x, scale=1.0),
        ...     observations=[0.9, 2.2],
        ... )
        >>> model.with_data({"x": [3.0, 4.0, 5.0]}).outlines["y"].shape
        (3,)
        """
        order = self.finish()
        replaceable = [n for n, node in self.nodes.items() if node.value is not None]
        for name in data:
            if name not in replaceable:
                raise UserError(
                    f"model {self.name!r} has no data {name!r}{nearest(name, replaceable)}; its "
                    f"data are {', '.join(replaceable)}"
                )
        new_coords = read_coords(coords)
        dims = {dim for node in self.nodes.values() for dim in node.dims or ()}
        for dim in new_coords:
            if dim not in dims:
                raise UserError(f"model {self.name!r} has no dimension {dim!r}{nearest(dim, dims)}")
        copy = Model(self.name)
        unseen: set[str] = set()
        replaced: set[str] = set()  # dimensions whose old labels are of other rows
        for name in order:
            node = self.nodes[name]
            if name in data:
                what = f"new data of {name!r}"
                new_coords = {**labels_of(data[name], node.dims, self.coords), **new_coords}
                value, mask = as_data(in_order(data[name], node.dims, new_coords, what), what)
                if mask is not None and not node.is_observed:
                    raise nan_error(mask, f"new data of {name!r}")
                node = dataclasses.replace(node, value=value, missing=mask)
                replaced |= set(node.dims or ())
            elif node.is_observed:
                parents = {a: copy.outlines[p] for a, p in node.parents.items()}
                own = outline(dataclasses.replace(node, value=None, shape=()), parents)
                shape = self.outlines[name].sample_shape + own.shape
                if shape != self.outlines[name].shape:
                    nothing = np.full(shape, np.nan)
                    node = dataclasses.replace(
                        node, value=nothing, missing=np.isnan(nothing), impute=False
                    )
                    unseen.add(name)
            copy.nodes[name], copy.outlines[name] = copy._inspect(
                dataclasses.replace(node, dims=None), copy.nodes, copy.outlines, unseen
            )
        kept = {dim: labels for dim, labels in self.coords.items() if dim not in replaced}
        copy.coords = {**kept, **new_coords}
        for name, node in copy.nodes.items():
            copy.nodes[name] = dataclasses.replace(node, dims=self.nodes[name].dims)
            copy._check_dims(copy.nodes[name], copy.outlines[name].shape, copy.nodes)
        return copy

    def graph(self) -> Graph:
        """Return the graph as plain data that draws itself; see `bamopipe.graph.Graph`."""
        self.finish()
        return Graph.of(self, {name: found.shape for name, found in self.outlines.items()})

    def describe(self) -> None:
        """Print every node's distribution, the joint density and each variable's conditional."""
        print(describe(self.graph()))

    def _inspect(
        self,
        node: Node,
        nodes: Mapping[str, Node],
        outlines: Mapping[str, Outline],
        unseen: Container[str] = (),
    ) -> tuple[Node, Outline]:
        """Check a node whose parents are all there; return it and its outline."""
        for argument, parent in node.parents.items():
            gaps = nodes[parent].missing is not None and not nodes[parent].imputes
            if gaps and parent not in unseen:
                raise UserError(
                    f"parent {argument!r} of node {node.name!r} is {parent!r}, which has missing "
                    f"observations; give {parent!r} missing='impute'"
                )
        node, found = self._outline(node, outlines)
        self._check_dims(node, found.shape, nodes)
        values = {a: nodes[p].value for a, p in node.parents.items() if nodes[p].is_constant}
        known = {a: value for a, value in values.items() if value is not None}
        if node.link_fn is None:
            wrong = parameters.impossible(node.distribution, known)
            if wrong is not None:
                raise UserError(
                    f"node {node.name!r}: {family(node.distribution)} cannot have "
                    f"{wrong}={known[wrong]}, which is out of its range"
                )
        if node.is_observed and node.name not in unseen:
            unknown = {a: outlines[p] for a, p in node.parents.items() if a not in known}
            index = find_impossible(node, known, unknown)
            if index is not None and node.value is not None:
                raise UserError(
                    f"the observations of node {node.name!r} are impossible: "
                    f"{node.value[index].tolist()} at index {index} is outside the support of "
                    f"{family(node.distribution)}"
                )
        return node, found

    def _outline(self, node: Node, outlines: Mapping[str, Outline]) -> tuple[Node, Outline]:
        """Find a node's outline, and reduce its missing entries to whole draws."""
        found = outline(node, {a: outlines[p] for a, p in node.parents.items()})
        if node.missing is not None and found.event_ndims:
            axes = tuple(range(node.missing.ndim - found.event_ndims, node.missing.ndim))
            if np.any(node.missing.any(axes) != node.missing.all(axes)):
                raise UserError(
                    f"an observation of node {node.name!r} is missing in part, but "
                    f"{family(node.distribution)} has draws of shape "
                    f"{found.shape[-found.event_ndims :]}, which can be missing as a whole only; "
                    "use a distribution of single numbers, or remove the observation"
                )
            node = dataclasses.replace(node, missing=node.missing.all(axes))
        return node, found

    def _check_name(self, name: str, what: str = "") -> None:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
            raise UserError(
                f"node name {name!r}{what} is not usable; expected letters, digits and underscores"
            )
        imputed = self.nodes.get(name.removesuffix("_missing"))
        if name in self.nodes or (imputed is not None and imputed.imputes):
            raise UserError(
                f"model {self.name!r} already has a node {name!r}{what}; choose another name"
            )
        if name in self._sizes or name in self.coords or name in RESERVED_DIMS:
            raise UserError(
                f"node name {name!r}{what} is also the name of a dimension; choose another"
            )

    def _check_dims(self, node: Node, shape: tuple[int, ...], nodes: Mapping[str, Node]) -> None:
        """Raise UserError unless named dimensions fit the value, their labels and one another."""
        if node.dims is None:
            return
        if len(node.dims) != len(shape) or len(set(node.dims)) < len(node.dims):
            raise UserError(
                f"node {node.name!r} has dims {node.dims} but shape {shape}; give each dimension "
                "a name of its own"
            )
        for dim, size in zip(node.dims, shape, strict=True):
            if dim == node.name or dim in nodes or dim in RESERVED_DIMS:
                raise UserError(
                    f"dim {dim!r} of node {node.name!r} is also the name of a node or a dimension "
                    "of all results; choose another name"
                )
            others = self._sizes.get(dim, len(self.coords.get(dim, range(size))))
            if others != size:
                raise UserError(
                    f"dim {dim!r} of node {node.name!r} has size {size}, but its labels or other "
                    f"nodes have {others}"
                )
        self._sizes |= dict(zip(node.dims, shape, strict=True))

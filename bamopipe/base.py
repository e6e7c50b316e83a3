"""The graph that a person writes: random variables, data, and who depends on whom."""

import keyword
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bamopipe.distributions import adapter
from bamopipe.errors import UserError, nearest


@dataclass(frozen=True, eq=False)
class Node:
    """One variable or constant of a model; made by `Model.add_node`.

    Attributes
    ----------
    name
        How positions, results and plots call it.
    distribution
        A distribution, a class or a function that makes one; None for a constant.
    parents
        Which node gives each argument of `distribution` (or of `link_fn`).
    link_fn
        Maps the parents' values to the arguments of `distribution`.
    shape
        The sample shape: leading dimensions on top of the distribution's own.
    dims
        Names of the dimensions of the value, for results and plots.
    value
        The observations, or the constant; None for a latent variable.
    options
        Arguments of `distribution` that are not numbers, such as ``validate_args=True``.
    """

    name: str
    distribution: Any = None
    parents: Mapping[str, str] = field(default_factory=dict)
    link_fn: Callable | None = None
    shape: tuple[int, ...] = ()
    dims: tuple[str, ...] | None = None
    value: np.ndarray | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_constant(self) -> bool:
        """Whether this is data that nothing generates."""
        return self.distribution is None

    @property
    def is_observed(self) -> bool:
        """Whether this is a random variable whose value was seen."""
        return self.distribution is not None and self.value is not None

    @property
    def is_latent(self) -> bool:
        """Whether this is a random variable to infer."""
        return self.distribution is not None and self.value is None


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
        self.name = name
        self.coords = {dim: np.asarray(labels) for dim, labels in (coords or {}).items()}
        self.nodes: dict[str, Node] = {}
        self.compiled: dict[str, Any] = {}

    def add_node(
        self,
        name: str,
        distribution=None,
        observations=None,
        parents: Mapping[str, Any] | None = None,
        link_fn: Callable | None = None,
        shape: int | Sequence[int] = (),
        dims: str | Sequence[str] | None = None,
    ) -> Node:
        """Add a random variable and return its node.

        Parameters
        ----------
        name
            A Python identifier, unique in the model.
        distribution
            A distrax or TFP distribution (then it has no parents), a class of either, or a
            function that returns a distribution. Without one, `observations` is a constant.
        observations
            The observed values, without NaN. Without them the variable is latent.
        parents
            Argument name -> what it depends on: a node, the name of a node, or a number or array,
            which becomes a constant named ``{argument}_{name}``.
        link_fn
            Called with the parents' values by name; returns the dict of arguments of
            `distribution`.
        shape
            The sample shape, put before the distribution's own batch and event dimensions.
        dims
            A name for each dimension of the value; one name alone will do for one dimension.

        Raises
        ------
        UserError
            The name is taken or no identifier, the parents do not fit, or the observations
            contain NaN.
        """
        if self.compiled:
            raise UserError(
                f"node {name!r} cannot be added to model {self.name!r}: the model was already "
                "compiled by an engine; add all nodes first"
            )
        parents = dict(parents or {})
        self._check_name(name)
        self._check_distribution(name, distribution, observations, parents, link_fn)
        value = (
            None if observations is None else _as_data(observations, f"observations of {name!r}")
        )
        dims = None if dims is None else (dims,) if isinstance(dims, str) else tuple(dims)

        names: dict[str, str] = {}
        options: dict[str, Any] = {}
        constants: list[Node] = []
        for argument, parent in parents.items():
            if isinstance(parent, Node):
                if self.nodes.get(parent.name) is not parent:
                    raise UserError(
                        f"parent {argument!r} of node {name!r} is node {parent.name!r} of another "
                        f"model; add it to model {self.name!r} first"
                    )
                names[argument] = parent.name
            elif isinstance(parent, str):
                names[argument] = parent  # may be added later; Model.order checks it
            elif parent is None or isinstance(parent, bool) or callable(parent):
                options[argument] = parent
            else:
                constant = f"{argument}_{name}"
                self._check_name(constant, f" (the constant for parent {argument!r} of {name!r})")
                constant_value = _as_data(parent, f"parent {argument!r} of {name!r}")
                same = value is not None and constant_value.shape == value.shape
                constants.append(Node(constant, value=constant_value, dims=dims if same else None))
                names[argument] = constant
        self.nodes |= {added.name: added for added in constants}
        node = Node(
            name=name,
            distribution=distribution,
            parents=names,
            link_fn=link_fn,
            shape=(shape,) if isinstance(shape, int) else tuple(shape),
            dims=dims,
            value=value,
            options=options,
        )
        self.nodes[name] = node
        return node

    @property
    def latent(self) -> tuple[str, ...]:
        """Names of the variables to infer, parents first."""
        return tuple(name for name in self.order() if self.nodes[name].is_latent)

    @property
    def observed(self) -> tuple[str, ...]:
        """Names of the observed variables, parents first."""
        return tuple(name for name in self.order() if self.nodes[name].is_observed)

    def order(self) -> tuple[str, ...]:
        """Names of all nodes, parents first, otherwise as they were added.

        Raises
        ------
        UserError
            A parent does not exist, or the graph has a cycle.
        """
        done: list[str] = []
        path: list[str] = []

        def visit(name: str) -> None:
            if name in path:
                cycle = " -> ".join([*path[path.index(name) :], name])
                raise UserError(
                    f"model {self.name!r} has a cycle: {cycle}; a variable cannot depend on itself"
                )
            if name in done:
                return
            path.append(name)
            for argument, parent in self.nodes[name].parents.items():
                if parent not in self.nodes:
                    raise UserError(
                        f"parent {argument!r} of node {name!r} is {parent!r}, which is not in "
                        f"model {self.name!r}{nearest(parent, self.nodes)}"
                    )
                visit(parent)
            path.pop()
            done.append(name)

        for name in self.nodes:
            visit(name)
        return tuple(done)

    def _check_name(self, name: str, what: str = "") -> None:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
            raise UserError(
                f"node name {name!r}{what} is not usable; expected letters, digits and underscores"
            )
        if name in self.nodes:
            raise UserError(
                f"model {self.name!r} already has a node {name!r}{what}; choose another name"
            )

    def _check_distribution(self, name, distribution, observations, parents, link_fn) -> None:
        if distribution is None:
            if observations is None:
                raise UserError(
                    f"node {name!r} has neither a distribution nor observations; give at least one"
                )
            if parents or link_fn is not None:
                raise UserError(f"node {name!r} is a constant: it takes no parents and no link_fn")
        elif adapter.is_instance(distribution):
            if parents or link_fn is not None:
                raise UserError(
                    f"node {name!r} has parents, but its distribution is already complete; give "
                    f"the class, distribution={type(distribution).__name__}, instead"
                )
        elif not callable(distribution):
            raise UserError(
                f"the distribution of node {name!r} is {distribution!r}; expected a distrax or TFP "
                "distribution, its class, or a function that returns one"
            )


def _as_data(value, what: str) -> np.ndarray:
    try:
        array = np.asarray(value)
        if array.dtype == bool:
            array = array.astype(int)
        if not np.issubdtype(array.dtype, np.number):
            raise TypeError(f"its type is {array.dtype}")
    except (TypeError, ValueError) as error:
        raise UserError(f"the {what} must be numbers; {error}") from None
    if np.isnan(array).any():
        where = ", ".join(str(i) for i in np.argwhere(np.isnan(array))[0])
        raise UserError(
            f"the {what} have NaN at index ({where}), {np.isnan(array).sum()} in all; "
            "remove those entries"
        )
    return array

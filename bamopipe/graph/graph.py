"""A model's graph as plain data."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from bamopipe.errors import UserError
from bamopipe.graph import diagram
from bamopipe.graph.formula import formula, function_name, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["latent", "observed", "deterministic", "constant"]


@dataclass(frozen=True)
class GraphNode:
    """One node as people see it.

    Attributes
    ----------
    name : str
        Of the variable.
    kind : str
        ``latent``, ``observed``, ``deterministic`` or ``constant``.
    distribution : str
        The family's name, such as ``Normal``; empty if nothing is random here.
    formula : str
        What it is drawn from or computed by, such as ``Normal(loc=mu, scale=10)`` or ``f(a, b)``;
        of a constant, its value, or ``data`` if that is an array.
    shape : tuple of int or None
        Of the value; None where nobody has worked it out.
    dims : tuple of str or None
        Names of the dimensions.
    parents : dict
        Which node gives each argument. Numbers that were written in place of a parent are in
        `formula` and are no nodes.
    note : str
        What is missing of the observations.
    part_of : str
        Of imputed entries, the node whose entries they are.
    """

    name: str
    kind: Kind
    distribution: str
    formula: str
    shape: tuple[int, ...] | None = None
    dims: tuple[str, ...] | None = None
    parents: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    part_of: str = ""

    @property
    def sizes(self) -> str:
        """The dimensions, such as ``[school: 8]``, ``[8]`` or ``[school]``; empty for a number."""
        sizes = [str(size) for size in self.shape or ()]
        if self.dims:
            texts = map(": ".join, zip(self.dims, sizes, strict=True)) if sizes else self.dims
            return f"[{', '.join(texts)}]"
        return f"[{', '.join(sizes)}]" if sizes else ""

    @property
    def title(self) -> str:
        """The name with the dimensions, such as ``theta[school: 8]``."""
        return self.name + self.sizes

    @property
    def content(self) -> str:
        """What a picture says beside the name; nothing for an array of data."""
        if self.kind == "constant":
            return "" if self.formula == "data" else f"= {self.formula}"
        return f"missing entries of {self.part_of}" if self.part_of else self.formula


@dataclass(frozen=True)
class Graph:
    """The nodes of a model and who depends on whom.

    Attributes
    ----------
    name : str
        Of the model.
    nodes : tuple of GraphNode
        Parents before children.

    Examples
    --------
    >>> import distrax as dx
    >>> from bamopipe.base import Model
    >>> model = Model("mean")
    >>> mu = model.add_node("mu", distribution=dx.Normal(loc=0.0, scale=10.0))
    >>> y = model.add_node(
    ...     "y", distribution=dx.Normal, parents=dict(loc=mu, scale=3.0), observations=[1.0, 2.0]
    ... )
    >>> graph = Graph.of(model)
    >>> graph.edges
    (('mu', 'y'),)
    >>> [node.title for node in graph.nodes]
    ['mu', 'y[2]']
    >>> Graph.from_json(graph.to_json()) == graph
    True
    """

    name: str
    nodes: tuple[GraphNode, ...]

    @classmethod
    def of(cls, model: Any, shapes: Mapping[str, tuple[int, ...]] | None = None) -> "Graph":
        """Make the graph of a model.

        Short constants that were written as an argument of one node (``scale=10.0``) become part of
        that node's text. Imputed entries of an observed node are a latent node with its parents
        and its children.

        Parameters
        ----------
        model : bamopipe.base.Model
            Whose nodes are looked at.
        shapes : dict, optional
            From the names of latent and deterministic nodes to the shapes of their values.

        Returns
        -------
        Graph
            Which holds names, numbers and texts only.
        """
        order = [model.nodes[name] for name in model.order()]
        uses: dict[str, list[str]] = {}
        for node in order:
            for argument, parent in node.parents.items():
                uses.setdefault(parent, []).append(f"{argument}_{node.name}")
        literals = {
            node.name: number(node.value)
            for node in order
            if node.is_constant
            and uses.get(node.name) == [node.name]
            and not number(node.value).startswith("array")
        }
        made: list[GraphNode] = []
        for node in order:
            if node.name not in literals:
                made += _nodes(node, (shapes or {}).get(node.name), literals)
        return cls(model.name, tuple(made))

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Pairs of parent and child, each once."""
        parts = {node.part_of: node.name for node in self.nodes if node.part_of}
        pairs = [
            (one, node.name)
            for node in self.nodes
            for parent in node.parents.values()
            for one in (parent, parts.get(parent))
            if one is not None
        ]
        return tuple(dict.fromkeys(pairs))

    def to_json(self) -> str:
        """Write the graph as one line of JSON, which an attribute of a netCDF file can hold."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Graph":
        """Read what `to_json` wrote; a `UserError` for anything else."""
        nodes = []
        try:
            content = json.loads(text)
            for node in content["nodes"]:
                for name in ("shape", "dims"):
                    node[name] = None if node[name] is None else tuple(node[name])
                nodes.append(GraphNode(**node))
            return cls(content["name"], tuple(nodes))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise UserError("the graph of the model in the posterior cannot be read") from None

    def dot(self) -> str:
        """Write the graph in Graphviz's DOT; see `bamopipe.graph.diagram.dot`."""
        return diagram.dot(self)

    def mermaid(self) -> str:
        """Write the graph as a Mermaid flowchart; see `bamopipe.graph.diagram.mermaid`."""
        return diagram.mermaid(self)

    def figure(self) -> "Figure":
        """Draw the graph with matplotlib; see `bamopipe.plots.graph.draw`."""
        from bamopipe.plots.graph import draw  # here, since it takes seconds to import

        return draw(self)


def _nodes(
    node: Any, shape: tuple[int, ...] | None, literals: Mapping[str, str]
) -> list[GraphNode]:
    """Return what stands for a model's node: itself, and its imputed entries if it has any."""
    if node.value is not None:
        shape = node.value.shape
    shape = None if shape is None else tuple(int(size) for size in shape)
    if node.is_constant:
        value = number(node.value)
        text = "data" if value.startswith("array") else value
        return [GraphNode(node.name, "constant", "", text, shape, node.dims)]
    parents = {a: parent for a, parent in node.parents.items() if parent not in literals}
    text = formula(node, literals)
    if node.is_deterministic:
        return [GraphNode(node.name, "deterministic", "", text, shape, node.dims, parents)]
    family = function_name(node.distribution)
    if node.is_latent:
        return [GraphNode(node.name, "latent", family, text, shape, node.dims, parents)]
    note = ""
    if node.missing is not None:
        fate = "imputed" if node.imputes else "left out"
        note = f"{node.missing.sum()} of {node.missing.size} missing and {fate}"
    made = [GraphNode(node.name, "observed", family, text, shape, node.dims, parents, note)]
    if node.imputes:
        size = (int(node.missing.sum()), *node.value.shape[node.missing.ndim :])
        part = GraphNode(
            f"{node.name}_missing", "latent", family, text, size, None, parents, part_of=node.name
        )
        made.append(part)
    return made

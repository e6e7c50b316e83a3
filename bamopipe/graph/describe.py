"""A model in words: each node's distribution, the joint density, each variable's conditional."""

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bamopipe.graph.graph import Graph, GraphNode

WIDTH = 100
INDENT = "    "


def describe(graph: "Graph") -> str:
    r"""Write a model as text: its nodes, its joint density and the conditionals.

    The joint density has one factor for each random variable given the random variables that it
    depends on, also through deterministic nodes; constants are left out. Where entries of an
    observed ``y`` are imputed, ``y`` and ``y_missing`` share the factor of the whole. A conditional
    is what a Gibbs sampler draws from: the factors that the variable is in.

    Parameters
    ----------
    graph : Graph
        From `Graph.of`.

    Returns
    -------
    str
        No line is longer than 100 characters.

    Examples
    --------
    >>> from bamopipe.graph import Graph, GraphNode, describe
    >>> graph = Graph(
    ...     "coin",
    ...     (
    ...         GraphNode("p", "latent", "Uniform", "Uniform(low=0, high=1)"),
    ...         GraphNode(
    ...             "y", "observed", "Bernoulli", "Bernoulli(probs=p)", (9,), None, {"probs": "p"}
    ...         ),
    ...     ),
    ... )
    >>> print(describe(graph))
    Model 'coin'
    <BLANKLINE>
        p ~ Uniform(low=0, high=1)
        y[9] ~ Bernoulli(probs=p), observed
    <BLANKLINE>
    Joint density
    <BLANKLINE>
        p(p) p(y | p)
    <BLANKLINE>
    Conditionals, each up to a constant
    <BLANKLINE>
        p(p | rest) ∝ p(p) p(y | p)
    """
    nodes = {node.name: node for node in graph.nodes}
    factors, scopes = _factors(graph)
    sections = [
        (f"Model {graph.name!r}", [[_line(node)] for node in graph.nodes]),
        ("Joint density", [list(factors.values())]),
        (
            "Conditionals, each up to a constant",
            [
                [f"p({name} | rest) ∝", *(factors[f] for f in factors if name in scopes[f])]
                for name in nodes
                if nodes[name].kind == "latent"
            ],
        ),
    ]
    return "\n\n".join(
        "\n".join([title, "", *(_wrap(terms) for terms in lines)])
        for title, lines in sections
        if any(lines)
    )


def _line(node: "GraphNode") -> str:
    if node.part_of:
        return f"{node.title}: the missing entries of {node.part_of}"
    if node.kind in ("constant", "deterministic"):
        return f"{node.title} = {node.formula}"
    seen = ", observed" if node.kind == "observed" else ""
    note = f" ({node.note})" if node.note else ""
    return f"{node.title} ~ {node.formula}{seen}{note}"


def _factors(graph: "Graph") -> tuple[dict[str, str], dict[str, set[str]]]:
    """Write each factor, and say which random variables are in it; parents come first."""
    parts = {node.part_of: node.name for node in graph.nodes if node.part_of}
    given: dict[str, dict[str, None]] = {}  # a node -> the nearest random nodes above it, in order
    factors, scopes = {}, {}
    for node in graph.nodes:
        above: dict[str, None] = {}
        for parent in node.parents.values():
            above |= given[parent]
        if node.kind == "deterministic":
            given[node.name] = above
        elif node.kind == "constant":
            given[node.name] = {}
        else:
            own = [node.name, *([parts[node.name]] if node.name in parts else [])]
            given[node.name] = dict.fromkeys(own)
            if not node.part_of:
                condition = f" | {', '.join(above)}" if above else ""
                factors[node.name] = f"p({', '.join(own)}{condition})"
                scopes[node.name] = {*own, *above}
    return factors, scopes


def _wrap(terms: list[str]) -> str:
    """Put terms on as few lines as hold them, and break one only if it needs a line of its own."""
    room = WIDTH - 2 * len(INDENT)
    # textwrap breaks at no-break spaces only if a term is longer than a line.
    whole = [t.replace(" ", "\N{NO-BREAK SPACE}") if len(t) <= room else t for t in terms]
    lines = textwrap.wrap(
        " ".join(whole),
        WIDTH,
        initial_indent=INDENT,
        subsequent_indent=2 * INDENT,
        break_on_hyphens=False,
    )
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")

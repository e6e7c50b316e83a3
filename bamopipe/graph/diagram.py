"""A model's graph in the languages of Graphviz and Mermaid."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bamopipe.graph.graph import Graph, GraphNode

INK, GREY, PALE = "#222222", "#767676", "#D9D9D9"

DOT_STYLES = {
    "latent": "shape=ellipse",
    "observed": f'shape=ellipse, style=filled, fillcolor="{PALE}"',
    "deterministic": "shape=diamond",
    "constant": f'shape=plaintext, fontsize=9, fontcolor="{GREY}", width=0, height=0, margin=0.03',
}

MERMAID_STYLES = {
    "latent": ("([", "])", f"fill:#ffffff,stroke:{INK},color:{INK}"),
    "observed": ("([", "])", f"fill:{PALE},stroke:{INK},color:{INK}"),
    "deterministic": ("{", "}", f"fill:#ffffff,stroke:{INK},color:{INK}"),
    "constant": ("[", "]", f"fill:#ffffff,stroke:#ffffff,color:{GREY}"),
}


def dot(graph: "Graph") -> str:
    r"""Write a graph in Graphviz's DOT, with a plate around nodes that share named dimensions.

    Ellipses are random variables, grey if observed; diamonds follow from their parents; a dot is
    data. Use it for a picture in a paper: ``dot -Tpdf``.

    Parameters
    ----------
    graph : Graph
        From `Graph.of`.

    Returns
    -------
    str
        The content of a ``.dot`` file.

    Examples
    --------
    >>> from bamopipe.graph import Graph, GraphNode
    >>> coin = Graph("coin", (GraphNode("p", "latent", "Uniform", "Uniform(low=0, high=1)"),))
    >>> print(coin.dot())
    digraph "coin" {
      label="coin"; labelloc=t; fontname="Helvetica";
      node [fontname="Helvetica", fontsize=11]; edge [arrowsize=0.7];
      "p" [shape=ellipse, label="p\nUniform(low=0, high=1)"];
    }
    """
    lines = [
        f"digraph {_dot_text(graph.name)} {{",
        f'  label={_dot_text(graph.name)}; labelloc=t; fontname="Helvetica";',
        '  node [fontname="Helvetica", fontsize=11]; edge [arrowsize=0.7];',
        *_dot_plate(graph.nodes, 0, "cluster"),
        *(f"  {_dot_text(parent)} -> {_dot_text(child)};" for parent, child in graph.edges),
        "}",
    ]
    return "\n".join(lines)


def _dot_plate(nodes: Sequence["GraphNode"], depth: int, plate: str) -> list[str]:
    """Write nodes that share their first `depth` dimensions; those with more go into plates."""
    indent = "  " * (depth + 1)
    lines = []
    plates: dict[str, list[GraphNode]] = {}
    for node in nodes:
        dims = node.dims or ()
        if len(dims) > depth:
            size = f": {node.shape[depth]}" if node.shape else ""
            plates.setdefault(dims[depth] + size, []).append(node)
            continue
        title = node.name if dims else node.title  # the plate names the dimensions
        label = "\n".join(filter(None, [title, node.content]))
        if node.kind == "constant":
            label = f"●\n{label}"
        look = f"{DOT_STYLES[node.kind]}, label={_dot_text(label)}"
        lines.append(f"{indent}{_dot_text(node.name)} [{look}];")
    for dim, members in plates.items():
        inner = f"{plate}/{dim}"
        lines += [
            f"{indent}subgraph {_dot_text(inner)} {{",
            f"{indent}  label={_dot_text(dim)}; labelloc=b; labeljust=r; style=rounded; "
            f'color="{GREY}"; fontsize=10;',
            *_dot_plate(members, depth + 1, inner),
            f"{indent}}}",
        ]
    return lines


def _dot_text(text: str) -> str:
    """Quote a text for DOT, where a backslash in a label starts an escape."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def mermaid(graph: "Graph") -> str:
    """Write a graph as a Mermaid flowchart, which GitHub and many notebooks draw.

    Parameters
    ----------
    graph : Graph
        From `Graph.of`.

    Returns
    -------
    str
        The content of a ``mermaid`` block in Markdown.

    Examples
    --------
    >>> from bamopipe.graph import Graph, GraphNode
    >>> coin = Graph("coin", (GraphNode("p", "latent", "Uniform", "Uniform(low=0, high=1)"),))
    >>> print(coin.mermaid())
    flowchart TD
        n0(["p<br>Uniform(low=0, high=1)"]):::latent
        classDef latent fill:#ffffff,stroke:#222222,color:#222222
    """
    # Numbers, since some names, such as `end`, are words of Mermaid's own.
    calls = {node.name: f"n{index}" for index, node in enumerate(graph.nodes)}
    lines = ["flowchart TD"]
    for node in graph.nodes:
        left, right, _ = MERMAID_STYLES[node.kind]
        label = "<br>".join(_mermaid_text(line) for line in [node.title, node.content] if line)
        lines.append(f'    {calls[node.name]}{left}"{label}"{right}:::{node.kind}')
    lines += [f"    {calls[parent]} --> {calls[child]}" for parent, child in graph.edges]
    used = dict.fromkeys(node.kind for node in graph.nodes)
    lines += [f"    classDef {kind} {MERMAID_STYLES[kind][2]}" for kind in used]
    return "\n".join(lines)


def _mermaid_text(text: str) -> str:
    """Write as numbers the characters that mean something to Mermaid or HTML."""
    return re.sub(r'["#&<>`\\]', lambda found: f"#{ord(found[0])};", " ".join(text.split()))

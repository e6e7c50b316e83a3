"""The model as a graph: who depends on whom."""

import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch, Patch, Polygon
from matplotlib.path import Path
from matplotlib.textpath import text_to_path

from bamopipe.graph import Graph, GraphNode
from bamopipe.plots import style
from bamopipe.plots.layers import Layers, arrange

MOST_NODES = 150
"""More than these fit no page."""

MOST_DETAILED = 30
"""With more nodes than these, what they are drawn from is left out."""

# All lengths are in inches, all sizes of letters in points.
WIDEST = 10.0
RADIUS, DIAMOND, DOT = 0.19, 0.23, 0.04
GAP = 0.18
NAME_SIZE, TEXT_SIZE, LINE = 9.0, 6.5, 0.11
LINE_LENGTH, MOST_LINES = 30, 3
MARGIN = 0.12

MARKERS = {
    "latent": ("o", 8.0, "white"),
    "observed": ("o", 8.0, style.PALE),
    "deterministic": ("D", 6.5, "white"),
    "constant": ("o", 4.0, style.INK),
}
"""Shape, size and colour in the legend."""


class Box(NamedTuple):
    """What a node needs: half the size of its shape, and the lines of text at its right."""

    half_width: float
    half_height: float
    lines: list[str]

    @property
    def extent(self) -> tuple[float, float]:
        """Room to the left and to the right of the shape's middle."""
        text = [0.05 + _width(line, TEXT_SIZE) for line in self.lines]
        return self.half_width, self.half_width + max(text, default=0.0)


class Drawing(NamedTuple):
    """A graph with places on a page: across in `layers.x`, upwards in `middle`.

    `rows` has the top and the bottom of each row.
    """

    boxes: dict[str, Box]
    layers: Layers
    middle: dict[str, float]
    rows: list[tuple[float, float]]
    size: tuple[float, float]
    note: str


def plot(tree: xr.DataTree) -> Figure:
    """Draw the graph of the model that a posterior is of.

    Circles are random variables, grey if observed; diamonds follow from their parents; dots are
    data. Beside a node are its dimensions and what it is drawn from.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior whose attribute ``graph`` is what `bamopipe.graph.Graph.to_json` wrote.

    Returns
    -------
    matplotlib.figure.Figure
        As large as the graph needs. Where the posterior has no graph, or one of very many nodes,
        a sentence says so.
    """
    graph = Graph.from_json(tree.attrs["graph"]) if "graph" in tree.attrs else None
    return _draw(graph, lambda size, note: style.figure(tree, "Model", size, note))


def draw(graph: Graph) -> Figure:
    """Draw a graph that no posterior belongs to yet; see `plot`.

    Parameters
    ----------
    graph : bamopipe.graph.Graph
        From ``model.graph()``.

    Returns
    -------
    matplotlib.figure.Figure
        As large as the graph needs.
    """
    with style.use("bamopipe"):
        return _draw(
            graph,
            lambda size, note: style.headed(
                "Model", " · ".join(filter(None, [*graph.name.splitlines(), note])), [], size
            ),
        )


def _draw(graph: Graph | None, page: Callable[[tuple[float, float], str], Figure]) -> Figure:
    if graph is None or not 0 < len(graph.nodes) <= MOST_NODES:
        made = page((style.WIDTH, 0.4), "")
        made.set_layout_engine("none")
        text = "The graph of this model was not recorded." if graph is None else _count(graph)
        made.text(0.06 / made.get_figwidth(), 0.2 / made.get_figheight(), text)
        return made
    drawing = _plan(graph)
    width, height = drawing.size
    made = page(drawing.size, drawing.note)
    made.set_layout_engine("none")  # everything has its place already
    ax = made.add_axes((0, 0, 1, height / made.get_figheight()))
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.set_axis_off()
    for node in graph.nodes:
        _draw_node(ax, node, drawing)
    _draw_links(ax, drawing)
    kinds = {node.kind for node in graph.nodes}
    entries: dict[str, Artist] = {
        kind: Line2D([], [], ls="", marker=shape, ms=size, color=colour, mec=style.INK)
        for kind, (shape, size, colour) in MARKERS.items()
        if kind in kinds
    }
    style.legend(made, entries)
    return made


def _count(graph: Graph) -> str:
    kinds = Counter(node.kind for node in graph.nodes)
    counts = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
    if not counts:
        return "This model has no nodes."
    return f"{len(graph.nodes):,} nodes ({counts}) are too many to draw; describe() lists them."


def _plan(graph: Graph) -> Drawing:
    """Choose how much to say of each node, and where to put it."""
    detailed = len(graph.nodes) <= MOST_DETAILED
    boxes = {node.name: _box(node, detailed) for node in graph.nodes}
    extents = {name: box.extent for name, box in boxes.items()}
    layers = arrange(extents, graph.edges, GAP, WIDEST)
    start, width = _span(boxes, layers)
    page = max(style.WIDTH, width + 2 * MARGIN)
    shift = (page - width) / 2 - start
    x = {item: place + shift for item, place in layers.x.items()}
    row = {item: index for index, items in enumerate(layers.rows) for item in items}
    gaps = [0.26] * len(layers.rows)  # below each row; more where edges go far across
    for upper, lower in layers.links:
        gaps[row[upper]] = max(gaps[row[upper]], min(0.26 + 0.07 * abs(x[upper] - x[lower]), 0.7))
    inside = [[boxes[item] for item in items if isinstance(item, str)] for items in layers.rows]
    heights = [max(max(2 * b.half_height, LINE * len(b.lines)) for b in bs) for bs in inside]
    total = 2 * MARGIN + sum(heights) + sum(gaps[:-1])
    rows, top = [], total - MARGIN
    for height, gap in zip(heights, gaps, strict=True):
        rows.append((top, top - height))
        top -= height + gap
    middle = {name: sum(rows[row[name]]) / 2 for name in boxes}
    note = "" if detailed else "distributions not shown"
    return Drawing(boxes, layers._replace(x=x), middle, rows, (page, total), note)


def _span(boxes: dict[str, Box], layers: Layers) -> tuple[float, float]:
    """Return where the drawing starts and how wide it is."""
    starts = [layers.x[name] - box.extent[0] for name, box in boxes.items()]
    ends = [layers.x[name] + box.extent[1] for name, box in boxes.items()]
    low, high = min([*starts, *layers.x.values()]), max([*ends, *layers.x.values()])
    return low, high - low


def _box(node: GraphNode, detailed: bool) -> Box:
    """Measure a node."""
    # Variables in a text have the letters that they have in their circles.
    content = re.sub(r"\w+", lambda word: style.name(word[0]), node.content)
    if node.kind == "constant":
        return Box(DOT, DOT, _wrap(f"{style.name(node.name)} {node.sizes} {content}"))
    lines = [node.sizes, *(_wrap(content) if detailed else []), node.note if detailed else ""]
    lines = [line for line in lines if line]
    name = _width(style.name(node.name), NAME_SIZE)
    if node.kind == "deterministic":
        # Where its letters are, a diamond is 2/3 as wide as in the middle.
        return Box(max(DIAMOND, 0.75 * name + 0.03), DIAMOND, lines)
    return Box(max(RADIUS, name / 2 + 0.08), RADIUS, lines)


def _wrap(text: str) -> list[str]:
    """Break a text after spaces and opening brackets, and cut it if it is very long."""
    lines = [""]
    for piece in re.split(r"(?<=[ (])", text):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > LINE_LENGTH:
            lines.append("")
        lines[-1] += piece
    kept = [line.rstrip() for line in lines[:MOST_LINES]]
    if len(lines) > MOST_LINES:
        kept[-1] += " …"
    return kept


def _width(text: str, size: float) -> float:
    points, _, _ = text_to_path.get_text_width_height_descent(
        text, FontProperties(size=size), ismath=False
    )
    return float(points) / 72


def _draw_node(ax: Axes, node: GraphNode, drawing: Drawing) -> None:
    box = drawing.boxes[node.name]
    x, y = drawing.layers.x[node.name], drawing.middle[node.name]
    wide, high = box.half_width, box.half_height
    shape: Patch
    if node.kind == "constant":
        shape = Circle((x, y), DOT, color=style.INK)
    elif node.kind == "deterministic":
        shape = Polygon([(x - wide, y), (x, y + high), (x + wide, y), (x, y - high)])
    else:
        shape = Polygon(_round_ended(x, y, wide, high))
    if node.kind != "constant":
        fill = style.PALE if node.kind == "observed" else "white"
        shape.set(facecolor=fill, edgecolor=style.INK, linewidth=0.9)
        ax.text(
            x, y, style.name(node.name), ha="center", va="center_baseline", fontsize=NAME_SIZE,
            parse_math=False,
        )  # fmt: skip
    shape.set_gid(node.name)
    ax.add_artist(shape)
    for index, line in enumerate(box.lines):
        down = (index - (len(box.lines) - 1) / 2) * LINE
        ax.text(
            x + wide + 0.05, y - down, line, va="center", fontsize=TEXT_SIZE, parse_math=False,
        )  # fmt: skip


def _round_ended(x: float, y: float, wide: float, high: float) -> np.ndarray:
    """Return points around a circle, or around two half circles with straight lines between."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 60)
    right = np.stack([wide - high + high * np.cos(angle), high * np.sin(angle)], axis=-1)
    return np.concatenate([right, -right]) + np.array([x, y])


def _draw_links(ax: Axes, drawing: Drawing) -> None:
    """Draw the edges, straight down within a row, so that they meet no node but their own."""
    row = {item: index for index, items in enumerate(drawing.layers.rows) for item in items}
    for upper, lower in drawing.layers.links:
        left, right = drawing.layers.x[upper], drawing.layers.x[lower]
        start = high = drawing.rows[row[upper]][1]
        low, end = drawing.rows[row[lower]]
        if isinstance(upper, str):
            start = drawing.middle[upper] - drawing.boxes[upper].half_height
        if isinstance(lower, str):
            end = drawing.middle[lower] + drawing.boxes[lower].half_height
        between = (high + low) / 2
        points = [(left, start), (left, high), (left, between), (right, between), (right, low)]
        codes = [Path.MOVETO, Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
        if end < low:
            points, codes = [*points, (right, end)], [*codes, Path.LINETO]
        line = FancyArrowPatch(
            path=Path(points, codes),
            arrowstyle="-|>" if isinstance(lower, str) else "-",
            mutation_scale=7,
            color=style.GREY,
            linewidth=0.8,
            zorder=0.5,
        )
        ax.add_artist(line)

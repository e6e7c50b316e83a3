"""Where to draw the nodes of a directed acyclic graph: in rows, parents above children.

The steps are those of Sugiyama, Tagawa and Toda (1981), IEEE Transactions on Systems, Man, and
Cybernetics 11, 109-125: rows by longest path, the order in a row by barycentres, then places.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.optimize import isotonic_regression

Item = str | tuple[str, int]
"""What takes room in a row: a node, or the edges of a node on their way through that row."""

SWEEPS = 24
MOVES = 100
TRUNK = 0.06
"""Half the room for edges that pass a row."""


class Layers(NamedTuple):
    """Where everything goes.

    Attributes
    ----------
    rows : list of list
        Names of nodes, and ``(name, row)`` where edges from that node pass the row; left to right.
    x : dict
        The place of each item across the rows, in the units of the extents.
    links : list of tuple
        Pairs of items of neighbouring rows, the upper first; chains of links make the edges. All
        edges from a node share their way until they turn off.
    """

    rows: list[list[Item]]
    x: dict[Item, float]
    links: list[tuple[Item, Item]]


def arrange(
    extents: Mapping[str, tuple[float, float]],
    edges: Iterable[tuple[str, str]],
    gap: float,
    widest: float,
) -> Layers:
    """Give every node a row and a place in it, so that few edges cross.

    Parameters
    ----------
    extents : dict
        From each node, parents first, to the room it needs to the left and right of its place.
    edges : iterable of tuple
        Pairs of parent and child.
    gap : float
        The least room between items of a row.
    widest : float
        A row that would be wider than this is broken into rows of about the same width.

    Returns
    -------
    Layers
        The rows, places and links.

    Examples
    --------
    >>> made = arrange(dict(a=(1, 1), b=(1, 1), c=(1, 1)), [("a", "b"), ("b", "c")], 1, 9)
    >>> made.rows, made.links
    ([['a'], ['b'], ['c']], [('a', 'b'), ('b', 'c')])
    """
    edges = list(edges)
    rows = _rows(extents, edges, gap, widest)
    links = _links(rows, edges)
    above: dict[Item, list[Item]] = defaultdict(list)
    below: dict[Item, list[Item]] = defaultdict(list)
    for upper, lower in links:
        above[lower].append(upper)
        below[upper].append(lower)
    rows = _order(rows, above, below)
    return Layers(rows, _places(rows, above, below, extents, gap), links)


def _rows(
    extents: Mapping[str, tuple[float, float]],
    edges: Sequence[tuple[str, str]],
    gap: float,
    widest: float,
) -> list[list[Item]]:
    """Put each node one row below its lowest parent, and a root just above its first child."""
    parents, children = defaultdict(list), defaultdict(list)
    for parent, child in edges:
        parents[child].append(parent)
        children[parent].append(child)
    depth: dict[str, int] = {}
    for name in extents:
        depth[name] = 1 + max((depth[parent] for parent in parents[name]), default=-1)
    for name in extents:
        if children[name] and not parents[name]:
            depth[name] = min(depth[child] for child in children[name]) - 1
    layers: dict[int, list[str]] = defaultdict(list)
    for name in extents:
        layers[depth[name]].append(name)
    rows: list[list[Item]] = []
    for layer in range(len(layers)):
        room = {name: gap + sum(extents[name]) for name in layers[layer]}
        even = sum(room.values()) / max(1.0, np.ceil(sum(room.values()) / widest))
        rows.append([])
        width = 0.0
        for name, own in room.items():
            if rows[-1] and (width >= even or width + own > widest):
                rows.append([])
                width = 0.0
            rows[-1].append(name)
            width += own
    return rows


def _links(rows: list[list[Item]], edges: Sequence[tuple[str, str]]) -> list[tuple[Item, Item]]:
    """Cut edges where they pass rows, and take up room in those rows."""
    row = {item: place for place, items in enumerate(rows) for item in items}
    links: dict[tuple[Item, Item], None] = {}
    for parent, child in edges:
        last: Item = parent
        for between in range(row[parent] + 1, row[child]):
            trunk = (parent, between)
            if trunk not in row:
                row[trunk] = between
                rows[between].append(trunk)
            links[last, trunk] = None
            last = trunk
        links[last, child] = None
    return list(links)


def _order(
    rows: list[list[Item]], above: Mapping[Item, list[Item]], below: Mapping[Item, list[Item]]
) -> list[list[Item]]:
    """Sort each row by where its neighbours are, down and up again, and keep the best order."""
    best, fewest = rows, _crossings(rows, below)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        rows = [list(items) for items in rows]
        neighbours = above if down else below
        for index in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            place = {item: at for at, item in enumerate(rows[index - 1 if down else index + 1])}
            centres = {
                item: np.mean([place[n] for n in neighbours.get(item, [])] or [at])
                for at, item in enumerate(rows[index])
            }
            rows[index].sort(key=centres.__getitem__)
        crossings = _crossings(rows, below)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _crossings(rows: list[list[Item]], below: Mapping[Item, list[Item]]) -> int:
    """Count the pairs of links that cross."""
    total = 0
    for upper, lower in pairwise(rows):
        place = {item: at for at, item in enumerate(lower)}
        ends = [(at, place[n]) for at, item in enumerate(upper) for n in below.get(item, [])]
        start, end = np.array(ends or [(0, 0)]).T
        total += int((np.subtract.outer(start, start) * np.subtract.outer(end, end) < 0).sum()) // 2
    return total


def _places(
    rows: list[list[Item]],
    above: Mapping[Item, list[Item]],
    below: Mapping[Item, list[Item]],
    extents: Mapping[str, tuple[float, float]],
    gap: float,
) -> dict[Item, float]:
    """Move the items of each row towards their neighbours, as far as their room allows."""
    steps = []
    for items in rows:
        room = [extents[i] if isinstance(i, str) else (TRUNK, TRUNK) for i in items]
        apart = [a[1] + gap + b[0] for a, b in pairwise(room)]
        steps.append(np.concatenate([[0.0], np.cumsum(apart)]))
    x = {
        item: at - step[-1] / 2
        for items, step in zip(rows, steps, strict=True)
        for item, at in zip(items, step, strict=True)
    }
    for sweep in range(MOVES):
        turns = range(len(rows)) if sweep % 2 == 0 else range(len(rows) - 1, -1, -1)
        for index in turns:
            items, step = rows[index], steps[index]
            wanted, weights = [], []
            for item in items:
                near = [*above.get(item, []), *below.get(item, [])]
                pull = [_stiffness(item, n) for n in near]
                drawn = sum(force * x[n] for force, n in zip(pull, near, strict=True))
                wanted.append(drawn / sum(pull) if near else x[item])
                weights.append(sum(pull) or 0.1)
            # Minimises the squared moves while the items keep their order and distances.
            fit = isotonic_regression(np.array(wanted) - step, weights=weights).x + step
            x |= dict(zip(items, fit.tolist(), strict=True))
    return x


def _stiffness(one: Item, other: Item) -> float:
    """Say how much a link should be straight: most where it passes rows."""
    return (1.0, 2.0, 8.0)[isinstance(one, tuple) + isinstance(other, tuple)]

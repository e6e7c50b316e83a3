"""Blocks of seeds: the files in which draws are kept, shared by all experiments."""

import re
from collections.abc import Iterable

from bamopipe.errors import UserError


def cover(seeds: Iterable[int], present: Iterable[str], size: int) -> list[str]:
    """Choose blocks that hold all seeds: those that exist first, then as few new ones as can be.

    New blocks hold consecutive seeds and do not cross a multiple of `size`, so the same seeds end
    up in the same file whoever asks for them.

    Parameters
    ----------
    seeds : iterable of int
        The wanted seeds.
    present : iterable of str
        Names of existing blocks, ``seeds_3`` or ``seeds_0-3``.
    size : int
        The largest new block.

    Returns
    -------
    list of str
        Names of blocks, by their first seed.

    Examples
    --------
    >>> cover([0, 1, 2, 5], present=["seeds_0-1"], size=4)
    ['seeds_0-1', 'seeds_2', 'seeds_5']
    """
    wanted = set(seeds)
    chosen: list[range] = []
    for block in sorted(map(seeds_of, present), key=lambda b: (-len(b), b.start)):
        if wanted.intersection(block):
            chosen.append(block)
            wanted.difference_update(block)
    start: int | None = None
    for seed in sorted(wanted):
        start = seed if start is None else start
        if seed + 1 not in wanted or (seed + 1) % size == 0:
            chosen.append(range(start, seed + 1))
            start = None
    return [
        f"seeds_{b.start}" if len(b) == 1 else f"seeds_{b.start}-{b.stop - 1}"
        for b in sorted(chosen, key=lambda b: (b.start, b.stop))
    ]


def parse_seeds(text: str) -> list[int]:
    """Read seeds as commands take them: ``3``, ``0-3`` or ``0,1,5``."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if match is None:
            raise UserError(f"--seeds must look like 3, 0-3 or 0,1,5; got {text!r}")
        first, last = int(match.group(1)), int(match.group(2) or match.group(1))
        seeds.extend(range(first, last + 1))
        if last < first or len(set(seeds)) < len(seeds):
            raise UserError(f"--seeds must rise, each once, as in 0-3 or 0,1,5; got {text!r}")
    return seeds


def seeds_of(name: str) -> range:
    """Seeds in a block; none for the name of something else."""
    match = re.fullmatch(r"seeds_(\d+)(?:-(\d+))?", name)
    return range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)

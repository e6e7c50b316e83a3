"""How much disk an experiment will take, told before it is run."""

import math
import shutil
from collections.abc import Iterable
from pathlib import Path

import yaml

from bamopipe.blocks import seeds_of
from bamopipe.index import FITS
from bamopipe.plan import Plan, Run

# What a run's figures take, again in the report as text; found on the gallery at 150 dots an inch.
FIGURES = 2.4 * 700e3
# A block without its draws: coordinates, attributes and the file format's own needs.
EMPTY_BLOCK = 60e3
# The posterior of a run is a copy of the blocks of its seeds.
COPIES = 2

Size = tuple[float, float]
"""Bytes of a block that holds no draws, and of each draw of each chain."""


def describe(made: Plan, build: bool = False) -> str:
    """Say in a line what is still to be fitted and how much disk that takes.

    Parameters
    ----------
    made : Plan
        The experiment.
    build : bool
        Whether to build models that have no fit yet, which loads JAX and takes seconds.

    Returns
    -------
    str
        Empty if everything is fitted.
    """
    plans = [(run, [b for b in made.blocks(run) if not Path(b).is_file()]) for run in made.runs]
    missing = [(run, blocks) for run, blocks in plans if blocks]
    if not missing:
        return ""
    sizes: dict[str, Size | None] = {}
    total = 0.0
    for run, blocks in missing:
        kind = f"{run.frozen['model']['_target_']} {run.frozen['inference']['name']} {run.inputs}"
        if kind not in sizes:
            sizes[kind] = _of_fits(run) or (_of_model(run) if build else None)
        size = sizes[kind]
        if size is None:
            return f"disk: not known before a first fit of {run.frozen['model']['_target_']}"
        seeds = [len(seeds_of(Path(block).stem)) for block in blocks]
        total += COPIES * sum(size[0] + count * draws(run) * size[1] for count in seeds) + FIGURES
    free = shutil.disk_usage(Path()).free
    text = f"disk: {len(missing)} runs to fit will take about {bytes_text(total)}"
    return f"{text}; {bytes_text(free)} are free" + ("! Too little" if total > free else "")


def draws(run: Run) -> int:
    """Count the draws that one seed of a run leaves."""
    inference = run.frozen["inference"]
    each = inference["num_samples" if inference["name"] == "mcmc" else "num_particles"]
    return int(inference["num_chains"] * each)


def bytes_text(size: float) -> str:
    """Write a number of bytes as people say it.

    >>> bytes_text(2_340_000), bytes_text(12e9)
    ('2.3 MB', '12 GB')
    """
    power = min(4, int(math.log(max(size, 1), 1000)))
    number = size / 1000**power
    return f"{number:.{int(power > 0 and number < 9.95)}f} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def _of_fits(run: Run) -> Size | None:
    """Find what a fit of the same model on the same data has taken, with the same engine."""
    wanted = {key: run.frozen[key] for key in ("data", "precision")}
    line = f"_target_: {run.frozen['model']['_target_']}\n"
    for config in FITS.glob("*/config.yaml"):
        text = config.read_text()
        blocks = list(config.parent.glob("seeds_*.nc"))
        if line not in text or not blocks:
            continue
        other = yaml.safe_load(text)
        alike = other["inference"]["name"] == run.frozen["inference"]["name"]
        if alike and {key: other[key] for key in wanted} == wanted:
            return _of_block(blocks[0])
    return None


def _of_block(path: Path) -> Size | None:
    import netCDF4

    try:
        with netCDF4.Dataset(path) as file:
            groups = file.groups.values()
            lengths = {n: len(d) for n, d in file.groups["posterior"].dimensions.items()}
            count = lengths["chain"] * lengths["draw"]
            each = sum(
                v.dtype.itemsize * math.prod(v.shape)
                for group in groups
                for v in group.variables.values()
                if v.dimensions[:2] == ("chain", "draw") and v.shape[1] == lengths["draw"]
            )
    except (OSError, KeyError):
        return None
    return path.stat().st_size - each, each / count


def _of_model(run: Run) -> Size:
    """Work out the size of a draw from the shapes of the model's variables."""
    import jax

    from bamopipe.inference.follow import consequences
    from bamopipe.stages.fit import build_engine
    from bamopipe.target import precision_context

    jax.config.update("jax_enable_x64", run.frozen["precision"] == "float64")
    engine = build_engine(run.frozen)
    position = engine.target.example
    with precision_context(engine.precision):
        follows = jax.eval_shape(consequences, engine.target, jax.random.key(0), position)
    posterior = _bytes(jax.tree.leaves((position, follows.deterministics)))
    predictions = _bytes(jax.tree.leaves(follows.predictions))
    densities = _bytes(jax.tree.leaves(follows.log_likelihood))
    statistics = 2 * 8
    if run.frozen["inference"]["name"] == "mcmc":  # a fixed number of draws from the prior
        empty = EMPTY_BLOCK + 1000 * (posterior + predictions)
        return empty, posterior + predictions + densities + 5 * statistics
    return EMPTY_BLOCK, 2 * (posterior + predictions) + densities + statistics


def _bytes(leaves: Iterable) -> float:
    return float(sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves))

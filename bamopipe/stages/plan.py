"""Show which runs an experiment consists of, and how much of each is there."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bamopipe import outcome, plan
from bamopipe.stages import disk
from bamopipe.stages.table import layout


def main(experiment: str | None, overrides: Sequence[str]) -> None:
    """Print the runs of an experiment, what varies between them, and their state.

    Parameters
    ----------
    experiment : str or None
        A name in ``conf/experiment``; None for the default one.
    overrides : sequence of str
        In Hydra's grammar.
    """
    name = experiment or plan.DEFAULT_EXPERIMENT
    made = plan.load({"experiment": name, "overrides": list(overrides)})
    states = [
        outcome.progress(Path(made.home), row, run.data_files, Path(run.inputs[-1]))
        for row, run in zip(made.rows, made.runs, strict=True)
    ]
    rows: list[tuple[str, ...]] = [("run", *made.rows[0].settings, "seeds", "state")]
    for row, each in zip(made.rows, states, strict=True):
        rows.append((row.run, *row.settings.values(), shorten(row.seeds), each))
    counts = Counter(each.partition(":")[0] for each in states)
    print(layout(rows))
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    print(f"{made.home}: {len(made.runs)} run{'s' * (len(made.runs) > 1)} ({summary})")
    needed = disk.describe(made)
    if needed:
        print(needed)


def shorten(seeds: Sequence[int]) -> str:
    """Write seeds shortly.

    >>> shorten([0, 1]), shorten(range(200))
    ('0, 1', '0-199')
    """
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return ", ".join(map(str, seeds))

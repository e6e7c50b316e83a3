"""Show what an experiment consists of and how much of it is there."""

from collections.abc import Sequence
from pathlib import Path

from bamopipe import plan
from bamopipe.stages.table import layout


def main(experiment: str | None, overrides: Sequence[str]) -> None:
    """Print the runs of an experiment.

    Parameters
    ----------
    experiment : str or None
        A name in ``conf/experiment``; None for the default one.
    overrides : sequence of str
        In Hydra's grammar.
    """
    name = experiment or plan.DEFAULT_EXPERIMENT
    made = plan.load({"experiment": name, "overrides": list(overrides)})
    rows = [("run", "settings", "blocks")]
    for run in made.runs:
        settings = ", ".join(f"{key}={value}" for key, value in run.settings.items())
        blocks = [
            f"{Path(block).stem} ({'done' if Path(block).is_file() else 'to do'})"
            for block in made.blocks(run)
        ]
        rows.append((run.name, settings, " ".join(blocks)))
    seeds = ", ".join(map(str, made.seeds))
    print(f"{made.home}: {len(made.runs)} runs, seeds {seeds}")
    print(layout(rows))

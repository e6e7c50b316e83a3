"""Run an experiment: write down what was asked for, and hand over to Snakemake."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from bamopipe import plan
from bamopipe.files import atomic_write
from bamopipe.stages import disk

MANY_RUNS = 10
"""From so many on, it is told beforehand how much disk they will take."""


def main(experiment: str, overrides: Sequence[str], flags: Sequence[str]) -> None:
    """Check the request, record its overrides and become Snakemake.

    Parameters
    ----------
    experiment : str
        A name in ``conf/experiment``.
    overrides : sequence of str
        In Hydra's grammar. They are kept in ``overrides.yaml`` in the experiment's folder, since
        Snakemake's own ``--config`` strips quotes and splits at commas.
    flags : sequence of str
        For Snakemake.
    """
    request = {"experiment": experiment, "overrides": list(overrides)}
    made = plan.load(request)
    home = made.home
    if len(made.runs) >= MANY_RUNS:
        needed = disk.describe(made, build=True)
        if needed:
            print(needed, file=sys.stderr)
    words = ["--config", f"experiment={experiment}"]
    if overrides:
        record = Path(home) / "overrides.yaml"
        with atomic_write(record) as temporary:
            temporary.write_text(yaml.safe_dump(request, sort_keys=False, allow_unicode=True))
        words = ["--configfile", str(record)]
    words += flags
    print(f"snakemake {shlex.join(words)}", file=sys.stderr, flush=True)
    os.execv(sys.executable, [sys.executable, "-m", "snakemake", *words])

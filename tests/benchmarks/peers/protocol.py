"""How a peer's script is called and what it says.

``python by_NAME.py JOB FOLDER SEED ...`` runs a job once a seed, in one process: the first run is
cold, the others are warm. After each run it prints one line of JSON with the seconds that the run
took and what it found, and saves its draws, if it has some, to ``FOLDER/SEED.npz``.
"""

import json
import sys
import time
from collections.abc import Callable

import numpy as np

# What a job gives: "log_evidences" of independent runs, "sweeps", "draws": variable -> array of
# shape (chain, draw, ...).
Job = Callable[[int], dict]


def main(jobs: dict[str, Job]) -> None:
    """Run the job that the command line names."""
    name, folder, *seeds = sys.argv[1:]
    for seed in seeds:
        start = time.perf_counter()
        found = jobs[name](int(seed))
        seconds = time.perf_counter() - start
        draws = found.pop("draws", {})
        print(json.dumps({"seconds": seconds, **found}), flush=True)
        if draws:
            np.savez(f"{folder}/{seed}.npz", **{n: np.asarray(d) for n, d in draws.items()})

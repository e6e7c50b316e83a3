"""How a benchmark tells those who do its work what to do, and how they tell what came out."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def ask(name: str, python: str, repeats: int, **settings) -> subprocess.CompletedProcess:
    """Let one of the scripts beside this file do the work some times, in a process of its own."""
    script = Path(__file__).parent / f"with_{name}.py"
    command = [python, str(script), str(repeats), json.dumps(settings)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def answer(make: Callable[..., Callable[[int], tuple[list[float], float]]]) -> None:
    """Do what this process was asked for, and print the seconds of each run and what came out.

    From the settings `make` makes a function of a seed, which returns the log evidence of each
    chain and the number of sweeps.
    """
    repeats, settings = sys.argv[1:]
    run = make(**json.loads(settings))
    found: dict[str, list] = {"seconds": [], "log_evidence": [], "sweeps": []}
    for seed in range(int(repeats)):
        start = time.perf_counter()
        log_evidence, sweeps = run(seed)
        found["seconds"].append(time.perf_counter() - start)
        found["log_evidence"].append(log_evidence)
        found["sweeps"].append(sweeps)
    print(json.dumps(found))

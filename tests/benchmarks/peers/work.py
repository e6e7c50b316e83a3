"""How a benchmark tells those who do its work what to do, and how they tell what came out."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

Found = dict[str, object]


def ask(
    name: str, python: str, work: str, repeats: int, limit: float | None = None, **settings
) -> subprocess.CompletedProcess:
    """Let one of the scripts beside this file do some work some times, in its own process.

    Raises `subprocess.TimeoutExpired` after `limit` seconds.
    """
    script = Path(__file__).parent / f"with_{name}.py"
    command = [python, str(script), work, str(repeats), json.dumps(settings)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            out, err = process.communicate(timeout=limit)
        finally:  # with all that it started, which would take cores from the next one
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def answer(*works: Callable[..., Callable[[int], Found]]) -> None:
    """Do what this process was asked for, and print the seconds of each run and what came out.

    Each of `works` makes of the settings a function of a seed. What that returns is printed, but of
    ``draws``, a dict of arrays (chain, draw, ...), the smallest effective sample size alone.
    """
    work, repeats, settings = sys.argv[1:]
    run = {make.__name__: make for make in works}[work](**json.loads(settings))
    found: dict[str, list] = {"seconds": [], "end": []}
    for seed in range(int(repeats)):
        start = time.monotonic()  # a clock that all processes share
        came_out = run(seed)
        found["end"].append(time.monotonic())
        found["seconds"].append(found["end"][-1] - start)
        if "draws" in came_out:
            came_out = _effective(came_out.pop("draws"))
        for key, value in came_out.items():
            found.setdefault(key, []).append(value)
    print(json.dumps(found))


def _effective(draws) -> Found:
    import arviz
    import numpy as np
    import xarray

    if "eta" in draws:  # lines that can be exchanged: by their intercepts
        order = np.argsort(draws["eta"][..., 0], axis=-1)
        draws = {
            name: np.take_along_axis(v, order.reshape(*order.shape, *[1] * (v.ndim - 3)), axis=2)
            for name, v in draws.items()
            if v.shape[2] == order.shape[2]
        }
    scalars = {}
    for name, values in draws.items():
        flat = values.reshape(*values.shape[:2], -1)
        scalars |= {f"{name}{i}": (("chain", "draw"), flat[..., i]) for i in range(flat.shape[-1])}
    table = xarray.Dataset(scalars)
    return {
        "ess": min(float(value) for value in arviz.ess(table).values()),
        "r_hat": max(float(value) for value in arviz.rhat(table).values()),
    }

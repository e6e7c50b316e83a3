"""The seed problem on an NVIDIA GPU, against bamojax on the same GPU and against the card's limits.

    uv run --extra cuda12 python tests/benchmarks/gpu.py [--bamojax PYTHON]

PYTHON is an interpreter whose environment has bamojax 0.4.3 and JAX for the GPU; without it only
bamopipe runs. Prints what the card can do (bytes copied, normal variates drawn); then seconds of a
run with all compilation (cold) and of the faster of two more (warm), moves of all variables per
second, and the log evidence, which is -36.1308; then which kernels a run of bamopipe spends the
GPU's time on, and how long the GPU waits.
"""

import argparse
import gzip
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from peers.work import ask

PEERS = Path(__file__).parent / "peers"
SIZES = [(4, 1_000), (4, 10_000), (1, 1_000_000)]
PRECISIONS = ("float32", "float64")
HEAD = f"{'':34}{'cold (s)':>10}{'warm (s)':>10}{'Msweeps/s':>11}   log evidence"


def settings_of(num_chains: int, num_particles: int, precision: str) -> dict:
    """Return the settings of a run."""
    sizes = dict(num_chains=num_chains, num_particles=num_particles, num_mutations=100)
    return dict(precision=precision, **sizes)


def row(name: str, python: str, num_chains: int, num_particles: int, precision: str) -> None:
    """Run one of the two and print what came out."""
    done = ask(
        name, python, "seed_problem", repeats=3, **settings_of(num_chains, num_particles, precision)
    )
    what = f"{name:9} {num_chains} x {num_particles:,} {precision}"
    if done.returncode:
        print(f"{what:34}  failed: {done.stderr.strip().splitlines()[-1][:100]}", flush=True)
        return
    found = json.loads(done.stdout.splitlines()[-1])
    cold, *warm = found["seconds"]
    speed = found["sweeps"][-1] / min(warm) / 1e6
    mean = statistics.fmean(value for values in found["log_evidence"] for value in values)
    print(f"{what:34}{cold:10.2f}{min(warm):10.3f}{speed:11.1f}   {mean:.3f}", flush=True)


def seconds(function: Callable, *arguments) -> float:
    """Return the least of five times, once compiled."""
    import jax

    jax.block_until_ready(function(*arguments))
    found = []
    for _ in range(5):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        found.append(time.perf_counter() - start)
    return min(found)


def limits() -> None:
    """Print what the card can do."""
    import jax
    import jax.numpy as jnp

    from bamopipe.samplers.normal import Shapes, draw_noise

    print(f"{jax.local_devices()[0].device_kind}, JAX {jax.__version__}")
    x = jnp.ones(2**28, "float32")
    print(f"copying: {2 * x.nbytes / seconds(jax.jit(lambda x: x + 1), x) / 1e9:,.0f} GB/s")
    count = 2**27
    for precision in PRECISIONS:
        with jax.enable_x64(precision == "float64"):
            draw = jax.jit(lambda key, p=precision: draw_noise(key, [Shapes([(count,)])], p))
            speed = count / seconds(draw, jax.random.key(0)) / 1e9
        print(f"normal variates in {precision}: {speed:,.0f} thousand million/s")


def profile(num_chains: int, num_particles: int, precision: str) -> None:
    """Print where the GPU's time goes in a warm run."""
    import jax

    sys.path.insert(0, str(PEERS))
    from with_bamopipe import seed_problem

    run = seed_problem(**settings_of(num_chains, num_particles, precision))
    run(0)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            start = time.perf_counter()
            run(1)
            wall = time.perf_counter() - start
        (path,) = Path(folder).rglob("*.trace.json.gz")
        events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    streams = {
        (event["pid"], event["tid"])
        for event in events
        if event.get("name") == "thread_name" and "Stream" in event["args"]["name"]
    }
    busy: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for event in events:
        if event.get("ph") == "X" and (event["pid"], event["tid"]) in streams:
            busy[event["name"]] += event["dur"] / 1e6
            counts[event["name"]] += 1
    print(f"\n{num_chains} x {num_particles:,} {precision}: {wall:.3f} s, of which the GPU is busy")
    print(f"{busy.total():.3f} s with {counts.total():,} kernels and copies:")
    for name, total in busy.most_common(8):
        print(f"    {total:.4f} s  {counts[name]:7,} times  {name[:70]}")


def main() -> None:
    """Print limits, a table and two profiles."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bamojax", metavar="PYTHON")
    options = parser.parse_args()
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # processes take turns
    limits()
    print(HEAD)
    for num_chains, num_particles in SIZES:
        for precision in PRECISIONS:
            row("bamopipe", sys.executable, num_chains, num_particles, precision)
            if options.bamojax:
                row("bamojax", options.bamojax, num_chains, num_particles, precision)
    profile(4, 10_000, "float64")
    profile(1, 1_000_000, "float64")


if __name__ == "__main__":
    main()

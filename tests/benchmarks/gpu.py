"""The seed problem on a GPU, beside bamojax on the same one, and how near it comes to the card.

    uv run --extra cuda12 python tests/benchmarks/gpu.py
    uv run python tests/benchmarks/gpu.py --particles 1000 --repeats 1    # on a processor, to try

Runs both with each number of particles in single and double precision (processes of their own,
taking turns), writes ``gpu.csv`` and ``gpu.md`` to ``.benchmarks/results``, and prints

- sweeps a second by the size of the blocks in which particles are moved, to choose it by;
- normal variates a second, and bytes copied a second, as a measure of the card;
- where a profile of a warm run is, to open with Perfetto or TensorBoard.
"""

import argparse
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import pandas as pd
from run import OURS, RESULTS, as_markdown, python_of, run, table
from scaling import schools_engine

from bamopipe.inference import smc_run
from bamopipe.samplers.normal import standard_normal

PRECISIONS = ("float32", "float64")


def best(function, *arguments, times: int = 5) -> float:
    """Return the least seconds of some calls, after one that compiles."""
    jax.block_until_ready(function(*arguments))
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def card(size: int) -> None:
    """Print how many numbers a second the device draws, and bytes a second it copies."""
    print(f"{jax.default_backend()}, {jax.devices()[0].device_kind}; arrays of {size:,} numbers")
    for precision in PRECISIONS:
        with jax.enable_x64(precision == "float64"):
            for name, normal in (("jax", jax.random.normal), ("ours", standard_normal)):
                draw = jax.jit(lambda key, f=normal, p=precision: f(key, (size,), p))
                rate = size / best(draw, jax.random.key(0))
                print(f"{precision} normal variates, {name}: {rate / 1e9:.3f} billion/s")
            copy = jax.jit(lambda x: x + 1)
            numbers = jnp.zeros(size, precision)
            print(f"{precision} copies: {2 * numbers.nbytes / best(copy, numbers) / 1e9:.0f} GB/s")


def measure(num_particles: int, block: int, precision: str, profile: bool) -> None:
    """Print sweeps a second of a warm run with blocks of some size."""
    smc_run.PARTICLES_PER_BLOCK = block
    settings = dict(num_mutations=100, temperatures=None, num_chains=4, precision=precision)
    engine = schools_engine(num_particles, **settings)
    engine.run(jax.random.key(0))
    if profile:
        with jax.profiler.trace(str(RESULTS / "profile")):
            engine.run(jax.random.key(1))
    start = time.perf_counter()
    found = engine.run(jax.random.key(1))
    seconds = time.perf_counter() - start
    sweeps = sum(map(len, found.stages)) * num_particles * 100
    print(f"{precision}, blocks of {block:,}: {sweeps / seconds / 1e6:.1f} million sweeps/s")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--particles", nargs="+", type=int, default=[10_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=1800, help="seconds after which to stop one")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        particles, block, precision, profile = options.measure
        return measure(int(particles), int(block), precision, profile == "profile")
    RESULTS.mkdir(parents=True, exist_ok=True)
    # In a process of its own, since one that has used a GPU keeps its memory.
    words = [sys.executable, "-c", "import gpu; gpu.card(10_000_000)"]
    said = subprocess.run(words, cwd=sys.path[0], stdout=subprocess.PIPE, text=True, check=True)
    print(said.stdout, flush=True)
    is_gpu = said.stdout.startswith("gpu")
    beside = (f"jax[cuda12]=={jax.__version__}",) if is_gpu else ()
    python_of("bamojax", *beside)
    rows: list[dict] = []
    for count in options.particles:
        for suffix in ("", "/float32"):
            for repeat in range(options.repeats):
                for peer, more in ((OURS, ()), ("bamojax", beside)):
                    job = f"seed_problem/{count}{suffix}"
                    rows += run(peer, job, repeat, options.limit, *more)
                    pd.DataFrame(rows).to_csv(RESULTS / "gpu.csv", index=False)
    text = as_markdown(table(pd.DataFrame(rows)))
    (RESULTS / "gpu.md").write_text(text)
    print(text, flush=True)
    count = max(options.particles)
    sizes = [size for size in (1000, 10_000, 100_000, 1_000_000) if size <= count]
    for precision in PRECISIONS:
        for size in sizes:
            profile = "profile" if size == sizes[-1] else "none"
            words = [sys.executable, __file__, "--measure", str(count), str(size), precision]
            subprocess.run([*words, profile], check=True)
    print(f"profile: {RESULTS / 'profile'}")


if __name__ == "__main__":
    main()

"""What a fit costs besides sampling: starting, compiling, writing; and what a large plan costs.

    uv run python tests/benchmarks/startup.py [--seeds 200] [--runs 2000]

Prints, in seconds by the clock and of processor time:

- a fit of a tiny model from the start of the process to its end, with a cold and a warm cache of
  compiled programs, and which part of each goes where;
- ``snakemake -n`` of an experiment of many runs;
- one block of many seeds of eight schools with 1,000 particles, against its sampling alone.

Byte code is compiled before. On a busy machine, the processor time is the better guide.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TINY = ["inference.num_particles=50", "inference.num_mutations=2", "inference.num_chains=1"]
EIGHT_SCHOOLS = ["inference.num_particles=1000"]
SWEEP = '# @package _global_\narms: {{}}\nsweep: {{inference.num_particles: "range(100,{})"}}\n'

# Runs `bamopipe fit` and notes when it imports, traces, lowers, compiles or loads, and writes.
# An instant belongs to the first of these that it is in.
NOTED = """
import builtins, json, sys, time

KINDS = ("compile or load", "lower", "trace", "write", "import", "sample")
spans = [("all", time.time() - time.process_time(), None)]
depth, load = 0, builtins.__import__

def noting_import(*words, **settings):
    global depth
    depth, start = depth + 1, time.time()
    try:
        return load(*words, **settings)
    finally:
        depth -= 1
        if depth == 0:
            spans.append(("import", start, time.time()))

def noting(kind, function):
    def call(*words, **settings):
        start = time.time()
        try:
            return function(*words, **settings)
        finally:
            spans.append((kind, start, time.time()))
    return call

builtins.__import__ = noting_import
start = time.time()
from bamopipe import cli, posterior
import jax
from bamopipe.inference import SMCInference

EVENTS = {"jaxpr_trace": "trace", "jaxpr_to_mlir_module": "lower", "backend_compile":
          "compile or load"}

def heard(event, seconds, **_):
    kind = EVENTS.get(event.rpartition("/")[2].removesuffix("_duration"))
    if kind:
        spans.append((kind, time.time() - seconds, time.time()))

jax.monitoring.register_event_duration_secs_listener(heard)
posterior.write = noting("write", posterior.write)
SMCInference.run = noting("sample", SMCInference.run)
assert cli.main(sys.argv[1:]) == 0
end = time.time()
found = dict.fromkeys((*KINDS, "other"), 0.0)
points = sorted({start, end, *(point for _, *span in spans[1:] for point in span)})
for left, right in zip(points, points[1:]):
    within = {kind for kind, first, last in spans[1:] if first <= left and right <= last}
    found[next((kind for kind in KINDS if kind in within), "other")] += right - left
print(json.dumps(found))
"""


def timed(*words: str | Path) -> tuple[float, float, str]:
    """Run a command; return its seconds by the clock and of processor time, and its output."""
    start, before = time.perf_counter(), os.times()
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - start, os.times()
    if done.returncode:
        sys.exit(done.stderr)
    used = sum(after[2:4]) - sum(before[2:4])
    return seconds, used, done.stdout


def row(what: str, seconds: float, used: float, remark: str = "") -> None:
    """Print one measurement."""
    print(f"{what:44}{seconds:9.2f}{used:9.2f}  {remark}", flush=True)


def freeze(name: str, *overrides: str) -> Path:
    """Write the config of the first run that a request plans."""
    from bamopipe.plan import load

    path = Path(name, "config.yaml")
    path.parent.mkdir()
    request = {"experiment": "single", "overrides": ["model=eight_schools", *overrides]}
    path.write_text(load(request).runs[0].text)
    return path


def tiny() -> None:
    """Measure a fit that takes next to no time by itself."""
    config = freeze("tiny", *TINY)
    words = ["fit", config, "--seeds", "0", "--out", "tiny/out.nc"]
    fit = [sys.executable, "-m", "bamopipe", *words]
    row("tiny fit, cold", *timed(*fit)[:2])
    warm = [timed(*fit)[:2] for _ in range(3)]
    row("tiny fit, warm (least of 3)", *map(min, zip(*warm, strict=True)), "wanted: below 4")
    parts("warm", words)
    shutil.rmtree("results/programs")
    parts("cold", words)


def parts(kind: str, words: list) -> None:
    """Print where the seconds of a fit go."""
    found = json.loads(timed(sys.executable, "-c", NOTED, *words)[2].splitlines()[-1])
    print(f"    {kind}: " + ", ".join(f"{k} {v:.2f}" for k, v in found.items()))


def plan(num_runs: int) -> None:
    """Measure a dry run."""
    Path("conf/experiment/many.yaml").write_text(SWEEP.format(100 + num_runs))
    snakemake = [sys.executable, "-m", "snakemake", "-n", "--quiet", "--config"]
    what = f"snakemake -n, {num_runs} runs"
    row(what, *timed(*snakemake, "experiment=many")[:2], "wanted: below 10")


def many_seeds(num_seeds: int) -> None:
    """Measure a block of seeds."""
    import xarray as xr

    config = freeze("many", *EIGHT_SCHOOLS)
    fit = [sys.executable, "-m", "bamopipe", "fit", config, "--out", "many/out.nc", "--seeds"]
    timed(*fit, "0")  # so that programs are there
    seconds, used, _ = timed(*fit, f"0-{num_seeds - 1}")
    with xr.open_datatree("many/out.nc") as tree:
        sampling = tree.attrs["sample_seconds"]
    remark = f"{seconds / sampling:.2f} of its sampling, {sampling:.1f} s; wanted: below 1.5"
    row(f"{num_seeds} seeds of eight schools", seconds, used, remark)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--runs", type=int, default=2000)
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("conf", "data", "profiles", "report", "bamopipe/models"):
            shutil.copytree(ROOT / name, Path(folder, name))
        shutil.copy(ROOT / "Snakefile", folder)
        os.chdir(folder)
        print(f"{'':44}{'seconds':>9}{'CPU':>9}  load of the machine {os.getloadavg()[0]:.1f}")
        tiny()
        plan(options.runs)
        many_seeds(options.seeds)


if __name__ == "__main__":
    main()

"""How fast bamopipe is, beside its peers.

    uv run python tests/benchmarks/run.py                        # everything: some hours
    uv run python tests/benchmarks/run.py seed_problem --repeats 2
    uv run python tests/benchmarks/run.py eight_schools/draws --peers bamopipe numpyro

Each peer has an environment of its own, made once in ``.benchmarks/environments`` with the versions
below, and a script, ``peers/by_NAME.py``, with the settings that its documentation recommends.
Every repeat is a process of its own, and the peers take turns, so that a machine that slows down
slows down all. *Cold* is the time from the start of a process to its first result; *warm* is a
second run in the same process with another seed.

What is compared:

- ``seed_problem/...``: seconds, and Gibbs sweeps a second, for the same work;
- ``.../evidence``: seconds to a log evidence with a standard error of 0.02: the seconds of a run,
  times (its standard error / 0.02)^2; the error is that of repeated runs;
- ``.../draws``: seconds to 4,000 effective draws of every variable: the seconds of a run, times
  4,000 over the least bulk ESS of its scalars.

The last two scale warm runs, and cold ones without their start, which is paid once. Writes
``runs.csv`` (one row a run), ``table.md`` and ``ratios.png`` to ``.benchmarks/results``.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import arviz
import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("agg")

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".benchmarks"
RESULTS = CACHE / "results"
OURS = "bamopipe"

# Peer -> what is installed for it; ours, and the loop by hand, have the project's environment.
PEERS: dict[str, str | None] = {
    OURS: None,
    "hand": None,
    "bamojax": "bamojax==0.4.3",
    "numpyro": "numpyro==0.22.0",
    "blackjax": "blackjax==1.7.1",
    "pymc": "pymc==6.4.0",
    "pocomc": "pocomc==1.2.6",
}
# Job -> peers that have it, besides ours.
JOBS = {
    "seed_problem/1000": ("hand", "bamojax"),
    "seed_problem/10000": ("hand", "bamojax"),
    "eight_schools/evidence": ("blackjax", "pymc", "pocomc"),
    "eight_schools/draws": ("numpyro", "blackjax", "pymc"),
    "logistic_regression/evidence": ("blackjax", "pymc", "pocomc"),
    "logistic_regression/draws": ("numpyro", "blackjax", "pymc"),
    "gp_regression/evidence": ("pymc",),
    "gp_regression/draws": ("numpyro", "pymc"),
}
STANDARD_ERROR, DRAWS = 0.02, 4000


def python_of(peer: str, *more: str) -> str:
    """Return the interpreter of a peer's environment, made if it is not there.

    `more` are packages to install beside it.
    """
    needs = PEERS[peer]
    if needs is None:
        return sys.executable
    folder = CACHE / "environments" / "+".join([needs, *more]).replace("==", "-")
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"installing {' and '.join([needs, *more])}", flush=True)
        subprocess.run(["uv", "venv", "--quiet", "--python", "3.12", folder], check=True)
        install = ["uv", "pip", "install", "--quiet", "--python", python, needs, *more]
        subprocess.run(install, check=True)
    return str(python)


def run(peer: str, job: str, repeat: int, limit: float, *more: str) -> list[dict]:
    """Run a job twice in one process; return a row for the cold run and one for the warm one."""
    folder = RESULTS / "draws" / peer / job
    folder.mkdir(parents=True, exist_ok=True)
    seeds = [str(2 * repeat), str(2 * repeat + 1)]
    command = [python_of(peer, *more), HERE / "peers" / f"by_{peer}.py", job, folder, *seeds]
    log = folder / "errors.txt"
    rows = []
    start = time.perf_counter()
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        stop = threading.Timer(limit, process.kill)
        stop.start()
        for line in process.stdout:  # other programs may print there as well
            if not line.startswith('{"seconds"'):
                continue
            seconds = time.perf_counter() - start
            found = json.loads(line)
            kind = "warm" if rows else "cold"
            row = {"job": job, "peer": peer, "repeat": repeat, "seed": seeds[len(rows)]}
            row |= {"kind": kind, "seconds": seconds if kind == "cold" else found["seconds"]}
            row["sweeps"] = found.get("sweeps", math.nan)
            row["log_evidences"] = json.dumps(found.get("log_evidences", []))
            rows.append(row)
        code = process.wait()
        stop.cancel()
    for row in rows:
        row["least_ess"] = least_ess(folder / f"{row['seed']}.npz")
    if code:
        print(f"    {peer} {job} ended with {code}; see {log}", flush=True)
    return rows


def least_ess(file: Path) -> float:
    """Return the least bulk effective sample size of all scalars of a run."""
    if not file.exists():
        return math.nan
    with np.load(file) as draws:
        values = [d.reshape(*d.shape[:2], -1) for d in draws.values()]
    scalars = np.moveaxis(np.concatenate(values, axis=2), 2, 0)
    return float(min(arviz.ess(scalar, method="bulk") for scalar in scalars))


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return medians and ratios, one row a job and peer."""
    rows = []
    for (job, peer), group in runs.groupby(["job", "peer"], sort=False):
        seconds = group.groupby("kind")["seconds"].median()
        cold, warm = (float(seconds.get(kind, math.nan)) for kind in ("cold", "warm"))
        row = {"job": job, "peer": peer, "runs": len(group), "cold s": cold, "warm s": warm}
        chains = [json.loads(text) for text in group["log_evidences"]]
        every = [x for run in chains for x in run]
        error = math.nan
        if len(every) > 1:
            error = statistics.stdev(every) / len(chains[0]) ** 0.5
            row |= {"log evidence": f"{statistics.fmean(every):.2f}", "error of a run": error}
        ess = float(group["least_ess"].median())
        factor = 1.0
        if job.endswith("/evidence"):
            factor = (error / STANDARD_ERROR) ** 2
        elif job.endswith("/draws"):
            row["least ESS"] = ess
            factor = DRAWS / ess
        else:
            sweeps = group.loc[group["kind"] == "warm", "sweeps"].median()
            row["million sweeps/s"] = sweeps / warm / 1e6
        # What is longer in a cold run is paid once, however long one samples.
        row |= {"to goal, cold s": cold - warm + factor * warm, "to goal, warm s": factor * warm}
        rows.append(row)
    found = pd.DataFrame(rows)
    for kind in ("cold", "warm"):
        goal = f"to goal, {kind} s"
        ours = found[found["peer"] == OURS].set_index("job")[goal]
        found[f"ratio, {kind}"] = found[goal] / found["job"].map(ours)
    return found


def as_markdown(found: pd.DataFrame) -> str:
    """Write a table as Markdown does, to three digits."""

    def text(value) -> str:
        if not isinstance(value, float):
            return str(value)
        return "" if math.isnan(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"

    lines = [list(found.columns), ["---"] * len(found.columns)]
    lines += [[text(value) for value in row] for row in found.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def draw(found: pd.DataFrame, path: Path) -> None:
    """Draw how many times as long as ours each peer takes."""
    import matplotlib.pyplot as plt

    jobs = list(found["job"].unique())
    figure, axes = plt.subplots(figsize=(8, 1 + 0.7 * len(jobs)), layout="constrained")
    for colour, (peer, group) in enumerate(found.groupby("peer", sort=False)):
        for kind, marker in (("cold", "o"), ("warm", "s")):
            axes.plot(
                group[f"ratio, {kind}"],
                [jobs.index(job) + (0.1 if kind == "warm" else -0.1) for job in group["job"]],
                marker,
                color=f"C{colour}",
                fillstyle="none" if kind == "cold" else "full",
                label=f"{peer}, {kind}",
            )
    axes.axvline(1, color="0.6", lw=1, zorder=0)
    axes.set(xscale="log", xlabel="time to the same goal, in those of bamopipe")
    axes.set_yticks(range(len(jobs)), jobs)
    axes.invert_yaxis()
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize="small")
    figure.savefig(path, dpi=150)


def main() -> None:
    """Run what was asked for, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", nargs="*", help="problems, or jobs; all by default")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--repeats", type=int, default=5, help="processes a job and peer")
    parser.add_argument("--limit", type=float, default=900, help="seconds after which to stop one")
    options = parser.parse_args()
    jobs = [
        job
        for job in JOBS
        if not options.jobs or any(f"{job}/".startswith(f"{name}/") for name in options.jobs)
    ]
    if not jobs:
        sys.exit(f"no job is {' or '.join(options.jobs)}; there are {', '.join(JOBS)}")
    for peer in options.peers:
        python_of(peer)
    RESULTS.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    for job in jobs:
        peers = [peer for peer in (OURS, *JOBS[job]) if peer in options.peers]
        for repeat in range(options.repeats):
            for peer in peers[repeat % len(peers) :] + peers[: repeat % len(peers)]:
                rows += run(peer, job, repeat, options.limit)
                pd.DataFrame(rows).to_csv(RESULTS / "runs.csv", index=False)
        print(f"{job} done", flush=True)
    found = table(pd.DataFrame(rows))
    text = as_markdown(found)
    (RESULTS / "table.md").write_text(text)
    draw(found, RESULTS / "ratios.png")
    print(text)


if __name__ == "__main__":
    main()

"""The pipeline on a real Slurm of two nodes: what goes well, and what a lab's week brings.

One test belongs to CI. The others take minutes each, and are for changes to what they show:

    pytest -m cluster

Fits are stopped in the middle (SIGSTOP), so that what befalls them does so there, however slow or
fast this machine is.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import cluster
import numpy as np
import psutil
import pytest
import yaml

import project
from bamopipe import plan, posterior

OBSTACLE = cluster.obstacle()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("slurm"),
    pytest.mark.skipif(bool(OBSTACLE), reason=f"no Slurm can be started: {OBSTACLE}"),
]

PROFILE = yaml.safe_load(Path("profiles/slurm/config.yaml").read_text())
# The profile's own are for a network and for jobs of hours.
QUICK = ["--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "10"]
TINY = ["inference.num_particles=40", "inference.num_chains=2", "inference.num_mutations=1"]
# Long enough to be stopped between two temperatures.
LONG = ["inference.num_particles=200", "inference.num_chains=2", "inference.num_mutations=3000"]

# The real command, but for what is told to fail.
COMMAND = """#!/bin/bash
if [[ "$*" == *"${{FAIL:-never}}"* ]]; then echo "the disk is full" >&2; exit 1; fi
exec {command} "$@"
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with cluster.start(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_left(slurm):
    """Let no test meet what another one, which failed, has left."""
    yield
    for started in Project.started:
        if started.poll() is None:
            started.kill()
            started.communicate()
    Project.started.clear()
    slurm.cancel_all()


class Project:
    """A project folder, and the experiment that is run in it."""

    started: ClassVar[list[subprocess.Popen]] = []

    def __init__(self, folder: Path, experiment: str, *overrides: str):
        self.folder = project.make(folder)
        project.stub(folder, COMMAND.format(command=Path(sys.executable).with_name("bamopipe")))
        self.words = [experiment, *overrides]
        with contextlib.chdir(folder):
            self.plan = plan.load({"experiment": experiment, "overrides": list(overrides)})
        self.home = folder / self.plan.home

    def start(self, *flags: str, **environment: str) -> subprocess.Popen:
        """Start Snakemake on the cluster."""
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        # Slurm is slow enough with byte code.
        inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        command = [sys.executable, "-m", "bamopipe", "run", *self.words]
        process = subprocess.Popen(
            [*command, "--", "--workflow-profile", "profiles/slurm", *QUICK, *flags],
            cwd=self.folder,
            env={**inherited, "PATH": path, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *flags: str, status: int = 0, **environment: str) -> str:
        """Run Snakemake on the cluster to its end."""
        return finish(self.start(*flags, **environment), status)

    def fits(self) -> list[Path]:
        """Return the files of draws."""
        return sorted(self.folder.glob("results/fits/*/seeds_*.nc"))

    def is_unchanged(self) -> bool:
        """Tell whether the fits are those that are made here, without a cluster."""
        for path in self.fits():
            local = path.with_name("local.nc")
            words = ["fit", path.with_name("config.yaml"), "--seeds", path.stem[6:], "--out", local]
            command = [sys.executable, "-m", "bamopipe", *map(str, words)]
            subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
            same_draws(posterior.read(path), posterior.read(local))
        return True

    def stop_fits(self) -> list[psutil.Process]:
        """Stop the process of each run's fit after its second temperature."""
        stopped: dict[str, psutil.Process] = {}

        def stop() -> bool:
            for run in self.plan.runs:
                folder = self.folder / "results" / "fits" / run.id
                logs = folder.glob("seeds_*.log")
                if run.id not in stopped and any("stage 2" in log.read_text() for log in logs):
                    (process,) = [p for p in psutil.process_iter() if is_fit(p, folder)]
                    process.suspend()
                    assert not list(folder.glob("seeds_*.nc")), "too late"
                    stopped[run.id] = process
            return len(stopped) == len(self.plan.runs)

        until(stop)
        return list(stopped.values())


def is_fit(process: psutil.Process, folder: Path) -> bool:
    """Tell whether a process is the fit itself, not one of the many that wait for it."""
    with contextlib.suppress(psutil.Error):
        words = process.cmdline()
        if "fit" in words[1:3]:
            here = Path(process.cwd())
            return any((here / word).is_relative_to(folder) for word in words)
    return False


def same_draws(a, b) -> None:
    assert set(a.children) == set(b.children)
    for group, node in a.children.items():
        for name, values in node.dataset.data_vars.items():
            if not name.endswith("_seconds"):
                np.testing.assert_array_equal(b[group].ds[name], values, err_msg=name)


def finish(process: subprocess.Popen, status: int = 0) -> str:
    try:
        output, _ = process.communicate(timeout=1800)  # on a busy machine
    finally:
        process.kill()
    assert process.returncode == status, output
    return output


def until(found: Callable, seconds: float = 180.0):
    """Wait until something is there, and return it."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            result = found()
            if result:
                return result
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)


def jobs_of(running: cluster.Cluster, rule: str, after: int = 0) -> list[list[str]]:
    """Return the number, state and node of the jobs of a rule, ended ones included, in order.

    Slurm forgets those that ended ten minutes ago; so they are told apart by their numbers.
    """
    rows = [r for r in running.jobs("%A %T %k %N", "-t", "all") if f"rule_{rule}_" in r[2]]
    rows.sort(key=lambda row: int(row[0]))
    return [[job, state, *node] for job, state, _, *node in rows if int(job) > after]


def test_a_failed_fit_is_told_and_the_next_start_makes_the_rest(slurm, tmp_path):
    """The main job as everybody meets it, with a GPU for each fit."""
    work = Project(tmp_path / "project", "eight_schools", *TINY)
    good, bad = work.plan.runs
    before = slurm.last()
    gpu = ["--set-resources", "fit:gpu=1", "fit:mem_mb=4000", "fit:runtime=240"]
    output = work.run(*gpu, "--retries", "0", status=1, FAIL=f"fits/{bad.id}/config.yaml --seeds")
    assert f"report: {work.plan.home}/report.html (without the 1 of 2" in output
    assert f"{bad.name}: the disk is full" in output
    assert (work.home / good.name / "summary.html").exists()
    first = (work.home / "report.html").read_text()
    assert ' Failed"' in first

    asked = slurm.asked(after=before)
    threads = str(PROFILE["set-threads"]["fit"])
    fits = [words[1:] for words in asked if words[0].startswith("rule_fit")]
    assert fits == [[threads, "4000M", "4:00:00", "gres:gpu:1"]] * 2
    others = [words for words in asked if not words[0].startswith("rule_fit")]
    assert all(words[4] == "N/A" for words in others)
    # A run is summarised and plotted in one job.
    assert len(others) == 1

    output = work.run()
    assert "FAILED" not in output
    assert "Failed" not in (work.home / "report.html").read_text()
    assert len(work.fits()) == 2
    # A laptop that takes over makes nothing again.
    local = project.snakemake(
        work.folder, "--configfile", str(work.home / "overrides.yaml"), "--dry-run"
    )
    assert "Nothing to be done" in local.stdout + local.stderr


@pytest.mark.cluster
def test_what_outlives_a_killed_snakemake_is_waited_for(slurm, tmp_path):
    work = Project(tmp_path / "project", "single", "model=gaussian_mean", "seeds=[0]", *LONG)
    (run,) = work.plan.runs
    first = work.start()
    (survivor,) = work.stop_fits()
    for process in [*psutil.Process(first.pid).children(recursive=True), first]:
        process.kill()
    first.communicate()
    before = slurm.last()
    second = work.start()
    until(lambda: [job for job in jobs_of(slurm, "fit", before) if job[1] == "RUNNING"])
    lock = work.folder / f"results/fits/{run.id}/seeds_0.lock"
    log = lock.with_suffix(".log")
    until(lambda: "waiting" in log.read_text())
    assert f"process {survivor.pid} on" in lock.read_text()
    survivor.resume()
    finish(second)
    assert "made meanwhile" in log.read_text()
    assert {f.name for f in log.parent.iterdir()} == {
        "config.yaml", "seeds_0.log", "seeds_0.nc"
    }  # fmt: skip
    assert work.is_unchanged()


@pytest.mark.cluster
def test_a_cancelled_job_and_a_dead_node_cost_time_alone(slurm, tmp_path):
    words = ["single", "model=gaussian_mean", "seeds=[0]", *LONG, "precision=float64,float32"]
    work = Project(tmp_path / "project", *words)
    started = work.start()
    work.stop_fits()
    (one, *_), (other, _, node) = jobs_of(slurm, "fit")[-2:]
    assert one != other
    subprocess.run(["scancel", one], check=True)
    until(lambda: [j for j in jobs_of(slurm, "fit") if j[0] == one and j[1] == "CANCELLED"])
    slurm.kill_node(node)
    try:
        finish(started)
    finally:
        slurm.start_node(node)
    states = {job: state for job, state, *_ in jobs_of(slurm, "fit")}
    assert (states[one], states[other]) == ("CANCELLED", "NODE_FAIL")
    assert work.is_unchanged()


@pytest.mark.cluster
def test_a_fit_goes_on_after_its_time_and_gets_more_memory(slurm, tmp_path):
    work = Project(tmp_path / "project", "single", "model=gaussian_mean", "seeds=[0]", *LONG)
    (run,) = work.plan.runs
    more = ["--set-resources", "fit:runtime=4 ** (attempt - 1)", "fit:mem_mb=400 * 3 ** attempt"]
    started = work.start(*more)
    (process,) = work.stop_fits()
    # Slurm has said SIGTERM, which the process finds when it goes on.
    until(lambda: jobs_of(slurm, "fit")[-1][1] in ("COMPLETING", "TIMEOUT"))
    process.resume()
    assert process.wait(timeout=60) in (143, None)  # None: it is no child of this process
    output = finish(started)
    assert "TIMEOUT" in output
    log = (work.folder / f"results/fits/{run.id}/seeds_0.log").read_text()
    assert "goes on from" in log
    assert work.is_unchanged()


@pytest.mark.cluster
def test_a_job_that_takes_too_much_memory_is_given_more(slurm, tmp_path):
    work = Project(tmp_path / "project", "single", "model=gaussian_mean", "seeds=[0]", *TINY)
    before = slurm.last()
    work.run("--set-resources", "fit:runtime=10", "fit:mem_mb=250 * 4 ** (attempt - 1)")
    states = [state for _, state, *_ in jobs_of(slurm, "fit", before)]
    assert states[-1] == "COMPLETED"
    assert set(states[:-1]) <= {"FAILED", "OUT_OF_MEMORY"}
    assert states[:-1]
    assert work.is_unchanged()


@pytest.mark.cluster
def test_a_sweep_of_forty_runs_is_few_jobs(slurm, tmp_path):
    """With stages that only write their files: their own time is what it is elsewhere."""
    sweep = "inference.target_ess=" + ",".join(f"{0.4 + i / 100:.2f}" for i in range(40))
    work = Project(tmp_path / "project", "single", "model=gaussian_mean", sweep)
    project.stub(work.folder)
    packed = ["--groups", "fit=fits", "diagnose=summary", "plot=summary", "compare=comparison",
              "sweep=comparison", "--group-components", "fits=10", "summary=10",
              "--set-threads", "fit=1", "--set-resources", "fit:mem_mb=1000", "fit:runtime=60",
              ]  # fmt: skip
    before = slurm.last()
    work.run(*packed, STUB_ALL="1")
    assert len(work.fits()) == len(list(work.home.glob("*/posterior.nc"))) == 40
    asked = slurm.asked(after=before)
    assert len(asked) == 4 + 4 + 1
    # Four fits at a time, in three turns: what `cores` of the profile lets a job have.
    fits = [words[1:4] for words in asked if words[0].startswith("rule_fits")]
    assert fits == [["4", "4000M", "3:00:00"]] * 4

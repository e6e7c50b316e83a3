"""What a killed pipeline leaves, a disk that is full, and two Snakemakes at once."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import kills
import pytest

import project
from bamopipe import locks, plan

HOLD = """
import time
from bamopipe import locks
held = locks.take_over()
print("held", flush=True)
time.sleep(60)
"""


def test_the_lock_goes_with_the_process_that_holds_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stale = tmp_path / ".snakemake/locks/0.input.lock"
    stale.parent.mkdir(parents=True)
    stale.touch()
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert not stale.exists()
        stale.touch()
        assert locks.take_over() is None
        assert locks.is_held()
        assert stale.exists()
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert not locks.is_held()
    held = locks.take_over()
    assert held is not None
    os.close(held)
    assert not stale.exists()


def test_what_a_killed_snakemake_locked_is_free_again(tmp_path):
    """And a second Snakemake beside a living one is told so, by Snakemake."""
    folder = project.make(tmp_path)
    project.stub(folder, "#!/bin/sh\nsleep 60\n")
    words = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet"]
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    settings = {"cwd": folder, "env": {**os.environ, "PATH": path}, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, start_new_session=True, **settings) as first:
        while not list((folder / ".snakemake/incomplete").glob("*")):
            assert first.poll() is None
            time.sleep(0.05)
        second = project.snakemake(folder, "--cores", "1")
        assert second.returncode == 1
        assert "locked" in second.stderr
        os.killpg(first.pid, signal.SIGKILL)
    assert list((folder / ".snakemake/locks").glob("*.lock"))
    project.stub(folder)
    again = project.snakemake(folder, "--cores", "1")
    assert again.returncode == 0, again.stderr


# No file grows beyond 400 kB, which is what a full disk does to the posterior.
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
from bamopipe.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize("place", ["results/fits/1/seeds_0.nc", "a_file/seeds_0.nc"])
def test_no_room_is_told_in_one_sentence(place, tmp_path, monkeypatch):
    folder = kills.make(tmp_path)
    (folder / "a_file").touch()
    monkeypatch.chdir(folder)
    overrides = ["inference=mcmc", "sampler=random_walk"]
    (made,) = plan.load({"experiment": "single", "overrides": overrides}).runs
    (folder / "config.yaml").write_text(made.text)
    words = ["fit", "config.yaml", "--seeds", "0", "--out", place]
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2, run.stderr
    assert "cannot be written" in run.stderr or "cannot write" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (folder / place).exists()


# Whom permissions hold back: root, too, without these two capabilities.
HELD_BACK = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


@pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write anywhere"
)
def test_results_that_are_read_only_are_told_and_made_once_they_are_not(tmp_path):
    """A fit and Snakemake say in a sentence what they cannot write; then a plain rerun finishes."""
    folder = project.make(tmp_path)
    (folder / "results" / "fits").mkdir(parents=True)
    with contextlib.chdir(folder):
        (made,) = plan.load({"experiment": "single"}).runs
    (folder / "config.yaml").write_text(made.text)
    words = {
        "bamopipe": ["fit", "config.yaml", "--seeds", "0", "--out", "results/fits/a/seeds_0.nc"],
        "snakemake": ["--cores", "1"],
    }
    for path in (folder / "results" / "fits", folder / "results"):
        path.chmod(0o555)
    prefix = HELD_BACK if os.geteuid() == 0 else []
    said = {}
    for program, rest in words.items():
        run = subprocess.run(
            [*prefix, sys.executable, "-m", program, *rest],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 2, program
        assert "Traceback" not in run.stderr
        said[program] = run.stderr
    assert said["bamopipe"].startswith("bamopipe: cannot write results/fits/a: Permission denied")
    assert "bamopipe: cannot write results/fits/" in said["snakemake"]
    assert "config.yaml: Permission denied" in said["snakemake"]
    for path in (folder / "results", folder / "results" / "fits"):
        path.chmod(0o755)
    again = project.snakemake(folder, "--cores", "1")
    assert again.returncode == 0, again.stderr


@pytest.mark.slow
def test_killed_at_any_instant(tmp_path):
    """Once at random and once within a write; `python tests/kills.py 50` takes longer."""
    killed = kills.harass(tmp_path, 2)
    assert any("netCDF" in one.phases for one in killed)

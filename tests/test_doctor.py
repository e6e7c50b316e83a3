"""What a machine lacks, and what to do about it."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import project
from bamopipe import cli, locks
from bamopipe.errors import UserError
from bamopipe.stages import doctor


@pytest.fixture
def folder(tmp_path, monkeypatch):
    project.make(tmp_path)
    binaries = tmp_path / "binaries"
    binaries.mkdir()
    monkeypatch.setenv("PATH", str(binaries))
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    with contextlib.chdir(tmp_path):
        yield tmp_path


def put(folder, name, text="#!/bin/sh\n"):
    path = folder / "binaries" / name
    path.write_text(text)
    path.chmod(0o755)


def test_each_thing_has_a_line_and_what_is_broken_is_counted(folder, capsys):
    with pytest.raises(UserError, match="1 of 9 things above need mending"):
        doctor.main()  # `bamopipe` is not on this PATH
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == list(doctor.CHECKS)
    marks = dict(line.split()[1::-1] for line in lines)
    assert marks["command"] == "x"
    assert marks["devices"] == marks["cache"] == marks["project"] == "ok"
    assert marks["cluster"] == "-"


def test_another_bamopipe_on_the_path(folder):
    put(folder, "bamopipe")
    assert doctor.command().mark == "!"


def test_slow_starts(folder, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(folder / "binaries" / "python"))
    put(folder, "bamopipe")
    assert doctor.command().mark == "ok"
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert "unset it" in doctor.command().text


def test_versions_other_than_the_pins(monkeypatch):
    assert doctor.versions().mark == "ok"
    monkeypatch.setattr(doctor, "_requirements", lambda: ["jax==0.0.1", "numpy>1", "nothing==1"])
    found = doctor.versions()
    assert found.mark == "!"
    assert "(pinned: 0.0.1), nothing missing (pinned: 1): uv sync" in found.text


def test_an_experiment_that_cannot_be_planned(folder):
    Path("conf/experiment/bad.yaml").write_text("# @package _global_\nseeds: []\n")
    found = doctor.project()
    assert found.mark == "x"
    assert found.text.startswith("bad: seeds must be one or more")


def test_slurm_with_and_without_its_plugin(folder, monkeypatch):
    put(folder, "sbatch")
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    assert "not Snakemake's plugin" in doctor.cluster().text
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: object())
    put(folder, "squeue", "#!/bin/sh\necho no controller >&2\nexit 1\n")
    assert doctor.cluster() == ("x", "squeue fails: no controller")
    put(folder, "squeue", "#!/bin/sh\necho 1; echo 2\n")
    assert doctor.cluster().text.startswith("Slurm answers (2 jobs of yours)")


def test_a_lock_and_an_unsaved_change(folder, monkeypatch):
    assert doctor.lock().mark == "ok"
    Path(".snakemake/locks").mkdir(parents=True)
    Path(".snakemake/locks/0.input.lock").touch()  # of one that was killed
    assert doctor.lock().mark == "ok"
    held = locks.take_over()
    assert held is not None
    assert doctor.lock().text.startswith("Snakemake is running here")
    os.close(held)
    monkeypatch.setattr(doctor, "git_commit", lambda: "unknown")
    assert doctor.git().text.endswith("git init")
    monkeypatch.setattr(doctor, "git_commit", lambda: "0123456789+changes")
    assert doctor.git().text.startswith("01234567 with changes")


def test_a_new_model_passes_its_own_test_and_is_planned(tmp_path, capsys):
    project.make(tmp_path)
    with contextlib.chdir(tmp_path):
        assert cli.main(["new", "model", "rt"]) == 0
        assert "wrote models/rt.py" in capsys.readouterr().out
        assert cli.main(["plan", "single", "model=rt"]) == 0
        assert "rt-" in capsys.readouterr().out
        assert cli.main(["new", "model", "rt"]) == 2
        assert "models/rt.py exists already" in capsys.readouterr().err
        for name in ("Rt", "r t", "1a", "../x", "eight_schools"):
            assert cli.main(["new", "model", name]) == 2
            assert not Path("models", f"{name}.py").exists()
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_rt.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 passed" in run.stdout

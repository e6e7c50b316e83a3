"""The `bamopipe` command as a person meets it."""

import base64
import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import project
import trees
from bamopipe import cli, plan
from bamopipe.errors import UserError
from bamopipe.files import atomic_write
from bamopipe.inference.progress import ProgressReport
from bamopipe.plots import FIGURES
from bamopipe.provenance import sha256
from bamopipe.stages import disk, status


@pytest.fixture
def folder(tmp_path):
    project.make(tmp_path)
    with contextlib.chdir(tmp_path):
        yield tmp_path


def test_plan_lists_runs_with_what_varies_and_their_state(folder, capsys):
    words = ["plan", "eight_schools", "inference.num_particles=10,20", "seeds=[0,1,2]"]
    assert cli.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["run", "inference.num_particles", "seeds", "state"]
    assert [line.split()[1:] for line in lines[1:5]] == [
        ["10", "0-2", "missing"],
        ["20", "0-2", "missing"],
        ["10", "0-2", "missing"],
        ["20", "0-2", "missing"],
    ]
    assert lines[5].startswith("results/eight_schools+")
    assert lines[5].endswith(": 4 runs (4 missing)")
    assert lines[6] == "disk: not known before a first fit of bamopipe.models.eight_schools.model"


def states(capsys, *words):
    cli.main(["plan", "eight_schools", *words])
    return [line.split("  ")[-1].strip() for line in capsys.readouterr().out.splitlines()[1:3]]


def test_plan_knows_the_states_that_a_run_goes_through(folder, capsys):
    made = plan.load({})
    first = made.runs[0]
    fits, home = folder / "results" / "fits" / first.id, folder / made.home
    data = folder / "data" / "eight_schools.csv"
    source = folder / "bamopipe" / "models" / "eight_schools.py"
    record = {"data_sha256": json.dumps({"schools": sha256(data)})}
    record["model_source"] = source.read_text()
    block = trees.write_block(fits / "seeds_0-1.nc", 0, **record)
    assert states(capsys) == ["partly: fitted", "missing"]
    assert states(capsys, "seeds=[0,1,2]") == ["partly: 2 of 3 seeds", "missing"]
    run = home / first.name
    (run / "figures").mkdir(parents=True)
    (run / "figures" / "marginals.png").touch()
    shutil.copy(block, run / "posterior.nc")
    for converged, state in ((True, "done"), (False, "did not converge")):
        (run / "diagnostics.json").write_text(json.dumps({"converged": converged}))
        assert states(capsys) == [state, "missing"]
    os.utime(block)
    assert states(capsys) == ["partly: fitted", "missing"]
    os.utime(run / "posterior.nc")
    later = block.stat().st_mtime + 5
    os.utime(data, (later, later))  # younger, but the same
    assert states(capsys) == ["did not converge", "missing"]
    project.edit(data, "Choate,28", "Choate,29")
    os.utime(data, (later + 5, later + 5))
    assert states(capsys) == ["out of date", "missing"]
    (fits / "seeds_2.log").write_text("bamopipe: the disk is full\n")
    assert states(capsys, "seeds=[0,1,2]") == ["failed", "missing"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plan", "eigth_schools"], "bamopipe: unknown experiment 'eigth_schools'; did you mean"),
        (["run", "eight_schools", "model=nine"], "bamopipe: unknown model 'nine'"),
        (["status"], "bamopipe: there are no results in"),
        (["status", "results/x"], "bamopipe: results/x holds no experiment yet"),
        (["plan", "single", "--", "-n"], "only `bamopipe run` takes flags after --"),
        (["fit", "c.yaml", "--seeds", "x", "--out", "x.nc"], "bamopipe: --seeds must look like"),
    ],
)
def test_mistakes_end_with_one_sentence_and_2(folder, capsys, words, message):
    assert cli.main(words) == 2
    assert message in capsys.readouterr().err


def test_run_records_the_overrides_and_becomes_snakemake(folder, monkeypatch, capsys):
    called = []
    monkeypatch.setattr(os, "execv", lambda program, words: called.extend(words))
    overrides = ["model.mu='Normal(0,20)'", 'model.tau="LogNormal(5, 2)"']
    assert cli.main(["run", "eight_schools", *overrides, "--", "--cores", "2", "-n"]) == 0
    record = called[called.index("--configfile") + 1]
    written = yaml.safe_load((folder / record).read_text())
    assert written == {"experiment": "eight_schools", "overrides": overrides}
    assert called[-3:] == ["--cores", "2", "-n"]
    assert capsys.readouterr().err.startswith(f"snakemake --configfile {record} --cores 2 -n")


def test_many_runs_are_told_their_disk_first(folder, monkeypatch, capsys):
    monkeypatch.setattr(os, "execv", lambda program, words: None)
    monkeypatch.setattr(disk, "_of_model", lambda run: (1000.0, 1.0))
    assert cli.main(["run", "single", "inference.num_particles=range(10,20)"]) == 0
    assert capsys.readouterr().err.startswith("disk: 10 runs to fit will take about 17 MB; ")
    assert cli.main(["run", "single", "inference.num_particles=range(10,19)"]) == 0
    assert capsys.readouterr().err.startswith("snakemake ")


def test_every_command_has_a_page_of_help(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    listed = capsys.readouterr().out
    for command in ("run", "plan", "check", "status", "explain", "load", "prune", "new", "doctor"):
        assert f"bamopipe {command}" in listed
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        assert len(capsys.readouterr().out.splitlines()) > 8


def test_run_without_overrides_is_the_plain_line(folder, monkeypatch):
    called = []
    monkeypatch.setattr(os, "execv", lambda program, words: called.extend(words))
    assert cli.main(["run", "single"]) == 0
    assert called[1:] == ["-m", "snakemake", "--config", "experiment=single"]


def test_snakemake_plans_what_run_recorded_quotes_and_all(folder):
    run = subprocess.run(
        [sys.executable, "-m", "bamopipe", "run", "eight_schools", "model.mu='Normal(0, 20)',"
         '"Normal(0, 30)"', "seeds=range(0,9)", "--", "-n"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    jobs = project.jobs(run.stdout + run.stderr)
    assert jobs["fit"] == 4 * 3
    assert jobs["sweep"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["experiment=nope"], "unknown experiment 'nope'"),
        (["experimnet=single"], "did you mean 'experiment'"),
        (["overrides=inference.num_chains=2 seeds=[0,1]"], "overrides must be a list of text"),
    ],
)
def test_a_mangled_config_flag_ends_snakemake_with_2(folder, words, message):
    run = project.snakemake(folder, "-n", "--config", *words)
    assert run.returncode == 2
    assert message in run.stderr
    assert "Traceback" not in run.stdout + run.stderr


def test_status_tells_what_failed_and_what_did_not_converge(folder, capsys):
    home = folder / "results" / "eight_schools"
    (home / "logs").mkdir(parents=True)
    (home / "index.csv").write_text(
        "run,arm,fit_id,seeds,x\n"
        "a-00000001,a,00000001,0 1,1\n"
        'b-00000002,b,00000002,0 1,"1, 2"\n'
        "c-00000003,c,00000003,0 1,3\n"
    )
    for run, seeds in (("1", "0-1"), ("2", "0")):
        with atomic_write(f"results/fits/0000000{run}/seeds_{seeds}.nc") as temporary:
            temporary.touch()
    (folder / "results/fits/00000002/seeds_0.log").write_text("fine\n")
    (folder / "results/fits/00000002/seeds_1.log").write_text("...\nbamopipe: tau is NaN\n\n")
    (home / "a-00000001" / "figures").mkdir(parents=True)
    (home / "a-00000001" / "figures" / "marginals.png").touch()
    check = {"name": "r_hat", "ok": False, "message": "the chains disagree"}
    (home / "a-00000001" / "diagnostics.json").write_text(
        json.dumps({"converged": False, "checks": [check], "log_evidence": -1.5,
                    "log_evidence_se": None, "seconds": {"sample": 3.2}})
    )  # fmt: skip
    assert cli.main(["status", str(home)]) == 0
    assert capsys.readouterr().out == (
        f"{home}\n"
        "  run         settings  seeds  state          log evidence  seconds\n"
        "  a-00000001  x=1       0, 1   NOT CONVERGED  -1.500        3\n"
        "  b-00000002  x=1, 2    0, 1   FAILED\n"
        "  c-00000003  x=3       0, 1   not made\n"
        "  a-00000001: the chains disagree\n"
        "  b-00000002: bamopipe: tau is NaN (results/fits/00000002/seeds_1.log)\n"
        "report: not made\n"
    )


def test_status_follows_running_fits_by_their_logs(folder, capsys, caplog):
    made = plan.load({})
    first, second = (run.id for run in made.runs)
    home = folder / made.home
    home.mkdir(parents=True)
    (home / "index.csv").write_text(made.index() + "\n")
    marks = folder / ".snakemake" / "incomplete"
    for path in (f"results/fits/{first}/seeds_0-1.nc", f"results/fits/{second}/seeds_0-1.nc",
                 f"{made.home}/a/figures"):  # fmt: skip
        mark = marks / base64.urlsafe_b64encode(path.encode()).decode()
        with atomic_write(mark) as temporary:
            temporary.touch()
    log = folder / "results" / "fits" / first / "seeds_0-1.log"
    log.parent.mkdir(parents=True)
    logger = logging.getLogger("bamopipe")
    handler = logging.FileHandler(log)
    caplog.set_level(logging.INFO, logger="bamopipe")  # not by attribute: loggers remember levels
    logger.addHandler(handler)
    logger.info("seed %d: log evidence %.4f ± %.4f", 0, -1.0, 0.1)
    report = ProgressReport("SMC of m")
    report.begin(0.5)
    report.update(0.5, "stage 3, temperature 0.1")  # as a fit writes it
    logger.removeHandler(handler)
    handler.close()
    assert list(status.running()) == [
        f"gibbs-{first}  ███████████████░░░░░  75%  seeds_0-1, seed 1: stage 3, temperature 0.1",
        f"random_walk-{second}  ░░░░░░░░░░░░░░░░░░░░   0%  seeds_0-1, starting",
        "and 1 files of other stages",
    ]
    os.utime(log, (0, time.time() - 600))
    assert next(status.running()).endswith("temperature 0.1 (nothing new for 10 min)")
    assert states(capsys)[0] == "running"
    assert cli.main(["status", made.home]) == 0
    assert f"gibbs-{first}        0, 1   running" in capsys.readouterr().out
    shutil.rmtree(marks)  # the job has ended without its file
    assert cli.main(["status", made.home, "--follow"]) == 0  # ends at once: nothing runs here
    assert f"gibbs-{first}        0, 1   FAILED" in capsys.readouterr().out


def test_the_disk_that_a_sweep_takes_is_told_before_it(folder, capsys):
    """By shapes where no fit is there, and by a fit of the same model where one is."""
    made = plan.load({"overrides": ["seeds=[0]", "inference.num_particles=500"]})
    shapes = disk._of_model(made.runs[0])
    found = trees.write_block(Path("results/fits/00000000/seeds_0.nc"), 0)
    size = disk._of_block(found)
    # Of numbers, a draw has mu, tau, theta in posterior and prior, and predictions of y.
    assert size[1] == 8 * (2 * 10 + 8)
    assert size[0] + size[1] * 4 * 500 == found.stat().st_size
    # mu, tau, theta and y with their prior's, the density of y, two statistics.
    assert shapes[1] == 8 * (2 * (10 + 8) + 8 + 2)
    frozen = made.runs[0].text
    (found.parent / "config.yaml").write_text(frozen + "\n")
    text = disk.describe(made)
    blocks = size[0] + size[1] * 4 * 500
    expected = disk.bytes_text(2 * (disk.COPIES * blocks + disk.FIGURES))
    assert text.startswith(f"disk: 2 runs to fit will take about {expected}; ")
    monkey = shutil.disk_usage("/")._replace(free=1000)
    assert "! Too little" not in text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk.shutil, "disk_usage", lambda path: monkey)
        assert disk.describe(made).endswith("; 1.0 kB are free! Too little")


def test_pages_escape_what_they_show(folder):
    run = folder / "results" / "e" / "a-00000001"
    run.mkdir(parents=True)
    (run / "summary.csv").write_text("variable,mean,none\n<b>,-0.123456,\n")
    (run / "config.yaml").write_text("model: <script>")
    (run / "diagnostics.json").write_text('{"converged": true, "checks": []}')
    assert cli.main(["page", "summary", str(run / "summary.html")]) == 0
    page = (run / "summary.html").read_text()
    assert "<script>" not in page
    assert "<b>" not in page
    assert "−0.1235" in page
    assert "All checks passed" in page
    assert "none" not in page  # a column without a value


def test_every_figure_has_a_caption():
    captions = (project.ROOT / "report" / "figures.rst").read_text()
    assert all(f'snakemake.wildcards.figure == "{name}" ' in captions for name in FIGURES)


def test_a_file_is_whole_or_not_there(tmp_path):
    def write_half():
        with atomic_write(tmp_path / "a.nc") as temporary:
            temporary.write_text("half")
            assert temporary.suffix == ".nc"
            raise UserError("stop")

    with pytest.raises(UserError, match="stop"):
        write_half()
    assert list(tmp_path.iterdir()) == []
    with atomic_write(tmp_path / "a.nc") as temporary:
        temporary.write_text("whole")
    assert [f.name for f in tmp_path.iterdir()] == ["a.nc"]

"""Why something would be made again, and what nobody uses: from what is on disk."""

import contextlib
import os
import shutil

import pytest

import project
from bamopipe import cli, locks, plan
from bamopipe.stages import explain

HOME = "results/eight_schools"
EXPERIMENT = "conf/experiment/eight_schools.yaml"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project in which everything has been made."""
    folder = project.make(tmp_path_factory.mktemp("finished"))
    done = project.snakemake(folder, "--cores", "2", STUB_ALL="1")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "project")
    with contextlib.chdir(tmp_path / "project"):
        yield tmp_path / "project"


def explained(capsys, run):
    assert cli.main(["explain", run]) == 0
    return [line.strip() for line in capsys.readouterr().out.splitlines()]


def name(arm="gibbs"):
    return next(run.name for run in plan.load({}).runs if run.label == arm)


def test_nothing_is_made_again_where_nothing_has_changed(folder, capsys):
    run = name()
    assert explained(capsys, run) == [f"{HOME}/{run}", "nothing would be made again"]


def test_data_that_changed(folder, capsys):
    project.edit(folder / "data" / "eight_schools.csv", "Choate,28", "Choate,29")
    lines = explained(capsys, f"{HOME}/{name()}")
    assert lines[1] == "fit: changed since it was made: data/eight_schools.csv"
    assert lines[2].startswith("diagnose: made of files that are made again: results/fits/")
    assert lines[3].startswith("plot: made of files that are made again: results/eight_schools/")


def test_a_style_a_command_a_file_and_a_seed(folder, capsys):
    run = name()
    project.edit(folder / "conf" / "plots" / "default.yaml", "style: bamopipe", "style: ggplot")
    (line,) = explained(capsys, run)[1:]
    assert line.startswith("plot: its settings have changed: ")
    project.edit(folder / "Snakefile", "bamopipe plot {input", "bamopipe  plot {input")
    assert "plot: the rule's command in the Snakefile has changed" in explained(capsys, run)
    (folder / HOME / run / "summary.html").unlink()
    assert f"diagnose: not made yet: {HOME}/{run}/summary.html" in explained(capsys, run)
    project.edit(folder / EXPERIMENT, "seeds: [0, 1]", "seeds: [0, 1, 2]")
    fit = run.rpartition("-")[2]
    assert f"fit: not made yet: results/fits/{fit}/seeds_2.nc" in explained(capsys, run)


def test_settings_that_give_another_run(folder, capsys):
    run = name()
    stub = folder / HOME / run / "config.yaml"  # a stub has made it
    shutil.copy(folder / "results" / "fits" / run.rpartition("-")[2] / "config.yaml", stub)
    project.edit(folder / EXPERIMENT, "num_particles: 10000", "num_particles: 20000")
    lines = explained(capsys, run)
    assert lines[1].startswith("the experiment has no such run any more; it now has gibbs-")
    assert lines[2:] == ["inference.num_particles was 10000, and is 20000"]


def test_an_unknown_run(folder, capsys):
    assert cli.main(["explain", "gibs-00000000"]) == 2
    assert "no experiment in results/ has a run 'gibs-00000000'" in capsys.readouterr().err


def test_reasons_are_read_from_what_snakemake_prints():
    output = (
        "localrule index:\n    output: a\n    reason: Missing output files: x/a, x/b, x/c, x/d\n"
        "\n[Wed]\nrule fit:\n    input: a\n    jobid: 2\n    reason: Set of input files has "
        "changed since last execution; Params have changed since last execution: <b>1</b>\n"
    )
    assert list(explain._reasons(output)) == [
        ("index", "not made yet: x/a, x/b, x/c and 1 more"),
        ("fit", "made of other files than before"),
        ("fit", "its settings have changed: <b>1</b>"),
    ]


def test_prune_lists_and_removes_what_no_experiment_uses(folder, capsys):
    (folder / "results" / "check").mkdir()
    (folder / "results" / "notes-00000000.txt").touch()
    (folder / HOME / "my-notes").mkdir()
    outside = folder / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    (folder / "results" / "fits" / "00000000").symlink_to(outside)
    assert cli.main(["prune"]) == 0
    assert capsys.readouterr().out == "everything in results/ is used by an experiment\n"
    old = name()
    project.edit(folder / EXPERIMENT, "  gibbs: [sampler=eight_schools/gibbs]\n", "")
    shutil.copytree(folder / HOME, folder / "results" / "gone")
    assert cli.main(["prune"]) == 0
    listed = capsys.readouterr().out
    unused = ["results/gone", f"{HOME}/{old}", f"results/fits/{old.rpartition('-')[2]}"]
    assert [line.split()[0] for line in listed.splitlines()[:3]] == unused
    assert all((folder / path).exists() for path in unused)
    assert cli.main(["prune", "--yes"]) == 0
    assert not any((folder / path).exists() for path in unused)
    kept = {path.name for path in (folder / "results").iterdir()}
    assert kept == {"check", "eight_schools", "fits", "notes-00000000.txt"}
    assert (outside / "precious").exists()
    assert (folder / HOME / "my-notes").is_dir()
    assert project.snakemake(folder, "-n").stdout.count("rule fit") == 0


def test_prune_removes_nothing_if_it_cannot_know(folder, capsys):
    project.edit(folder / EXPERIMENT, "num_particles: 10000", "num_particles: -1")
    assert cli.main(["prune", "--yes"]) == 2
    assert "nothing is pruned" in capsys.readouterr().err
    project.edit(folder / EXPERIMENT, "num_particles: -1", "num_particles: 20000")
    held = locks.take_over()
    assert held is not None
    assert cli.main(["prune", "--yes"]) == 2
    os.close(held)
    assert "while Snakemake runs" in capsys.readouterr().err
    assert len(list((folder / "results" / "fits").iterdir())) == 2


def test_what_overrides_made_is_in_use_as_long_as_its_experiment_is_there(folder, capsys):
    made = plan.load({"experiment": "eight_schools", "overrides": ["inference.num_chains=5"]})
    home = folder / made.home
    home.mkdir()
    (home / "index.csv").write_text(made.index() + "\n")
    (home / "overrides.yaml").write_text(
        "experiment: eight_schools\noverrides: [inference.num_chains=5]\n"
    )
    fit = folder / "results" / "fits" / made.runs[0].id
    fit.mkdir()
    assert cli.main(["prune", "--yes"]) == 0
    assert fit.is_dir()
    assert home.is_dir()

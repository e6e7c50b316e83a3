"""When something fails, the rest is made, and the report and the terminal say so."""

import contextlib
import json
import re

import pytest

import project
from bamopipe import plan
from bamopipe.plots import FIGURES


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """A project in which one of two fits fails."""
    folder = project.make(tmp_path_factory.mktemp("failed"))
    with contextlib.chdir(folder):
        bad = plan.load({}).runs[1].id
    run = project.snakemake(folder, "--cores", "2", FAIL=f"{bad}/config.yaml --seeds")
    return folder, run


@pytest.fixture(scope="module")
def home(failed):
    return failed[0] / "results" / "eight_schools"


def categories_of(report):
    """What a report lists: category -> subcategory -> files."""
    return json.loads(re.search(r"var categories = (\{.*?\});?\n", report.read_text()).group(1))


def files_of(category):
    return [file for subcategory in category.values() for file in subcategory]


@pytest.fixture(scope="module")
def categories(home):
    return categories_of(home / "report.html")


def test_the_exit_status_tells_of_the_failure(failed):
    assert failed[1].returncode == 1


def test_the_other_run_is_complete(home):
    (run,) = home.glob("gibbs-*")
    assert {f.name for f in run.iterdir()} >= {"posterior.nc", "summary.html", "figures"}


def test_the_report_says_so_first(categories):
    order = sorted(categories, key=lambda name: (name[0].isalpha(), name))
    assert order[0] == "⚠ Failed"


def test_the_report_holds_what_was_made(categories):
    assert set(categories) == {"⚠ Failed", "Evidence", *FIGURES.values(), "Provenance"}
    assert all("random_walk" not in file for file in files_of(categories["Posterior"]))
    assert any("gibbs-" in file for file in files_of(categories["Posterior"]))


def test_runs_that_did_not_converge_are_marked_wherever_they_appear(home, categories):
    text = (home / "report.html").read_text()
    results = json.loads(re.search(r"var results = (\{.*?\});?\n", text).group(1))
    marked = {"run": "✗ not converged: gibbs"}
    for category in {*FIGURES.values()}:
        for file in files_of(categories[category]):
            assert results[file]["labels"].items() >= marked.items()
    assert "These runs did not converge" in text


def test_status_comes_last_and_names_the_failure(failed):
    lines = failed[1].stdout.strip().splitlines()
    assert lines[-1].startswith("report: results/eight_schools/report.html (without the 1 of 2")
    assert any("random_walk-" in line and "FAILED" in line for line in lines)
    assert any("the disk is full (results/fits/" in line for line in lines)


def test_the_next_run_mends_it(failed, home):
    folder, _ = failed
    run = project.snakemake(folder, "--cores", "2")
    assert run.returncode == 0, run.stderr
    assert "FAILED" not in run.stdout
    assert "Failed" not in (home / "report.html").read_text()
    assert not (home / "failures.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["fit", "diagnose", "plot", "compare"])
def test_a_stage_that_always_fails_ends_and_is_mended(stage, tmp_path):
    """Every job of the stage fails: the report says so, and the next run makes what is missing."""
    folder = project.make(tmp_path)
    run = project.snakemake(folder, "--cores", "2", FAIL=f"bamopipe {stage}")
    assert run.returncode == 1
    report = folder / "results" / "eight_schools" / "report.html"
    assert "⚠ Failed" in categories_of(report)
    again = project.snakemake(folder, "--cores", "2")
    assert again.returncode == 0, again.stderr
    assert set(categories_of(report)) == {"Evidence", *FIGURES.values(), "Provenance"}
    assert project.snakemake(folder, "--cores", "2", "-n").stdout.count("rule") == 0


def test_numbers_from_old_data_are_not_taken_for_new(tmp_path):
    """After an edit of the data, fits that fail are all still to be made."""
    folder = project.make(tmp_path)
    assert project.snakemake(folder, "--cores", "2").returncode == 0
    project.edit(folder / "data" / "eight_schools.csv", "Choate,28", "Choate,29")
    project.snakemake(folder, "--cores", "2", FAIL="bamopipe fit")
    (folder / "calls.txt").unlink()
    assert project.snakemake(folder, "--cores", "2").returncode == 0
    calls = (folder / "calls.txt").read_text().splitlines()
    assert sum(call.startswith("fit ") for call in calls) == 2

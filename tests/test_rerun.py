"""Which rules run again after which edit: the promise that nothing is fitted in vain."""

import os
import shutil

import pytest

import project

FITTED = {"fit": 2, "diagnose": 2, "plot": 2, "compare": 1, "html": 1}
NEW_IDS = {"index": 1, **FITTED}
ONE_NEW = {"index": 1, "fit": 1, "diagnose": 1, "plot": 1, "compare": 1, "html": 1}

EXPERIMENT = "conf/experiment/eight_schools.yaml"
DATA = "data/eight_schools.csv"
SOURCE = "bamopipe/models/eight_schools.py"
GIBBS = "conf/sampler/eight_schools/gibbs.yaml"


def touch(path, *_):
    os.utime(path)


# what is edited, where, how, and the rules that must run again
EDITS = [
    ("plot style", "conf/plots/default.yaml", "style: bamopipe", "style: ggplot",
     {"plot": 2, "compare": 1, "html": 1}),
    ("10 to 10.0", EXPERIMENT, "num_particles: 10000", "num_particles: 10000.0", {}),
    ("a prior's 10 to 10.0", "conf/model/eight_schools.yaml", "(0, 10)", "(0.0, 10.0)", {}),
    ("a seed added", EXPERIMENT, "seeds: [0, 1]", "seeds: [0, 1, 2]", {"index": 1, **FITTED}),
    ("block size", "conf/config.yaml", "seeds_per_block: 4", "seeds_per_block: 1", {}),
    ("profile", "profiles/default/config.yaml", "fit: 2", "fit: 1", {}),
    ("a data file's content", DATA, "Choate,28,15", "Choate,29,15", FITTED),
    ("a data file's timestamp", DATA, touch, None, {}),
    ("the model's source", SOURCE, "partially pooled (", "partly pooled (", FITTED),
    ("the source's timestamp", SOURCE, touch, None, {}),
    ("a prior", "conf/model/eight_schools.yaml", "(0, 10)", "(0, 5)", NEW_IDS),
    ("a kernel's step size", GIBBS, "sigma: 5.0", "sigma: 4.0", ONE_NEW),
    ("num_particles", EXPERIMENT, "num_particles: 10000", "num_particles: 20000", NEW_IDS),
    ("an arm added", EXPERIMENT, "seeds:", "  plain: [sampler=random_walk]\nseeds:", ONE_NEW),
]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project in which everything has been made."""
    folder = project.make(tmp_path_factory.mktemp("finished"))
    done = project.snakemake(folder, "--cores", "2", STUB_ALL="1")
    assert done.returncode == 0, done.stderr
    again = project.snakemake(folder, "-n")
    assert "Nothing to be done" in again.stdout + again.stderr
    return folder


@pytest.mark.parametrize(("path", "old", "new", "expected"), [e[1:] for e in EDITS],
                         ids=[e[0] for e in EDITS])  # fmt: skip
def test_exactly_the_expected_rules_run_again(finished, tmp_path, path, old, new, expected):
    folder = tmp_path / "project"
    shutil.copytree(finished, folder)
    if callable(old):
        old(folder / path)
    else:
        project.edit(folder / path, old, new)
    dry = project.snakemake(folder, "-n")
    assert dry.returncode == 0, dry.stderr
    assert project.jobs(dry.stdout + dry.stderr) == expected


def test_a_seed_more_fits_that_seed_only(finished, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(finished, folder)
    (folder / "calls.txt").unlink()
    project.edit(folder / EXPERIMENT, "seeds: [0, 1]", "seeds: [0, 1, 2]")
    assert project.snakemake(folder, "--cores", "2", STUB_ALL="1").returncode == 0
    calls = (folder / "calls.txt").read_text().splitlines()
    assert [c.split()[3] for c in calls if c.startswith("fit ")] == ["2", "2"]
    joined = [c.split() for c in calls if c.startswith("diagnose ")]
    assert all(c[1].endswith("seeds_0-1.nc") and c[2].endswith("seeds_2.nc") for c in joined)

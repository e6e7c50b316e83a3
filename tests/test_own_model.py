"""A model of one's own, as the README tells it, in a folder that has nothing but the project's."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import project

pytestmark = pytest.mark.slow

SMALL = ["inference.num_particles=200", "inference.num_mutations=10", "seeds=[0]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write the three files of the README's section, and the data it speaks of."""
    made = project.make(tmp_path_factory.mktemp("own"))
    text = project.ROOT.joinpath("README.md").read_text()
    section = text.partition("## Your own model")[2].partition("\n## ")[0]
    blocks = re.findall(r"```(?:python|yaml)\n# (\S+\.(?:py|yaml))[^\n]*\n(.*?)```", section, re.S)
    assert [name for name, _ in blocks] == [
        "models/rt.py",
        "conf/model/rt.yaml",
        "conf/data/rt.yaml",
    ]
    for name, content in blocks:
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_text(content)
    (made / "data" / "rt.csv").write_text("seconds\n" + "0.5\n0.7\n0.6\n0.9\n0.4\n0.8\n" * 3)
    return made


def run(folder: Path, *words: str) -> Path:
    """Run an experiment for real; return its folder."""
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    before = set(folder.glob("results/*/index.csv"))
    done = subprocess.run(
        [bin_folder / "bamopipe", "run", *words, "--", "--cores", "2", "--quiet"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (index,) = set(folder.glob("results/*/index.csv")) - before
    return index.parent


def configs(home: Path) -> list[dict]:
    import xarray as xr

    found = []
    for path in sorted(home.glob("*/posterior.nc")):
        with xr.open_datatree(path) as tree:
            found.append(json.loads(tree.attrs["config"]))
    return found


def test_three_files_are_enough_and_a_prior_is_swapped_by_text(folder):
    home = run(folder, "single", "model=rt", "model.sigma='HalfNormal(2)','Exponential(1)'", *SMALL)
    assert {c["model"]["sigma"] for c in configs(home)} == {"HalfNormal(2)", "Exponential(1)"}
    with (home / "evidence.csv").open() as file:
        settings = [row["settings"] for row in csv.DictReader(file)]
    assert sorted(settings) == ["model.sigma=Exponential(1)", "model.sigma=HalfNormal(2)"]
    assert (home / "report.html").stat().st_size > 100_000
    assert (home / "sweep.png").is_file()
    with (home / "sweep.csv").open() as file:
        priors = [row["model.sigma"] for row in csv.DictReader(file)]
    assert priors == ["HalfNormal(2)", "Exponential(1)"]


def test_many_subjects_are_one_sweep_and_one_table(folder):
    """One model over files that a setting names; every subject a row, and one compiled program."""
    for subject in range(1, 4):
        rows = "".join(f"{0.5 * subject + 0.01 * i}\n" for i in range(10))
        (folder / "data" / f"rt_{subject}.csv").write_text("seconds\n" + rows)
    (folder / "conf" / "data" / "subjects.yaml").write_text(
        "subject: 1\nfiles: {rt: 'data/rt_${data.subject}.csv'}\n"
    )
    home = run(folder, "single", "model=rt", "data=subjects", "data.subject=range(1,4)", *SMALL)
    with (home / "summary.csv").open() as file:
        means = {
            r["settings"]: float(r["mean"]) for r in csv.DictReader(file) if r["variable"] == "mu"
        }
    assert list(means) == [f"data.subject={subject}" for subject in (1, 2, 3)]
    for subject in (1, 2, 3):
        assert abs(means[f"data.subject={subject}"] - (0.5 * subject + 0.045)) < 0.05

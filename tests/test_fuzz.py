"""Spoil every key of every config file that the default experiment uses, in several ways."""

import contextlib
import copy
import operator

import pytest
import yaml

import project
from bamopipe import plan
from bamopipe.errors import UserError

FILES = [
    "config.yaml",
    "model/eight_schools.yaml",
    "data/eight_schools.yaml",
    "sampler/eight_schools/gibbs.yaml",
    "sampler/eight_schools/random_walk.yaml",
    "inference/smc.yaml",
    "plots/default.yaml",
    "experiment/eight_schools.yaml",
]

# What is left valid. The experiment's file is a layer over the others, and an arm or a seed less,
# or another name for an arm, is another experiment.
EXPERIMENT = "experiment/eight_schools.yaml"
GIBBS = "sampler/eight_schools/gibbs.yaml"
DELETED = {
    *((GIBBS, f"steps.{name}") for name in ("mu", "tau", "theta")),  # they tune themselves then
    *((GIBBS, f"steps.{name}.sigma") for name in ("mu", "tau", "theta")),
    ("sampler/eight_schools/random_walk.yaml", "sigma"),
    # the fit says so, which knows that no variable takes whole numbers
    *(("sampler/eight_schools/random_walk.yaml", f"sigma.{n}") for n in ("mu", "tau", "theta")),
    ("inference/smc.yaml", "temperatures"),  # automatic then, as the sigmas above
    ("plots/default.yaml", "figures"),  # none of one's own then
    ("config.yaml", "seeds[0]"),
    ("config.yaml", "seeds[1]"),
    ("config.yaml", "trusted[0]"),
    (EXPERIMENT, "defaults"),
    (EXPERIMENT, "defaults[0]"),
    (EXPERIMENT, "inference"),
    (EXPERIMENT, "inference.num_particles"),
    (EXPERIMENT, "inference.num_mutations"),
    (EXPERIMENT, "arms"),
    (EXPERIMENT, "arms.gibbs"),
    (EXPERIMENT, "arms.random_walk"),
    (EXPERIMENT, "arms.gibbs[0]"),
    (EXPERIMENT, "arms.random_walk[0]"),
    (EXPERIMENT, "seeds"),
    (EXPERIMENT, "seeds[0]"),
    (EXPERIMENT, "seeds[1]"),
}
MISSPELT = {(EXPERIMENT, "arms.gibbs"), (EXPERIMENT, "arms.random_walk")}
RETYPED = {
    ("inference/smc.yaml", "num_mutations", "3"),  # in place of "auto"
    ("config.yaml", "defaults[6].experiment", "[]"),
    ("config.yaml", "trusted", "[]"),
    (EXPERIMENT, "defaults", "[]"),
    (EXPERIMENT, "arms.gibbs", "[]"),
    (EXPERIMENT, "arms.random_walk", "[]"),
}


def paths(content, path=()):
    """Every key and every place in a list, as a path."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*path, key))


def name(path):
    text = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)
    return text.lstrip(".")


def parent(content, path):
    for part in path[:-1]:
        content = content[part]
    return content


def spoil(content, path):
    """Yield (what was done, to what, the spoilt content)."""

    def edited(change):
        copied = copy.deepcopy(content)
        change(parent(copied, path))
        return copied

    key = path[-1]
    value = parent(content, path)[key]
    yield "deleted", "", edited(lambda node: node.pop(key))
    if isinstance(key, str):
        yield "misspelt", "", edited(lambda node: node.update({f"{key}x": node.pop(key)}))
    wrong = {str: (3, None, [], {"a": 1}), list: ("nonsense", [], {"a": 1}), dict: ("nonsense", [])}
    for other in wrong.get(type(value), ("nonsense", -3, None, [])):
        if other != value:
            yield (
                "retyped",
                repr(other),
                edited(lambda node, o=other: operator.setitem(node, key, o)),
            )


def is_valid(file, key, done, other):
    """Tell whether what is left is a config that a person may mean."""
    return {
        "deleted": (file, key) in DELETED,
        "misspelt": (file, key) in MISSPELT,
        "retyped": (file, key, other) in RETYPED,
    }[done]


def complaint():
    try:
        plan.load({})
    except UserError as error:
        return str(error)
    return ""


def write(folder, file, content):
    """Write a spoilt file with the comment lines at its head, which Hydra reads too."""
    original = (project.ROOT / "conf" / file).read_text()
    head = original.splitlines()[0] if original.startswith("# @package") else ""
    (folder / "conf" / file).write_text(f"{head}\n{yaml.safe_dump(content, sort_keys=False)}")


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_every_spoilt_key_is_told_in_one_sentence(tmp_path, file):
    folder = project.make(tmp_path)
    content = yaml.safe_load((project.ROOT / "conf" / file).read_text())
    with contextlib.chdir(folder):
        for path in paths(content):
            for done, other, spoilt in spoil(content, path):
                write(folder, file, spoilt)
                message = complaint()
                assert "\n" not in message, (name(path), done, other)
                valid = is_valid(file, name(path), done, other)
                assert (message == "") is valid, (name(path), done, other, message)
    assert not (folder / "results").exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("inference/smc.yaml", "num_chains: 4", "num_chain: 4", "did you mean 'num_chains'"),
        ("inference/smc.yaml", "num_chains: 4", "num_chains: 0", "num_chains must be at least 1"),
        ("data/eight_schools.yaml", "schools.csv", "school.csv", "there is no file"),
        ("plots/default.yaml", "style:", "style: [", "cannot compose conf/"),
    ],
)
def test_snakemake_says_so_too_and_exits_2(tmp_path, file, old, new, message):
    folder = project.make(tmp_path)
    project.edit(folder / "conf" / file, old, new)
    run = project.snakemake(folder, "--cores", "1")
    assert run.returncode == 2
    assert message in run.stderr
    assert "Traceback" not in run.stdout + run.stderr
    assert not (folder / "results").exists()
    assert not (folder / "calls.txt").exists()

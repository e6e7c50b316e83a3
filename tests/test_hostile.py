"""Files and configs that somebody else wrote: nothing in them runs, escapes or floods the machine.

Every attack has to end with one sentence and status 2, or to be shown as the plain text that it is.
An audit hook sees programs that are started, connections, and classes that a pickle asks for.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import yaml
from test_fit import CONFIG

import project
import trees
from bamopipe import cli, schema
from bamopipe.inference.checkpoint import Checkpoint
from bamopipe.posterior import write

DANGEROUS = {
    "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "pty.spawn",
    "subprocess.Popen", "socket.connect", "urllib.Request", "pickle.find_class",
}  # fmt: skip
SECRET = "the-password-in-the-environment"
events: list[str] | None = None


def _listen(event, arguments):
    if events is not None and event in DANGEROUS:
        events.append(f"{event} {arguments}")
        raise PermissionError(event)


sys.addaudithook(_listen)  # for good: a hook cannot be taken away


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return project.make(tmp_path_factory.mktemp("hostile") / "project")


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    """A project to attack; in the end nothing has run, and nothing lies outside of it."""
    global events
    folder = tmp_path / "inner" / "project"
    shutil.copytree(made, folder)
    monkeypatch.setenv("SECRET", SECRET)
    events = []
    with contextlib.chdir(folder):
        yield folder
    found, events = events, None
    assert found == []
    assert [p.name for p in tmp_path.iterdir()] == ["inner"]
    assert [p.name for p in (tmp_path / "inner").iterdir()] == ["project"]
    assert not list(folder.rglob("PWNED"))


def refused(capsys, *words):
    """Run a command, which must be refused in one sentence; return this."""
    status = cli.main([*map(str, words)])
    out, err = capsys.readouterr()
    assert status == 2, out
    assert err.startswith("bamopipe: ")
    assert len(err.splitlines()) == 1
    assert len(err) < 2500
    assert SECRET not in out + err
    return err


def fit(capsys, config):
    """Give a frozen config to `bamopipe fit`."""
    Path("frozen.yaml").write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    return refused(capsys, "fit", "frozen.yaml", "--seeds", "0", "--out", "out.nc")


def record(path="record.nc", change=lambda tree: None, **attrs):
    """Write a posterior with attributes, or more, of the attacker's choice."""
    tree = trees.eight_schools(chains=2, draws=20)
    tree.attrs |= {"config": json.dumps(CONFIG), **attrs}
    change(tree)
    write(tree, path)
    return path


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "subprocess.getoutput",
        "timeit.timeit",
        "jax.numpy.load",
        "numpy.load",
        "bamopipe.cli.main",  # the names of data files would be its words
        "bamopipe.stages.report.main",
        "bamopipe.x.os.system",
        "bamopipe.models.os.system",
        "bamopipe.models.eight_schools.dx.os.system",
        "bamopipe.models.eight_schools.__builtins__.eval",
        "bamopipe.models.eight_schools.Model",
        "bamopipe.models..stages.fit.main",
        "bamopipe.models.../../evil.model",
        "models.__import__('os').system",
    ],
)
def test_targets_elsewhere_are_not_called(place, capsys, target):
    package = target.split(".")[0]
    hostile = {**CONFIG, "model": {"_target_": target}, "trusted": [package, "os", "builtins"]}
    message = fit(capsys, hostile)
    if not target.startswith(("bamopipe.models.", "models.")):
        assert "which `trusted` in conf/config.yaml does not list" in message
    refused(capsys, "plan", "single", f'model._target_="{target}"')
    refused(capsys, "reproduce", record(config=json.dumps(hostile), model_source="import os"))


def test_what_hydra_would_instantiate_stays_data(place, capsys):
    project.edit(place / "conf" / "config.yaml", "[models]", "[models_of_hostile]")
    (place / "models_of_hostile").mkdir()
    (place / "models_of_hostile" / "open.py").write_text(
        "def model(data, **settings):\n    raise ValueError(settings)\n"
    )
    inner = {"_args_": ["touch PWNED"], "_partial_": True, "_target_": "os.system"}
    settings = {"_args_": ["a"], "_recursive_": True, "x": inner}
    hostile = {"_target_": "models_of_hostile.open.model", **settings}
    assert repr(settings) in fit(capsys, {**CONFIG, "model": hostile})
    refused(capsys, "plan", "single", "+model._partial_=true")
    refused(capsys, "plan", "single", "+model.extra={_target_: os.system}")


@pytest.mark.parametrize(
    "text",
    [
        "${oc.env:SECRET}",
        "${oc.env:${oc.decode:SECRET}}",
        "${oc.${data.kind}:SECRET}",
        "${ oc.env:SECRET }",
        "${oc.decode:'[1]'}",
        "${oc.create:{}}",
        "${python:__import__('os').system('touch PWNED')}",
        "${eval:1}",
        "${now:%Y}",
        "${hydra:runtime.cwd}",
        "a ${oc.env:SECRET} b",
    ],
)
def test_nothing_but_settings_can_be_referred_to(place, capsys, text):
    quoted = text.replace("'", r"\'")
    refused(capsys, "plan", "single", f"model.mu='{quoted}'")
    (place / "conf" / "model" / "own.yaml").write_text(
        yaml.safe_dump({"_target_": "bamopipe.models.eight_schools.model", "mu": text, "tau": text})
    )
    message = refused(capsys, "plan", "single", "model=own", "data=eight_schools")
    assert "only settings can be referred to" in message or "cannot compose" in message
    fit(capsys, {**CONFIG, "model": {**CONFIG["model"], "mu": text}})


def test_the_environment_cannot_be_read_by_the_choice_of_a_file(place, capsys):
    experiment = "# @package _global_\ndefaults: [override /model: '${oc.env:SECRET}']\n"
    (place / "conf" / "experiment" / "own.yaml").write_text(experiment)
    refused(capsys, "plan", "own")


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system [touch PWNED]",
        "!!python/name:os.system ''",
        "!!python/module:os ''",
    ],
)
def test_yaml_makes_no_objects(place, capsys, tag):
    assert "is no YAML" in fit(capsys, f"model: {tag}\n")
    (place / "conf" / "model" / "own.yaml").write_text(f"_target_: {tag}\n")
    refused(capsys, "plan", "single", "model=own", "data=eight_schools")
    (place / "conf" / "config.yaml").write_text(f"trusted: {tag}\n")
    refused(capsys, "plan", "single")


def test_yaml_that_grows_without_end(place, capsys):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    start = time.monotonic()
    assert f"more than {schema.MOST_PARTS} parts" in fit(capsys, "\n".join(lines))
    assert "deep" in fit(capsys, "a: &a [*a]")
    assert "frozen.yaml" in fit(capsys, "[" * 100_000)
    assert time.monotonic() - start < 20


def test_trust_is_not_given_by_what_is_to_be_trusted(place, capsys):
    experiment = place / "conf" / "experiment" / "own.yaml"
    experiment.write_text("# @package _global_\ntrusted: [os]\nmodel: {_target_: os.system}\n")
    assert "trusted can be set in conf/config.yaml only" in refused(capsys, "plan", "own")
    model = "# @package _global_\ntrusted: [os]\nmodel: {_target_: os.system}\n"
    (place / "conf" / "model" / "own.yaml").write_text(model)
    refused(capsys, "plan", "single", "model=own")
    refused(capsys, "plan", "single", "trusted=[os]", "model._target_=os.system")


@pytest.mark.parametrize(
    "name",
    ["../../PWNED", "$(touch PWNED)", "a;touch PWNED", "a|touch PWNED", "$HOME", "a b"],
)
def test_names_cannot_leave_the_folder_or_reach_the_shell(place, capsys, name):
    arms = "# @package _global_\narms: " + json.dumps({name: []}) + "\n"
    (place / "conf" / "experiment" / "own.yaml").write_text(arms)
    refused(capsys, "plan", "own")
    refused(capsys, "run", "own")
    if "/" not in name:
        (place / "conf" / "experiment" / f"{name}.yaml").write_text("# @package _global_\narms: {}")
    refused(capsys, "run", name)
    refused(capsys, "run", "single", f'model="{name}"')
    fit(capsys, {**CONFIG, "data": {"files": {name: "data/eight_schools.csv"}}})


@pytest.mark.parametrize(
    "path",
    [
        "../../../../../../etc/passwd",
        "/etc/passwd",
        "data",
        "/dev/zero",
        "https://example.org/a.csv",
        "x.csv\x00.nc",
    ],
)
def test_data_are_files_of_known_kinds(place, capsys, path):
    fit(capsys, {**CONFIG, "data": {"files": {"schools": path}}})
    hostile = {**CONFIG, "data": {"files": {"schools": path}}}
    refused(capsys, "reproduce", record(config=json.dumps(hostile)))


@pytest.mark.parametrize("way", ["up", "absolute", "link"])
def test_a_record_reads_no_files_outside_the_project(place, capsys, way):
    """Not even the one whose content it names, or else it could be guessed at."""
    outside = place.parent / "outside.csv"
    outside.write_text("school,y,sd\na,1,1\n")
    (place / "link.csv").symlink_to(outside)
    path = {"up": "../outside.csv", "absolute": str(outside), "link": "link.csv"}[way]
    hostile = {**CONFIG, "data": {"files": {"schools": path}}}
    hashes = {"schools": hashlib.sha256(outside.read_bytes()).hexdigest()}
    path = record(config=json.dumps(hostile), data_sha256=json.dumps(hashes))
    assert "neither" in refused(capsys, "reproduce", path)
    outside.unlink()


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"config": "[" * 200_000}, "is no JSON mapping"),
        ({"config": '{"a":' * 100_000 + "1" + "}" * 100_000}, "is no JSON mapping"),
        ({"config": '{"a":' * 200 + "1" + "}" * 200}, "nested more than 50 deep"),
        ({"config": json.dumps(dict.fromkeys(map(str, range(10**6)), 1))}, "is too long"),
        ({"config": json.dumps({"a": [0] * 1_500_000})}, "has more than 1000000 parts"),
        ({"config": '{"a": ' + "9" * 5000 + "}"}, "is no JSON mapping"),
        ({"model_source": "x" * 50_000_000}, "is too long"),
        ({"versions": np.arange(5)}, "must be text, got ndarray"),
        ({"log_evidence": "nan"}, "is no number"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_attributes_of_any_size_and_kind(place, capsys, attrs, message):
    path = record(**attrs)
    assert message in refused(capsys, "reproduce", path)
    assert message in refused(capsys, "diff", path, record("good.nc"))


def _compound(group):
    kind = group.createCompoundType(np.dtype([("a", "f8"), ("b", "i4")]), "kind")
    group.createVariable("bad", kind, ("chain", "draw"))


def _ragged(group):
    kind = group.createVLType(np.int32, "kind")
    group.createVariable("bad", kind, ("chain", "draw"))[0, 0] = np.arange(3, dtype=np.int32)


def _text(group):
    group.createVariable("bad", str, ("chain", "draw"))[0, 0] = "__import__('os')"


def _endless(group):
    group.createDimension("x", 10**6)
    group.createDimension("y", 10**7)
    group.createVariable("bad", "f8", ("x", "y"), chunksizes=(1, 1000), zlib=True)


def _times(group):
    group["mu"].units = "days since 0000-99-99"


@pytest.mark.parametrize("attack", [_compound, _ragged, _text, _endless, _times])
def test_arrays_of_other_kinds(place, capsys, attack):
    record("bad.nc")
    with netCDF4.Dataset("bad.nc", "a") as file:
        attack(file["posterior"])
    refused(capsys, "reproduce", "bad.nc")
    refused(capsys, "diff", record("good.nc"), "bad.nc")
    refused(capsys, "diagnose", "bad.nc", "--seeds", "0", "--out", "results/p.nc")
    refused(capsys, "plot", "bad.nc", "--out", "results")


def test_files_that_are_something_else(place, capsys):
    whole = Path(record()).read_bytes()
    rng = np.random.default_rng(8)
    spoilt = bytearray(whole)
    for position in rng.integers(0, len(whole), 200):
        spoilt[position] = rng.integers(256)
    for content in (
        b"",
        b"hello",
        b"\x80\x04cos\nsystem\n(S'touch PWNED'\ntR.",
        whole[:9999],
        spoilt,
    ):
        Path("bad.nc").write_bytes(content)
        refused(capsys, "reproduce", "bad.nc")
        refused(capsys, "diff", "bad.nc", "record.nc")
    refused(capsys, "reproduce", ".")
    refused(capsys, "reproduce", "/dev/null")


@pytest.mark.parametrize("graph", ['{"nodes":' * 50_000, '{"nodes": 3}', "<svg onload=alert(1)>"])
def test_a_graph_that_is_none(place, capsys, graph):
    assert "graph" in refused(capsys, "plot", record(graph=graph), "--out", "results")


class Bomb:
    """Runs a program when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch PWNED",)


def test_a_pickle_in_a_checkpoint_is_not_opened(place, caplog):
    np.savez("run.npz", fingerprint=np.array("a run"), draws=np.array([Bomb()], dtype=object))
    assert Checkpoint(Path("run.npz"), "a run").load() is None
    assert "cannot be read" in caplog.text


def test_text_in_a_record_does_not_command_the_terminal(place, capsys):
    escape = "\x1b]0;owned\x07\x1b[2J"
    path = record("bad.nc", model_source=escape, versions=json.dumps({escape: escape}))
    assert cli.main(["diff", record(), path]) == 1
    assert cli.main(["reproduce", path, "--show-source"]) == 0
    out = capsys.readouterr().out
    assert "owned" in out
    assert "\x1b" not in out
    assert "\x07" not in out


SCRIPT = "</script><script>alert(1)</script>"
NOTES = (
    f"{SCRIPT} $(touch PWNED) `touch PWNED`; touch PWNED | touch PWNED {{input}} {{x.__class__}}",
    '"; touch PWNED; " <img src=x onerror=alert(1)> ``a <javascript:alert(1)>`__ %s \\n',
)


def test_settings_are_text_in_every_shell_and_page(place):
    """Sweep over settings that are commands or scripts, through all rules, with the real pages."""
    global events
    events = None  # Snakemake is a program of ours
    notes = ",".join(f"'{note}'" for note in NOTES)
    request = {"experiment": "single", "overrides": [f"+data.note=choice({notes})"]}
    Path("request.yaml").write_text(yaml.safe_dump(request))
    run = project.snakemake(place, "--cores", "2", "--configfile", "request.yaml")
    events = []
    assert run.returncode == 0, run.stderr
    (home,) = (place / "results").glob("single+*")
    for page in home.rglob("*.html"):
        content = page.read_text()
        assert SCRIPT not in content, page
        assert "<img src=x" not in re.sub(r'"(?:[^"\\]|\\.)*"', "", content), page
        assert 'href="javascript' not in content.replace('\\"', '"'), page
    frozen = [yaml.safe_load(p.read_text()) for p in place.glob("results/fits/*/config.yaml")]
    assert {c["data"]["note"] for c in frozen} == set(NOTES)


def test_snakemakes_own_config_makes_no_objects(place):
    global events
    events = None
    Path("request.yaml").write_text("experiment: !!python/object/apply:os.system ['touch PWNED']\n")
    run = project.snakemake(place, "-n", "--configfile", "request.yaml")
    events = []
    assert run.returncode != 0

"""`bamopipe check`: what it says of sound models, and of models with something wrong in them."""

import subprocess
import sys
from pathlib import Path

import pytest

import project

MODEL = """
import distrax as dx
import jax.numpy as jnp
from tensorflow_probability.substrates.jax import distributions as tfd

from bamopipe.base import Model


def sound(data):
    m = Model("sound")
    m.add_node("mu", distribution=dx.Normal(0.0, 5.0))
    m.add_node("y", dx.Normal, data["rt"]["seconds"], parents=dict(loc="mu", scale=0.2))
    return m


def narrow(data):
    m = Model("narrow")
    m.add_node("mu", distribution=dx.Normal(50.0, 1.0))
    m.add_node("y", dx.Normal, data["rt"]["seconds"], parents=dict(loc="mu", scale=0.2))
    return m


def vague(data):
    m = Model("vague")
    m.add_node("mu", distribution=dx.Normal(0.0, 1e6))
    m.add_node("y", dx.Normal, data["rt"]["seconds"], parents=dict(loc="mu", scale=0.2))
    return m


def broken(data):
    m = Model("broken")
    m.add_node("mu", distribution=dx.Normal(0.0, 1.0))
    m.add_node("y", dx.Normal, data["rt"]["seconds"], parents=dict(mu="mu"),
               link_fn=lambda mu: dict(loc=0.0, scale=jnp.log(mu)))
    return m


def impossible(data):
    m = Model("impossible")
    m.add_node("top", distribution=tfd.Uniform(0.1, 0.2))
    m.add_node("y", tfd.Uniform, data["rt"]["seconds"], parents=dict(low=0.0, high="top"))
    return m
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = project.make(tmp_path_factory.mktemp("check"))
    (made / "models").mkdir()
    (made / "models" / "rt.py").write_text(MODEL)
    (made / "data" / "rt.csv").write_text("seconds\n" + "0.5\n0.7\n0.6\n0.9\n0.4\n0.8\n" * 3)
    for name in ("sound", "narrow", "vague", "broken", "impossible"):
        (made / "conf" / "model" / f"{name}.yaml").write_text(f"_target_: models.rt.{name}\n")
        (made / "conf" / "data" / f"{name}.yaml").write_text("files: {rt: data/rt.csv}\n")
    return made


def check(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bamopipe", "check", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_sound_model(folder):
    run = check(folder, "sound", "sampler.sigma=0.05")
    assert run.returncode == 0, run.stderr
    assert "mu ~ Normal(loc=0, scale=5)" in run.stdout
    assert "p(mu | rest) ∝ p(mu) p(y | mu)" in run.stdout
    assert run.stdout.endswith("nothing looks wrong\n"), run.stdout
    figures = {f.name for f in (folder / "results" / "check" / "sound").iterdir()}
    assert figures == {"graph.png", "predictions.png", "prior_posterior.png"}


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("narrow", "! 100% of the observations of 'y' are outside the central 98%"),
        ("vague", "! the prior predicts values of 'y' over a range"),
        ("broken", "'y' is not finite at"),
        ("impossible", "! the observations of 'y' are impossible at all of 1000 draws"),
    ],
)
def test_what_looks_wrong_is_said(folder, model, sentence):
    run = check(folder, model)
    assert run.returncode == 0, run.stderr
    assert sentence in run.stdout


def test_mistakes_take_one_sentence(folder):
    for words, sentence in (
        (["sond"], "unknown model 'sond'; did you mean 'sound'"),
        (["sound", "sampler.sigma=0.1,0.2"], "looks at one model"),
    ):
        run = check(folder, *words)
        assert run.returncode == 2
        assert sentence in run.stderr
        assert "Traceback" not in run.stderr

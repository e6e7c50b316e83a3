"""The paragraph for a paper says what was done, and cites what there is for it."""

import json
import re

import pytest

from bamopipe.config import KERNELS
from bamopipe.methods import WORKS, describe

SMC = {"name": "smc", "num_chains": 4, "num_particles": 1000, "num_mutations": 100}
MCMC = {
    "name": "mcmc", "num_chains": 4, "num_warmup": 500, "num_samples": 2000, "num_burn": 0,
    "num_thin": 1,
}  # fmt: skip
GRAPH = {
    "name": "two levels",
    "nodes": [
        {"name": "mu", "kind": "latent", "formula": "Normal(0, 1)", "shape": []},
        {"name": "x", "kind": "latent", "formula": "Normal(mu, 1)", "shape": [8]},
        {"name": "y", "kind": "observed", "formula": "Poisson(x)", "shape": [8, 2]},
        {"name": "z", "kind": "data", "formula": None, "shape": [8]},
    ],
}
SOFTWARE = {"bradbury2018", "cabezas2024", "molder2021"}


def made(inference, updates=None, **attrs):
    content = {"inference": inference, "precision": "float64"}
    content = {"config": content, "updates": updates or {}, "seeds": [0, 1], **attrs}
    return describe({name: json.dumps(value) for name, value in content.items()})


def test_model_and_engine_are_described():
    text = made(SMC, graph=GRAPH, versions={"jax": "9.9"}).text
    assert text.startswith(
        "The model “two levels” has the latent variables mu ~ Normal(0, 1), x (8) ~ Normal(mu, 1); "
        "observed: y (8 x 2) ~ Poisson(x). Its posterior was sampled by sequential Monte Carlo "
        "(Del Moral et al. 2006), with 8 independent samplers of 1,000 particles, "
    )
    assert "moved 100 times at each temperature" in text
    assert "JAX 9.9 (Bradbury et al. 2018)" in text
    large = {"name": "many", "nodes": GRAPH["nodes"] * 9}
    assert "has 18 latent variables and 9 observed variables." in made(SMC, graph=large).text


@pytest.mark.parametrize(
    ("settings", "said", "cited"),
    [
        ({"scheme": "waste_free"}, "keeping the particles of all moves", "dau2022"),
        ({"scheme": "persistent"}, "all temperatures together", "karamanis2024"),
        ({"data_blocks": 4}, "came in 4 parts", "chopin2002"),
        ({"target_ess": 0.8}, "0.8 times the number of particles", "jasra2011"),
        ({"num_mutations": "auto", "max_mutations": 70}, "forgotten where they started", "lee2018"),
        ({"temperatures": [0.1, 1]}, "at the temperatures 0.1, 1.", "delmoral2006"),
    ],
)
def test_settings_of_sequential_monte_carlo_are_told_and_cited(settings, said, cited):
    found = made({**SMC, **settings})
    assert said in found.text
    assert cited in found.works
    assert ("jasra2011" in found.works) == ("temperatures" not in settings)


def test_markov_chains_are_told_with_what_was_left_out():
    found = made({**MCMC, "num_burn": 1500, "num_thin": 5})
    assert "8 Markov chains, of 2,000 draws each after 500 steps of warm-up" in found.text
    assert "and 1,500 that were left out, of which every 5th was kept" in found.text
    assert "vehtari2021" in found.works
    assert "lee2018" not in found.works


@pytest.mark.parametrize(
    "kernel", [name.replace("normal_random_walk", "random walk") for name in KERNELS]
)
def test_every_kernel_has_somebody_to_cite(kernel):
    found = made(MCMC, {"x": f"{kernel} that tunes itself"})
    (work,) = {*found.works} - SOFTWARE - {"vehtari2021"}
    assert f"x: {kernel} that tunes itself ({WORKS[work].short})" in found.text


def test_works_are_written_for_people_and_for_bibtex():
    assert WORKS["hoffman2014"].short == "Hoffman and Gelman 2014"
    assert WORKS["neal2003"].short == "Neal 2003"
    assert WORKS["bradbury2018"].entry.startswith("Bradbury, James et al. (2018). JAX: ")
    for key, work in WORKS.items():
        assert re.fullmatch(r"[a-z]+\d{4}", key)
        assert key.endswith(str(work.year))
        entry = work.bibtex(key)
        assert entry.count("{") == entry.count("}") == 7
        assert work.link.startswith("https://")

"""Write the simulated data sets of the gallery's first half, each a small CSV file in data/.

    uv run --no-project --python 3.12 --with numpy==2.5.5 python tests/references/simulate_1.py

Every data set has a seed of its own. Numbers are rounded to what the files show, so that the file,
not the generator, is what a model sees.
"""

from math import erf
from pathlib import Path

import numpy as np

DATA = Path(__file__).parents[2] / "data"

# Hundreds of dollars a card: what a card of each deck wins, and what ten cards of it lose.
WINS = (1.0, 1.0, 0.5, 0.5)
LOSSES = (
    (0, 0, 1.5, 0, 3.0, 0, 2.0, 0, 2.5, 3.5),
    (0, 0, 0, 0, 0, 0, 0, 0, 12.5, 0),
    (0, 0, 0.5, 0, 0.5, 0, 0.5, 0, 0.5, 0.5),
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 2.5),
)
NUM_SUBJECTS, NUM_TRIALS = 30, 100


def gaussian_mean():
    """100 observations of mean 5 and standard deviation 3."""
    rng = np.random.default_rng(101)
    return {"y": rng.normal(5.0, 3.0, 100)}


def covariates(rng, size):
    """Two columns of standard normal numbers with correlation 0.5."""
    x = rng.normal(size=(size, 2))
    return {"x1": x[:, 0], "x2": 0.5 * x[:, 0] + np.sqrt(0.75) * x[:, 1]}


def linear_regression():
    """60 observations about a plane, with noise of 0.7."""
    rng = np.random.default_rng(102)
    x = covariates(rng, 60)
    return {**x, "y": 1.0 + 0.8 * x["x1"] - 0.4 * x["x2"] + 0.7 * rng.normal(size=60)}


def logistic_regression():
    """100 answers, yes or no."""
    rng = np.random.default_rng(103)
    x = covariates(rng, 100)
    probability = 1 / (1 + np.exp(-(-0.5 + 1.2 * x["x1"] - 0.6 * x["x2"])))
    return {**x, "y": (rng.uniform(size=100) < probability).astype(int)}


def poisson_regression():
    """60 counts, each over an exposure of its own."""
    rng = np.random.default_rng(104)
    x = covariates(rng, 60)
    exposure = np.round(rng.uniform(0.5, 3.0, 60), 2)
    rate = np.exp(0.6 + 0.5 * x["x1"] - 0.3 * x["x2"])
    return {"exposure": exposure, **x, "y": rng.poisson(exposure * rate)}


def negative_binomial_regression():
    """80 counts whose variance is the mean and 0.6 times its square."""
    rng = np.random.default_rng(105)
    x = covariates(rng, 80)
    mean = np.exp(1.2 + 0.6 * x["x1"] - 0.3 * x["x2"])
    return {**x, "y": rng.poisson(rng.gamma(1 / 0.6, 0.6 * mean))}


def coin_flips():
    """10 coins of one mint, flipped 30 times each; 0.8 is the mode of their probabilities."""
    rng = np.random.default_rng(106)
    probability = rng.beta(0.8 * 13 + 1, 0.2 * 13 + 1, size=10)
    return {
        "coin": np.arange(1, 11),
        "flips": np.full(10, 30),
        "heads": rng.binomial(30, probability),
    }


def growth_mixture():
    """60 students on 6 occasions, each on one of four lines."""
    rng = np.random.default_rng(107)
    lines = np.array([[2.2, 0.9], [3.1, 0.4], [2.7, -0.9], [1.2, 0.1]])
    noise = np.array([0.25, 0.15, 0.3, 0.2])
    classes = rng.choice(4, size=60, p=[0.4, 0.3, 0.2, 0.1])
    time = np.linspace(0, 1, 6)
    scores = lines[classes, :1] + lines[classes, 1:] * time
    scores = scores + noise[classes, None] * rng.normal(size=(60, 6))
    return {
        "student": np.repeat(np.arange(1, 61), 6),
        "occasion": np.tile(np.arange(6), 60),
        "score": scores.ravel(),
    }


def gambler(rng, w, a, c):
    """Play one subject of the Iowa gambling task: choices (1 to 4), wins and losses.

    The cards of a deck come in shuffled tens, so that every ten cards lose what the rule says.
    """
    valence = np.zeros(4)
    cards = [np.concatenate([rng.permutation(deck) for _ in range(10)]) for deck in LOSSES]
    turned = [0] * 4
    choices, wins, losses = [], [], []
    for trial in range(NUM_TRIALS):
        sensitivity = (max(trial, 1) / 10) ** c
        odds = np.exp(sensitivity * (valence - valence.max()))
        deck = rng.choice(4, p=odds / odds.sum())
        win, loss = WINS[deck], 0 - cards[deck][turned[deck]]
        turned[deck] += 1
        valence[deck] += a * ((1 - w) * win + w * loss - valence[deck])
        choices.append(deck + 1)
        wins.append(win)
        losses.append(loss)
    return {"choice": np.array(choices), "win": np.array(wins), "loss": np.array(losses)}


def expectancy_valence():
    """30 subjects whose parameters, mapped to the real line, are normally distributed."""
    rng = np.random.default_rng(108)
    subjects = []
    for _ in range(NUM_SUBJECTS):
        z = rng.normal([-0.3, -0.6, 0.3], [0.6, 0.6, 0.4])
        w, a, c = (0.5 * (1 + erf(v / np.sqrt(2))) for v in z)
        subjects.append(gambler(rng, w, a, 4 * c - 2))
    return subjects


def write(name, columns, decimals=4):
    """Write columns of equal length as text, each number rounded."""
    rows = zip(*(np.round(c, decimals).tolist() for c in columns.values()), strict=True)
    lines = [
        ",".join(columns),
        *(",".join(f"{v:g}" if v == int(v) else repr(v) for v in row) for row in rows),
    ]
    (DATA / f"{name}.csv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    for simulate in (
        gaussian_mean,
        linear_regression,
        logistic_regression,
        poisson_regression,
        negative_binomial_regression,
        coin_flips,
        growth_mixture,
    ):
        write(simulate.__name__, simulate())
    (DATA / "expectancy_valence").mkdir(exist_ok=True)
    subjects = expectancy_valence()
    for number, subject in enumerate(subjects, start=1):
        write(f"expectancy_valence/subject_{number}", subject)
    trials = {
        "subject": np.repeat(np.arange(1, NUM_SUBJECTS + 1), NUM_TRIALS),
        "trial": np.tile(np.arange(1, NUM_TRIALS + 1), NUM_SUBJECTS),
    }
    columns = {name: np.concatenate([s[name] for s in subjects]) for name in subjects[0]}
    write("expectancy_valence/all", trials | columns)

"""The data of the problems that everybody solves: plain arrays, the same in every environment.

The models, with the names of `densities.py`:

- eight_schools: as in ``bamopipe/models/eight_schools.py``, log evidence -36.1308;
- growth_mixture: four lines, 60 students on six occasions;
- expectancy_valence: 10 subjects, hierarchical, 50 trials each (36 unknowns);
- logistic: 1,000 rows of 25 covariates;
- gp: 200 points of a Gaussian process, whose three hyperparameters are unknown.
"""

from pathlib import Path

import numpy as np

DATA = Path(__file__).parent.parent.parent.parent / "data"
KEPT = {
    "eight_schools": ("mu", "tau", "theta"),
    "growth_mixture": ("eta", "sigma", "weight"),
    "expectancy_valence": ("mu", "sigma", "z"),
    "logistic": ("intercept", "slope"),
    "gp": ("amplitude", "lengthscale", "noise"),
}
"""The variables of which everybody draws, whatever form of the model it is."""
NAMES = tuple(KEPT)
NUM_SUBJECTS, NUM_TRIALS = 10, 50
JITTER = 2.0**-26  # of bamopipe's Gaussian processes, as a fraction of their variance


def data(name: str) -> dict[str, np.ndarray]:
    """Return a problem's data."""
    return globals()[f"_{name}"]()


def _eight_schools():
    return {
        "effect": np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]),
        "error": np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]),
    }


def _growth_mixture():
    rows = np.genfromtxt(DATA / "growth_mixture.csv", delimiter=",", names=True)
    order = np.lexsort((rows["occasion"], rows["student"]))
    return {"score": rows["score"][order].reshape(60, 6), "time": np.linspace(0, 1, 6)}


def _expectancy_valence():
    path = DATA / "expectancy_valence" / "all.csv"
    rows = np.genfromtxt(path, delimiter=",", names=True)
    rows = rows[(rows["subject"] <= NUM_SUBJECTS) & (rows["trial"] <= NUM_TRIALS)]
    rows = rows[np.lexsort((rows["subject"], rows["trial"]))].reshape(NUM_TRIALS, NUM_SUBJECTS)
    return {"choice": rows["choice"].astype(int) - 1, "win": rows["win"], "loss": rows["loss"]}


def _logistic():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1000, 25))
    slope = rng.normal(size=25) * 0.5
    y = rng.random(1000) < 1 / (1 + np.exp(-0.5 - x @ slope))
    return {"x": x, "y": y.astype(int)}


def _gp():
    rng = np.random.default_rng(2)
    x = np.sort(rng.uniform(0, 10, 200))
    return {"x": x, "y": np.sin(x) + 0.5 * np.cos(2.3 * x) + rng.normal(size=200) * 0.3}

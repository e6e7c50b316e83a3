"""Write the simulated data sets of the gallery's second half, each a small CSV file in data/.

    uv run --no-project --python 3.12 --with numpy==2.5.5 python tests/references/simulate_2.py

Every data set has a seed of its own. Numbers are rounded to what the files show, so that the file,
not the generator, is what a model sees.
"""

from pathlib import Path

import numpy as np

DATA = Path(__file__).parents[2] / "data"


def variable_selection():
    """A regression with five correlated covariates: two clear effects, a weak one, two of zero."""
    rng = np.random.default_rng(1)
    common = rng.normal(size=(50, 1))
    x = np.sqrt(0.7) * rng.normal(size=(50, 5)) + np.sqrt(0.3) * common
    y = x @ np.array([1.5, -0.8, 0.3, 0.0, 0.0]) + rng.normal(size=50)
    return {**{f"x{j + 1}": x[:, j] for j in range(5)}, "y": y}


def autoregression():
    """100 steps of an autoregression of order 3 about a mean of 2, after 200 steps dropped."""
    rng = np.random.default_rng(2)
    y = [2.0, 2.0, 2.0]
    for _ in range(300):
        y.append(1.2 + 0.6 * y[-1] + 0.2 * y[-2] - 0.4 * y[-3] + 0.8 * rng.normal())
    return {"t": np.arange(100), "y": np.array(y[-100:])}


def gp_regression():
    """A draw from a Gaussian process (amplitude 1, length 1) at 60 places, with noise of 0.3."""
    rng = np.random.default_rng(3)
    x = np.sort(np.round(rng.uniform(0, 6, 60), 3))
    covariance = np.exp(-0.5 * (x[:, None] - x) ** 2) + 1e-9 * np.eye(60)
    f = np.linalg.cholesky(covariance) @ rng.normal(size=60)
    return {"x": x, "y": f + 0.3 * rng.normal(size=60)}


def gp_heteroskedastic():
    """A wave at 60 places whose noise grows tenfold from left to right."""
    rng = np.random.default_rng(4)
    x = np.linspace(0, 1, 60)
    return {"x": x, "y": np.sin(6 * x) + np.exp(-2.5 + 2.3 * x) * rng.normal(size=60)}


def gp_classification():
    """50 yes or no answers whose log odds follow a wave."""
    rng = np.random.default_rng(5)
    x = np.linspace(0, 1, 50)
    probability = 1 / (1 + np.exp(-3 * np.sin(7 * x)))
    return {"x": x, "y": (rng.uniform(size=50) < probability).astype(int)}


def hidden_markov():
    """100 steps of a chain with three sticky states, seen through noise of 0.8."""
    rng = np.random.default_rng(6)
    transition = np.array([[0.85, 0.1, 0.05], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]])
    states = [0]
    for _ in range(99):
        states.append(rng.choice(3, p=transition[states[-1]]))
    return {
        "t": np.arange(100),
        "y": np.array([-2.0, 0.0, 2.5])[states] + 0.8 * rng.normal(size=100),
    }


def stochastic_volatility():
    """100 returns in per cent, whose log variance is an autoregression about 0."""
    rng = np.random.default_rng(7)
    h = [0.0]
    for _ in range(299):
        h.append(0.95 * h[-1] + 0.3 * rng.normal())
    return {"day": np.arange(100), "y": np.exp(np.array(h[-100:]) / 2) * rng.normal(size=100)}


def bayesian_neural_network():
    """Two interleaving half moons of 30 points each, with noise of 0.2."""
    rng = np.random.default_rng(8)
    angle = np.tile(np.linspace(0, np.pi, 30), 2)
    label = np.repeat([0, 1], 30)
    x1 = np.where(label == 0, np.cos(angle), 1 - np.cos(angle)) + 0.2 * rng.normal(size=60)
    x2 = np.where(label == 0, np.sin(angle), 0.5 - np.sin(angle)) + 0.2 * rng.normal(size=60)
    return {"x1": x1, "x2": x2, "y": label}


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
        variable_selection,
        autoregression,
        gp_regression,
        gp_heteroskedastic,
        gp_classification,
        hidden_markov,
        stochastic_volatility,
        bayesian_neural_network,
    ):
        write(simulate.__name__, simulate())

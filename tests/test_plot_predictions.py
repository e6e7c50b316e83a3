"""What is predicted beside what was observed: the numbers drawn, and that all of it can be read."""

import numpy as np
import pytest
import xarray as xr

import trees
from bamopipe.plots import predictions, style

CHAINS, DRAWS = 4, 250


def made(observed, before=None, after=None, dims=None, coords=None, name="made"):
    """Make a tree of one variable y, or of several if dictionaries are given."""

    def dataset(arrays, lead=()):
        arrays = arrays if isinstance(arrays, dict) else {"y": arrays}
        own = {
            name: dims or [f"{name}_dim_{i}" for i in range(np.ndim(array) - len(lead))]
            for name, array in arrays.items()
        }
        named = {name: ((*lead, *own[name]), np.asarray(array)) for name, array in arrays.items()}
        return xr.Dataset(named, coords=coords)

    sample = ("chain", "draw")
    rng = np.random.default_rng(8)
    tree = trees.tree({"theta": rng.normal(size=(CHAINS, DRAWS))}, updates=["theta"], name=name)
    groups = {"observed_data": dataset(observed)}
    if before is not None:
        groups["prior_predictive"] = dataset(before, sample)
    if after is not None:
        groups["posterior_predictive"] = dataset(after, sample)
    return tree.assign({group: xr.DataTree(part) for group, part in groups.items()})


def rng_for(case):
    return np.random.default_rng([14, *case.encode()])


def eight_schools():
    rng = rng_for("schools")
    tree = trees.eight_schools(draws=500)
    theta = tree["prior/theta"].values
    y = rng.normal(theta, trees.ERRORS)
    return tree.assign(
        prior_predictive=xr.DataTree(
            xr.Dataset({"y": (("chain", "draw", "school"), y)}, coords={"school": trees.SCHOOLS})
        )
    )


def goals():
    rng = rng_for("goals")
    observed = rng.poisson(rng.gamma(4, 0.35, 1140))
    before = rng.poisson(np.exp(rng.normal(0, 2, (CHAINS, DRAWS, 1))), (CHAINS, DRAWS, 1140))
    after = rng.poisson(rng.normal(observed.mean(), 0.04, (CHAINS, DRAWS, 1)), before.shape)
    return made(observed, before.astype(float), after.astype(float), name="goals")


def counts_of_many_values():
    rng = rng_for("many")
    shape = (CHAINS, DRAWS, 1140)
    observed = rng.negative_binomial(3, 0.05, 1140)
    before = rng.poisson(np.exp(rng.normal(3, 2, (CHAINS, DRAWS, 1))), shape)
    return made(observed, before, rng.negative_binomial(3, 0.048, shape))


def binary():
    rng = rng_for("binary")
    shape = (CHAINS, DRAWS, 300)
    return made(
        rng.random(300) < 0.3,
        rng.random(shape) < rng.random((CHAINS, DRAWS, 1)),
        rng.random(shape) < rng.beta(90, 210, (CHAINS, DRAWS, 1)),
    )


def categories():
    rng = rng_for("categories")
    shape = (CHAINS, DRAWS, 200)
    return made(
        rng.choice(4, 200, p=[0.1, 0.5, 0.4, 0]),
        rng.integers(0, 4, shape),
        rng.integers(0, 4, shape),
    )


def matrix():
    rng = rng_for("matrix")
    shape = (CHAINS, DRAWS, 60, 6)
    return made(
        rng.normal(2, 1, (60, 6)),
        rng.normal(rng.normal(0, 5, (CHAINS, DRAWS, 1, 6)), 1, shape),
        rng.normal(2, 1.1, shape),
        dims=["patient", "item"],
    )


def small_matrix():
    rng = rng_for("small matrix")
    shape = (CHAINS, DRAWS, 2, 3)
    return made(
        rng.normal(0, 1, (2, 3)), rng.normal(0, 2, shape), rng.normal(0, 1, shape),
        dims=["group", "item"], coords={"group": ["left", "right"], "item": ["a", "b", "c"]},
    )  # fmt: skip


def vague():
    rng = rng_for("vague")
    shape = (CHAINS, DRAWS, 20)
    observed = rng.normal(3, 2, 20)
    return made(observed, rng.normal(0, 3e6, shape), rng.normal(3, 2.2, shape))


def vague_and_many():
    rng = rng_for("vague, many")
    observed = rng.normal(3, 2, 500)
    shape = (CHAINS, DRAWS, 500)
    before = rng.normal(rng.normal(0, 3e6, (CHAINS, DRAWS, 1)), 3, shape)
    return made(observed, before, rng.normal(3, 2.2, shape))


def heavy_tails():
    rng = rng_for("heavy")
    shape = (CHAINS, DRAWS, 40)
    with np.errstate(over="ignore", divide="ignore"):
        before = np.exp(rng.standard_cauchy(shape) ** 3)
    before[0, :5, 0] = np.nan
    return made(rng.lognormal(0, 1, 40), before, rng.lognormal(0, 1.1, shape))


def missing():
    rng = rng_for("missing")
    observed = rng.normal(50, 10, 25)
    observed[[3, 4, 17]] = np.nan
    shape = (CHAINS, DRAWS, 25)
    return made(
        observed, rng.normal(50, 30, shape), rng.normal(50, 11, shape),
        dims=["year"], coords={"year": np.arange(1990, 2015)},
    )  # fmt: skip


def scalar():
    rng = rng_for("scalar")
    before, after = rng.normal(0, 10, (CHAINS, DRAWS)), rng.normal(4, 2, (CHAINS, DRAWS))
    return made(4.7, before, after)


def scalar_count():
    rng = rng_for("scalar count")
    return made(
        7, rng.binomial(10, rng.random((CHAINS, DRAWS))), rng.binomial(10, 0.65, (CHAINS, DRAWS))
    )


def scalar_vague():
    rng = rng_for("scalar vague")
    return made(4.7, rng.standard_cauchy((CHAINS, DRAWS)) * 1e5, rng.normal(4, 2, (CHAINS, DRAWS)))


def only_prior():
    tree = missing()
    return xr.DataTree.from_dict(
        {g: tree[g].to_dataset() for g in ("prior_predictive", "observed_data")}, name="root"
    )


def only_posterior():
    return trees.eight_schools(draws=300)


def several():
    rng = rng_for("several")
    sizes = {f"y_{i}": 3 + 7 * i for i in range(11)}
    sample = {n: rng.normal(1e5, 1e4, (CHAINS, DRAWS, s)) for n, s in sizes.items()}
    return made({n: rng.normal(1e5, 1e4, s) for n, s in sizes.items()}, sample, sample)


def empty():
    return made(np.empty(0), np.empty((CHAINS, DRAWS, 0)), np.empty((CHAINS, DRAWS, 0)))


def all_missing():
    rng = rng_for("all missing")
    return made(np.full(5, np.nan), rng.normal(size=(CHAINS, DRAWS, 5)), None)


def not_finite():
    return made(np.zeros(5), np.full((CHAINS, DRAWS, 5), np.inf), np.zeros((CHAINS, DRAWS, 5)))


def positive():
    rng = rng_for("positive")
    shape = (CHAINS, DRAWS, 30)
    return made(
        rng.lognormal(2, 3, 30),
        rng.lognormal(0, 3.5, shape),
        rng.lognormal(2, 3, shape),
    )


def sixty():
    rng = rng_for("sixty")
    wave = np.sin(np.arange(60) / 6)
    shape = (CHAINS, DRAWS, 60)
    return made(rng.normal(wave, 0.3), rng.normal(0, 1, shape), rng.normal(wave, 0.32, shape))


def different_sizes():
    rng = rng_for("sizes")
    tree = made(np.zeros(3), rng.normal(size=(1, 40, 3)), rng.normal(size=(CHAINS, DRAWS, 3)))
    return tree


def far_values():
    rng = rng_for("far")
    shape = (CHAINS, DRAWS, 6)
    return made(rng.normal(1e6, 1, 6), rng.normal(1e6, 100, shape), rng.normal(1e6, 1.1, shape))


def float_limits():
    rng = rng_for("limits")
    signs = rng.choice([-1.0, 1.0], (CHAINS, DRAWS, 100))
    return made(np.zeros(100), signs * np.finfo(float).max, signs.astype(np.float32))


CASES = {
    case.__name__: case
    for case in (
        eight_schools, goals, counts_of_many_values, binary, categories, matrix, small_matrix,
        vague, vague_and_many, heavy_tails, missing, scalar, scalar_count, scalar_vague,
        only_prior, only_posterior, several, empty, all_missing, not_finite, positive, sixty,
        different_sizes, far_values, float_limits,
    )
}  # fmt: skip

"""Posterior trees of the shape that ``fit`` and ``diagnose`` write, made without any sampler."""

import json

import numpy as np
import xarray as xr
from scipy.special import log_softmax, logsumexp

from bamopipe import posterior

SCHOOLS = [
    "Choate",
    "Deerfield",
    "Phillips Andover",
    "Phillips Exeter",
    "Hotchkiss",
    "Lawrenceville",
    "St. Paul's",
    "Mt. Hermon",
]
EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
LOG_EVIDENCE = -36.1308159


def tree(draws, *, dims=None, coords=None, seeds=(0, 0, 1, 1), stages=6, **options):
    """Make a whole tree around posterior draws, arrays of shape (chain, draw, ...)."""
    dims, coords = dims or {}, coords or {}
    chains, count = np.shape(next(iter(draws.values())))[:2]
    rng = np.random.default_rng(12)
    chain = {"chain": np.arange(chains), "seed": ("chain", np.resize(seeds, chains))}

    def dataset(arrays, lead=("chain", "draw")):
        data = {}
        for name, array in arrays.items():
            own = dims.get(name, [f"{name}_dim_{i}" for i in range(np.ndim(array) - len(lead))])
            data[name] = ((*lead, *own), array)
        made = xr.Dataset(data, coords=chain if "chain" in lead else {})
        made = made.assign_coords({k: v for k, v in coords.items() if k in made.dims})
        return made.assign_coords({d: np.arange(n) for d, n in made.sizes.items() if d not in made})

    temperature = np.geomspace(1e-3, 1, stages) ** rng.normal(1, 0.03, (chains, 1))
    ess = np.full((chains, stages), count / 2) + rng.normal(0, count / 500, (chains, stages))
    ess[:, -1] += count * rng.uniform(0.2, 0.4, chains)
    shape = np.geomspace(4, 1, stages) / np.geomspace(4, 1, stages).sum()
    increments = rng.normal(LOG_EVIDENCE * shape, 0.02, (chains, stages))
    updates = options.get("updates", ["mu", "tau", "theta"])
    rates = rng.normal(0.4, 0.01, (chains, stages, len(updates)))
    rates = rates + 0.1 * np.arange(len(updates)) / len(updates)
    per_chain = increments.sum(axis=1)
    smc = xr.Dataset(
        {
            "temperature": (("chain", "stage"), temperature),
            "ess": (("chain", "stage"), ess),
            "log_evidence_increment": (("chain", "stage"), increments),
            "num_mutations": (("chain", "stage"), np.full((chains, stages), 12.0)),
            "acceptance_rate": (("chain", "stage", "update"), rates),
            "scale": (("chain", "stage", "update"), np.full(rates.shape, np.nan)),
            "log_evidence": ("chain", per_chain),
            "log_evidence_se": ("chain", np.full(chains, 0.02)),
            "num_stages": ("chain", np.full(chains, stages)),
            "max_mutations": ("chain", np.full(chains, 200.0)),
            "compile_seconds": ("chain", np.full(chains, 2.5)),
            "sample_seconds": ("chain", np.full(chains, 10.0)),
            "status": ("chain", np.full(chains, "ok", dtype=object)),
        },
        coords={
            **chain,
            "stage": np.arange(stages),
            "update": updates,
            "steps": ("update", ["given"] * len(updates)),
        },
    )
    weights = np.exp(per_chain - per_chain.max())
    error = weights.std(ddof=1) / weights.mean() / np.sqrt(chains) if chains > 1 else 0.02
    config = {
        "model": {"_target_": "bamopipe.models.eight_schools.model", "tau": "LogNormal(5, 1)"},
        "inference": {"name": "smc", "num_particles": count, "target_ess": 0.5},
    }
    groups = {
        "/": xr.Dataset(
            attrs={
                "name": options.get("name", "eight_schools"),
                "config": json.dumps(options.get("config", config)),
                "fit_id": "0123abcd",
                "seeds": json.dumps(sorted(set(np.resize(seeds, chains).tolist()))),
                "status": "ok",
                "log_evidence": float(logsumexp(per_chain) - np.log(chains)),
                "log_evidence_se": float(error),
                "data_sha256": json.dumps({"schools": "aa"}),
                "compile_seconds": 2.5,
                "sample_seconds": 10.0,
            }
        ),
        "/posterior": dataset(draws),
        "/smc": smc,
    }
    for group in ("prior", "posterior_predictive"):
        if group in options:
            groups[f"/{group}"] = dataset(options[group])
    if "observed_data" in options:
        groups["/observed_data"] = dataset(options["observed_data"], lead=())
    return xr.DataTree.from_dict(groups)


def eight_schools(chains=8, draws=2000, key=20):
    """Draw from the eight-schools posterior exactly: tau on a grid, then mu, then theta."""
    rng = np.random.default_rng(key)
    grid = np.geomspace(1e-2, 1e4, 20_000)
    variance = ERRORS[:, None] ** 2 + grid**2
    precision = 1 / 100 + (1 / variance).sum(axis=0)
    mean = (EFFECTS[:, None] / variance).sum(axis=0) / precision
    log_likelihood = 0.5 * (
        mean**2 * precision
        - np.log(100 * precision)
        - (np.log(2 * np.pi * variance) + EFFECTS[:, None] ** 2 / variance).sum(axis=0)
    )
    log_prior = -0.5 * (np.log(grid) - 5) ** 2  # of log tau, on which the grid is even
    probability = np.exp(log_softmax(log_prior + log_likelihood))
    pick = rng.choice(grid.size, size=(chains, draws), p=probability)
    tau = grid[pick]
    mu = rng.normal(mean[pick], precision[pick] ** -0.5)
    shape = (chains, draws, 8)
    precision = ERRORS**-2.0 + tau[..., None] ** -2
    centre = (EFFECTS * ERRORS**-2.0 + mu[..., None] * tau[..., None] ** -2) / precision
    theta = rng.normal(centre, precision**-0.5)
    prior = {"mu": rng.normal(0, 10, (chains, 500)), "tau": rng.lognormal(5, 1, (chains, 500))}
    prior["theta"] = rng.normal(prior["mu"][..., None], prior["tau"][..., None], (chains, 500, 8))
    return tree(
        {"mu": mu, "tau": tau, "theta": theta},
        dims={"theta": ["school"], "y": ["school"]},
        coords={"school": SCHOOLS},
        seeds=np.repeat([0, 1], -(-chains // 2)),
        prior=prior,
        posterior_predictive={"y": rng.normal(theta, ERRORS, shape)},
        observed_data={"y": EFFECTS.astype(int)},  # as read from the file
        stages=9,
    )


def scalars_only():
    rng = np.random.default_rng(1)
    draws = {"alpha": rng.normal(size=(4, 500)), "sigma": rng.gamma(2, size=(4, 500))}
    prior = {"alpha": rng.normal(0, 5, (4, 300)), "sigma": abs(rng.standard_cauchy((4, 300)))}
    return tree(draws, prior=prior, name="regression", updates=["position"])


def vector_of_50():
    rng = np.random.default_rng(2)
    weights = rng.normal(np.linspace(-3, 3, 50), 1.0, (4, 500, 50))
    prior = {"weight": rng.standard_cauchy((4, 300, 50))}
    return tree({"weight": weights}, prior=prior, updates=["weight"], name="vector_of_50")


def matrix():
    rng = np.random.default_rng(3)
    draws = {"omega": rng.normal(np.arange(3), 1, (4, 500, 2, 3))}
    draws["tau"] = rng.gamma(1, size=(4, 500))
    names = {"group": ["left", "right"], "item": ["a", "b", "c"]}
    dims = {"omega": ["group", "item"], "y": ["group", "item"]}
    predicted = {"y": rng.normal(draws["omega"], 1)}
    return tree(draws, dims=dims, coords=names, posterior_predictive=predicted, name="matrix")


def one_chain():
    return eight_schools(chains=1, draws=500)


def discrete():
    rng = np.random.default_rng(4)
    draws = {
        "changepoint": rng.poisson(30, (4, 500)),
        "included": rng.random((4, 500, 3)) < [0.1, 0.5, 0.95],
        "count": rng.poisson(2, (4, 500)),
        "rate": rng.lognormal(0, 2, (4, 500)),
    }
    prior = {name: array[:, ::-1] for name, array in draws.items()}
    return tree(draws, prior=prior, updates=list(draws), name="discrete")


def constant():
    rng = np.random.default_rng(5)
    draws = {"fixed": np.full((4, 500), 3.1), "mu": rng.normal(size=(4, 500))}
    draws["beta"] = np.stack([draws["mu"], draws["fixed"]], axis=-1)
    return tree(
        draws, prior={"fixed": draws["fixed"], "mu": rng.normal(size=(4, 500))}, name="constant"
    )


def disagreeing():
    """Chains around different means, of which one is stuck in the prior."""
    rng = np.random.default_rng(6)
    draws = {"mu": rng.normal(np.array([[0.0], [0.5], [1.0], [1.5]]), 1, (4, 500))}
    made = tree(draws, updates=["mu"], name="disagreeing")
    made["smc/temperature"][3, 3:] = np.nan
    made["smc/ess"][3, 3:] = np.nan
    made["smc/log_evidence_increment"][3, 3:] = np.nan
    made["smc/acceptance_rate"][3, 3:] = np.nan
    made["smc/num_stages"][3] = 3
    made["smc/log_evidence"][3] = made["smc/log_evidence_increment"][3].sum()
    made["smc/status"][3] = "Tempering stalled at temperature 0.016; use more mutations."
    return made


def not_finite():
    made = scalars_only()
    made["posterior/alpha"][2, 100:120] = np.nan
    made["posterior/sigma"][...] = np.nan
    return made


def large():
    """40 seeds, a thousand elements."""
    rng = np.random.default_rng(7)
    return tree(
        {"theta": rng.normal(size=(40, 100, 1000))},
        seeds=np.arange(40),
        updates=["theta"],
        name="large",
    )


def write_block(path, seed, **attrs):
    """Write what ``fit`` leaves for one seed of four chains."""
    made = eight_schools(chains=4, draws=500, key=seed)
    made.attrs.update(attrs)
    for group in made.children.values():
        if "seed" in group.coords:
            group.coords["seed"] = ("chain", np.full(4, seed))
    posterior.write(made, path)
    return path


VARIANTS = {
    made.__name__: made
    for made in (
        eight_schools,
        scalars_only,
        vector_of_50,
        matrix,
        one_chain,
        discrete,
        constant,
        disagreeing,
        not_finite,
    )
}

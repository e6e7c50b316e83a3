"""Look at a model before fitting it: its graph, what it predicts, and a fit of some seconds."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bamopipe import devices, plan
from bamopipe.errors import UserError
from bamopipe.posterior import by_chain, is_mcmc

CHECKS = Path("results/check")
NUM_DRAWS = 1000
NUM_PARTICLES = 200
SECONDS = 5.0
FIGURES = ("graph", "predictions", "prior_posterior")


def main(model: str, overrides: Sequence[str]) -> None:
    """Check a model and print what looks wrong.

    Draws from the prior, evaluates the density there, compares prior predictions with the data,
    and makes a fit of about five seconds with the configured sampler. Figures go to
    ``results/check/<model>``.

    Parameters
    ----------
    model : str
        A name in ``conf/model``.
    overrides : sequence of str
        In Hydra's grammar, such as ``model.tau='HalfCauchy(0, 5)'``.
    """
    request = {"experiment": "single", "overrides": [f"model={model}", *overrides]}
    (run, *others) = plan.load(request).runs
    if others:
        raise UserError("`bamopipe check` looks at one model; give each key one value")

    import importlib

    devices.lease()
    import jax

    from bamopipe.inference.datatree import to_datatree
    from bamopipe.plots import style
    from bamopipe.stages.fit import build_engine
    from bamopipe.target import precision_context

    jax.config.update("jax_enable_x64", run.frozen["precision"] == "float64")
    engine = build_engine(run.frozen)
    engine.model.describe()
    print()
    engine.mcmc_kernel.describe()
    print()
    with precision_context(engine.precision):
        findings = list(_look_at_prior(engine.target))
    if not findings:  # a density that is broken at the prior would break the fit as well
        quick = _quick(engine)
        result = quick.run(jax.random.key(1))
        tree = to_datatree(quick, result, seed=1)
        findings += [*_look_at_predictions(tree), *_look_at_fit(quick, result, tree)]
        folder = CHECKS / model
        for name in FIGURES:
            figure = importlib.import_module(f"bamopipe.plots.{name}")
            style.save(folder / f"{name}.png", figure.plot, tree, **run.plots)
            print(f"figure: {folder / name}.png")
    print("\n".join(f"! {finding}" for finding in findings) or "nothing looks wrong")


def _look_at_prior(target) -> Iterator[str]:
    """Evaluate the density at draws from the prior."""
    import jax

    keys = jax.random.split(jax.random.key(0), NUM_DRAWS)
    draws = jax.jit(jax.vmap(target.sample_prior))(keys)
    factors = jax.device_get(jax.jit(jax.vmap(target.log_factors))(draws))
    for name, values in factors.items():
        broken = np.flatnonzero(np.isnan(values) | (values == np.inf))
        if broken.size:
            position = {n: v[broken[0]] for n, v in draws.items()}
            yield (
                f"the log density of {name!r} is not finite at {broken.size} of {NUM_DRAWS} draws "
                f"from the prior; the first of them:\n{target.explain(position)}"
            )
    for name in target.observed:
        impossible = np.mean(factors[name] == -np.inf)
        if impossible == 1:
            position = {n: v[0] for n, v in draws.items()}
            (row,) = (r for r in target.explain(position).rows if r.name == name)
            yield (
                f"the observations of {name!r} are impossible at all of {NUM_DRAWS} draws from the "
                f"prior; at the first one {row.remark}"
            )


def _look_at_predictions(tree: xr.DataTree) -> Iterator[str]:
    """Compare what the prior predicts with the data."""
    predicted = tree.children["prior_predictive"].dataset
    for name, observed in tree.children["observed_data"].data_vars.items():
        values = observed.values.astype(float)
        draws = predicted[name].values.astype(float).reshape(-1, *values.shape)
        finite = np.isfinite(draws)
        if not finite.all():
            yield f"{1 - finite.mean():.1%} of the prior predictions of {name!r} are not finite"
        low, high = np.nanquantile(np.where(finite, draws, np.nan), [0.01, 0.99], axis=0)
        seen = np.isfinite(values)
        outside = np.mean(((values < low) | (values > high))[seen]) if seen.any() else 0.0
        if outside > 0.2:
            yield (
                f"{outside:.0%} of the observations of {name!r} are outside the central 98% of "
                "what the prior predicts: prior and data disagree, or the prior is too narrow"
            )
        spread, own = np.median(high - low), np.nanmax(values) - np.nanmin(values)
        if own > 0 and spread > 100 * own:
            yield (
                f"the prior predicts values of {name!r} over a range {spread / own:.0f} times that "
                "of the data: is it meant to be that vague?"
            )


def _quick(engine) -> Any:
    """Return an engine like this one that takes about five seconds."""
    import jax

    from bamopipe.inference import MCMCInference

    if isinstance(engine, MCMCInference):
        short = {"num_samples": 200, "num_warmup": 300, "num_burn": 0, "num_thin": 1}
        least = {name: min(value, getattr(engine, name)) for name, value in short.items()}
        return dataclasses.replace(engine, **least)
    quick = dataclasses.replace(
        engine,
        num_chains=2,
        num_particles=min(NUM_PARTICLES, engine.num_particles),
        num_mutations=1,
    )
    seconds = quick.run(jax.random.key(0)).timings["sample"]
    affordable = max(1, int(SECONDS / max(seconds, 1e-3)))
    if engine.num_mutations is not None:
        return dataclasses.replace(quick, num_mutations=min(engine.num_mutations, affordable))
    most = min(engine.max_mutations, affordable)
    return dataclasses.replace(quick, num_mutations=None, max_mutations=most)


def _look_at_fit(engine, result, tree: xr.DataTree) -> Iterator[str]:
    """Say what a short fit already shows."""
    found = f"{result.timings['sample']:.1f} s, and {result.timings['compile']:.1f} s to compile"
    if is_mcmc(tree):
        print(f"{engine.num_chains} chains of {engine.num_samples} draws: {found}")
        rates = tree.children["sample_stats"].dataset["acceptance_rate"].mean(["chain", "draw"])
    else:
        moves = engine.num_mutations or f"up to {engine.max_mutations}"
        print(
            f"a fit of {engine.num_chains} x {engine.num_particles} particles, {moves} moves each: "
            f"{found}; log evidence {result.log_evidence:.2f} ± {result.log_evidence_se:.2f}"
        )
        smc = by_chain(tree)
        last = smc["num_stages"].astype(int) - 1
        rates = smc["acceptance_rate"].isel(stage=last).fillna(0).mean("chain")
    yield from sorted(set(result.status) - {"ok"})
    for (update, kind), rate in zip(engine.mcmc_kernel.steps().items(), rates.values, strict=True):
        advice = "take smaller steps" if kind == "given" else "another kernel may fit better"
        if rate < 0.05:
            yield f"only {rate:.1%} of the moves of {update!r} are accepted: {advice}"
        elif rate > 0.95 and kind == "given":
            yield f"{rate:.1%} of the moves of {update!r} are accepted: steps may be too small"
    prior, posterior = tree.children["prior"].dataset, tree.children["posterior"].dataset
    for name in engine.model.latent:
        before, after = prior[name].values, posterior[name].values
        before = before.reshape(-1, *before.shape[2:]).astype(float)
        after = after.reshape(-1, *after.shape[2:]).astype(float)
        low, high = np.quantile(before, [0.005, 0.995], axis=0)
        middle = np.median(after, axis=0)
        if np.any((middle < low) | (middle > high)):
            yield f"the posterior of {name!r} lies in a tail of its prior: do prior and data agree?"

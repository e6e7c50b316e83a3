"""From a `Result` to the tree that ArviZ and netCDF know."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from bamopipe import posterior
from bamopipe.inference.follow import follow
from bamopipe.inference.keys import derived
from bamopipe.inference.mcmc import MCMCInference
from bamopipe.inference.result import Draws, Result
from bamopipe.inference.smc import SMCInference
from bamopipe.samplers import Kernel
from bamopipe.target import precision_context


def to_datatree(
    engine: SMCInference | MCMCInference,
    result: Result | Draws,
    seed: int,
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataTree:
    """Collect draws, predictions, pointwise likelihoods, statistics and data of one run.

    Parameters
    ----------
    engine
        That made the result.
    result
        From `engine.run(jax.random.key(seed))`.
    seed
        The number that the key came from; predictions are drawn from it too.
    attrs
        Provenance for the root of the tree.

    Examples
    --------
    >>> import blackjax, distrax as dx, jax
    >>> from bamopipe.base import Model
    >>> from bamopipe.inference import SMCInference
    >>> from bamopipe.inference.datatree import to_datatree
    >>> from bamopipe.samplers import mcmc_sampler
    >>> model = Model()
    >>> mu = model.add_node("mu", distribution=dx.Normal(loc=0.0, scale=1.0))
    >>> y = model.add_node(
    ...     "y", distribution=dx.Normal, parents=dict(loc=mu, scale=1.0), observations=[1.0, 2.0]
    ... )
    >>> kernel = mcmc_sampler(model, blackjax.normal_random_walk, dict(sigma=1.0))
    >>> engine = SMCInference(model, kernel, num_particles=100, num_mutations=5, num_chains=2)
    >>> tree = to_datatree(engine, engine.run(jax.random.key(3)), seed=3)
    >>> dict(tree["posterior_predictive"].sizes)
    {'chain': 2, 'draw': 100, 'y_dim_0': 2}
    """
    target, model = engine.target, engine.model
    of_seed = jax.random.key(seed)
    folder: Path | None = None
    if isinstance(result, Draws):
        folder, draws, statistics = result.folder, result.draws, _sample_stats(result)
        by_chain = _chains(engine.mcmc_kernel, result)
    else:
        assert isinstance(engine, SMCInference)
        final = result.final_state
        draws, by_chain = final.particles, _stages(engine, result)
        statistics = {
            "lp": final.log_prior + final.log_likelihood,
            "log_prior": final.log_prior,
        }
    # As in the run: with more threads the linear algebra library gives other bits.
    with precision_context(engine.precision), threadpool_limits(limits=1, user_api="blas"):
        key = derived(of_seed, "predict")
        after = follow(target, key, draws, folder and folder / "consequences")
        before = follow(target, derived(key, "prior"), result.prior)
        data = {
            name: np.asarray(model.nodes[name].value, value.dtype)
            for name, value in target.data.items()
        }
    groups = {
        "posterior": {**draws, **after.deterministics},
        "sample_stats": statistics,
        "prior": {**result.prior, **before.deterministics},
        "prior_predictive": before.predictions,
        "posterior_predictive": after.predictions,
        "log_likelihood": after.log_likelihood,
        "observed_data": {name: data[name] for name in target.observed},
        "constant_data": {n: v for n, v in data.items() if n not in target.observed},
    }
    dims = {name: node.dims for name, node in model.nodes.items()}
    dims["sample_stats/acceptance_rate"] = ("update",)
    coords = {
        **model.coords,
        "update": np.array([block.name for block in engine.mcmc_kernel.blocks]),
    }
    for name, node in model.nodes.items():
        if node.missing is not None:  # a vector of the observations that were seen
            seen = f"{name}_seen"
            dims[f"log_likelihood/{name}"] = (seen,)
            labels = (
                model.coords.get(node.dims[0]) if node.dims and node.missing.ndim == 1 else None
            )
            coords[seen] = (
                np.flatnonzero(~node.missing) if labels is None else labels[~node.missing]
            )
    return posterior.make(
        groups,
        ("mcmc" if isinstance(result, Draws) else "smc", by_chain),
        dims=dims,
        coords=coords,
        attrs={
            "name": model.name,
            "inference_library": "bamopipe",
            "graph": model.graph().to_json(),
            "updates": json.dumps(
                {", ".join(b.variables): str(b.update) for b in engine.mcmc_kernel.blocks}
            ),
            **(attrs or {}),
        },
        seed=seed,
    )


def _sample_stats(result: Draws) -> dict[str, np.ndarray]:
    """Put the acceptance rates of all updates into one array."""
    rates = result.statistics["acceptance_rate"]
    return {**result.statistics, "acceptance_rate": np.stack(list(rates.values()), axis=-1)}


def _chains(kernel: Kernel, result: Draws) -> xr.Dataset:
    """Say what there is to say of each chain as a whole."""
    steps = kernel.steps()
    num_chains = len(result.status)
    by_update = {
        what: np.tile([values.get(name, np.nan) for name in steps], (num_chains, 1))
        for what, values in (("scale", result.scale), ("path_length", result.path_length))
    }
    return xr.Dataset(
        {
            "status": ("chain", np.asarray(result.status, dtype=object)),
            **{what: (("chain", "update"), values) for what, values in by_update.items()},
            **{
                f"{what}_seconds": ("chain", np.full(num_chains, seconds))
                for what, seconds in result.timings.items()
            },
        },
        coords={"update": list(steps), "steps": ("update", list(steps.values()))},
    )


def _stages(engine: SMCInference, result: Result) -> xr.Dataset:
    """One row a temperature; chains that needed fewer end in NaN."""
    updates = [block.name for block in engine.mcmc_kernel.blocks]
    num_stages = [len(stages) for stages in result.stages]
    num_chains, longest = len(num_stages), max(1, *num_stages)
    rows = {
        name: np.full((num_chains, longest), np.nan)
        for name in ("temperature", "ess", "log_evidence_increment", "num_mutations")
    }
    acceptance = np.full((num_chains, longest, len(updates)), np.nan)
    scale = np.full_like(acceptance, np.nan)
    for chain, stages in enumerate(result.stages):
        for index, stage in enumerate(stages):
            for name, row in rows.items():
                row[chain, index] = getattr(stage, name)
            acceptance[chain, index] = [stage.acceptance_rate[u] for u in updates]
            scale[chain, index] = [stage.scale.get(u, np.nan) for u in updates]
    by_chain = {
        "log_evidence": result.log_evidence_chains,
        "log_evidence_se": result.log_evidence_se_chains,
        "num_stages": np.asarray(num_stages),
        "max_mutations": np.full(
            num_chains, np.nan if engine.num_mutations else float(engine.max_mutations)
        ),
        "status": np.asarray(result.status, dtype=object),
        **{
            f"{what}_seconds": np.full(num_chains, seconds)
            for what, seconds in result.timings.items()
        },
    }
    return xr.Dataset(
        {
            **{name: (("chain", "stage"), row) for name, row in rows.items()},
            "acceptance_rate": (("chain", "stage", "update"), acceptance),
            "scale": (("chain", "stage", "update"), scale),
            **{name: ("chain", values) for name, values in by_chain.items()},
        },
        coords={
            "stage": np.arange(1, longest + 1),
            "update": updates,
            "steps": ("update", list(engine.mcmc_kernel.steps().values())),
        },
    )

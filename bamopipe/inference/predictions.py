"""Predictions at new data, such as other covariates, from the draws of a posterior."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr
from jax import Array

from bamopipe import posterior
from bamopipe.base import Model
from bamopipe.distributions import adapter
from bamopipe.distributions.gaussian_process import GaussianProcess
from bamopipe.distributions.sparse_gaussian_process import SparseGaussianProcess
from bamopipe.errors import UserError
from bamopipe.inference.follow import over_draws
from bamopipe.inference.keys import derived, purpose
from bamopipe.target import Position, Target, compile_target, precision_context

PROCESSES = (GaussianProcess, SparseGaussianProcess)


def predict(
    tree: xr.DataTree,
    model: Model,
    data: Mapping[str, Any],
    coords: Mapping[str, Sequence] | None = None,
    seed: int = 0,
    precision: str = "float64",
) -> xr.DataTree:
    """Predict the observed variables at new data, once for each draw of a posterior.

    They are drawn given the latent variables; an observed Gaussian process, whose values depend on
    one another beyond these, is drawn given what was observed of it.

    Parameters
    ----------
    tree
        With a group ``posterior`` of draws from `model`.
    model
        The graph that was fitted.
    data
        Name of a constant -> its new value, of another length if need be. Arrays that a link
        function closes over stay as they are: make them nodes or parents.
    coords
        Labels for the named dimensions of `data`, whose old labels are dropped.
    seed
        For the draws.
    precision
        "float64" or "float32".

    Returns
    -------
    xarray.DataTree
        The tree with two more groups: ``predictions``, which has the observed and the deterministic
        variables, and ``predictions_constant_data``.

    Raises
    ------
    UserError
        A name is not that of data, or the new data change the shape of a latent variable.

    Examples
    --------
    >>> import blackjax, distrax as dx, jax
    >>> from bamopipe.base import Model
    >>> from bamopipe.inference import SMCInference
    >>> from bamopipe.inference.datatree import to_datatree
    >>> from bamopipe.inference.predictions import predict
    >>> from bamopipe.samplers import mcmc_sampler
    >>> model = Model()
    >>> b = model.add_node("b", distribution=dx.Normal(loc=0.0, scale=1.0))
    >>> y = model.add_node(
    ...     "y",
    ...     distribution=dx.Normal,
    ...     parents=dict(b=b, x=[1.0, 2.0]),
    ...     link_fn=lambda b, x: dict(loc=b * x, scale=0.1),
    ...     observations=[1.1, 1.9],
    ... )
    >>> kernel = mcmc_sampler(model, blackjax.normal_random_walk, dict(sigma=0.1))
    >>> engine = SMCInference(model, kernel, num_particles=100, num_mutations=20)
    >>> tree = to_datatree(engine, engine.run(jax.random.key(0)), seed=0)
    >>> tree = predict(tree, model, {"x_y": [10.0, 20.0, 30.0]})
    >>> tree["predictions"]["y"].shape
    (1, 100, 3)
    """
    new = model.with_data(data, coords)
    target = compile_target(new, precision)
    posterior_draws = tree.children["posterior"].dataset
    draws = {}
    for name in target.latent:
        if name not in posterior_draws:
            raise UserError(f"the posterior has no draws of latent variable {name!r}")
        draws[name] = posterior_draws[name].values
        if draws[name].shape[2:] != target.program.shapes[name]:
            raise UserError(
                f"with the new data, latent variable {name!r} would have shape "
                f"{target.program.shapes[name]}, but its draws have {draws[name].shape[2:]}; only "
                "what depends on the data alone may change its length"
            )
    of_seed = jax.random.key(seed)
    targets = compile_target(model, precision), target
    with precision_context(precision):
        key = derived(of_seed, "predictions")
        replicated = over_draws(_replicate, targets, key, draws)
    dims = {name: node.dims for name, node in new.nodes.items()}
    chain = tree["posterior"].coords["chain"].values
    groups = {
        "predictions": posterior.dataset(
            replicated, ("chain", "draw"), dims, new.coords
        ).assign_coords(chain=chain),
        "predictions_constant_data": posterior.dataset(
            {n: np.asarray(v) for n, v in target.data.items() if n not in target.observed},
            (),
            dims,
            new.coords,
        ),
    }
    added = {name: xr.DataTree(dataset) for name, dataset in groups.items() if dataset.variables}
    return tree.copy().assign(added)


def _replicate(targets: tuple[Target, Target], key: Array, position: Position) -> dict[str, Array]:
    old, new = targets
    drawn = new.replicate(key, position)
    for name in new.observed:
        here, there = (target.distribution(name, position) for target in (old, new))
        if isinstance(here, PROCESSES):
            _refuse_children(new, name)
            own_key = jax.random.fold_in(key, purpose(f"process {name}"))
            drawn[name] = adapter.sample(here.predict(old.data[name], there), own_key, ())
    return drawn


def _refuse_children(target: Target, name: str) -> None:
    for child, node in target.program.model.nodes.items():
        if name in node.parents.values():
            raise UserError(
                f"node {name!r} is an observed Gaussian process with a child, {child!r}; predict "
                f"{name!r} by `condition`, and {child!r} from it"
            )

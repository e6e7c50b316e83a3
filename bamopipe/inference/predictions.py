"""Predictions at new data, such as other covariates, from the draws of a posterior."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr

from bamopipe import posterior
from bamopipe.base import Model
from bamopipe.errors import UserError
from bamopipe.inference.follow import follow
from bamopipe.target import compile_target, precision_context


def predict(
    tree: xr.DataTree,
    model: Model,
    data: Mapping[str, Any],
    coords: Mapping[str, Sequence] | None = None,
    seed: int = 0,
    precision: str = "float64",
) -> xr.DataTree:
    """Predict the observed variables at new data, once for each draw of a posterior.

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
        Labels for named dimensions whose size changes.
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
    draws = {}
    for name in new.latent:
        values = tree.children["posterior"].dataset[name].values
        node = name if name in new.outlines else name.removesuffix("_missing")
        expected = model.outlines[node].shape
        if new.outlines[node].shape != expected:
            raise UserError(
                f"with the new data, latent variable {name!r} would have shape "
                f"{new.outlines[node].shape}, but its draws have {expected}; only what depends on "
                "the data alone may change its length"
            )
        draws[name] = values
    target = compile_target(new, precision)
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(b"predictions"))
    with precision_context(precision):
        found = follow(target, key, draws)
    dims = {name: node.dims for name, node in new.nodes.items()}
    chain = tree["posterior"].coords["chain"].values
    groups = {
        "predictions": posterior.dataset(
            {**found.predictions, **found.deterministics}, ("chain", "draw"), dims, new.coords
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

"""The likelihood of some observations, scaled up to all of them: for stochastic gradients."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bamopipe.base import Model
from bamopipe.errors import UserError, nearest
from bamopipe.target.compile import compile_target
from bamopipe.target.target import Position, Target, precision_context, sum_of


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Minibatch:
    """A model whose likelihood takes some rows of the data at a time; made by `minibatch`.

    Attributes
    ----------
    full
        All data.
    batch
        The same model, compiled for as many rows as a batch has.
    names
        The data that have a row for each observation.
    """

    full: Target
    batch: Target
    names: tuple[str, ...] = field(metadata={"static": True})

    def log_likelihood(self, position: Position, rows: Array) -> Array:
        """Estimate the log likelihood from some observations.

        Its mean over batches of rows drawn at random is the log likelihood of all observations
        (Welling and Teh 2011, ICML, equation 4). Observed variables that are not cut into rows
        count whole.

        Parameters
        ----------
        position
            Values of all latent variables.
        rows
            Which observations: as many whole numbers as the size of the batch.
        """
        size, total = rows.shape[0], self.full.data[self.names[0]].shape[0]
        if size != self.batch.data[self.names[0]].shape[0]:
            raise UserError(
                f"minibatch: got {size} rows; expected {self.batch.data[self.names[0]].shape[0]}"
            )

        def cut(values):
            return {n: v[rows] if n in self.names else v for n, v in values.items()}

        batch = dataclasses.replace(
            self.batch, data=cut(self.full.data), missing=cut(self.full.missing)
        )
        factors = batch.log_factors(position)
        scaled = {n: f * (total / size) if n in self.names else f for n, f in factors.items()}
        return sum_of(scaled, batch.observed)


def minibatch(
    model: Model, size: int, names: Sequence[str], precision: str = "float64"
) -> Minibatch:
    """Compile a model for batches of its observations.

    Parameters
    ----------
    model
        The graph. Arrays with a row for each observation must be nodes or parents (what a link
        function closes over stays whole), and rows must not see one another: with a link function
        that subtracts the mean of all rows, say, the estimate is biased.
    size
        Rows in a batch.
    names
        The constants and observed variables whose first dimension are the observations.
    precision
        "float64" or "float32".

    Raises
    ------
    UserError
        A name is not that of data, lengths differ, or the model does not work on fewer rows.

    Examples
    --------
    >>> import distrax as dx
    >>> import jax.numpy as jnp
    >>> from bamopipe.base import Model
    >>> from bamopipe.target import minibatch, precision_context
    >>> model = Model()
    >>> mu = model.add_node("mu", distribution=dx.Normal(0.0, 1.0))
    >>> y = model.add_node(
    ...     "y", distribution=dx.Normal, parents=dict(loc=mu, scale=1.0), observations=[1, 2, 4]
    ... )
    >>> with precision_context("float64"):
    ...     batches = minibatch(model, size=1, names=["y"])
    ...     each = [batches.log_likelihood({"mu": 0.5}, jnp.array([row])) for row in range(3)]
    ...     whole = batches.full.log_likelihood({"mu": 0.5})
    ...     print(f"{sum(each) / 3 - whole:.3f}")
    0.000
    """
    full = compile_target(model, precision)
    for name in names:
        if name not in full.data:
            raise UserError(
                f"minibatch: {name!r} is no data of the model{nearest(name, full.data)}"
            )
        if model.nodes[name].imputes:
            raise UserError(f"minibatch: {name!r} imputes its missing observations; drop them")
    lengths = {name: np.shape(full.data[name])[:1] for name in names}
    if len(set(lengths.values())) != 1 or () in lengths.values():
        raise UserError(
            f"minibatch: expected names of data with one number of rows each, got {lengths}"
        )
    (total,) = lengths[names[0]]
    if not 1 <= size <= total:
        raise UserError(f"minibatch: size is {size}; expected 1 to {total} rows")
    values = {name: np.asarray(model.nodes[name].value) for name in names}
    fewer = model.with_data({name: value[:size] for name, value in values.items()})
    for name in (*model.latent, *model.observed):
        node = name if name in model.nodes else name.removesuffix("_missing")
        if name not in names and fewer.outlines[node].shape != model.outlines[node].shape:
            raise UserError(
                f"minibatch: {name!r} has another shape with fewer rows; if it is data, name it "
                "too; a latent variable for each row cannot be cut"
            )
    with precision_context(precision):
        batch = compile_target(fewer, precision)
        missing = {n: jnp.asarray(mask) for n, mask in full.missing.items()}
    return Minibatch(full, dataclasses.replace(batch, missing=missing), tuple(names))

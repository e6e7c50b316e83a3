"""What each factor of a model says of one position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jax import Array

from bamopipe.distributions.support import support
from bamopipe.node import family, make_distribution

if TYPE_CHECKING:
    from bamopipe.target.target import Target


@dataclass(frozen=True)
class Row:
    """One factor at a position.

    Attributes
    ----------
    name
        Of the variable.
    kind
        "prior" or "likelihood".
    log_density
        Summed over all draws of the variable.
    remark
        Whether all draws are inside the support, or the first that is not.
    """

    name: str
    kind: str
    log_density: float
    remark: str


@dataclass(frozen=True)
class Explanation:
    """What `Target.explain` found: one row a factor; prints as a table."""

    rows: tuple[Row, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """One sentence for each factor that is not finite."""
        return tuple(
            f"{row.name}: {row.remark}" for row in self.rows if not np.isfinite(row.log_density)
        )

    def __str__(self) -> str:
        width = max(len("variable"), *(len(row.name) for row in self.rows))
        lines = [f"{'variable':{width}}  {'factor':10}  {'log density':>12}"]
        lines += [
            f"{row.name:{width}}  {row.kind:10}  {row.log_density:12.6g}  {row.remark}"
            for row in self.rows
        ]
        total = sum(row.log_density for row in self.rows)
        return "\n".join([*lines, f"{'sum':{width}}  {'':10}  {total:12.6g}"])


def explain(target: Target, position: dict[str, Array]) -> Explanation:
    """Evaluate every factor at a position and find the first fault of each."""
    values = target.values(position)
    factors = target.log_factors(position)
    faults = {n: _fault(target, n, values) for n, f in factors.items() if not np.isfinite(f)}
    outside = {name for name, (_, is_outside) in faults.items() if is_outside}
    rows = []
    for name, factor in factors.items():
        remark = "inside the support"
        if name in faults:
            remark = faults[name][0]
            causes = sorted(outside & target.program.upstream[name])
            if causes and name not in outside:
                remark = f"follows from {', '.join(causes)}"
        kind = "prior" if name in target.latent else "likelihood"
        rows.append(Row(name, kind, float(factor), remark))
    return Explanation(tuple(rows))


def _fault(target: Target, factor: str, values: Mapping) -> tuple[str, bool]:
    """Say where a factor that is not finite goes wrong, and whether outside the support."""
    model = target.program.model
    node = model.nodes[target.program.node_of[factor]]
    distribution = make_distribution(
        node, target.arguments(node.name, values), jnp.dtype(target.program.precision)
    )
    densities = np.asarray(target.pointwise(factor, values))
    event_ndims = len(distribution.event_shape)
    inside = support(distribution).holds(jnp.asarray(values[node.name]), event_ndims)
    possible = np.broadcast_to(inside, densities.shape)
    # NaN first: it is a fault of the model, whereas a value outside may be one of the point only.
    at, what = "", "is not finite as a sum"
    for fault, wrong in (
        ("has a log density that is not a number", np.isnan(densities) & possible),
        ("has an infinite density", (densities == np.inf) & possible),
        (f"is outside the support of {family(node.distribution)}", ~possible & (densities != 0)),
        ("has density 0", densities == -np.inf),
    ):
        if wrong.any():
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            at, what = f"at index {index} " if index else "", fault
            break
    value = np.asarray(values[node.name])[index] if at else np.asarray(values[node.name])
    return f"{_short(value)} {at}{what}{_given(node, values)}", "outside" in what


def _given(node, values: Mapping) -> str:
    """List the parents that are single numbers."""
    numbers = [
        f"{argument}={_short(np.asarray(values[parent]))}"
        for argument, parent in node.parents.items()
        if np.ndim(values[parent]) == 0
    ]
    return f", with {', '.join(numbers)}" if numbers else ""


def _short(value: np.ndarray) -> str:
    return np.array2string(value, precision=5, threshold=6)

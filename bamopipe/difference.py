"""How two posteriors differ: in what was asked for, in where they were made, and in numbers.

Two runs of one fit on one machine have the same bytes. On another machine, or with other versions,
rounding differs, and soon every random move with it; then they can only agree as two independent
runs do, within their Monte Carlo errors.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from bamopipe.diagnostics import convergence
from bamopipe.posterior import by_chain, is_mcmc
from bamopipe.record import FILES, Record

LEVEL = 1e-3
"""How often two runs of one fit are called different: once in a thousand pairs."""


EVIDENCE = "log evidence"


class Row(NamedTuple):
    """One thing that differs, and what it is on either side."""

    what: str
    first: str
    second: str


def settings(first: Record, second: Record) -> list[Row]:
    """Compare the configs, setting by setting, and the seeds.

    Examples
    --------
    >>> from bamopipe.difference import flat
    >>> flat({"model": {"mu": "Normal(0, 1)"}, "order": [1, 2]})
    {'model.mu': '"Normal(0, 1)"', 'order': '[1, 2]'}
    """
    ours, theirs = ({**flat(r.config), "seeds": json.dumps(r.seeds)} for r in (first, second))
    return _rows(ours, theirs, without=("trusted",))


def data(first: Record, second: Record) -> list[Row]:
    """Compare the content of the data files."""
    ours, theirs = ({k: v[:12] for k, v in r.data_sha256.items()} for r in (first, second))
    return _rows(ours, theirs)


def environment(first: Record, second: Record) -> list[Row]:
    """Compare versions, machines and commits."""
    return _rows(first.environment, second.environment)


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Write nested settings in one level: dotted name -> value as JSON."""
    found: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = json.dumps(value, ensure_ascii=False)
    return found


def _rows(ours: Mapping[str, str], theirs: Mapping[str, str], without=()) -> list[Row]:
    names = [n for n in {**ours, **theirs} if n not in without and ours.get(n) != theirs.get(n)]
    return [Row(name, ours.get(name) or "–", theirs.get(name) or "–") for name in names]


def arrays(first: xr.DataTree, second: xr.DataTree) -> list[str]:
    """Name the arrays of `first` whose bytes are others in `second`; the data files apart.

    How many seconds something took is no result, and not compared.
    """
    found = []
    for group, node in first.children.items():
        other = second.children[group].dataset if group in second.children else xr.Dataset()
        for name, array in node.dataset.variables.items() if group != FILES else ():
            twin = other.variables.get(name)
            if not str(name).endswith("_seconds") and (twin is None or not _same(array, twin)):
                found.append(f"{group}/{name}")
    return found


def _same(first: xr.Variable, second: xr.Variable) -> bool:
    a, b = first.values, second.values
    if first.dims != second.dims or a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype == object:
        return bool(np.all(a == b))
    return a.tobytes() == b.tobytes()


class Verdict(NamedTuple):
    """What becomes of a comparison of numbers.

    Attributes
    ----------
    agree : bool
        Whether they are identical, or equal within Monte Carlo error.
    sentence : str
        Which of the two, or what is different.
    numbers : Numbers or None
        The comparison; None for identical ones.
    """

    agree: bool
    sentence: str
    numbers: "Numbers | None"


def verdict(first: xr.DataTree, second: xr.DataTree) -> Verdict:
    """Say whether all that `first` has is the same in `second`, or equal within its errors."""
    changed = arrays(first, second)
    if not changed:
        return Verdict(True, "identical: all arrays have the same bytes", None)
    found = numbers(first, second)
    states = [str(tree.attrs.get("status", "ok")) for tree in (first, second)]
    if found.lacking:
        names = ", ".join(found.lacking[:3]) + (", ..." if len(found.lacking) > 3 else "")
        return Verdict(False, f"different: only one of the two has {names}", found)
    if states[0] != states[1]:
        ends = f"one ended with {states[0]!r}, one with {states[1]!r}"
        return Verdict(False, f"different: {ends}", found)
    if not found.compared:
        return Verdict(
            False, "different, and not comparable: one chain has no Monte Carlo error", found
        )
    which, what, z = found.largest
    name = which if which == EVIDENCE else f"{what} of {which}"
    largest = (
        f"the largest of {found.compared} differences is {abs(z):.1f} standard errors ({name})"
    )
    if found.agree:
        return Verdict(True, f"equal within Monte Carlo error: {largest}", found)
    return Verdict(False, f"different: {largest} (p = {found.smallest_p:.0e})", found)


class Numbers(NamedTuple):
    """The comparison of estimates.

    Attributes
    ----------
    table : pandas.DataFrame
        A row a scalar, and one for the log evidence where both have it. Columns: for each
        ``what`` of ``mean`` and ``sd`` (the log evidence has no sd) ``what_1`` and ``what_2``, the
        estimates; ``what_z``, their difference in standard errors; ``what_p``, how often two runs
        of one fit differ by more. What has no standard error has no ``what_p``.
    lacking : list of str
        Scalars that only one of the two has.
    """

    table: pd.DataFrame
    lacking: list[str]

    @property
    def compared(self) -> int:
        """How many differences have been compared with their standard errors."""
        return int(self.table[["mean_p", "sd_p"]].notna().values.sum())

    @property
    def smallest_p(self) -> float:
        """How often the largest of so many differences is larger, at most; 1 if there is none."""
        if not self.compared:
            return 1.0
        return min(1.0, self.compared * float(np.nanmin(self.table[["mean_p", "sd_p"]].values)))

    @property
    def largest(self) -> tuple[str, str, float]:
        """The most surprising difference: of which scalar, mean or sd, in standard errors."""
        chances = self.table[["mean_p", "sd_p"]].fillna(np.inf).values
        row, column = np.unravel_index(chances.argmin(), chances.shape)
        what = ("mean", "sd")[column]
        return str(self.table.index[row]), what, float(self.table[f"{what}_z"].iloc[row])

    @property
    def agree(self) -> bool:
        """Whether all differences are such as two runs of one fit have."""
        return not self.lacking and self.compared > 0 and self.smallest_p >= LEVEL


def numbers(first: xr.DataTree, second: xr.DataTree) -> Numbers:
    """Compare means, standard deviations and log evidence with their Monte Carlo errors.

    A difference ``z`` in standard errors has Student's distribution under the hypothesis that both
    are runs of one fit, with the degrees of freedom of Welch (1947, Biometrika 34, 28-35), because
    the errors of sequential Monte Carlo come from few chains. Of Markov chains they come from many
    draws; there it is normal. With ``K`` comparisons the smallest probability, times ``K``
    (Bonferroni), is held against `LEVEL`: so two runs that differ in nothing are called different
    at most once in a thousand pairs, however many scalars a model has and however they depend on
    each other. Runs that share their seeds are closer than independent ones, never farther apart.
    """
    ours, theirs = convergence(first), convergence(second)
    common = ours.index.intersection(theirs.index)
    lacking = [*map(str, ours.index.symmetric_difference(theirs.index))]
    ours, theirs = (t[~t.index.duplicated()].loc[common] for t in (ours, theirs))
    freedom = [_freedom(tree) for tree in (first, second)]
    columns: dict[str, Any] = {}
    for what in ("mean", "sd"):
        values = [table[what].values for table in (ours, theirs)]
        errors = [table[f"mcse_{what}"].values for table in (ours, theirs)]
        columns |= _compare(what, values, errors, freedom)
    table = pd.DataFrame(columns, index=common)
    if not (is_mcmc(first) or is_mcmc(second)):
        values = [np.array([tree.attrs["log_evidence"]], float) for tree in (first, second)]
        errors = [np.array([tree.attrs["log_evidence_se"]], float) for tree in (first, second)]
        evidence = _compare("mean", values, errors, freedom)
        table = pd.concat([table, pd.DataFrame(evidence, index=[EVIDENCE])])
    return Numbers(table, lacking)


def _freedom(tree: xr.DataTree) -> float:
    return np.inf if is_mcmc(tree) else by_chain(tree).sizes["chain"] - 1.0


def _compare(what: str, values: list, errors: list, freedom: list[float]) -> dict[str, Any]:
    """Compare estimates; constants have no error, and agree up to rounding or not at all."""
    squares = [np.asarray(error, float) ** 2 for error in errors]
    total = sum(squares)
    equal = np.isclose(values[0], values[1], equal_nan=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(equal & (total == 0), 0.0, (values[1] - values[0]) / np.sqrt(total))
        z = np.where(np.isfinite(values[0]) != np.isfinite(values[1]), np.inf, z)
        welch = total**2 / sum(s**2 / max(f, 1) for s, f in zip(squares, freedom, strict=True))
    welch = np.where(np.isfinite(welch), welch, np.inf)
    return {
        f"{what}_1": values[0],
        f"{what}_2": values[1],
        f"{what}_z": z,
        f"{what}_p": 2 * stats.t.sf(np.abs(z), welch),
    }

"""What an experiment has left, for a notebook: posteriors as xarray, tables as pandas."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import xarray as xr

from bamopipe import index
from bamopipe.errors import UserError, nearest
from bamopipe.index import RESULTS
from bamopipe.posterior import read


@dataclass(frozen=True)
class Results:
    """An experiment's results; everything is read when it is first asked for.

    Attributes
    ----------
    home : pathlib.Path
        The experiment's folder.
    """

    home: Path

    @cached_property
    def index(self) -> pd.DataFrame:
        """The runs, by name: arm, fit, seeds, and a column for each swept setting."""
        return pd.read_csv(
            self.home / "index.csv", index_col="run", dtype={"fit_id": str, "seeds": str}
        )

    @cached_property
    def evidence(self) -> pd.DataFrame:
        """The comparison of the runs: log evidence, Bayes factors, probabilities of models."""
        return self._table("evidence.csv").set_index("run").join(self._swept)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Mean, interval, Monte Carlo error, ESS and R-hat of each scalar of each run."""
        table = self._table("summary.csv").set_index(["run", "variable"])
        return table.join(self._swept, on="run")

    @cached_property
    def checks(self) -> pd.DataFrame:
        """The checks of convergence of each run: value, threshold, whether it passed."""
        parts = []
        for name in self.posterior:
            found = json.loads((self.home / name / "diagnostics.json").read_text())
            parts.append(pd.DataFrame(found["checks"]).rename(columns={"name": "check"}))
        table = pd.concat(parts, keys=list(self.posterior), names=["run", None])
        return table.reset_index(level=1, drop=True).set_index("check", append=True)

    @cached_property
    def posterior(self) -> "Posteriors":
        """The posterior of each run that has one, by name: `xarray.DataTree`, as ArviZ has it."""
        names = [name for name in self.index.index if (self.home / name / "posterior.nc").is_file()]
        return Posteriors(self.home, names)

    def tidy(self, variables: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """Write the draws in rows, a table for each variable of each run.

        Parameters
        ----------
        variables : sequence of str, optional
            Their names; all of them by default.

        Yields
        ------
        pandas.DataFrame
            Columns ``run``, ``arm``, one for each swept setting, ``seed``, ``chain`` (numbered
            over all seeds of a run), ``draw``, ``variable``, ``index`` (labels of an element,
            joined by commas; empty for a scalar) and ``value``.
        """
        for run, tree in self.posterior.items():
            draws = tree["posterior"].to_dataset()
            for name in variables or map(str, draws.data_vars):
                if name not in draws:
                    known = map(str, draws.data_vars)
                    raise UserError(f"{run} has no variable {name!r}{nearest(name, known)}")
                table = _rows(draws[name])
                for place, column in enumerate(("arm", *self._swept)):
                    table.insert(place, column, self.index.loc[run, column])
                table.insert(0, "run", run)
                yield table

    @property
    def _swept(self) -> pd.DataFrame:
        return self.index.drop(columns=[c for c in index.COLUMNS if c in self.index])

    def _table(self, name: str) -> pd.DataFrame:
        path = self.home / name
        if not path.is_file():
            raise UserError(f"there is no {path}; `bamopipe status {self.home}` says what is made")
        return pd.read_csv(path)

    def __repr__(self) -> str:
        made = f"{len(self.posterior)} of {len(self.index)} runs made"
        return f"Results of {self.home}: {made}\n{self.index.to_string()}"


class Posteriors(Mapping[str, xr.DataTree]):
    """Posteriors by the name of their run, each read from its file when it is asked for.

    Nothing is kept here, so that a loop over hundreds of runs needs the memory of one. One that is
    larger than the memory can be opened by ``xarray.open_datatree(results.home / name /
    "posterior.nc")``.

    Parameters
    ----------
    home : pathlib.Path
        The experiment's folder.
    names : sequence of str
        The runs.
    """

    def __init__(self, home: Path, names: Sequence[str]):
        self._home, self._names = home, names

    def __getitem__(self, name: str) -> xr.DataTree:
        if name not in self._names:
            raise KeyError(f"{self._home} has no posterior of {name!r}{nearest(name, self._names)}")
        return read(self._home / name / "posterior.nc")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"Posteriors of {', '.join(self._names)}"


def load(experiment: str | os.PathLike) -> Results:
    """Read what an experiment has left in ``results/``.

    Parameters
    ----------
    experiment : str or path-like
        Its folder, or its name.

    Returns
    -------
    Results
        With the tables ``index``, ``summary``, ``evidence`` and ``checks`` (pandas), and in
        ``posterior`` a tree for each run (xarray), for ArviZ.

    Raises
    ------
    UserError
        When there is no such experiment on disk.

    Examples
    --------
    In the folder of the project, once the experiment has been run::

        import arviz, bamopipe

        results = bamopipe.load("results/eight_schools")
        results.evidence[["log_evidence", "log_evidence_se"]]
        arviz.plot_forest(results.posterior["gibbs-e875fffd"], var_names=["theta"])
    """
    home = Path(experiment)
    if not (home / "index.csv").is_file() and (RESULTS / home / "index.csv").is_file():
        home = RESULTS / home
    if not (home / "index.csv").is_file():
        known = [found.name for found in index.homes()]
        if not known:
            raise UserError(f"there are no results in {RESULTS}/; run `bamopipe run` first")
        raise UserError(f"{home} holds no experiment{nearest(home.name, known)}")
    return Results(home)


def _rows(draws: xr.DataArray) -> pd.DataFrame:
    """Put each draw of each element into a row."""
    own = [str(dim) for dim in draws.dims if dim not in ("chain", "draw")]
    ordered = draws.transpose("chain", "draw", *own)
    table = ordered.drop_vars("seed").to_series().rename("value").reset_index()
    labels = table[own].astype(str).agg(",".join, axis=1) if own else ""
    seed = draws["seed"].to_series()
    return pd.DataFrame(
        {
            "seed": table["chain"].map(seed),
            "chain": table["chain"],
            "draw": table["draw"],
            "variable": draws.name,
            "index": labels,
            "value": table["value"],
        }
    )

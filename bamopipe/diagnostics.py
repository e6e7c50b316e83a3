"""What the draws say, how precisely, and whether to believe them.

Each chain of sequential Monte Carlo is an independent run, and its particles are equally weighted
draws without any order, so autocorrelation along ``draw`` means nothing: Monte Carlo errors come
from how much the chains differ. The draws of Markov chain Monte Carlo follow each other; there the
estimates are ArviZ's.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from bamopipe.posterior import by_chain, is_mcmc

R_HAT_BELOW = 1.01
ESS_ABOVE = 400
LOG_EVIDENCE_SE_BELOW = 0.1
CHAINS_AT_LEAST = 8
STUCK_BELOW = 0.001
DIVERGING_BELOW = 0.005
BFMI_ABOVE = 0.3
ACCEPTANCE_WITHIN = (0.05, 0.9)


class Check(NamedTuple):
    """One question about a run, and its answer.

    Attributes
    ----------
    name : str
        What is checked.
    value : float
        What was found; NaN where it could not be computed.
    threshold : float or tuple of float
        What `value` is held against; a pair is an allowed range.
    ok : bool
        Whether the check passed.
    required : bool
        Whether the run counts as converged only if this passes; otherwise it is advice.
    message : str
        The answer as a sentence for people.
    """

    name: str
    value: float
    threshold: float | tuple[float, float]
    ok: bool
    required: bool
    message: str


def convergence(tree: xr.DataTree) -> pd.DataFrame:
    """Compute the mean and standard deviation of each scalar and how well the chains agree.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior, with dimensions ``chain`` and ``draw``.

    Returns
    -------
    pandas.DataFrame
        One row a scalar, labelled as ArviZ does, such as ``theta[Choate]``. Columns:

        - ``mean``, ``sd``: over all draws;
        - ``mcse_mean``, ``mcse_sd``: standard errors of these, from the spread of the chains'
          own means and standard deviations over the square root of the number of chains;
        - ``ess``: how many independent draws would give the same ``mcse_mean``, at most the
          number of draws;
        - ``r_hat``: the classic ratio of the pooled to the within-chain standard deviation
          (Gelman and Rubin 1992), without splitting chains, whose draws have no order.

        With one chain the last four are NaN. A constant has no ``r_hat`` (NaN), and one that
        differs between chains has an infinite one.

        For Markov chain Monte Carlo these four come from autocorrelation and split chains (Vehtari
        et al. 2021); ``ess`` is the smaller of the bulk's and the tails'.
    """
    estimate = _of_sequences if is_mcmc(tree) else _convergence
    return pd.concat([estimate(draws) for draws in tree.children["posterior"].data_vars.values()])


def _of_sequences(draws: xr.DataArray) -> pd.DataFrame:
    from arviz_stats.base import array_stats

    values = _matrix(draws)
    pooled = values.reshape(-1, values.shape[2])
    varies = np.ptp(pooled, axis=0) > 0
    found = {
        "mean": pooled.mean(axis=0),
        "sd": np.where(varies, pooled.std(axis=0, ddof=1), 0.0),
        "mcse_mean": np.zeros(varies.size),
        "mcse_sd": np.zeros(varies.size),
        "ess": np.full(varies.size, float(len(pooled))),
        "r_hat": np.full(varies.size, np.nan),
    }
    if varies.any():
        usual: dict[str, Any] = {"ary": values[:, :, varies], "chain_axis": 0, "draw_axis": 1}
        found["mcse_mean"][varies] = array_stats.mcse(**usual, method="mean")
        found["mcse_sd"][varies] = array_stats.mcse(**usual, method="sd")
        bulk = array_stats.ess(**usual, method="bulk")
        tail = array_stats.ess(**usual, method="tail", prob=(0.05, 0.95))
        found["ess"][varies] = np.minimum(bulk, tail)
        found["r_hat"][varies] = array_stats.rhat(**usual)
    return pd.DataFrame(found, index=labels(draws))


def _convergence(draws: xr.DataArray) -> pd.DataFrame:
    values = _matrix(draws)
    chains, count, _ = values.shape
    means, sds = values.mean(axis=1), values.std(axis=1, ddof=1)
    pooled = values.reshape(chains * count, -1)
    # A constant is recognised by its range: rounding gives its standard deviation a tiny value.
    sds = np.where(np.ptp(values, axis=1) == 0, 0.0, sds)
    sd = np.where(np.ptp(pooled, axis=0) == 0, 0.0, pooled.std(axis=0, ddof=1))
    nothing = np.full(values.shape[2], np.nan)
    mcse_mean = mcse_sd = ess = r_hat = nothing
    if chains > 1:
        mcse_mean = np.where(sd == 0, 0.0, means.std(axis=0, ddof=1) / np.sqrt(chains))
        mcse_sd = sds.std(axis=0, ddof=1) / np.sqrt(chains)
        with np.errstate(divide="ignore", invalid="ignore"):
            ess = np.where(mcse_mean == 0, np.inf, (sd / mcse_mean) ** 2)
            between = chains * mcse_mean**2 / (sds**2).mean(axis=0)
            r_hat = np.sqrt((count - 1) / count + between)
        ess = np.minimum(ess, chains * count)
    return pd.DataFrame(
        {
            "mean": pooled.mean(axis=0),
            "sd": sd,
            "mcse_mean": mcse_mean,
            "mcse_sd": mcse_sd,
            "ess": ess,
            "r_hat": r_hat,
        },
        index=labels(draws),
    )


def summary(tree: xr.DataTree) -> pd.DataFrame:
    """Summarise each scalar of the posterior; the table behind ``summary.csv``.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior, with dimensions ``chain`` and ``draw``.

    Returns
    -------
    pandas.DataFrame
        `convergence` with the equal-tailed 89% interval, ``eti89_lb`` to ``eti89_ub``.
    """
    from arviz_stats.base import array_stats

    table = convergence(tree)
    intervals = [
        array_stats.eti(_matrix(draws), prob=0.89, axis=(0, 1))
        for draws in tree.children["posterior"].data_vars.values()
    ]
    lower, upper = np.concatenate(intervals).T
    table.insert(2, "eti89_lb", lower)
    table.insert(3, "eti89_ub", upper)
    return table.rename_axis("variable")


def labels(draws: xr.DataArray, labeller: Any = None) -> list[str]:
    """Name each scalar of a variable, in the order of its flattened elements.

    Parameters
    ----------
    draws : xarray.DataArray
        A variable with dimensions ``chain`` and ``draw``.
    labeller : arviz_base.labels.Labeller, optional
        How to write a name; ArviZ's own way without it.

    Returns
    -------
    list of str
        Such as ``["theta[Choate]", "theta[Deerfield]"]``.
    """
    from arviz_base import xarray_sel_iter
    from arviz_base.labels import BaseLabeller

    labeller = labeller or BaseLabeller()
    selections = xarray_sel_iter(draws, skip_dims={"chain", "draw"})
    return [labeller.make_label_flat(*selection) for selection in selections]


def checks(tree: xr.DataTree) -> list[Check]:
    """Ask everything that decides whether a run can be believed.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior as ``diagnose`` writes it.

    Returns
    -------
    list of Check
        The required checks first, then advice.
    """
    table, chains = convergence(tree), by_chain(tree)
    if is_mcmc(tree):
        longer = "run longer chains (num_samples), or a longer warm-up"
        return [
            _status(chains),
            _finite(tree),
            _r_hat(table, 2, longer),
            _ess(table, 2, longer),
            *_energies(tree.children["sample_stats"].dataset),
            *_acceptance(_mean_acceptance(tree), chains),
        ]
    more, count = "use more particles or more mutations", chains.sizes["chain"]
    return [
        _status(chains),
        _temperature(chains),
        _finite(tree),
        _r_hat(table, count, more),
        _ess(table, count, more),
        _evidence(tree.attrs["log_evidence_se"]),
        _chains(count),
        *_mutations(chains),
        *_acceptance(_last_acceptance(chains), chains),
    ]


def problems(tree: xr.DataTree) -> list[str]:
    """List why a run does not count as converged; empty if it does."""
    return [check.message for check in checks(tree) if check.required and not check.ok]


def diagnose(tree: xr.DataTree) -> dict[str, Any]:
    """Gather the checks and the cost of a run; the content of ``diagnostics.json``.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior as ``diagnose`` writes it.

    Returns
    -------
    dict
        ``converged`` (all required checks passed), ``checks``, ``log_evidence``,
        ``log_evidence_se``, ``num_chains`` and ``seconds``. Numbers that are not finite are None,
        for JSON has no name for them.
    """
    found = checks(tree)
    return {
        "converged": all(check.ok for check in found if check.required),
        "checks": [{**check._asdict(), "value": _json_number(check.value)} for check in found],
        "log_evidence": _json_number(tree.attrs["log_evidence"]),
        "log_evidence_se": _json_number(tree.attrs["log_evidence_se"]),
        "num_chains": tree.children["posterior"].sizes["chain"],
        "seconds": {
            "compile": _json_number(tree.attrs["compile_seconds"]),
            "sample": _json_number(tree.attrs["sample_seconds"]),
        },
    }


def _status(smc: xr.Dataset) -> Check:
    failed = smc["status"].isel(chain=(smc["status"] != "ok").values)
    message = "Every chain finished."
    if failed.size:
        first = failed.isel(chain=0)
        where = f"chain {first['chain'].item()} (seed {first['seed'].item()})"
        message = f"{_count(failed.size, 'chain')} did not finish; {where}: {first.item()}"
    return Check("status", failed.size, 0, failed.size == 0, True, message)


def _temperature(smc: xr.Dataset) -> Check:
    # Chains with fewer stages are padded with NaN, so the last temperature is the largest.
    last = smc["temperature"].fillna(0).max("stage")
    short = int((last < 1).sum())
    message = "Every chain reached temperature 1."
    if short:
        message = (
            f"{_count(short, 'chain')} stopped at temperature {last.min().item():.3g}, before the "
            "posterior at 1; allow more temperatures or more mutations."
        )
    return Check("final_temperature", last.min().item(), 1.0, short == 0, True, message)


def _finite(tree: xr.DataTree) -> Check:
    bad = {
        name: int((~np.isfinite(_matrix(draws))).sum())
        for name, draws in tree.children["posterior"].data_vars.items()
    }
    count = sum(bad.values())
    names = ", ".join(str(name) for name, number in bad.items() if number)
    message = "All draws are finite."
    if count:
        message = f"{_count(count, 'draw')} of {names} {'is' if count == 1 else 'are'} not finite."
    return Check("finite_draws", count, 0, count == 0, True, message)


def _r_hat(table: pd.DataFrame, chains: int, advice: str) -> Check:
    if chains < 2:
        message = (
            "With one chain neither convergence nor the Monte Carlo error can be judged; run at "
            "least 2 chains."
        )
        return Check("r_hat", np.nan, R_HAT_BELOW, False, True, message)
    worst, value = _extreme(table["r_hat"], "max")
    ok = not value >= R_HAT_BELOW  # NaN where every scalar is a constant: nothing disagrees
    message = f"The chains agree (largest R-hat {value:.3f}, {worst})."
    if not ok:
        message = (
            f"The chains disagree about {worst}: R-hat {value:.3f}, not below {R_HAT_BELOW}; "
            f"{advice}."
        )
    return Check("r_hat", value, R_HAT_BELOW, ok, True, message)


def _ess(table: pd.DataFrame, chains: int, advice: str) -> Check:
    worst, value = _extreme(table["ess"], "min")
    ok = value >= ESS_ABOVE
    message = f"The effective number of draws is at least {value:.0f} ({worst})."
    if chains < 2:
        message = "The effective number of draws needs at least 2 chains."
    elif not ok:
        message = (
            f"Only {value:.0f} effective draws of {worst} (wanted: {ESS_ABOVE}), so its mean is "
            f"imprecise; {advice}."
        )
    return Check("ess", value, ESS_ABOVE, ok, False, message)


def _evidence(error: float) -> Check:
    ok = error < LOG_EVIDENCE_SE_BELOW
    message = f"The log evidence has a standard error of {error:.3f}."
    if not ok:
        message = (
            f"The log evidence is imprecise: standard error {error:.3f}, not below "
            f"{LOG_EVIDENCE_SE_BELOW}; use more particles or chains."
        )
    return Check("log_evidence_se", error, LOG_EVIDENCE_SE_BELOW, ok, False, message)


def _chains(chains: int) -> Check:
    ok = chains >= CHAINS_AT_LEAST
    message = f"{_count(chains, 'chain')} to take standard errors from."
    if not ok:
        message = (
            f"Standard errors from {_count(chains, 'chain')} are rough; {CHAINS_AT_LEAST} or more "
            "make them dependable."
        )
    return Check("num_chains", chains, CHAINS_AT_LEAST, ok, False, message)


def _mutations(smc: xr.Dataset) -> list[Check]:
    """Ask whether moves until the particles have forgotten their start ended before that."""
    most = smc["max_mutations"].dropna("chain")
    if not most.size:
        return []
    last = _last(smc["num_mutations"], smc).max().item()
    limit = most.max().item()
    ok = not last >= limit
    message = f"The particles forgot where they started in at most {last:.0f} mutations."
    if not ok:
        message = (
            f"At the last temperature the particles still knew after {limit:.0f} mutations where "
            "they had started; raise inference.max_mutations, or take another kernel."
        )
    return [Check("num_mutations", last, limit, ok, False, message)]


def _energies(statistics: xr.Dataset) -> list[Check]:
    """Ask what gradient kernels tell of paths that went astray, and of how energy moves."""
    found = []
    if "diverging" in statistics:
        count, share = int(statistics["diverging"].sum()), float(statistics["diverging"].mean())
        ok = share <= DIVERGING_BELOW
        message = f"{_count(count, 'draw')} came after a path that diverged ({share:.2%})."
        if not ok:
            message += " Part of the posterior is too narrow for the steps; see the pairs plot."
        found.append(Check("diverging", share, DIVERGING_BELOW, ok, True, message))
    if "energy" in statistics:
        from arviz_stats.base import array_stats

        energy = statistics["energy"].transpose("chain", "draw").values
        value = float(np.min(array_stats.bfmi(energy, chain_axis=0, draw_axis=1)))
        ok = value >= BFMI_ABOVE
        message = f"The energy moves freely (E-BFMI {value:.2f})."
        if not ok:
            message = (
                f"The energy moves slowly (E-BFMI {value:.2f}, wanted: {BFMI_ABOVE}): the tails "
                "may not have been reached; another parameterisation may help."
            )
        found.append(Check("bfmi", value, BFMI_ABOVE, ok, False, message))
    return found


def _mean_acceptance(tree: xr.DataTree) -> xr.DataArray:
    return tree.children["sample_stats"].dataset["acceptance_rate"].mean(["chain", "draw"])


def _last_acceptance(smc: xr.Dataset) -> xr.DataArray:
    # A chain that failed before its first move accepted nothing.
    return _last(smc["acceptance_rate"], smc).fillna(0).mean("chain")


def _acceptance(rates: xr.DataArray, chains: xr.Dataset) -> list[Check]:
    low, high = ACCEPTANCE_WITHIN
    found = []
    for value, update, steps in zip(
        rates.values.tolist(), rates["update"].values, chains["steps"].values, strict=True
    ):
        ok, advice = low <= value <= high, ""
        if steps != "given":
            ok = value >= low
            advice = "" if ok else "; another kernel may fit this posterior better"
        elif not ok:
            advice = f"; take {'shorter' if value < low else 'longer'} steps"
        message = f"{value:.1%} of the last proposals for {update} were accepted{advice}."
        # What hardly ever moves has not been sampled, whatever the chains agree on.
        stuck = value < STUCK_BELOW
        found.append(Check(f"acceptance_{update}", value, ACCEPTANCE_WITHIN, ok, stuck, message))
    return found


def _last(statistic: xr.DataArray, smc: xr.Dataset) -> xr.DataArray:
    """Select what is said of each chain's last stage."""
    return statistic.isel(stage=smc["num_stages"].astype(int) - 1)


def _matrix(draws: xr.DataArray) -> np.ndarray:
    """Draws as floats of shape (chain, draw, element)."""
    values = draws.transpose("chain", "draw", ...).values.astype(float)
    return values.reshape(*values.shape[:2], -1)


def _extreme(column: pd.Series, which: str) -> tuple[str, float]:
    """Give the label and value of the largest or smallest number that is not NaN."""
    numbers = column.dropna()
    if numbers.empty:
        return "no variable", np.nan
    label = numbers.idxmax() if which == "max" else numbers.idxmin()
    return str(label), float(numbers[label])


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _json_number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

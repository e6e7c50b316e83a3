"""The fit stage: one frozen config and some seeds to one netCDF file."""

import contextlib
import gc
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from bamopipe import datafiles, devices, source
from bamopipe.config import read_frozen
from bamopipe.distributions import text
from bamopipe.errors import UserError
from bamopipe.exclusive import exclusive
from bamopipe.garbage import uncollected
from bamopipe.stages import own

logger = logging.getLogger("bamopipe")


def main(config: Path, seeds: list[int], out: Path, threads: int | None = None) -> None:
    """Fit a run with each seed and write all posteriors to one file.

    Parameters
    ----------
    config
        The frozen config.
    seeds
        Each gives its own, independent chains.
    out
        The netCDF file.
    threads
        CPU cores to use; all by default.
    """
    frozen = read_config(config)
    model_file = source.check(frozen).path
    with uncollected():
        prepare(frozen, threads)

        # The first two are for functions below, which import them where they need them.
        from bamopipe import inference, posterior, programs, provenance  # noqa: F401

    # Seldom after, too: as often as Python looks by itself is a seventh of the start of a fit.
    gc.freeze()
    gc.set_threshold(50_000)
    files = {n: str(datafiles.place(entry)) for n, entry in frozen["data"]["files"].items()}
    unfinished = out.with_name(f"{out.stem}.unfinished")
    # A job of a Snakemake that was killed may live on, and be asked for again by the next one.
    with exclusive(out) as waited, programs.shared(frozen["model"]["_target_"]):
        engine = build_engine(frozen)
        attrs = {
            "config": json.dumps(frozen, sort_keys=True),
            "fit_id": config.parent.name,
            **provenance.describe(files, model_file),
        }
        if waited and _is_made(out, seeds, attrs):
            logger.info("%s: made meanwhile", out)
            return
        draw(engine, seeds, attrs, files, out, unfinished)
        shutil.rmtree(unfinished, ignore_errors=True)


def _is_made(out: Path, seeds: list[int], attrs: Mapping[str, Any]) -> bool:
    """Tell whether a file holds what a fit of these seeds, data and sources would give."""
    from bamopipe import posterior

    with contextlib.suppress(UserError):  # there is none, or it cannot be read
        made = posterior.read(out).attrs
        same = ("config", "fit_id", "data_sha256", "model_source", "versions")
        return made["seeds"] == json.dumps(seeds) and all(made[k] == attrs[k] for k in same)
    return False


def prepare(frozen: Mapping[str, Any], threads: int | None) -> None:
    """Set up logging, precision, processor cores and the GPU, before anything is computed."""
    logging.basicConfig(format="%(message)s")
    logger.setLevel(logging.INFO)
    devices.lease()

    if threads is not None:
        os.environ["NPROC"] = str(threads)  # how XLA sizes its pools; it reads that once

    import jax
    from threadpoolctl import threadpool_limits

    from bamopipe.inference.devices import NUM_THREADS

    if threads is not None:
        os.environ[NUM_THREADS] = str(threads)
    threadpool_limits(limits=1, user_api="blas")  # programs run beside each other, not in parts
    jax.config.update("jax_enable_x64", frozen["precision"] == "float64")


def draw(
    engine,
    seeds: list[int],
    attrs: Mapping[str, Any],
    files: Mapping[str, str],
    out: Path,
    unfinished: Path,
) -> None:
    """Fit with each seed and write all posteriors, with the data files, to one file.

    Parameters
    ----------
    engine
        From `build_engine`.
    seeds
        Each gives its own, independent chains.
    attrs
        Provenance.
    files
        Name -> path of each data file.
    out
        The netCDF file.
    unfinished
        A folder beside `out` for what is taken up again if the process is killed.
    """
    import xarray as xr

    from bamopipe import posterior, provenance

    engine.check_memory(len(seeds))
    kept = provenance.keep(files)
    data = xr.Dataset({name: (f"{name}_bytes", content) for name, content in kept.items()})
    for values in data.data_vars.values():
        values.encoding["zlib"] = True
    paths = [_fit_seed(engine, seed, attrs, data, unfinished) for seed in seeds]
    if len(paths) == 1:
        os.replace(paths[0], out)  # its arrays may exceed the memory
    else:
        trees = [posterior.read(path) for path in paths]
        posterior.write(posterior.concatenate(trees, seeds), out)


def _fit_seed(engine, seed: int, attrs: Mapping[str, Any], data, unfinished: Path) -> Path:
    """Fit with one seed, and return the file; an earlier process, now killed, may have made it."""
    import jax
    import xarray as xr

    from bamopipe import posterior
    from bamopipe.inference.checkpoint import identity
    from bamopipe.inference.datatree import to_datatree
    from bamopipe.inference.result import Draws, Result
    from bamopipe.record import FILES

    key = jax.random.key(seed)
    place = unfinished / f"seed_{seed}-{identity(engine, key)[:12]}"
    done, checkpoint = place.with_suffix(".nc"), place.with_suffix(".npz")
    if done.exists():
        logger.info("seed %d: done before, %s", seed, done)
        return done
    result = engine.run(key, checkpoint)
    if isinstance(result, Result):
        logger.info(
            "seed %d: log evidence %.4f ± %.4f", seed, result.log_evidence, result.log_evidence_se
        )
    for status in set(result.status) - {"ok"}:
        logger.warning("seed %d: %s", seed, status)
    tree = to_datatree(engine, result, seed, attrs)
    tree[FILES] = xr.DataTree(data)
    posterior.write(tree, done)
    checkpoint.unlink(missing_ok=True)
    if isinstance(result, Draws) and result.folder:
        shutil.rmtree(result.folder, ignore_errors=True)
    return done


def read_config(path: Path) -> dict[str, Any]:
    """Read and check a frozen config."""
    try:
        return read_frozen(yaml.safe_load(path.read_text()), str(path))
    except OSError as error:
        raise UserError(f"the config {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"the config {path} is no YAML: {' '.join(str(error).split())}") from None


def build_engine(frozen: Mapping[str, Any], function: Callable | None = None):
    """Make the model, the kernel and the engine that a frozen config describes.

    Parameters
    ----------
    frozen
        The config, which has been checked.
    function
        The model function; by default the one that the config names.
    """
    import blackjax
    from blackjax.smc import resampling

    from bamopipe.inference import MCMCInference, SMCInference
    from bamopipe.samplers import gibbs_sampler, mcmc_sampler

    model = build_model(frozen, function)
    sampler = dict(frozen["sampler"])
    if sampler.pop("name") == "gibbs":
        steps = {variables: dict(step) for variables, step in sampler.pop("steps").items()}
        kernels = {variables: getattr(blackjax, s.pop("kernel")) for variables, s in steps.items()}
        kernel = gibbs_sampler(model, step_fns=kernels, step_fn_params=steps, **sampler)
    else:
        kernel = mcmc_sampler(model, getattr(blackjax, sampler.pop("kernel")), sampler)
    engine = {"mcmc": MCMCInference, "smc": SMCInference}[frozen["inference"]["name"]]
    settings = {k: v for k, v in frozen["inference"].items() if k != "name"}
    if settings.get("num_mutations") == "auto":
        settings["num_mutations"] = None
    if "resampling" in settings:
        settings["resampling_fn"] = getattr(resampling, settings.pop("resampling"))
    return engine(model, kernel, precision=frozen["precision"], **settings)


def build_model(frozen: Mapping[str, Any], function: Callable | None = None):
    """Call the model function of a frozen config, which has been checked, with data and priors."""
    from bamopipe.base import Model
    from bamopipe.distributions import from_text

    settings = dict(frozen["model"])
    path = settings.pop("_target_")
    settings = {
        name: from_text.build(value) if text.is_prior(value) else value
        for name, value in settings.items()
    }
    data = {
        name: load_data(name, datafiles.ready(f"data.files.{name}", entry))
        for name, entry in frozen["data"]["files"].items()
    }
    try:
        model = (function or own.function(path))(data, **settings)
    except UserError:
        raise
    except Exception as error:  # whatever the person's own code raises is theirs to read, briefly
        columns = [f"{name} has {', '.join(map(str, table))}" for name, table in data.items()]
        hint = f"; {'; '.join(columns)}" if isinstance(error, KeyError) else ""
        raise own.failure(f"the model {path}", path, error, hint) from error
    if not isinstance(model, Model):
        raise UserError(f"{path} returned {model!r}; expected the Model that it makes")
    return model


def load_data(name: str, path: Path):
    """Read a data file: CSV as a pandas DataFrame, netCDF as an xarray Dataset."""
    if not path.is_file():
        raise UserError(f"data.files.{name}: there is no file {path}")
    if path.suffix == ".csv":
        import pandas as pd

        try:
            return pd.read_csv(path)
        except (ValueError, pd.errors.ParserError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"data.files.{name}: {path} is no CSV file: {reason}") from None
    if path.suffix == ".nc":
        import xarray as xr

        try:
            return xr.load_dataset(path, engine="netcdf4")
        except Exception as error:  # whatever the libraries make of a file that is something else
            reason = " ".join(str(error).split())
            raise UserError(f"data.files.{name}: {path} is no netCDF file: {reason}") from None
    raise UserError(f"data.files.{name}: {path} has an unknown format; expected .csv or .nc")

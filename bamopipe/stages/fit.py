"""The fit stage: one frozen config and some seeds to one netCDF file."""

import importlib
import json
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bamopipe import source
from bamopipe.config import Frozen
from bamopipe.distributions import text
from bamopipe.errors import UserError
from bamopipe.schema import check

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
    logging.basicConfig(format="%(message)s")
    logger.setLevel(logging.INFO)
    frozen = read_config(config)
    model_file = source.check(frozen).path

    import jax

    from bamopipe import posterior, programs, provenance
    from bamopipe.inference.devices import NUM_THREADS

    if threads is not None:
        os.environ[NUM_THREADS] = str(threads)

    jax.config.update("jax_enable_x64", frozen["precision"] == "float64")
    unfinished = out.with_name(f"{out.stem}.unfinished")
    files = []
    with programs.shared(frozen["model"]["_target_"]):
        engine = build_engine(frozen)
        engine.check_memory(len(seeds))
        attrs = {
            "config": json.dumps(frozen, sort_keys=True),
            "fit_id": config.parent.name,
            **provenance.describe(frozen["data"]["files"], model_file),
        }
        for seed in seeds:
            files.append(_fit_seed(engine, seed, attrs, unfinished))
    if len(files) == 1:
        os.replace(files[0], out)  # its arrays may exceed the memory
    else:
        trees = [posterior.read(file) for file in files]
        posterior.write(posterior.concatenate(trees, seeds), out)
    shutil.rmtree(unfinished, ignore_errors=True)


def _fit_seed(engine, seed: int, attrs: Mapping[str, Any], unfinished: Path) -> Path:
    """Fit with one seed, and return the file; an earlier process, now killed, may have made it."""
    import jax

    from bamopipe import posterior
    from bamopipe.inference.checkpoint import identity
    from bamopipe.inference.datatree import to_datatree
    from bamopipe.inference.result import Draws, Result

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
    posterior.write(to_datatree(engine, result, seed, attrs), done)
    checkpoint.unlink(missing_ok=True)
    if isinstance(result, Draws) and result.folder:
        shutil.rmtree(result.folder, ignore_errors=True)
    return done


def read_config(path: Path) -> dict[str, Any]:
    """Read and check a frozen config."""
    try:
        return check(Frozen, yaml.safe_load(path.read_text()), str(path))
    except OSError as error:
        raise UserError(f"the config {path} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise UserError(f"the config {path} is no YAML: {' '.join(str(error).split())}") from None


def build_engine(frozen: Mapping[str, Any]):
    """Make the model, the kernel and the engine that a frozen config describes."""
    import blackjax
    from blackjax.smc import resampling

    from bamopipe.inference import MCMCInference, SMCInference
    from bamopipe.samplers import gibbs_sampler, mcmc_sampler

    model = build_model(frozen)
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


def build_model(frozen: Mapping[str, Any]):
    """Call the model function of a frozen config, which has been checked, with data and priors."""
    from bamopipe.base import Model
    from bamopipe.distributions import from_text

    settings = dict(frozen["model"])
    path = settings.pop("_target_")
    module, _, function = path.rpartition(".")
    settings = {
        name: from_text.build(value) if text.is_prior(value) else value
        for name, value in settings.items()
    }
    data = {name: load_data(name, Path(file)) for name, file in frozen["data"]["files"].items()}
    # The project's own models live in its folder, which is not on the path of a console script.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        model = getattr(importlib.import_module(module), function)(data, **settings)
    except UserError:
        raise
    except Exception as error:  # whatever the person's own code raises is theirs to read, briefly
        columns = [f"{name} has {', '.join(map(str, table))}" for name, table in data.items()]
        hint = f"; {'; '.join(columns)}" if isinstance(error, KeyError) else ""
        frames = traceback.extract_tb(error.__traceback__)
        place = next((frame for frame in frames[::-1] if frame.name == function), frames[-1])
        raise UserError(
            f"the model {path} failed with {type(error).__name__}: {error}{hint} "
            f"({os.path.relpath(place.filename)}, line {place.lineno})"
        ) from error
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

        return xr.load_dataset(path)
    raise UserError(f"data.files.{name}: {path} has an unknown format; expected .csv or .nc")

"""What a config may say: the settings, their types and ranges, and their canonical form.

Each part of a config has a frozen dataclass whose annotations say what is allowed.
:func:`bamopipe.schema.check` holds a composed config against them and returns it in one normal
form, so that ``10`` and ``10.0`` are the same setting. All keys have to be there: the defaults
that people see are the files in ``conf/``, and the defaults of the dataclasses serve one purpose,
that a setting added later does not change the ids of fits made before it.
"""

import dataclasses
import functools
import hashlib
import importlib.util
import json
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from bamopipe import datafiles
from bamopipe.distributions import text
from bamopipe.errors import UserError, nearest
from bamopipe.plots import FIGURES
from bamopipe.schema import Range, bounded, check, choice, read

NAME = r"\w[\w.-]*"
FETCHED = "{url: ..., sha256: ...}"

# Raised by hand when the same frozen config comes to mean another posterior.
FIT_VERSION = 4


def _scale(value: Any, key: str) -> Any:
    """Check a step size: a number, one for each coordinate, or a square matrix."""
    if isinstance(value, list) and value and all(isinstance(row, list) for row in value):
        if any(len(row) != len(value) for row in value):
            raise UserError(f"{key} must be a square matrix, got rows of other lengths")
        return [[read(float, v, key) for v in row] for row in value]
    if isinstance(value, list) and value:
        return [Range(0, open=True)(read(float, v, key), key) for v in value]
    return Range(0, open=True)(read(float, value, key), key)


def _scales(value: Any, key: str) -> Any:
    """Check a step size of a whole position: as above, or one for each variable."""
    if isinstance(value, dict) and value:
        return {name: _scale(v, f"{key}.{name}") for name, v in value.items()}
    return _scale(value, key)


@functools.cache
def _styles() -> set[str]:
    """Names of the plot styles, found without loading matplotlib."""
    spec = importlib.util.find_spec("matplotlib")
    folders = spec.submodule_search_locations if spec else None
    files = Path(folders[0]).glob("mpl-data/stylelib/*.mplstyle") if folders else ()
    return {"bamopipe", "default"} | {f.stem for f in files if not f.stem.startswith("_")}


def _style(value: Any, key: str) -> Any:
    if value not in _styles():
        raise UserError(f"{key} has no style {value!r}{nearest(str(value), _styles())}")
    return value


def _figures(value: dict[str, str], key: str) -> Any:
    for name in value:
        if not re.fullmatch("[a-z][a-z0-9_]*", name) or name in FIGURES:
            taken = ", ".join(FIGURES)
            raise UserError(
                f"{key}: a figure's name has lower-case letters, digits and _, and is none of "
                f"{taken}; got {name!r}"
            )
    return value


Count = Annotated[int, Range(1)]


def _matrix(value: Any, key: str) -> Any:
    """Check a mass matrix: one number for each coordinate, or a square matrix."""
    if not isinstance(value, list):
        raise UserError(f"{key} must be a list or a square matrix, got {value!r}")
    return _scale(value, key)


Positive = Annotated[float, Range(0, open=True)]
Share = Annotated[float, Range(0, 1, open=True)]


@dataclass(frozen=True)
class NormalRandomWalk:
    """A Gaussian random walk of one variable; `sigma` is the scale of its step."""

    kernel: Literal["normal_random_walk"]
    sigma: Annotated[Any, _scale] | None = None
    is_mass_matrix_diagonal: bool | None = None


@dataclass(frozen=True)
class NormalRandomWalkOfPosition:
    """A Gaussian random walk of all variables at once."""

    kernel: Literal["normal_random_walk"]
    sigma: Annotated[Any, _scales] | None = None
    is_mass_matrix_diagonal: bool | None = None


@dataclass(frozen=True)
class NUTS:
    """The no-U-turn sampler."""

    kernel: Literal["nuts"]
    max_num_doublings: Count | None = None
    step_size: Positive | None = None
    inverse_mass_matrix: Annotated[Any, _matrix] | None = None
    target_acceptance_rate: Share | None = None
    is_mass_matrix_diagonal: bool | None = None


@dataclass(frozen=True)
class HMC:
    """Hamiltonian Monte Carlo."""

    kernel: Literal["hmc"]
    num_integration_steps: Count | None = None
    step_size: Positive | None = None
    inverse_mass_matrix: Annotated[Any, _matrix] | None = None
    target_acceptance_rate: Share | None = None
    is_mass_matrix_diagonal: bool | None = None


@dataclass(frozen=True)
class DynamicHMC:
    """Hamiltonian Monte Carlo with paths of random length."""

    kernel: Literal["dynamic_hmc"]
    step_size: Positive | None = None
    inverse_mass_matrix: Annotated[Any, _matrix] | None = None
    target_acceptance_rate: Share | None = None
    is_mass_matrix_diagonal: bool | None = None


@dataclass(frozen=True)
class MALA:
    """The Metropolis-adjusted Langevin algorithm."""

    kernel: Literal["mala"]
    step_size: Positive | None = None
    target_acceptance_rate: Share | None = None
    is_mass_matrix_diagonal: bool | None = None


@dataclass(frozen=True)
class Barker:
    """Barker's proposal."""

    kernel: Literal["barker"]
    step_size: Positive | None = None
    inverse_mass_matrix: Annotated[Any, _matrix] | None = None
    target_acceptance_rate: Share | None = None
    is_mass_matrix_diagonal: bool | None = None


@dataclass(frozen=True)
class NoSettings:
    """Algorithms that always find their own steps here; in Python they take settings."""

    kernel: Literal[
        "adjusted_mclmc",
        "adjusted_mclmc_dynamic",
        "coordinate_slice",
        "elliptical_slice",
        "ghmc",
        "gist_step_size",
        "gist_trajectory_length",
        "irmh",
        "mclmc",
        "rmhmc",
        "slice_sampling",
    ]
    is_mass_matrix_diagonal: bool | None = None


# Name of a kernel -> its settings for one variable, and for the whole position. What is left out
# tunes itself.
KERNELS: dict[str, type] = {
    **dict.fromkeys(get_args(NoSettings.__annotations__["kernel"]), NoSettings),
    "barker": Barker,
    "dynamic_hmc": DynamicHMC,
    "hmc": HMC,
    "mala": MALA,
    "normal_random_walk": NormalRandomWalk,
    "nuts": NUTS,
}
POSITION_KERNELS = KERNELS | {"normal_random_walk": NormalRandomWalkOfPosition}


def _block(name: str) -> str:
    """Write the variables that move together in one way, whatever their order."""
    return ", ".join(sorted(part.strip() for part in name.split(",")))


def _by_block(value: dict[str, Any], key: str) -> dict[str, Any]:
    """Bring the names of blocks into one form."""
    found: dict[str, Any] = {}
    for name, setting in value.items():
        if _block(name) in found:
            raise UserError(f"{key} has {_block(name)!r} twice")
        found[_block(name)] = setting
    return found


@dataclass(frozen=True)
class Gibbs:
    """One kernel for each latent variable or block of them ("mu, tau"), one after the other.

    A variable without a step is drawn from its full conditional, or has a random walk that tunes
    itself. `order` and `repeats` say in which order, and how often in a row, they move.
    """

    name: Literal["gibbs"]
    steps: Annotated[
        dict[str, Annotated[Any, lambda value, key: choice(KERNELS, "kernel", value, key)]],
        _by_block,
    ]
    order: Annotated[list[str], lambda value, key: [_block(name) for name in value]] | None = None
    repeats: Annotated[dict[str, Count], _by_block] | None = None


SAMPLERS: dict[str, type] = {"gibbs": Gibbs}


def _count_or_auto(value: Any, key: str) -> Any:
    if value == "auto":
        return value
    if isinstance(value, str):
        raise UserError(f"{key} must be a whole number or 'auto', got {value!r}")
    return read(Count, value, key)


def _schedule(value: Any, key: str) -> Any:
    """Check fixed temperatures."""
    given = read(list[float], value, key)
    if not given or given[-1] != 1 or any(a >= b for a, b in pairwise([0.0, *given])):
        raise UserError(f"{key} must rise from above 0 to 1, such as [0.01, 0.1, 1], got {value!r}")
    return given


@dataclass(frozen=True)
class SMC:
    """Sequential Monte Carlo."""

    name: Literal["smc"]
    num_chains: Count = 4
    num_particles: Annotated[int, Range(2)] = 1000
    num_mutations: Annotated[Any, _count_or_auto] = 100
    target_ess: Annotated[float, Range(0, open=True)] = 0.5
    temperatures: Annotated[Any, _schedule] | None = None
    data_blocks: Count = 1
    scheme: Literal["standard", "waste_free", "persistent"] = "standard"
    resampling: Literal["systematic", "multinomial", "stratified", "residual"] = "systematic"
    max_mutations: Count = 200
    max_temperatures: Count = 200


@dataclass(frozen=True)
class MCMC:
    """Markov chain Monte Carlo."""

    name: Literal["mcmc"]
    num_chains: Count = 4
    num_samples: Count = 1000
    num_warmup: Annotated[int, Range(0)] = 1000
    num_burn: Annotated[int, Range(0)] = 0
    num_thin: Count = 1
    start: Literal["prior", "jitter", "pathfinder"] = "prior"


ENGINES: dict[str, type] = {"mcmc": MCMC, "smc": SMC}


@dataclass(frozen=True)
class Plots:
    """How figures look, and those of one's own: name -> function."""

    style: Annotated[str, _style]
    dpi: Annotated[int, Range(30, 1200)]
    figures: Annotated[dict[str, str], _figures] | None = None


@dataclass(frozen=True)
class DataFile:
    """A data file that is fetched: where from, what it is, and its name if the URL lacks it."""

    url: str
    sha256: str
    name: str | None = None


def data_file(value: Any, key: str) -> Any:
    """Check a data file: a path, or a URL and the hash of what it leads to."""
    if isinstance(value, str):
        if value.startswith(("http://", "https://")):
            raise UserError(f"{key}: a URL needs the hash of its content, as {FETCHED}")
        return value
    if not isinstance(value, dict):
        raise UserError(f"{key} must be a path or {FETCHED}, got {value!r}")
    file = check(DataFile, value, key)
    file["sha256"] = file["sha256"].lower()
    if not file["url"].startswith(("http://", "https://")):
        raise UserError(f"{key}.url must begin with https:// or http://, got {file['url']!r}")
    if not re.fullmatch("[0-9a-f]{64}", file["sha256"]):
        raise UserError(
            f"{key}.sha256 must have 64 hexadecimal digits, as `sha256sum` prints them; got "
            f"{file['sha256']!r}"
        )
    file.setdefault("name", datafiles.name_of(file["url"]))
    if not re.fullmatch(NAME, file["name"]) or not file["name"].endswith(datafiles.ENDINGS):
        raise UserError(
            f"{key}.name must be that of a .csv or .nc file, such as rt.csv; got {file['name']!r}"
        )
    return file


def _data(value: Any, key: str) -> Any:
    """Check the data: files, and settings that their paths refer to, such as a subject."""
    if not isinstance(value, dict) or "files" not in value:
        raise UserError(f"{key} must be a mapping with `files`, got {value!r}")
    files = read(dict[str, Annotated[Any, data_file]], value["files"], f"{key}.files")
    for name in files:
        if not re.fullmatch(NAME, str(name)):
            raise UserError(
                f"{key}.files: a name has letters, digits, _ . and - only, got {name!r}"
            )
    rest = {name: v for name, v in value.items() if name != "files"}
    for name, setting in rest.items():
        if not isinstance(setting, str | int | float):
            raise UserError(f"{key}.{name} must be text or a number, got {setting!r}")
    return {"files": files, **_normal(rest, key)}


def _sampler(value: Any, key: str) -> Any:
    """Check a sampler: `gibbs`, or `mcmc` with a kernel's settings beside its name."""
    if isinstance(value, dict) and value.get("name") == "mcmc":
        kernel = {k: v for k, v in value.items() if k != "name"}
        return {"name": "mcmc", **choice(POSITION_KERNELS, "kernel", kernel, key)}
    return choice(SAMPLERS, "name", value, key, also=("mcmc",))


def _inference(value: Any, key: str) -> Any:
    """Check the settings of an engine."""
    settings = choice(ENGINES, "name", value, key)
    if settings.get("scheme", "persistent") != "persistent":
        Range(0, 1, open=True)(settings["target_ess"], f"{key}.target_ess")
    return settings


def _model(value: Any, key: str) -> Any:
    """Check a model's settings as far as no source is needed."""
    if not isinstance(value, dict):
        raise UserError(f"{key} must be a mapping with `_target_`, got {value!r}")
    if not isinstance(value.get("_target_"), str) or "." not in value["_target_"]:
        raise UserError(
            f"{key}._target_ must name a function, such as models.rt.model; "
            f"got {value.get('_target_')!r}"
        )
    return _normal(value, key)


def _normal(value: Any, key: str) -> Any:
    """Bring a free setting into one form: 10.0 is 10, and a prior is spelt in one way."""
    if isinstance(value, dict):
        return {str(name): _normal(v, f"{key}.{name}") for name, v in value.items()}
    if isinstance(value, list):
        return [_normal(v, key) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if text.is_prior(value):
        try:
            return _spelling(value)
        except UserError as error:
            raise UserError(f"{key}: {error}") from None
    return value


@functools.cache  # thousands of runs have the same priors
def _spelling(prior: str) -> str:
    return str(text.parse(prior))


def _version(value: Any, key: str) -> Any:
    if value != FIT_VERSION:
        raise UserError(f"{key} must be {FIT_VERSION}, got {value!r}: another version wrote this")
    return value


@dataclass(frozen=True)
class Fit:
    """The parts of a composed config that a posterior comes from."""

    precision: Literal["float64", "float32"]
    model: Annotated[Any, _model]
    data: Annotated[Any, _data]
    sampler: Annotated[Any, _sampler]
    inference: Annotated[Any, _inference]
    trusted: list[str]


@dataclass(frozen=True)
class Frozen(Fit):
    """What the file says that `bamopipe fit` reads."""

    fit_version: Annotated[Any, _version]


def read_frozen(content: Any, where: str) -> dict[str, Any]:
    """Check a frozen config, whichever version wrote it.

    Parameters
    ----------
    content : object
        What a ``config.yaml`` or a posterior says.
    where : str
        Where it stands, for messages.
    """
    return check(Frozen, complete(bounded(content, where)), where)


def complete(content: Any) -> Any:
    """Add the settings of the engine that came later, with what they stood for before.

    Anything that is no config is returned as it is. The id of the fit stays the same.
    """
    given = content.get("inference") if isinstance(content, dict) else None
    engine = ENGINES.get(str(given.get("name"))) if isinstance(given, dict) else None
    return {**content, "inference": {**_defaults(engine), **given}} if engine and given else content


def _defaults(engine: type) -> dict[str, Any]:
    """Return what the settings of an engine stand for where a config from before lacks them."""
    return {
        f.name: f.default
        for f in dataclasses.fields(engine)
        if f.default is not dataclasses.MISSING and f.default is not None
    }


@dataclass(frozen=True)
class Run(Fit):
    """The parts of a composed config that one run uses."""

    plots: Plots


def _distinct(value: list[int], key: str) -> list[int]:
    if not value or len(set(value)) < len(value):
        raise UserError(f"{key} must be one or more different numbers, got {value}")
    return value


def _swept(value: Any, key: str) -> Any:
    if not isinstance(value, str):
        raise UserError(
            f"{key} must be text in Hydra's grammar, such as '100,1000' or 'range(1, 5)'; "
            f"got {value!r}"
        )
    return value


@dataclass(frozen=True)
class Experiment:
    """The parts of a composed config that say which runs there are."""

    seeds: Annotated[list[Annotated[int, Range(0, 2**32 - 1)]], _distinct]
    seeds_per_block: Count
    arms: dict[str, list[str]]
    sweep: dict[str, Annotated[Any, _swept]]
    data_copies: str | None = None


def fit_id(frozen: dict[str, Any]) -> str:
    """Hash what determines a posterior; leave out what equals a default, and who is trusted.

    Of a data file with a URL the content counts, and not where it comes from.
    """
    content = {k: v for k, v in frozen.items() if k not in ("trusted", "inference")}
    files = {
        name: entry if isinstance(entry, str) else {"sha256": entry["sha256"]}
        for name, entry in frozen["data"]["files"].items()
    }
    content["data"] = {**frozen["data"], "files": files}
    defaults = _defaults(ENGINES[frozen["inference"]["name"]])
    content["inference"] = {
        k: v for k, v in frozen["inference"].items() if k not in defaults or v != defaults[k]
    }
    return short_hash(_normal(content, ""))


def short_hash(content: Any) -> str:
    """Eight hexadecimal digits that stand for any plain content."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()[:8]


def canonical(content: Any) -> str:
    """One JSON text for equal content."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

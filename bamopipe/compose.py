"""Compose an experiment's config with Hydra, and spread it into its runs.

Hydra supplies the config groups and the grammar of overrides and sweeps; this module supplies the
order. Composing takes tens of milliseconds, so it is done once for each combination of groups, and
the runs that differ in values only are made from copies.
"""

import contextlib
import itertools
import pickle
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bamopipe import config, local
from bamopipe.errors import UserError, nearest
from bamopipe.overrides import apply, is_group, parse, root, values
from bamopipe.schema import check

CONF = Path("conf")
# Settings of the experiment as a whole, and those of each run.
WHOLE = tuple(config.Experiment.__dataclass_fields__)
PARTS = tuple(config.Run.__dataclass_fields__)


@dataclass(frozen=True)
class Composed:
    """One run as it was composed.

    Attributes
    ----------
    label : str
        The arm's name; the name of the model's file in an experiment without arms.
    settings : dict
        What this run varies: key to the value as text.
    content : dict
        The checked config, in normal form.
    """

    label: str
    settings: dict[str, str]
    content: dict[str, Any]


def experiments() -> list[str]:
    """Names of the experiments in ``conf/experiment``."""
    return _choices("experiment")


def spread(experiment: str, overrides: Iterable[str]) -> tuple[dict[str, Any], list[Composed]]:
    """Compose an experiment.

    Parameters
    ----------
    experiment : str
        The name of a file in ``conf/experiment``.
    overrides : iterable of str
        Overrides in Hydra's grammar; those with several values are swept.

    Returns
    -------
    whole : dict
        Seeds, seeds a block, arms and sweep.
    runs : list of Composed
        Every arm with every combination of swept values.

    Raises
    ------
    UserError
        For anything that a person can mend in ``conf/`` or in the overrides.
    """
    if not (CONF / "config.yaml").is_file():
        raise UserError(f"there is no {CONF}/config.yaml in {Path.cwd()}; run from the project")
    if experiment not in experiments():
        raise UserError(f"unknown experiment {experiment!r}{nearest(experiment, experiments())}")
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)*", experiment):
        raise UserError(
            f"experiment {experiment!r} names folders and stands in commands: its file's name may "
            "have letters, digits, _ . and - only"
        )
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF.resolve())):
        return _spread(experiment, parse(overrides, "the command line"))


def _spread(experiment: str, given: list[Override]) -> tuple[dict[str, Any], list[Composed]]:
    composer = _Composer(experiment)
    composer.check_base()
    fixed = [o for o in given if not o.is_sweep_override() and root(o) not in WHOLE]
    whole = composer.whole([o for o in given if root(o) in WHOLE], fixed)
    swept = {o.key_or_group: o for o in given if o.is_sweep_override() and root(o) not in WHOLE}
    taken = {o.key_or_group for o in fixed} | set(swept)
    for key, text in whole["sweep"].items():
        if key not in taken:  # what is said on the command line wins
            (swept[key],) = parse([f"{key}={text}"], "sweep")
    dimensions = [values(o) for o in swept.values()]

    runs = []
    for arm, texts in (whole["arms"] or {"": []}).items():
        changes = parse(texts, f"arms.{arm}")
        for override in changes:
            key = override.key_or_group
            if override.is_sweep_override():
                raise UserError(f"arms.{arm} sets {key} to several values; put them under `sweep`")
            if key in taken or key in swept:
                raise UserError(
                    f"{key} is set by arm {arm!r} and again beside it; change the arm instead, "
                    f"as in \"arms.{arm}=['{key}=...']\""
                )
        for point in itertools.product(*dimensions):
            settings = {o.key_or_group: str(o.value()) for o in point}
            where = f"arm {arm!r}" if arm else f"experiment {experiment!r}"
            content = composer.run([*changes, *point, *fixed], where)
            label = arm or content["model"]["_target_"].split(".")[-2]
            runs.append(Composed(label, settings, content))
    return whole, runs


class _Composer:
    """Composes once for each combination of groups."""

    def __init__(self, experiment: str):
        self.experiment = experiment
        # Pickled, of which thousands of runs get copies faster than of the content itself.
        self.composed: dict[tuple[str, ...], bytes] = {}

    def groups(self, overrides: Iterable[Override]) -> dict[str, Any]:
        """Compose with the overrides that choose files; interpolations are left for later."""
        chosen = tuple(f"{o.key_or_group}={o.value()}" for o in overrides if is_group(o))
        if chosen not in self.composed:
            for text in chosen:  # Hydra would also follow paths that lead out of conf/
                group, _, name = text.partition("=")
                if ".." in name.split("/"):
                    raise UserError(f"unknown {group} {name!r}{nearest(name, _choices(group))}")
            with _hydra_errors():
                composed = compose("config", overrides=[f"experiment={self.experiment}", *chosen])
            plain: Any = OmegaConf.to_container(composed)
            self.composed[chosen] = pickle.dumps(plain)
            if "experiment" in plain:
                raise UserError(
                    f"conf/experiment/{self.experiment}.yaml must begin with the line "
                    "'# @package _global_'"
                )
        return pickle.loads(self.composed[chosen])

    def check_base(self) -> None:
        """Check ``conf/config.yaml`` by itself: an experiment may cover up a mistake in it."""
        content = _resolve(_compose([]))
        _refuse_unknown(content)
        for schema, names in ((config.Experiment, WHOLE), (config.Run, PARTS)):
            check(schema, {name: content[name] for name in names if name in content})

    def whole(self, overrides: list[Override], fixed: list[Override]) -> dict[str, Any]:
        """Compose and check what concerns the experiment as a whole."""
        content = self.groups(fixed)
        seeds = [o for o in overrides if o.is_sweep_override()]
        for override in seeds:
            if override.key_or_group != "seeds":
                raise UserError(f"{override.key_or_group} cannot be swept")
            content["seeds"] = [o.value() for o in values(override)]
        apply(content, [o for o in overrides if o not in seeds], "the experiment")
        content = _resolve(content)
        _refuse_unknown(content)
        _keep_local(content)
        whole = check(config.Experiment, {k: v for k, v in content.items() if k in WHOLE})
        for arm in whole["arms"]:
            if not re.fullmatch(r"\w[\w.]*", arm):
                raise UserError(f"arm {arm!r}: a name has letters, digits, _ and . only")
        return whole

    def run(self, overrides: list[Override], where: str) -> dict[str, Any]:
        """Compose and check one run."""
        for override in overrides:
            if root(override) in WHOLE:
                raise UserError(f"{override.key_or_group} cannot be varied between runs")
        content = self.groups(overrides)
        apply(content, [o for o in overrides if not is_group(o)], where)
        content = _resolve(content)
        _refuse_unknown(content)
        _keep_local(content)
        return check(config.Run, {k: v for k, v in content.items() if k in PARTS})


def _refuse_unknown(content: dict[str, Any]) -> None:
    for key in content:
        if key not in (*WHOLE, *PARTS):
            raise UserError(f"unknown setting {key}{nearest(str(key), (*WHOLE, *PARTS))}")


def _compose(overrides: list[str]) -> dict[str, Any]:
    with _hydra_errors():
        plain: Any = OmegaConf.to_container(compose("config", overrides=overrides))
    return dict(plain)


def _keep_local(content: dict[str, Any]) -> None:
    """See that nothing but ``conf/config.yaml`` says whom to trust."""
    here = local.settings()
    for key, value in (("trusted", here.trusted), ("data_copies", here.data_copies)):
        if content.get(key, value) != value:
            raise UserError(f"{key} can be set in {local.CONF} only, where it is {value!r}")


def _resolve(content: dict[str, Any]) -> dict[str, Any]:
    """Fill in references such as ``${inference.num_chains}``.

    Nothing else that OmegaConf knows in this place is allowed: a resolver could read the
    environment, with its passwords, into a record.
    """
    written = str(content)
    if "${" not in written:
        return content
    if "${" in re.sub(r"\$\{[A-Za-z_][\w.]*\}", "", written):
        first = re.findall(r"\$\{(?![A-Za-z_][\w.]*\})[^'\"]{0,60}", written)[0]
        raise UserError(f"only settings can be referred to, as in ${{data.subject}}; got {first!r}")
    try:
        return OmegaConf.to_container(OmegaConf.create(content), resolve=True)  # type: ignore
    except OmegaConfBaseException as error:
        raise UserError(_line(error)) from None


@contextlib.contextmanager
def _hydra_errors() -> Iterator[None]:
    """Tell what Hydra or YAML found wrong in ``conf/`` in one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            yield
    except UserError:
        raise
    except Exception as error:  # YAML, OmegaConf and Hydra; all that they read is the config
        missing = re.search(r"Could not find '(\w+)/([^']+)'", str(error))
        if missing:
            group, name = missing.groups()
            raise UserError(f"unknown {group} {name!r}{nearest(name, _choices(group))}") from None
        raise UserError(f"cannot compose {CONF}/: {_line(error)}") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).partition("Config search path")[0].split())


def _choices(group: str) -> list[str]:
    folder = CONF / group
    return sorted(str(f.relative_to(folder).with_suffix("")) for f in folder.rglob("*.yaml"))

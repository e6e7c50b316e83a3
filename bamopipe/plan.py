"""From an experiment and overrides to its runs, their ids, and the files they are made of.

The Snakefile calls :func:`load` at every start, so nothing here may load JAX, and two thousand
runs have to be planned in seconds.
"""

import dataclasses
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from bamopipe import compose, datafiles, local, source
from bamopipe.blocks import cover
from bamopipe.config import FIT_VERSION, Fit, canonical, fit_id, short_hash
from bamopipe.errors import UserError, nearest
from bamopipe.files import atomic_write
from bamopipe.index import FITS, MOST_AXES, RESULTS, Row, axes, write

# libyaml, which is four times as fast as Python, and writes the same.
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
DEFAULT_EXPERIMENT = "eight_schools"


@dataclass(frozen=True)
class Run:
    """One resolved config, fitted with every seed of its experiment.

    Attributes
    ----------
    label : str
        The arm, or the model in an experiment without arms.
    settings : dict
        What varies within the arm.
    frozen : dict
        Everything that determines the posterior; what `fit` reads.
    plots : dict
        How figures look.
    figures : dict
        Name of a figure of one's own -> the function that draws it.
    id : str
        Stands for `frozen`; the name of the fit's folder.
    inputs : tuple of str
        The data files and the model's source.
    downloads : dict
        Path -> what is fetched there: ``url``, ``sha256`` and ``name``.
    """

    label: str
    settings: dict[str, str]
    frozen: dict[str, Any]
    plots: dict[str, Any]
    figures: dict[str, str]
    id: str
    inputs: tuple[str, ...]
    downloads: dict[str, dict[str, str]]

    @property
    def data_files(self) -> dict[str, str]:
        """Paths of data files by name, without those that are fetched."""
        return _paths(self.frozen["data"]["files"])

    @property
    def name(self) -> str:
        """The run's folder in its experiment."""
        return f"{self.label}-{self.id}"

    @property
    def text(self) -> str:
        """The frozen config for people to read; equal configs are equal text."""
        options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 100}
        return str(yaml.dump(self.frozen, Dumper=DUMPER, **options)).strip()

    @property
    def plots_json(self) -> str:
        """How figures look, as one JSON text: Snakemake tracks plain values only."""
        return canonical(self.plots)

    @property
    def title(self) -> str:
        """The run's name for people: the arm and what varies in it."""
        varied = ", ".join(f"{key}={value}" for key, value in self.settings.items())
        return f"{self.label}: {varied}" if varied else self.label


@dataclass(frozen=True)
class Plan:
    """All runs of an experiment, and where their files are.

    Attributes
    ----------
    experiment : str
        Its name.
    overrides : tuple of str
        What was asked for beyond the experiment's own file.
    partial : bool
        Whether this is about what can be reported on although something failed.
    without : tuple of str
        Folders of runs to leave out, because they failed; ``evidence`` leaves out the comparison.
    seeds : tuple of int
        Sorted.
    seeds_per_block : int
        How many seeds a new fit job runs.
    runs : tuple of Run
        In the order of the arms.
    """

    experiment: str
    overrides: tuple[str, ...]
    partial: bool
    without: tuple[str, ...]
    seeds: tuple[int, ...]
    seeds_per_block: int
    runs: tuple[Run, ...]

    @property
    def home(self) -> str:
        """The experiment's folder; overrides make another one."""
        suffix = f"+{short_hash(sorted(self.overrides))}" if self.overrides else ""
        return str(RESULTS / f"{self.experiment}{suffix}")

    @property
    def request(self) -> str:
        """What was asked for, as one JSON text that :func:`load` understands."""
        return canonical({"experiment": self.experiment, "overrides": list(self.overrides)})

    @cached_property
    def by_id(self) -> dict[str, Run]:
        """Runs by the id of their fit."""
        return {run.id: run for run in self.runs}

    @cached_property
    def by_name(self) -> dict[str, Run]:
        """Runs by their folder, without those that are left out."""
        return {run.name: run for run in self.runs if run.name not in self.without}

    @cached_property
    def downloads(self) -> dict[str, dict[str, str]]:
        """What is fetched for any run, by its path."""
        return {path: file for run in self.runs for path, file in run.downloads.items()}

    @property
    def pages(self) -> list[str]:
        """Names of the pages about the experiment as a whole."""
        if not self.by_name or "evidence" in self.without:
            about_all = []
        else:
            about_all = ["overview", "methods", *(["sweep"] if self.axes else [])]
        return ["failures", *about_all] if self.without else about_all

    @property
    def figures(self) -> dict[str, str]:
        """Figures of one's own, the same for all runs: name -> function."""
        return self.runs[0].figures

    @property
    def figure_sources(self) -> list[str]:
        """Files with the functions of `figures`."""
        return sorted({str(_figure(name, f)) for name, f in self.figures.items()})

    @cached_property
    def axes(self) -> list[str]:
        """Settings that have several values, within an arm."""
        return axes(self.rows)

    @property
    def sweep_figures(self) -> list[str]:
        """Figures of the numbers of all runs against the settings that vary."""
        return ["sweep"] if 0 < len(self.axes) <= MOST_AXES else []

    def blocks(self, run: Run) -> list[str]:
        """Files of posterior draws that together hold every wanted seed of a run."""
        folder = FITS / run.id
        present = [f.stem for f in folder.glob("seeds_*.nc")]
        return [str(folder / f"{b}.nc") for b in cover(self.seeds, present, self.seeds_per_block)]

    @property
    def rows(self) -> list[Row]:
        """The runs as ``index.csv`` has them."""
        return [Row(r.name, r.label, r.id, self.seeds, r.settings) for r in self.runs]

    def index(self) -> str:
        """List the runs as the text of a CSV file."""
        return write(self.rows)


def load(request: dict[str, Any]) -> Plan:
    """Plan an experiment.

    Parameters
    ----------
    request : dict
        Snakemake's config: ``experiment`` (a name), ``overrides`` (a list of text), and for the
        report on what failed ``partial`` (true) and ``without`` (runs to leave out). The report's
        first page names those in ``not_converged``.

    Returns
    -------
    Plan
        Every run checked as far as that is possible without running the model.

    Raises
    ------
    UserError
        For anything in the request, in ``conf/`` or among the data files that a person can mend.
    """
    known = ("experiment", "overrides", "without", "partial", "not_converged")
    for key in request:
        if key not in known:
            raise UserError(f"unknown --config key {key!r}{nearest(str(key), known)}")
    experiment = request.get("experiment", DEFAULT_EXPERIMENT)
    if not isinstance(experiment, str):
        raise UserError(f"experiment must be one name, got {experiment!r}")
    overrides = _texts(request, "overrides")
    if not all("=" in text for text in overrides):
        raise UserError(
            f"overrides must be a list of key=value, got {overrides}; write them after "
            f"`bamopipe run {experiment}`, which keeps quotes"
        )
    whole, composed = compose.spread(experiment, overrides)
    runs = tuple(_run(c) for c in composed)
    for name, count in Counter(run.name for run in runs).items():
        if count > 1:
            raise UserError(
                f"{count} runs of experiment {experiment!r} are the same ({name}); "
                "vary something that changes the posterior"
            )
    if any(run.figures != runs[0].figures for run in runs):
        raise UserError("plots.figures must be the same for all runs of an experiment")
    for name, function in runs[0].figures.items():
        source.definition(_figure(name, function), function.rpartition(".")[2])
    return Plan(
        experiment=experiment,
        overrides=tuple(overrides),
        partial=bool(request.get("partial")),
        without=tuple(_texts(request, "without")),
        seeds=tuple(sorted(whole["seeds"])),
        seeds_per_block=whole["seeds_per_block"],
        runs=runs,
    )


def freeze(plan: Plan) -> None:
    """Write the settings of each run, where they are not there yet, for its fits to read.

    Raises
    ------
    UserError
        When they cannot be written.
    """
    for run in plan.runs:
        path = FITS / run.id / "config.yaml"
        if path.exists():
            continue
        try:
            with atomic_write(path) as temporary:
                temporary.write_text(run.text + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from None


def or_exit[Given, Made](function: Callable[[Given], Made], given: Given) -> Made:
    """Call a function for the Snakefile: a mistake ends it with one sentence and status 2."""
    try:
        return function(given)
    except UserError as error:
        print(f"bamopipe: {error}", file=sys.stderr)
        sys.exit(2)


def _run(composed: compose.Composed) -> Run:
    content = composed.content
    model = source.check(content)
    files = content["data"]["files"]
    paths = _paths(files)
    downloads = [file for name, file in files.items() if name not in paths]
    for name, path in paths.items():
        if not Path(path).is_file():
            folder = Path(path).parent
            raise UserError(
                f"data.files.{name}: there is no file {path!r}"
                f"{nearest(path, [str(f) for f in folder.glob('*.*')])}"
            )
        if Path(path).suffix not in datafiles.ENDINGS:
            raise UserError(f"data.files.{name} must end in .csv or .nc, got {path!r}")
    frozen = {"fit_version": FIT_VERSION} | {
        field.name: content[field.name] for field in dataclasses.fields(Fit)
    }
    plots = {name: value for name, value in content["plots"].items() if name != "figures"}
    return Run(
        label=composed.label,
        settings=composed.settings,
        frozen=frozen,
        plots=plots,
        figures=content["plots"].get("figures", {}),
        id=fit_id(frozen),
        inputs=(*paths.values(), str(model.path)),
        downloads={str(datafiles.place(file)): file for file in downloads},
    )


def _figure(name: str, function: str) -> Path:
    """Find the file with the function of a figure."""
    return source.find(function, local.settings().trusted, f"plots.figures.{name}")


def _paths(files: dict[str, Any]) -> dict[str, str]:
    return {name: path for name, path in files.items() if isinstance(path, str)}


def _texts(request: dict[str, Any], key: str) -> Sequence[str]:
    value = request.get(key) or []
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise UserError(f"{key} must be a list of text, got {value!r}; use `bamopipe run` instead")
    return value

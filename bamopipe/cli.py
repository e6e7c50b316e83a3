"""The ``bamopipe`` command: each stage of the pipeline by hand, and the pipeline as a whole."""

import argparse
import errno
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bamopipe.errors import UserError, printable

# What a disk or its owner says, rather than a mistake of ours.
NO_PLACE_TO_WRITE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS),
    *(errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``bamopipe``; by default those of the command line.

    Returns
    -------
    int
        The exit status: 2 for a mistake that the person can mend, told in one sentence.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    words, flags = _split(words)
    options = _parser().parse_args(words)
    if flags and options.command != "run":
        print("bamopipe: only `bamopipe run` takes flags after --", file=sys.stderr)
        return 2
    try:
        agreed = _dispatch(options, flags)
    except UserError as error:
        print(f"bamopipe: {printable(error)}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        agreed = None
    except OSError as error:
        if error.errno not in NO_PLACE_TO_WRITE:
            raise
        where = f" {error.filename}" if error.filename else ""
        print(f"bamopipe: cannot write{where}: {error.strerror}", file=sys.stderr)
        return 2
    return 1 if agreed is False else 0


def _dispatch(options: argparse.Namespace, flags: list[str]) -> bool | None:
    """Call a stage; each loads its own libraries, so that `plan` and `status` stay quick.

    A stage that compares says whether the two are the same.
    """
    match options.command:
        case "plan":
            from bamopipe.stages import plan

            plan.main(options.experiment, options.override)
        case "check":
            from bamopipe.stages import check

            check.main(options.model, options.override)
        case "run":
            from bamopipe.stages import run

            run.main(options.experiment, options.override, flags)
        case "fit":
            from bamopipe.blocks import parse_seeds
            from bamopipe.stages import fit

            fit.main(options.config, parse_seeds(options.seeds), options.out, options.threads)
        case "diagnose":
            from bamopipe.blocks import parse_seeds
            from bamopipe.stages import diagnose

            diagnose.main(options.blocks, parse_seeds(options.seeds), options.out)
        case "plot":
            from bamopipe.stages import plot

            functions = _json(options.figures)
            plot.main(options.posterior, options.out, _json(options.settings), functions)
        case "compare":
            from bamopipe.stages import compare

            compare.main(options.posteriors, options.out, _json(options.settings))
        case "sweep":
            from bamopipe.stages import sweep

            sweep.main(options.home, _json(options.settings))
        case "page":
            from bamopipe.stages import page

            page.main(options.kind, options.out)
        case "report":
            from bamopipe.stages import report

            report.main(_json(options.request), options.out, options.partial)
        case "status":
            from bamopipe.stages import status

            status.main(options.home, options.follow)
        case "explain":
            from bamopipe.stages import explain

            explain.main(options.run)
        case "load":
            from bamopipe.stages import load

            load.main(options.experiment, options.csv, options.variables)
        case "prune":
            from bamopipe.stages import prune

            prune.main(options.yes)
        case "new":
            from bamopipe.stages import new

            new.main(options.name)
        case "doctor":
            from bamopipe.stages import doctor

            doctor.main()
        case "reproduce":
            from bamopipe.blocks import parse_seeds
            from bamopipe.stages import reproduce

            if options.show_source:
                reproduce.show_source(options.posterior)
                return None
            seeds = parse_seeds(options.seeds) if options.seeds else None
            return reproduce.main(
                options.posterior, seeds, options.out, options.trust_source, options.threads
            )
        case "diff":
            from bamopipe.stages import diff

            return diff.main(options.first, options.second)
        case "fetch":
            from bamopipe.stages import fetch

            fetch.main(options.url, options.sha256, options.name, options.out)
    return None


def _json(text: str) -> dict[str, Any]:
    """Read settings that a rule passed."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UserError(f"expected a JSON mapping, got {text!r}")
    return value


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Split off the flags for Snakemake, which stand after ``--``."""
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


DESCRIPTION = """\
Bayesian experiments that you can run again. In the folder of the project:

  bamopipe doctor                        what works on this machine
  bamopipe new model rt                  files of a new model, ready to be edited
  bamopipe check rt                      look at a model before fitting it
  bamopipe plan single model=rt          which runs there would be
  bamopipe run single model=rt           fit, diagnose, plot, compare, report
  bamopipe status --follow               how far it is, and how it went
  bamopipe explain RUN                   why something would be made again
  bamopipe load single --csv draws.csv   all draws as a table, for R
  bamopipe prune                         what no experiment uses any more

`bamopipe COMMAND --help` says more about each, with examples."""

OVERRIDES = """
Overrides are Hydra's, key=value. Several values make a sweep, one run of every combination:
  model=rt                                 a file of conf/model/
  inference.num_particles=1000,5000        these values; also range(1,5) and choice(a,b)
  'sampler=glob(n*)'                       every file of conf/sampler/ that begins with n
  "model.mu='Normal(0, 1)','Normal(0, 9)'" quote text that has brackets, within the shell's quotes
  seeds=[0,1,2,3]                          independent repetitions of every run
"""

RUN = f"""{OVERRIDES}
Examples:
  bamopipe run eight_schools
  bamopipe run single model=rt inference.num_particles=1000,5000
  bamopipe run single model=rt sampler=nuts inference=mcmc -- --cores 4
  bamopipe run eight_schools -- --dry-run
  bamopipe run eight_schools -- --workflow-profile profiles/slurm

Runs without overrides go to results/EXPERIMENT, others to results/EXPERIMENT+HASH. What exists
already is not made again. What you want to keep is a file in conf/experiment/."""

PLAN = f"""{OVERRIDES}
States: missing; partly (and how much); running; failed; out of date (data or model changed since
the fit); did not converge; done. The last line is about the disk that fits to come will take.

Examples:
  bamopipe plan
  bamopipe plan single "model=glob(gp_*)" inference.num_particles=100,1000"""

STATUS = """
Examples:
  bamopipe status                          all experiments that have results
  bamopipe status results/eight_schools
  bamopipe status --follow                 how far running fits are, also on a cluster"""

EXPLAIN = """
Examples:
  bamopipe explain gibbs-e875fffd
  bamopipe explain results/eight_schools/gibbs-e875fffd"""

LOAD = """
The table has one row a value: run, arm, the swept settings, seed, chain, draw, variable, index,
value. In Python: bamopipe.load("results/eight_schools").

Examples:
  bamopipe load eight_schools
  bamopipe load eight_schools --csv draws.csv.gz --variables mu,tau

In R:
  draws <- readr::read_csv("draws.csv.gz")"""

PRUNE = """
In use is what the experiments in conf/experiment/ consist of, and what `bamopipe run` made with
overrides of one of them. Without --yes, nothing is removed."""

NEW = """
Writes models/NAME.py, conf/model/NAME.yaml, conf/data/NAME.yaml, data/NAME.csv and
tests/test_NAME.py: a model that runs, and passes its test, before you have changed anything.

Example:
  bamopipe new model rt"""

CHECK = """
Examples:
  bamopipe check rt
  bamopipe check rt "model.mu='Normal(0, 1)'" sampler=nuts inference=mcmc"""

DOCTOR = """
It looks at the versions of packages, the command that Snakemake's rules call, the experiments of
this project, the devices that JAX sees, the cache of compiled programs, the disk, git, the lock of
Snakemake, and Slurm.

Marks: ok; - not there, and not needed; ! worth a look; x broken (then the status is 2)."""


def _parser() -> argparse.ArgumentParser:
    def described(**texts: Any) -> dict[str, Any]:
        return {"formatter_class": argparse.RawDescriptionHelpFormatter, **texts}

    parser = argparse.ArgumentParser(**described(prog="bamopipe", description=DESCRIPTION))
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", title="commands"
    )

    def command(name: str, text: str, more: str = "") -> argparse.ArgumentParser:
        about = described(help=text, description=text, epilog=more.strip("\n"))
        return commands.add_parser(name, **about)

    run = command("run", "Run an experiment; flags for Snakemake may follow after --.", RUN)
    plan = command("plan", "List an experiment's runs, what varies and what is made.", PLAN)
    for each in (run, plan):
        each.add_argument("experiment", nargs=None if each is run else "?", help="conf/experiment/")
        each.add_argument("override", nargs="*", help="key=value, or key=value,value to sweep")

    check = command("check", "Look at a model before fitting it, and say what looks wrong.", CHECK)
    check.add_argument("model", help="conf/model/")
    check.add_argument("override", nargs="*", help="key=value")

    status = command("status", "Say what was made, what did not converge and what failed.", STATUS)
    status.add_argument("home", nargs="?", type=Path, help="results/EXPERIMENT; default: all")
    status.add_argument("--follow", action="store_true", help="show progress until all is done")

    explain = command("explain", "Say why a run, or a part of it, would be made again.", EXPLAIN)
    explain.add_argument("run", help="its name or its folder")

    load = command("load", "Show an experiment's runs, or write their draws as CSV.", LOAD)
    load.add_argument("experiment", help="its name, or its folder in results/")
    load.add_argument("--csv", type=Path, help="the file to write; .gz compresses")
    load.add_argument(
        "--variables", type=lambda text: text.split(","), help="such as mu,tau; default: all"
    )

    prune = command("prune", "List fits and runs in results/ that no experiment uses.", PRUNE)
    prune.add_argument("--yes", action="store_true", help="remove them")

    new = command("new", "Write the files of a new model, ready to be edited.", NEW)
    new.add_argument("kind", choices=("model",), help="what to make")
    new.add_argument("name", metavar="NAME", help="such as rt")

    command("doctor", "Say what works on this machine, and how to mend what does not.", DOCTOR)

    # The stages, which Snakemake calls.
    fit = command("fit", "Draw from a posterior, once for each seed.")
    fit.add_argument("config", type=Path, help="a frozen config.yaml")
    fit.add_argument("--seeds", required=True, help="such as 3, 0-3 or 0,1,5")
    fit.add_argument("--out", required=True, type=Path, help="the .nc file to write")
    fit.add_argument("--threads", type=int, help="processor cores; default: all")

    diagnose = command("diagnose", "Join a run's blocks of seeds; summarise and check them.")
    diagnose.add_argument("blocks", nargs="+", type=Path, help=".nc files from `fit`")
    diagnose.add_argument("--seeds", required=True, help="the seeds to keep")
    diagnose.add_argument("--out", required=True, type=Path, help="the run's posterior.nc")

    plot = command("plot", "Draw a run's figures.")
    plot.add_argument("posterior", type=Path)
    plot.add_argument("--out", required=True, type=Path, help="the folder for the figures")
    plot.add_argument("--settings", default="{}", help="style and dpi, as JSON")
    plot.add_argument("--figures", default="{}", help="your own: name to function, as JSON")

    compare = command("compare", "Compare the evidence of an experiment's runs.")
    compare.add_argument("posteriors", nargs="+", type=Path)
    compare.add_argument("--out", required=True, type=Path, help="the experiment's folder")
    compare.add_argument("--settings", default="{}", help="style and dpi, as JSON")

    sweep = command("sweep", "Show the runs of an experiment against the settings that vary.")
    sweep.add_argument("home", type=Path, help="the experiment's folder")
    sweep.add_argument("--settings", default="{}", help="style and dpi, as JSON")

    page = command("page", "Write a page of the report.")
    page.add_argument("kind", choices=("summary", "overview", "methods", "sweep", "failures"))
    page.add_argument(
        "out", type=Path, help="the .html file, in a run's folder or its experiment's"
    )

    reproduce = command(
        "reproduce", "Run a fit again from its posterior alone; say whether the result is the same."
    )
    reproduce.add_argument("posterior", type=Path, help="a .nc file from `fit` or `diagnose`")
    reproduce.add_argument("--seeds", help="some of its seeds, such as 3, 0-3 or 0,1,5")
    reproduce.add_argument("--out", type=Path, help="a .nc file to keep the new posterior in")
    reproduce.add_argument("--threads", type=int, help="processor cores; default: all")
    reproduce.add_argument(
        "--show-source", action="store_true", help="only print the model's code in the record"
    )
    reproduce.add_argument(
        "--trust-source",
        action="store_true",
        help="run the model's code in the record if it is not that of this place",
    )

    diff = command("diff", "Show how two posteriors differ; exit status 1 if they do.")
    diff.add_argument("first", type=Path, help="a .nc file from `fit` or `diagnose`")
    diff.add_argument("second", type=Path)

    fetch = command("fetch", "Fetch a data file, and check its content.")
    fetch.add_argument("url")
    fetch.add_argument("--sha256", required=True, help="the hash of its content")
    fetch.add_argument("--name", help="its name, if the URL does not end in it")
    fetch.add_argument("--out", required=True, type=Path, help="where to put it")

    report = command("report", "Write the report as one HTML file.")
    report.add_argument("--request", required=True, help="experiment and overrides, as JSON")
    report.add_argument("--out", required=True, type=Path, help="the .html file to write")
    report.add_argument("--partial", action="store_true", help="leave out what failed")
    return parser

"""The ``bamopipe`` command: each stage of the pipeline by hand, and the pipeline as a whole."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bamopipe.errors import UserError, printable


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

            plot.main(options.posterior, options.out, _json(options.settings))
        case "compare":
            from bamopipe.stages import compare

            compare.main(options.posteriors, options.out, _json(options.settings))
        case "page":
            from bamopipe.stages import page

            page.main(options.kind, options.out)
        case "report":
            from bamopipe.stages import report

            report.main(_json(options.request), options.out, options.partial)
        case "status":
            from bamopipe.stages import status

            status.main(options.home)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bamopipe", description="Bayesian experiments that can be rerun."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    run = command("run", "Run an experiment; flags for Snakemake may follow after --.")
    plan = command("plan", "List an experiment's runs and what is made of them.")
    for each in (run, plan):
        each.add_argument("experiment", nargs=None if each is run else "?", help="conf/experiment/")
        each.add_argument("override", nargs="*", help="key=value, or key=value,value to sweep")

    check = command("check", "Look at a model before fitting it, and say what looks wrong.")
    check.add_argument("model", help="conf/model/")
    check.add_argument("override", nargs="*", help="key=value")

    status = command("status", "Say what was made, what did not converge and what failed.")
    status.add_argument("home", nargs="?", type=Path, help="results/EXPERIMENT; default: all")

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

    compare = command("compare", "Compare the evidence of an experiment's runs.")
    compare.add_argument("posteriors", nargs="+", type=Path)
    compare.add_argument("--out", required=True, type=Path, help="the experiment's folder")
    compare.add_argument("--settings", default="{}", help="style and dpi, as JSON")

    page = command("page", "Write a page of the report.")
    page.add_argument("kind", choices=("summary", "overview", "failures"))
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

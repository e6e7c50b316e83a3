"""Say why a run would be made again, from what Snakemake knows."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bamopipe import index, plan
from bamopipe.errors import UserError, nearest
from bamopipe.index import RESULTS

# What Snakemake says, and how a person says it; {} are the files or values that it names.
REASONS = {
    "Missing output files": "not made yet: {}",
    "Incomplete output files": "only half made, since its job was stopped: {}",
    "Updated input files": "changed since it was made: {}",
    "Input files updated by another job": "made of files that are made again: {}",
    "Set of input files has changed since last execution": "made of other files than before",
    "Code has changed since last execution": "the rule's command in the Snakefile has changed",
    "Params have changed since last execution": "its settings have changed: {}",
}
MOST_FILES = 3


def main(run: str) -> None:
    """Print, for each stage of a run that Snakemake would start, why it would.

    Parameters
    ----------
    run : str
        A run's name, such as ``gibbs-e875fffd``, or its folder.
    """
    for home in homes(run):
        name = Path(run).name
        print(f"{home}/{name}")
        print("\n".join(f"  {line}" for line in _explain(home, name)))


def homes(run: str) -> list[Path]:
    """Find the experiments that have a run of this name; a path names one of them."""
    path = Path(run)
    candidates = [path.parent] if len(path.parts) > 1 else index.homes()
    names = {
        home: [row.run for row in index.read(home)]
        for home in candidates
        if (home / "index.csv").is_file()
    }
    found = [home for home, runs in names.items() if path.name in runs]
    if not found:
        known = [name for runs in names.values() for name in runs]
        if not known:
            raise UserError(f"there are no results in {RESULTS}/; run `bamopipe run` first")
        raise UserError(
            f"no experiment in {RESULTS}/ has a run {path.name!r}{nearest(path.name, known)}"
        )
    return found


def request_of(home: Path) -> dict[str, Any]:
    """Return what an experiment's folder was made from, for `bamopipe.plan.load`."""
    record = home / "overrides.yaml"
    if record.is_file():
        request: dict[str, Any] = yaml.safe_load(record.read_text())
        return request
    return {"experiment": home.name}


def _explain(home: Path, name: str) -> Iterator[str]:
    request = request_of(home)
    made = plan.load(request)
    if name not in made.by_name:
        yield from _other_settings(home, name, made)
        return
    run = made.by_name[name]
    targets = [f"{home}/{name}/figures", f"{home}/{name}/summary.html", *made.blocks(run)]
    jobs = list(_reasons(_dry_run(request, targets)))
    yield from (f"{rule}: {reason}" for rule, reason in jobs)
    if not jobs:
        yield "nothing would be made again"


def _dry_run(request: dict[str, Any], targets: list[str]) -> str:
    """Return what Snakemake says that it would do."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "request.yaml"
        config.write_text(yaml.safe_dump(request))
        words = ["-n", "--nolock", "--cores", "all", "--configfile", str(config), "--", *targets]
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *words], capture_output=True, text=True, check=False
        )
    output = done.stdout + done.stderr
    if done.returncode:
        raise UserError(f"Snakemake cannot plan this run: {output.strip().splitlines()[-1]}")
    return output


def _reasons(output: str) -> Iterator[tuple[str, str]]:
    """Read the rule and the reason of every job that a dry run announces."""
    seen = set()
    for job in re.finditer(r"^(?:local)?rule (\w+):\n((?: +.*\n)+)", output, re.MULTILINE):
        reason = re.search(r"^ +reason: (.*)$", job[2], re.MULTILINE)
        for part in (reason[1] if reason else "").split("; "):
            known = next((start for start in REASONS if part.startswith(start)), None)
            if known is None:
                text = part
            else:
                text = REASONS[known].format(_some(part.removeprefix(known).lstrip(": ")))
            if part and (job[1], text) not in seen:
                seen.add((job[1], text))
                yield job[1], text


def _some(text: str) -> str:
    files = text.split(", ")
    if not all("/" in file for file in files) or len(files) <= MOST_FILES:
        return text
    return f"{', '.join(files[:MOST_FILES])} and {len(files) - MOST_FILES} more"


def _other_settings(home: Path, name: str, made: plan.Plan) -> Iterator[str]:
    """Say what is different now, where the settings of a run have changed."""
    row = next(row for row in index.read(home) if row.run == name)
    yield f"the experiment has no such run any more; it now has {', '.join(made.by_name)[:200]}"
    frozen = home / name / "config.yaml"
    now = [r for r in made.runs if r.label == row.arm and r.settings == row.settings]
    if not now or not frozen.is_file():
        return
    before, after = flat(yaml.safe_load(frozen.read_text())), flat(now[0].frozen)
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key, "not set"), after.get(key, "not set")
        if old != new:
            yield f"{key} was {old}, and is {new}"


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Write nested settings with dotted keys.

    >>> flat({"model": {"mu": "Normal(0, 1)"}, "trusted": []})
    {'model.mu': 'Normal(0, 1)', 'trusted': []}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found

"""A project folder of its own for a test, with stages that only write their files."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Stands in for the `bamopipe` command: what is tested with it is the wiring, not the stages.
STUB = r"""#!{python}
import json, os, sys
from pathlib import Path

command, *words = sys.argv[1:]
named = dict(zip(words, words[1:]))
ours = ("status", "page", "report", "plan", "run")
if command in ours and words[0] != "methods" and not os.environ.get("STUB_ALL"):
    from bamopipe.cli import main
    sys.exit(main())
with open("calls.txt", "a") as calls:
    calls.write(" ".join([command, *words]) + "\n")
if os.environ.get("FAIL", "never") in " ".join(sys.argv):
    sys.exit("the disk is full")
out = Path(named["--out"]) if "--out" in named else Path(words[-1])
if command == "plot":
    from bamopipe.plots import FIGURES
    out.mkdir(exist_ok=True)
    for name in (*FIGURES, *json.loads(named["--figures"])):
        (out / f"{{name}}.png").write_bytes(b"png")
elif command == "compare":
    (out / "evidence.csv").write_text("run,log_evidence\ngibbs,-36.1\n")
    (out / "evidence.png").write_bytes(b"png")
    (out / "summary.csv").write_text("run,variable,mean\ngibbs,mu,5.8\n")
elif command == "sweep":
    for name in ("sweep.html", "sweep.csv", "sweep.png"):
        Path(words[0], name).write_text("sweep")
elif command != "status":
    out.write_text(command)
if command == "diagnose":
    (out.parent / "summary.csv").write_text("variable,mean\nmu,5.8\n")
    checks = [{{"name": "r_hat", "value": 1.2, "threshold": 1.01, "ok": False,
                "message": "the chains disagree"}}]
    (out.parent / "diagnostics.json").write_text(json.dumps(
        {{"converged": False, "checks": checks, "log_evidence": -36.1308, "log_evidence_se": 0.02,
          "num_chains": 8, "seconds": {{"compile": 2.0, "sample": 7.0}}}}))
"""


def make(folder: Path) -> Path:
    """Copy what a project consists of, and the stub."""
    for name in ("conf", "data", "profiles", "report"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "Snakefile", folder)
    shutil.copytree(
        ROOT / "bamopipe" / "models",
        folder / "bamopipe" / "models",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    stub(folder)
    return folder


def stub(folder: Path, text: str = STUB.format(python=sys.executable)) -> None:
    """Put a program in the place of the `bamopipe` command."""
    path = folder / "bin" / "bamopipe"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def snakemake(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a project, with the stub on the path."""
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *words],
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text that must be there once."""
    content = path.read_text()
    assert content.count(old) == 1, f"{old!r} in {path}"
    path.write_text(content.replace(old, new))


def jobs(output: str) -> dict[str, int]:
    """Read how many jobs of each rule a dry run announces; `all` and `content` make no file."""
    table = output.partition("Job stats:")[2].partition("total")[0]
    counts = {rule: int(n) for rule, n in re.findall(r"^(\w+)\s+(\d+)$", table, re.MULTILINE)}
    return {rule: n for rule, n in counts.items() if rule not in ("all", "content")}

"""Imports point one way, and what has to start quickly imports no JAX."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path("bamopipe")

# Each room may import itself and the rooms listed. `errors` and `files` are everybody's.
EVERYBODYS = {"errors", "files"}
ROOMS = {
    "": {"results"},
    "errors": set(),
    "files": set(),
    "garbage": set(),
    "distributions": set(),
    "graph": {"plots.graph"},
    "node": {"distributions"},
    "declaration": {"distributions"},
    "base": {"distributions", "declaration", "node", "graph"},
    "models": {"base", "distributions"},
    "target": {"base", "node", "distributions"},
    "samplers": {"base", "target"},
    "evidence": {"target"},
    "posterior": {"evidence"},
    "inference": {
        "base",
        "distributions",
        "target",
        "samplers",
        "evidence",
        "posterior",
        "garbage",
    },
    "diagnostics": {"evidence", "posterior"},
    "comparison": {"diagnostics", "evidence"},
    "plots": {"diagnostics", "comparison", "graph", "posterior"},
    "devices": set(),
    "provenance": {"devices"},
    "local": set(),
    "datafiles": {"local", "provenance"},
    "record": {"posterior", "config", "schema"},
    "difference": {"diagnostics", "posterior", "record"},
    "programs": {"provenance"},
    "schema": set(),
    "config": {"schema", "distributions.text", "datafiles", "plots"},
    "overrides": {"schema", "config"},
    "source": {"distributions.text", "local"},
    "compose": {"config", "overrides", "schema", "local"},
    "blocks": set(),
    "locks": set(),
    "exclusive": set(),
    "index": set(),
    "methods": set(),
    "outcome": {"index", "blocks", "provenance"},
    "results": {"index", "posterior"},
    "plan": {
        "compose",
        "config",
        "blocks",
        "index",
        "source",
        "overrides",
        "schema",
        "datafiles",
        "local",
    },
    "cli": {"stages", "plan", "blocks"},
    "__main__": {"cli"},
}


def imports_of(path: Path) -> set[str]:
    """Full names of the modules of bamopipe that a file imports, also within functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                is_module = any(Path(*name.split(".")).with_suffix(s).exists() for s in ("", ".py"))
                found.add(name if is_module else node.module)
    return {name for name in found if name.split(".")[0] == "bamopipe"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_imports_point_one_way(path):
    room = path.relative_to(PACKAGE).with_suffix("").parts[0].replace("__init__", "")
    if room == "stages":
        return  # stages may see everything; nothing but the command sees them
    assert room in ROOMS, f"{path} is in no room; say in ROOMS what it may import"
    allowed = ROOMS[room] | EVERYBODYS | {room}
    for name in imports_of(path):
        module = name.removeprefix("bamopipe").lstrip(".")
        assert any(module == a or module.startswith(f"{a}.") for a in allowed), (
            f"{path} imports {name}; {room or 'bamopipe'} may import {sorted(allowed)}"
        )


@pytest.mark.parametrize(
    "module",
    [
        "bamopipe",
        "bamopipe.devices",
        "bamopipe.plan",
        "bamopipe.cli",
        "bamopipe.plots",
        "bamopipe.distributions.text",
    ],
)
def test_quick_modules_import_no_jax(module):
    program = f"import sys, {module}; print([m for m in ('jax', 'arviz', 'xarray', 'matplotlib', "
    program += "'tensorflow_probability') if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"

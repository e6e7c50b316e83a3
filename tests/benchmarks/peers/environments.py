"""The environment of each program that bamopipe is compared with, by exact versions."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent.parent.parent / ".benchmarks"
JAX = ["jax==0.12.0.1", "arviz==1.3.0"]
PINS = {
    "bamojax": ["bamojax==0.4.3", "jax==0.12.0.1", "blackjax==1.7.1", "numpyro==0.22.0"],
    "numpyro": ["numpyro==0.22.0", *JAX],
    "pymc": ["pymc==6.4.0", "arviz==1.3.0"],
    "pocomc": ["pocomc==1.2.6", *JAX],
}


def python_of(name: str) -> str:
    """Make a program's own environment, if it needs one; return its interpreter."""
    if name not in PINS:
        return sys.executable
    python = FOLDER / name / "bin" / "python"
    if not python.exists():
        environment = python.parent.parent
        subprocess.run(["uv", "venv", "--quiet", environment, "-p", sys.executable], check=True)
        words = ["uv", "pip", "install", "--quiet", "--compile-bytecode", "-p", python]
        subprocess.run([*map(str, words), *PINS[name]], check=True)
    return str(python)

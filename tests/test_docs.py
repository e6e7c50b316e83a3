"""The code in the documentation runs as it stands."""

import contextlib
import re
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import pytest


@pytest.mark.parametrize("page", sorted(Path("docs").glob("*.md")), ids=lambda p: p.stem)
def test_every_block_runs(page, tmp_path, capsys):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    names: dict = {}
    try:
        with contextlib.chdir(tmp_path):
            for block in blocks:
                exec(compile(block, str(page), "exec"), names)
    finally:
        jax.config.update("jax_enable_x64", False)
        plt.close("all")
    if page.stem == "modelling":
        assert "known: loc, scale" in capsys.readouterr().out

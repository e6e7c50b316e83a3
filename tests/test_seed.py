"""The program that the package was designed around runs as it stands."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

import exact

REPORT = """
import json
theta = result['final_state'].particles['theta']
plt.savefig(sys.argv[1])
print(json.dumps(dict(shape=theta[:, :, 0].shape, mean=theta.mean((0, 1)).tolist())))
"""


def test_every_cell_runs(tmp_path):
    """The text of seed.md, less its notebook magic, at its own settings: 4 chains of 10,000."""
    cells = re.findall(r"```python\n(.*?)```", Path("tests/seed.md").read_text(), re.DOTALL)
    assert len(cells) == 5
    lines = "\n".join(cells).replace("bamojax", "bamopipe").splitlines()
    program = "\n".join(x for x in lines if not x.startswith(("%", ":tags:")))
    script, figure = tmp_path / "seed.py", tmp_path / "theta.png"
    # `plt.show()` closes nothing with a file backend, so the figure can be kept afterwards.
    script.write_text(program + REPORT)
    run = subprocess.run(
        [sys.executable, "-W", "ignore", script, figure],
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout.splitlines()[-1])
    assert report["shape"] == [4, 10_000]
    assert figure.stat().st_size > 10_000
    # 4 chains have no error worth the name; the truth is tested elsewhere, with 16.
    difference = np.asarray(report["mean"]) - exact.eight_schools().mean["theta"]
    assert np.abs(difference).max() < 0.5

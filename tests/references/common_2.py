"""Reading data and writing answers, for the scripts beside this one."""

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "data"


def read(name):
    """Return the columns of a CSV file of numbers, by name."""
    table = np.genfromtxt(DATA / f"{name}.csv", delimiter=",", names=True)
    return {column: table[column] for column in table.dtype.names}


def scalars(name, values):
    """Name each entry of a draw or a moment: ``beta`` of shape (2,) has beta[0] and beta[1]."""
    values = np.asarray(values)
    if values.ndim == 0:
        return {name: float(values)}
    return {
        f"{name}[{','.join(map(str, index))}]": float(values[index])
        for index in np.ndindex(values.shape)
    }


def exact(moments):
    """Turn variable -> (mean, sd) into quantities that have no error."""
    return {
        key: {"mean": mean, "mean_error": 0.0, "sd": sd, "sd_error": 0.0}
        for name, (means, sds) in moments.items()
        for (key, mean), sd in zip(
            scalars(name, means).items(), scalars(name, sds).values(), strict=True
        )
    }


def write(record):
    """Write an answer beside the scripts, with arrays as lists."""
    path = HERE / f"{record['model']}.json"
    plain = json.loads(json.dumps(record, default=lambda value: np.asarray(value).tolist()))
    path.write_text(json.dumps(plain, indent=1) + "\n")
    print(f"wrote {path}")

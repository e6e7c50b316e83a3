"""Write the files of a new model, ready to be edited."""

import random
from pathlib import Path

from bamopipe.errors import UserError
from bamopipe.files import atomic_write

MODEL = '''"""What {name} is about."""

import distrax as dx

from bamopipe.base import Model


def model(data, mu, sigma):
    """Make the model; priors come from conf/model/{name}.yaml, tables from conf/data/{name}.yaml.

    Parameters
    ----------
    data : mapping
        Name to table; here ``trials``, with a column ``y``.
    mu, sigma : distribution
        Priors of the mean and the standard deviation.
    """
    model = Model("{name}")
    mu = model.add_node("mu", distribution=mu)
    sigma = model.add_node("sigma", distribution=sigma)
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(loc=mu, scale=sigma),
        observations=data["trials"]["y"],
    )
    return model
'''

MODEL_CONFIG = """# The model's function, and the priors of its arguments.
_target_: models.{name}.model
mu: Normal(0, 10)
sigma: HalfCauchy(0, 5)
"""

DATA_CONFIG = """# Its data: name -> file, as data["trials"] in the model.
files:
  trials: data/{name}.csv
"""

TEST = '''"""The model {name}: it fits, and finds what its data were made with."""

import jax
import numpy as np
import pandas as pd

from bamopipe import plan
from bamopipe.stages.fit import build_engine

SMALL = ["inference.num_particles=500", "inference.num_mutations=20"]


def test_{name}_finds_the_mean_of_its_data():
    (run,) = plan.load({{"experiment": "single", "overrides": ["model={name}", *SMALL]}}).runs
    result = build_engine(run.frozen).run(jax.random.key(1))
    assert set(result.status) == {{"ok"}}
    draws = np.asarray(result["final_state"].particles["mu"])  # (chain, particle)
    y = pd.read_csv("data/{name}.csv")["y"]
    # The prior is wide: the posterior mean is that of the data, but for Monte Carlo error.
    assert abs(draws.mean() - y.mean()) < 0.3 * y.std() / len(y) ** 0.5
'''

FILES = {
    "models/{name}.py": MODEL,
    "conf/model/{name}.yaml": MODEL_CONFIG,
    "conf/data/{name}.yaml": DATA_CONFIG,
    "tests/test_{name}.py": TEST,
}


def main(name: str) -> None:
    """Write a model of normal observations with its data, configs and test.

    Parameters
    ----------
    name : str
        The model's name; it becomes that of a Python module.
    """
    if not (name.isidentifier() and name.isascii() and name == name.lower()):
        raise UserError(f"a model's name is a Python name in lower case, such as rt; got {name!r}")
    if not Path("conf/config.yaml").is_file():
        raise UserError(f"there is no conf/config.yaml in {Path.cwd()}; run from the project")
    numbers = random.Random(1)
    rows = "".join(f"{numbers.gauss(2.0, 1.5):.3f}\n" for _ in range(30))
    texts = {path.format(name=name): text.format(name=name) for path, text in FILES.items()}
    texts[f"data/{name}.csv"] = f"y\n{rows}"  # made up: normal, mean 2, standard deviation 1.5
    for path in texts:
        if Path(path).exists():
            raise UserError(f"{path} exists already; choose another name, or move it away")
    for path, text in texts.items():
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    print(
        "\nEdit them, put your data into the CSV file, and go on with\n"
        f"  bamopipe check {name}                look at it before fitting\n"
        f"  pytest tests/test_{name}.py          its own test\n"
        f"  bamopipe run single model={name}     fit it"
    )

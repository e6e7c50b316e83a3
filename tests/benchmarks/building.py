"""How the time to build and compile a model grows with its size.

    uv run python tests/benchmarks/building.py

Chains of Gaussian nodes (each the parent of the next), the same with a link function of its own in
each node, and the hierarchical expectancy-valence model with 96 latent numbers. Process times, so
that a busy machine matters little; the median of some repetitions, after one that warms up.
"""

import statistics
import time
from collections.abc import Callable

import distrax as dx

from bamopipe.base import Model
from bamopipe.config import FIT_VERSION
from bamopipe.plan import load
from bamopipe.stages.fit import build_model
from bamopipe.target import compile_target

REPETITIONS = 3


def chain(length: int, linked: bool) -> Model:
    """Build x_0 -> x_1 -> ... -> y."""
    model = Model()
    last = model.add_node("x_0", distribution=dx.Normal(0.0, 1.0))
    for index in range(1, length):
        if linked:
            arguments = dict(parents=dict(x=last), link_fn=lambda x: dict(loc=x, scale=1.0))
        else:
            arguments = dict(parents=dict(loc=last, scale=1.0))
        last = model.add_node(f"x_{index}", distribution=dx.Normal, **arguments)
    model.add_node("y", distribution=dx.Normal, parents=dict(loc=last, scale=1.0), observations=0.0)
    return model


def expectancy_valence() -> Model:
    """Build the gallery's model, from its YAML and data."""
    plan = load({"experiment": "single", "overrides": ["model=expectancy_valence_hierarchical"]})
    return build_model({**plan.runs[0].frozen, "fit_version": FIT_VERSION})


def measure(make: Callable[[], Model]) -> tuple[float, float]:
    """Return the seconds to build a model and to compile its target."""
    found = []
    for _ in range(REPETITIONS + 1):
        start = time.process_time()
        model = make()
        built = time.process_time()
        compile_target(model)
        found.append((built - start, time.process_time() - built))
    building, compiling = zip(*found[1:], strict=True)
    return statistics.median(building), statistics.median(compiling)


def main() -> None:
    """Print a table."""
    print(f"{'model':28}{'build (s)':>12}{'compile (s)':>12}{'ms a node':>12}")
    for linked in (False, True):
        for length in (10, 100, 1000):
            building, compiling = measure(lambda n=length, k=linked: chain(n, k))
            name = f"chain of {length}{', linked' if linked else ''}"
            each = 1000 * (building + compiling) / length
            print(f"{name:28}{building:12.3f}{compiling:12.3f}{each:12.2f}")
    building, compiling = measure(expectancy_valence)
    print(f"{'expectancy valence (96)':28}{building:12.3f}{compiling:12.3f}")


if __name__ == "__main__":
    main()

"""One chain of sequential Monte Carlo, as it rests between two stages."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from bamopipe.evidence.clusters import Clusters
from bamopipe.evidence.genealogy import Genealogy
from bamopipe.inference.persistent import Pool
from bamopipe.inference.result import Stage
from bamopipe.samplers.base import LOG_SCALE, Parameters, State


@dataclass
class Chain:
    """Where a chain is, and how it came there.

    Attributes
    ----------
    key
        From which all of its keys come.
    parameters
        Of the kernel, by update; the sizes of steps are those that the last stage ended with.
    genealogy
        Who descends from whom.
    temperature
        The one that was reached.
    state
        Particles in blocks, leaves of shape (block, ..., particle).
    prior
        Variable -> the first draws from the prior, shape (draw, ...).
    stages
        What happened so far.
    status
        "ok" or a sentence once the chain has ended; None before.
    pool
        The particles of all temperatures so far, if they are kept.
    """

    key: Array
    parameters: dict[str, Parameters]
    genealogy: Genealogy | Clusters
    temperature: np.floating
    state: State
    prior: dict[str, np.ndarray]
    stages: list[Stage] = field(default_factory=list)
    status: str | None = None
    pool: Pool | None = None

    @property
    def log_evidence(self) -> float:
        """Of the temperature that was reached."""
        return sum(stage.log_evidence_increment for stage in self.stages)

    def take_scales(self, log_scale: Mapping[str, float]) -> None:
        """Let the next stage start with steps of these sizes."""
        self.parameters = {
            name: {**parameters, LOG_SCALE: self.temperature.dtype.type(log_scale[name])}
            if name in log_scale
            else parameters
            for name, parameters in self.parameters.items()
        }

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return all but the key as arrays by name, for a checkpoint."""
        arrays = {
            "temperature": np.asarray(self.temperature),
            "families": self.genealogy.families,
            "relative_variance": np.asarray(self.genealogy.relative_variance),
            "said": np.asarray(json.dumps([self.status, [list(s) for s in self.stages]])),
            **{f"prior/{name}": draws for name, draws in self.prior.items()},
            **{
                f"log_scale/{name}": np.asarray(p[LOG_SCALE])
                for name, p in self.parameters.items()
                if LOG_SCALE in p
            },
        }
        for index, state in enumerate(self.pool.states if self.pool else [self.state]):
            for what, leaves in jax.device_get(state)._asdict().items():
                arrays |= {f"{what}{index}/{name}": leaf for name, leaf in leaves.items()}
        if self.pool is not None:
            arrays["log_evidences"] = np.asarray(self.pool.log_evidences)
            arrays["temperatures"] = np.asarray(self.pool.temperatures)
            arrays["log_likelihoods"] = np.stack(self.pool.log_likelihoods)
        return arrays

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take up what `to_arrays` returned."""

        def named(prefix: str) -> dict[str, Any]:
            return {
                name.removeprefix(prefix): value
                for name, value in arrays.items()
                if name.startswith(prefix)
            }

        self.temperature = arrays["temperature"].dtype.type(arrays["temperature"])
        self.genealogy.families = arrays["families"]
        self.genealogy.relative_variance = float(arrays["relative_variance"])
        self.status, stages = json.loads(str(arrays["said"]))
        self.stages = [Stage(*stage) for stage in stages]
        self.prior = named("prior/")
        self.take_scales({name: float(value) for name, value in named("log_scale/").items()})
        number = len(arrays["temperatures"]) if self.pool else 1
        states = [
            State(named(f"position{index}/"), named(f"log_factors{index}/"))
            for index in range(number)
        ]
        self.state = states[-1]
        if self.pool is not None:
            self.pool.states = states
            self.pool.log_evidences = arrays["log_evidences"].tolist()
            self.pool.temperatures = arrays["temperatures"].tolist()
            self.pool.log_likelihoods = [*arrays["log_likelihoods"]]


def particles_first(blocks: Any) -> np.ndarray:
    """Turn (block, ..., particle) into (particle, ...)."""
    blocks = np.asarray(blocks)
    return np.moveaxis(blocks, -1, 1).reshape(-1, *blocks.shape[1:-1])


def stack(states: list[State]) -> State:
    """Put the states of blocks into one, on the device that they are on, or on the host."""

    def put(*leaves):
        return (jnp if isinstance(leaves[0], Array) else np).stack(leaves)

    return jax.tree.map(put, *states)

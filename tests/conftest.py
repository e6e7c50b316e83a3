"""What all tests share: the eight-schools model, written as a user would."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import blackjax
import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tensorflow_probability.substrates import jax as tfp

import exact
from bamopipe.base import Model
from bamopipe.inference import devices
from bamopipe.samplers import gibbs_sampler

tfb = tfp.bijectors

# scripts for other environments, and what is timed by hand
collect_ignore_glob = ["references/*", "benchmarks/*"]


def make_eight_schools() -> Model:
    model = Model("eight schools")
    mu = model.add_node("mu", distribution=dx.Normal(loc=0, scale=10))
    tau = model.add_node("tau", distribution=dx.Transformed(dx.Normal(loc=5, scale=1), tfb.Exp()))
    theta = model.add_node(
        "theta", distribution=dx.Normal, parents=dict(loc=mu, scale=tau), shape=(8,)
    )
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(loc=theta, scale=exact.ERRORS),
        observations=exact.EFFECTS,
    )
    return model


def make_gibbs(model: Model):
    return gibbs_sampler(
        model,
        step_fns=dict.fromkeys(("mu", "tau", "theta"), blackjax.normal_random_walk),
        step_fn_params=dict(
            mu=dict(sigma=6.0), tau=dict(sigma=6.0), theta=dict(sigma=5.0 * jnp.eye(8))
        ),
    )


def make_gaussian_mean(y, prior_sd: float = 2.0, sd: float = 3.0) -> Model:
    model = Model("gaussian mean")
    mu = model.add_node("mu", distribution=dx.Normal(loc=0.0, scale=prior_sd))
    model.add_node(
        "y", distribution=dx.Normal, parents=dict(loc=mu, scale=sd), observations=np.asarray(y)
    )
    return model


@contextmanager
def compilations(stage: str = "backend_compile") -> Iterator[list[str]]:
    """Give a list of the programs, such as "jit(move)", that are compiled meanwhile.

    The stage is a part of the names that JAX gives to what it does; "compile" hears of tracing too.
    """
    names: list[str] = []

    def listen(event: str, _: float, fun_name: str = "", **__) -> None:
        if stage in event:
            names.append(fun_name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
        heard = len(names)
        jax.jit(lambda x: x + 19)(np.ones(3))
        assert "jit(<lambda>)" in names[heard:], "compilations are not heard of"
        del names[heard:]
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def early_and_late(run: Callable, monkeypatch) -> tuple[list[str], list[str]]:
    """Return which programs a run compiles in `Dealer.compile`, and which after it."""
    compile_all, early = devices.Dealer.compile, list[str]()
    jax.clear_caches()
    with compilations() as late:

        def compile_and_note(self, calls):
            compile_all(self, calls)
            early.extend(late)
            late.clear()

        monkeypatch.setattr(devices.Dealer, "compile", compile_and_note)
        run()
    return early, late


@pytest.fixture
def eight_schools() -> Model:
    return make_eight_schools()

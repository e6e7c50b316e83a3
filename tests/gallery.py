"""The models of bamopipe/models, their reference answers, and draws to compare with these."""

import json
from functools import cache, partial
from pathlib import Path

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from threadpoolctl import threadpool_limits

from bamopipe import compose
from bamopipe.inference import SMCInference
from bamopipe.samplers import Kernel, gibbs_sampler
from bamopipe.samplers.base import Block
from bamopipe.samplers.random_walk import RandomWalk
from bamopipe.stages import fit
from bamopipe.target import Target, compile_target, precision_context

FOLDER = Path(__file__).parent / "references"
REFERENCES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
NUM_CHAINS = 8  # of SMC, so that a standard error between chains means something


def config(name: str, *overrides: str) -> dict:
    """Compose the config of a run as `bamopipe run single model=NAME` does."""
    _, (run,) = compose.spread("single", [f"model={name}", *overrides])
    return run.content


@cache
def target_of(name: str) -> Target:
    """Compile a model with the priors and data of its config."""
    return compile_target(fit.build_model(config(name)))


def quantities(name: str, draws: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compute what the reference of a model has, from draws of shape (chain, draw, ...).

    Returns
    -------
    dict
        Name of a scalar, such as ``beta[0]``, to its draws of shape (chain, draw).
    """
    target = target_of(name)

    def follow(position):
        values = {"log_likelihood": target.log_likelihood(position)}
        return {**position, **values, **target.deterministics(position)}

    with precision_context("float64"):
        values = jax.device_get(jax.jit(jax.vmap(jax.vmap(follow)))(draws))
    values = RELABEL.get(name, lambda values: values)(values)
    found = {}
    for key in REFERENCES[name]["quantities"]:
        variable, _, index = key.rstrip("]").partition("[")
        found[key] = values[variable][(..., *(int(i) for i in index.split(",") if i))]
    return found


def nuts(name: str, key: int) -> dict:
    """Draw from a posterior by four chains of BlackJAX's NUTS on the unconstrained target.

    Each chain starts at the most probable of 100 draws from the prior and adapts by itself.
    """
    target = target_of(name)
    num_warmup, num_samples = NUM_STEPS.get(name, (1000, 1000))
    constrain, unconstrain = COORDINATES.get(name, (Target.constrain, Target.unconstrain))

    def log_density(unconstrained):
        position, log_det = constrain(target, unconstrained)
        return target.log_prior(position) + target.log_likelihood(position) + log_det

    def start(key):
        positions = jax.vmap(target.sample_prior)(jax.random.split(key, 100))
        unconstrained = jax.vmap(partial(unconstrain, target))(positions)
        values = jax.vmap(log_density)(unconstrained)
        best = jnp.argmax(jnp.where(jnp.isnan(values), -jnp.inf, values))
        return jax.tree.map(lambda leaf: leaf[best], unconstrained)

    def chain(key):
        start_key, warmup_key, sample_key = jax.random.split(key, 3)
        adaptation = blackjax.window_adaptation(
            blackjax.nuts,
            log_density,
            target_acceptance_rate=0.95,
            adaptation_info_fn=lambda *_: None,
        )
        (state, parameters), _ = adaptation.run(warmup_key, start(start_key), num_warmup)
        kernel = blackjax.nuts(log_density, **parameters)

        def step(state, key):
            state, info = kernel.step(key, state)
            return state, (constrain(target, state.position)[0], info.is_divergent)

        return jax.lax.scan(step, state, jax.random.split(sample_key, num_samples))[1]

    with precision_context("float64"), threadpool_limits(1, "blas"):
        draws, divergent = jax.device_get(
            jax.jit(jax.vmap(chain))(jax.random.split(jax.random.key(key), 4))
        )
    print(f"{name}: {divergent.sum()} divergences")
    return draws


@cache
def smc(name: str, key: int):
    """Run SMC with the settings of `conf/`, for the evidence or the many modes of a model."""
    settings = config(
        name,
        f"inference.num_chains={NUM_CHAINS}",
        *OVERRIDES.get(name, ()),
    )
    if name not in KERNELS:
        engine = fit.build_engine(settings)
    else:
        model = fit.build_model(settings)
        inference = {k: v for k, v in settings["inference"].items() if k != "name"}
        engine = SMCInference(model, KERNELS[name](model), **inference)
    return engine.run(jax.random.key(key))


def _given_hint(function, hint, noise, target, position):
    """Return a latent Gaussian process given that it was seen to be about `hint` everywhere."""
    prior = target.distribution(function, position).normal()
    covariance, unit = prior.covariance(), jnp.eye(len(prior.loc))
    seen = jnp.linalg.cholesky(covariance + noise**2 * unit)
    whitened = noise * solve_triangular(seen, unit, lower=True)
    loc = hint + noise * whitened.T @ solve_triangular(seen, prior.loc - hint, lower=True)
    return loc, noise * jnp.linalg.cholesky(unit - whitened.T @ whitened)


def _from_independent(function, hint, noise, target, free):
    """Constrain, from nearly independent standard normals in place of a latent function."""
    position, log_det = target.constrain(free)
    loc, scale = _given_hint(function, hint, noise, target, position)
    moved = {**position, function: loc + scale @ free[function]}
    return moved, log_det + jnp.sum(jnp.log(jnp.diag(scale)))


def _to_independent(function, hint, noise, target, position):
    loc, scale = _given_hint(function, hint, noise, target, position)
    independent = solve_triangular(scale, position[function] - loc, lower=True)
    return {**target.unconstrain(position), function: independent}


def _by_intercept(values):
    """Let the lines of the growth mixture, which can be exchanged, ascend in their intercepts."""
    order = np.argsort(values["eta"][..., 0], axis=-1)
    return {
        **values,
        "eta": np.take_along_axis(values["eta"], order[..., None], axis=-2),
        "sigma": np.take_along_axis(values["sigma"], order, axis=-1),
        "weight": np.take_along_axis(values["weight"], order, axis=-1),
    }


def _at_several_scales(model):
    """Take far steps while the temperature is low, and near ones when the modes have parted."""
    scales = {"eta": (0.3, 0.08, 0.02), "sigma": (0.1, 0.02), "logits": (0.6,)}
    steps = {f"{name} by {sigma}": (name, sigma) for name in scales for sigma in scales[name]}
    return Kernel(
        tuple(Block(label, (name,), RandomWalk()) for label, (name, _) in steps.items()),
        {label: dict(sigma=sigma) for label, (_, sigma) in steps.items()},
    )


def _hamiltonian_for_volatility(model):
    """Move the hundred log variances along their gradient."""
    walk = blackjax.normal_random_walk
    path = dict(step_size=0.15, inverse_mass_matrix=np.ones(100), num_integration_steps=10)
    return gibbs_sampler(
        model,
        dict(h=blackjax.hmc, mu=walk, phi=walk, sigma=walk),
        dict(h=path, mu=dict(sigma=0.5), phi=dict(sigma=0.05), sigma=dict(sigma=0.05)),
    )


# What some models need beyond the settings that all share.
RELABEL = {"growth_mixture": _by_intercept}
KERNELS = {
    "growth_mixture": _at_several_scales,
    "stochastic_volatility": _hamiltonian_for_volatility,
}
OVERRIDES = {
    "spike_and_slab": ("sampler=gibbs",),
    # over a thousand observations
    "poisson_goals": ("inference.num_mutations=20",),
    "negative_binomial_goals": ("inference.num_mutations=20",),
    "gp_regression": ("inference.num_mutations=20",),
    "stochastic_volatility": ("inference.num_mutations=20",),
    # fifteen dimensions, and modes to be found
    "growth_mixture": ("inference.num_particles=2000", "inference.num_mutations=25"),
}
# A latent function hangs on its hyperparameters. NUTS moves better in coordinates that are standard
# normal if the function was seen through noise: about as much of it as the data have.
HINTS = {"gp_classification": ("f", 0.0, 2.0), "gp_heteroskedastic": ("log_noise", -1.0, 0.7)}
COORDINATES = {
    name: (partial(_from_independent, *hint), partial(_to_independent, *hint))
    for name, hint in HINTS.items()
}
# Of NUTS, for warm-up and for draws: longer chains for scales that move slowly, shorter ones where
# every step takes long.
NUM_STEPS = {
    "expectancy_valence_hierarchical": (1000, 2000),
    "gp_classification": (300, 1000),
    "gp_heteroskedastic": (300, 1000),
    "stochastic_volatility": (1000, 8000),
}

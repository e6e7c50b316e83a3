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


def gibbs_settings(name: str) -> dict:
    """Compose the config of sequential Monte Carlo with `sampler=gibbs`."""
    return config(name, "sampler=gibbs", *GIBBS.get(name, GIBBS_OF_ALL))


def gibbs(name: str, key: int):
    """Run sequential Monte Carlo with `sampler=gibbs`."""
    return fit.build_engine(gibbs_settings(name)).run(jax.random.key(key))


def nuts_within_smc(name: str, key: int):
    """Run sequential Monte Carlo with `sampler=nuts`."""
    settings = config(name, "sampler=nuts", *FEW_PARTICLES)
    return fit.build_engine(settings).run(jax.random.key(key))


def nuts(name: str, key: int):
    """Run Markov chains with `sampler=nuts`."""
    settings = config(name, "inference=mcmc", "sampler=nuts", *NUTS.get(name, ()))
    return fit.build_engine(settings).run(jax.random.key(key))


def nuts_by_hand(name: str, key: int) -> dict:
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


# What some models need beyond the settings that all share.
RELABEL = {"growth_mixture": _by_intercept}
# Of sampler=gibbs within sequential Monte Carlo.
GIBBS_OF_ALL = (f"inference.num_chains={NUM_CHAINS}", "inference.num_particles=500")
SHORT = (
    "inference.num_chains=2",
    "inference.num_particles=50",
    "inference.max_mutations=5",
)
GIBBS = {
    # every step solves a differential equation, or factorises matrices
    "gp_classification": SHORT,
    "gp_heteroskedastic": SHORT,
    "lotka_volterra": SHORT,
    # ninety variables and thirty subjects
    "expectancy_valence_hierarchical": SHORT,
}
# Of sampler=nuts within sequential Monte Carlo, for an exact reference whose modes lie apart, so
# that chains do not move between them.
SEVERAL_MODES = ("spike_and_slab",)
FEW_PARTICLES = (
    f"inference.num_chains={NUM_CHAINS}",
    "inference.num_particles=200",
    "sampler.max_num_doublings=4",
)
# Of sampler=nuts: longer chains for scales that move slowly, or rarely far.
NUTS: dict[str, tuple[str, ...]] = {
    "ln_cass": ("inference.num_samples=4000",),
    "expectancy_valence_hierarchical": ("inference.num_samples=2000",),
    "bayesian_neural_network": ("inference.num_samples=4000",),
    "stochastic_volatility": ("inference.num_samples=8000",),
}
# What may not converge with these settings, and why. Where the run says so, only that it runs
# through is tested; where it does not, its numbers have to be right.
HARD_FOR_GIBBS = {
    "expectancy_valence_hierarchical": "means and spreads hang on thirty subjects each",
    "gp_classification": "a latent function hangs on its hyperparameters",
    "gp_heteroskedastic": "a latent function hangs on its hyperparameters",
    "lotka_volterra": "its rates hang on each other",
}
LONG_FOR_GIBBS = ("growth_mixture",)  # minutes
HARD_FOR_NUTS = {
    "growth_mixture": "its lines can be exchanged, and chains stay with one order",
    "spike_and_slab": "switches and coefficients move apart",
}
# Of these the chains take minutes.
LONG_FOR_NUTS = ("expectancy_valence_hierarchical", "gp_heteroskedastic")
# NUTS by hand finds these, with a higher acceptance rate and a start and shape for each chain.
BY_HAND = (
    "expectancy_valence_hierarchical",
    "gp_classification",
    "gp_heteroskedastic",
    "ln_cass",
    "lotka_volterra",
)
# A latent function hangs on its hyperparameters. NUTS moves better in coordinates that are standard
# normal if the function was seen through noise: about as much of it as the data have.
HINTS = {"gp_classification": ("f", 0.0, 2.0), "gp_heteroskedastic": ("log_noise", -1.0, 0.7)}
COORDINATES = {
    name: (partial(_from_independent, *hint), partial(_to_independent, *hint))
    for name, hint in HINTS.items()
}
# Of NUTS by hand, for warm-up and for draws: longer chains for scales that move slowly, shorter
# ones where every step takes long.
NUM_STEPS = {
    "expectancy_valence_hierarchical": (1000, 2000),
    "gp_classification": (300, 1000),
    "gp_heteroskedastic": (300, 1000),
}

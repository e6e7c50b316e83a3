"""Every kernel that tunes itself, and what each is held against.

The tests of kernels share it. Run as a program it prints the tables in docs/samplers.md, which
takes some minutes:

    uv run python tests/kernels.py > docs/samplers.md
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import blackjax
import distrax as dx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import beta, gamma, norm
from tensorflow_probability.substrates.jax import distributions as tfd

import exact
from bamopipe import config
from bamopipe.base import Model
from bamopipe.samplers import gibbs_sampler, mcmc_sampler
from bamopipe.samplers.base import LOG_SCALE
from bamopipe.samplers.blackjax_tunings import NOT_OFFERED
from bamopipe.target import compile_target, is_gaussian, precision_context

NUM_PARTICLES = 4_000
# Steps until the shape of the particles is taken anew, and how often. Where a step costs many
# evaluations fewer are enough.
NUM_STEPS = 10
NUM_ROUNDS = {"coordinate_slice": 3, "gibbs": 12, "normal_random_walk": 12, "nuts": 3}

KERNELS: dict[str, Callable] = {
    "gibbs": gibbs_sampler,
    **{
        name: lambda model, name=name: mcmc_sampler(model, getattr(blackjax, name))
        for name in config.KERNELS
    },
    "elliptical_slice": lambda model: gibbs_sampler(
        model,
        {
            name: blackjax.elliptical_slice
            for name in model.latent
            if is_gaussian(compile_target(model), (name,))
        },
    ),
}


def applies(name: str, case: str) -> bool:
    """Tell whether a kernel can move any variable of a case."""
    return (name, case) != ("elliptical_slice", "constrained")


class Case(NamedTuple):
    """A model and what is known of its posterior.

    Attributes
    ----------
    make
        Makes the model.
    errors
        ``(position, temperature) ->`` by how many standard errors each estimate is off.
    """

    make: Callable[[], Model]
    errors: Callable[[dict, float], dict[str, float]]


def two_level() -> Model:
    """A latent child and an observed variable that has a child; every factor is Gaussian.

    mu ~ N(0, 2), theta ~ N(mu, 1), x ~ N(theta, 1.5) seen, z ~ N(x + theta, 1) seen.
    """
    model = Model("two level")
    mu = model.add_node("mu", distribution=dx.Normal(loc=0.0, scale=2.0))
    theta = model.add_node("theta", distribution=dx.Normal, parents=dict(loc=mu, scale=1.0))
    x = model.add_node(
        "x", distribution=dx.Normal, parents=dict(loc=theta, scale=1.5), observations=1.0
    )
    model.add_node(
        "z",
        distribution=dx.Normal,
        parents=dict(x=x, theta=theta),
        link_fn=lambda x, theta: dict(loc=x + theta, scale=1.0),
        observations=3.0,
    )
    return model


def two_level_moments(temperature: float):
    """Mean and covariance of (mu, theta) by quadrature on a grid."""
    axis = np.linspace(-12, 12, 1201)
    mu, theta = np.meshgrid(axis, axis, indexing="ij")
    log_density = (
        norm.logpdf(mu, 0, 2)
        + norm.logpdf(theta, mu, 1)
        + temperature * (norm.logpdf(1.0, theta, 1.5) + norm.logpdf(3.0, 1.0 + theta, 1.0))
    )
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    values = np.stack([mu.ravel(), theta.ravel()])
    mean = values @ weight.ravel()
    return mean, (values * weight.ravel()) @ values.T - np.outer(mean, mean)


def two_level_errors(position, temperature: float) -> dict[str, float]:
    """Compare means, standard deviations and the correlation, with the errors of normals."""
    draws = np.stack([position["mu"], position["theta"]])
    mean, covariance = two_level_moments(temperature)
    sd, root = np.sqrt(np.diag(covariance)), draws.shape[1] ** 0.5
    correlation = covariance[0, 1] / sd.prod()
    distance = (np.corrcoef(draws)[0, 1] - correlation) / (1 - correlation**2) * root
    return {
        **_by_element("mean", (draws.mean(1) - mean) / sd * root),
        **_by_element("sd", (draws.std(1) - sd) / sd * 2**0.5 * root),
        "correlation": distance,
    }


def counts_and_shares() -> Model:
    """Conjugate pairs whose latent variables are positive, in (0, 1), and on a simplex."""
    model = Model("counts and shares")
    rate = model.add_node("rate", distribution=dx.Gamma(2.0, 1.0))
    model.add_node("events", distribution=tfd.Poisson, parents=dict(rate=rate), observations=EVENTS)
    share = model.add_node("share", distribution=dx.Beta(1.0, 3.0))
    model.add_node(
        "hits",
        distribution=tfd.Binomial,
        parents=dict(total_count=10.0, probs=share),
        observations=HITS,
    )
    shares = model.add_node("shares", distribution=dx.Dirichlet(jnp.array([1.0, 2.0, 3.0])))
    model.add_node(
        "kinds",
        distribution=tfd.Multinomial,
        parents=dict(total_count=12.0, probs=shares),
        observations=KINDS,
    )
    return model


EVENTS, HITS, KINDS = np.array([0.0, 1.0, 0.0]), 9.0, np.array([7.0, 1.0, 4.0])


def counts_and_shares_errors(position, temperature: float) -> dict[str, float]:
    """Compare whole distributions with the conjugate ones, each observation counting for less.

    Without a Jacobian, or with a tempered one, every number would be far off.
    """
    posterior = {
        "rate": gamma(2 + temperature * EVENTS.sum(), scale=1 / (1 + temperature * len(EVENTS))),
        "share": beta(1 + temperature * HITS, 3 + temperature * (10 - HITS)),
    }
    draws = {"rate": position["rate"], "share": position["share"]}
    for k in range(3):
        a = k + 1 + temperature * KINDS[k]
        posterior[f"shares[{k}]"] = beta(a, 6 + 12 * temperature - a)
        draws[f"shares[{k}]"] = position["shares"][k]
    uniform = {name: one.cdf(np.asarray(draws[name])) for name, one in posterior.items()}
    return _uniform_errors(uniform)


def _uniform_errors(uniform: dict[str, np.ndarray]) -> dict[str, float]:
    """Compare the first two moments with those of numbers that are uniform on (0, 1)."""
    size = len(next(iter(uniform.values())))
    return {
        f"{power} of {name}": float((np.mean(u**k) - 1 / (1 + k)) / (variance / size) ** 0.5)
        for name, u in uniform.items()
        for power, k, variance in (("mean", 1, 1 / 12), ("mean square", 2, 4 / 45))
    }


GROUPS = np.array([8.0, -3.0, 7.0]), np.array([3.0, 5.0, 4.0])
LOG_SPREAD = (1.5, 0.5)


def three_schools() -> Model:
    """Eight schools with three, whose effects are well known, and a prior without a heavy tail."""
    model = Model("three schools")
    effects, scale = GROUPS
    mu = model.add_node("mu", distribution=dx.Normal(loc=0.0, scale=10.0))
    tau = model.add_node("tau", distribution=tfd.LogNormal(*LOG_SPREAD))
    theta = model.add_node(
        "theta", distribution=dx.Normal, parents=dict(loc=mu, scale=tau), shape=(3,)
    )
    model.add_node(
        "y", distribution=dx.Normal, parents=dict(loc=theta, scale=scale), observations=effects
    )
    return model


def three_schools_errors(position, temperature: float) -> dict[str, float]:
    """Compare means with quadrature."""
    expected, found = exact.eight_schools(temperature, *GROUPS, LOG_SPREAD), {}
    for name in ("mu", "tau", "theta"):
        draws = np.asarray(position[name])
        error = expected.sd[name] / draws.shape[-1] ** 0.5
        found |= _by_element(name, (draws.mean(-1) - expected.mean[name]) / error)
    return found


def _by_element(name: str, values) -> dict[str, float]:
    return {f"{name} {index}": float(v) for index, v in enumerate(np.atleast_1d(values))}


CASES = {
    "correlated": Case(two_level, two_level_errors),
    "constrained": Case(counts_and_shares, counts_and_shares_errors),
    "hierarchical": Case(three_schools, three_schools_errors),
}


def run(kernel, target, temperatures, num_rounds) -> list[dict]:
    """Move particles from the prior to the posterior at each temperature; compile once."""

    @jax.jit
    def moved(position, temperature):
        def step(index, carry):
            state, parameters = carry
            key = jax.random.fold_in(jax.random.key(22), index)
            state, infos = kernel.step(key, state, temperature, parameters, target)
            return state, kernel.adapt(parameters, infos)

        def turn(index, carry):
            state, parameters = carry
            carry = state, kernel.tune(parameters, state.position, target, temperature)
            return jax.lax.fori_loop(index * NUM_STEPS, (index + 1) * NUM_STEPS, step, carry)

        carry = turn(0, (kernel.init(target, position), kernel.parameters))
        return jax.lax.fori_loop(1, num_rounds, turn, carry)[0].position

    keys = jax.random.split(jax.random.key(21), NUM_PARTICLES)
    prior = jax.vmap(target.sample_prior, out_axes=-1)(keys)
    return [jax.device_get(moved(prior, jnp.asarray(t))) for t in temperatures]


def errors(name: str, case: str) -> dict[str, float]:
    """Tell by how many standard errors every estimate is off, at temperatures 1 and 0.5."""
    temperatures = (1.0, 0.5)
    with precision_context("float64"):
        model = CASES[case].make()
        target, kernel = compile_target(model), KERNELS[name](model)
        kernel.check(target)
        found = {}
        positions = run(kernel, target, temperatures, NUM_ROUNDS.get(name, 8))
        for temperature, position in zip(temperatures, positions, strict=True):
            for what, distance in CASES[case].errors(position, temperature).items():
                found[f"{what} at temperature {temperature:g}"] = distance
    return found


def scaled() -> Model:
    """A mean and a scale, neither of them conjugate, and three observations."""
    model = Model("scaled")
    loc = model.add_node("loc", distribution=dx.Normal(0.0, 1.0))
    scale = model.add_node("scale", distribution=dx.Gamma(3.0, 2.0))
    model.add_node(
        "y",
        distribution=dx.Normal,
        parents=dict(loc=loc, scale=scale),
        observations=np.zeros(3),
    )
    return model


def geweke(name: str, num_steps: int = 5) -> dict[str, float]:
    """Move draws from the joint distribution of variables and data, which has to stay the same.

    Each particle has data of its own (Geweke 2004, JASA 99, 799-804, as single runs that start in
    the joint distribution). A kernel that is right passes however badly it mixes.
    """
    with precision_context("float64"):
        model = scaled()
        target, kernel = compile_target(model), KERNELS[name](model)
        keys = jax.random.split(jax.random.key(31), (2, NUM_PARTICLES))
        prior = jax.vmap(target.sample_prior)(keys[0])
        data = jax.vmap(target.predict)(keys[1], prior)
        particles_last = {n: jnp.moveaxis(v, 0, -1) for n, v in prior.items()}
        # The posteriors of three observations are narrower than the prior that gives the shape.
        shorter = {
            block: {n: v - 1 if n == LOG_SCALE else v for n, v in parameters.items()}
            for block, parameters in kernel.parameters.items()
        }
        parameters = kernel.tune(shorter, particles_last, target)

        @jax.jit
        @jax.vmap
        def moved(key, position, data):
            mine = dataclasses.replace(target, data={**target.data, **data})
            state = kernel.init(mine, jax.tree.map(lambda v: v[..., None], position))

            def step(index, state):
                step_key = jax.random.fold_in(key, index)
                return kernel.step(step_key, state, jnp.asarray(1.0), parameters, mine)[0]

            return jax.lax.fori_loop(0, num_steps, step, state).position

        keys = jax.random.split(jax.random.key(32), NUM_PARTICLES)
        draws, start, data = jax.device_get((moved(keys, prior, data), prior, data))
    loc, scale, y = draws["loc"][:, 0], draws["scale"][:, 0], data["y"]
    assert np.mean(loc != start["loc"]) > 0.5
    residual = (y - loc[:, None]) / scale[:, None]
    uniform = {
        "loc": norm.cdf(loc),
        "scale": gamma(3, scale=1 / 2).cdf(scale),
        **{f"residual {k}": norm.cdf(residual[:, k]) for k in range(3)},
    }
    return _uniform_errors(uniform)


INTRODUCTION = """\
# Samplers

<!-- Written by tests/kernels.py. To change it:
     uv run python tests/kernels.py > docs/samplers.md -->

Each of these names is a sampler (`uv run bamopipe run single sampler=NAME`; `random_walk` for
`normal_random_walk`), and the kernel of a variable (`steps: {mu: {kernel: NAME}}`) in
`sampler=gibbs`, which moves one variable after the other. None needs settings: all work in
unconstrained space, in coordinates where the particles look like standard normals, with a step size
that follows the acceptance rate. In Python they are `mcmc_sampler(model, blackjax.NAME)` and
`gibbs_sampler(model, dict(mu=blackjax.NAME))`.

A variable of which `gibbs` is told nothing is drawn from its full conditional where that is known:

- **Gaussian**: normal means, linear regressions, Gaussian random effects and processes;
- **Gamma** or **inverse Gamma**: normal variances and precisions, rates of Poisson, exponential
  and Gamma variables;
- **Beta**: probabilities of Bernoulli, binomial, geometric and negative binomial variables;
- **Dirichlet**: probabilities of categorical, one-hot and multinomial variables;
- **over all values**: discrete variables whose values are few and known (Bernoulli, categorical,
  one-hot, binomial), its elements at once where they are independent given all else, else one after
  the other.

Other variables that take whole numbers move by one, and all others have a Gaussian random walk, in
which elements that are independent given all other variables are accepted or rejected by
themselves; or, where more than ten coordinates depend on each other, Hamiltonian Monte Carlo
(`hmc`), and `elliptical_slice` for Gaussian processes. At the end of a sweep all variables of up to
ten coordinates **walk together**, and carry along what they shift and scale: when the mean and the
spread of a group move, its members move with them, as in a non-centred parametrisation (Yu and Meng
2011). So variables that hang on each other, and spreads that their members would hold fast, move
well without rewriting the model. It is left out where `order` is given.

All this is read off the program of the log densities, link functions, tables and groups
(`effect[group]`) included, and in doubt not assumed; `kernel.describe()` and `bamopipe check` say
what was found. Latent children are never tempered. What is named has what is named.

Several variables move together under a key of their own, `steps: {"mu, tau": {kernel: nuts}}` or
`gibbs_sampler(model, {("mu", "tau"): blackjax.nuts})`; `order` says in which order variables and
blocks move, and `repeats` how many times in a row. `elliptical_slice` is for variables whose prior
is Gaussian given their parents (Gaussian processes, normal vectors, autoregressive series), at the
current values of these.

The coordinates take account of correlations up to 500 of them, and of standard deviations alone
beyond that, so that neither memory nor time grow with the square of their number.
`is_mass_matrix_diagonal: true` (or `false`) says otherwise, for every kernel that tunes itself.

A kernel with gradients that moves a variable together with what shifts and scales it (the members
of a group and their mean and spread, a normal vector, an autoregressive series or a Gaussian
process and their parameters) may as well move its **noise**, as in the non-centred parametrisation
of a hierarchy or the whitened one of a Gaussian process. It takes, for each variable, what makes
the posterior more like a normal distribution, by the draws of the warm-up or the particles of a
temperature: the values where the data say much about them, the noise where they say little. The
model stays as it was written.

The particles of `inference=smc` take the shape of their steps from other particles, each half of
them from the other half. Steps that are fitted to the very particles that they move lead them
astray: with 500 particles of 26 numbers, two moves of `hmc` at each temperature gave a log evidence
that was too low by 0.19 ± 0.03, and by 0.08 ± 0.02 since.

The chains of `inference=mcmc` take the shape and size of their steps from the draws of all of them.
A chain that is still far behind the others, in density and likelihood, is tuned by itself.

`target_acceptance_rate` is what `nuts`, `hmc`, `dynamic_hmc`, `mala` and `barker` tune their step
size to. Where nobody gives one, it is the kernel's (0.8 for `nuts`, 0.7 for `hmc`), and 0.9 for the
draws of `inference=mcmc` by `nuts`. If transitions of the warm-up diverged when steps had settled,
it is half as far from 1 for the draws (0.95, and 0.85 for `hmc`): shorter steps, for posteriors of
uneven curvature such as that of `ln_cass`.

The paths of `dynamic_hmc` and `adjusted_mclmc_dynamic` have random lengths, up to a longest at
which the ChEES criterion (Hoffman, Radul and Sountsov 2021) is highest for its price; the results
have it as `path_length`, beside `scale`. In a normal posterior it is about 1, a path of one or two
steps (1.57 if steps were short). In `eight_schools_noncentred` four chains of `dynamic_hmc` give
51 ± 8 effective draws of the worst variable for 1,000 gradients, where 1 to 9 steps at random give
25 ± 2.

`mclmc` is *unadjusted*: it rejects nothing, and is off by as much as its steps are long. They are
set so that the energy's error has a variance of 5e-4 a coordinate (Robnik et al. 2023), with which
the tests below cannot tell it from the exact ones; for more than 4,000 independent draws take
`adjusted_mclmc`. Evidence that comes from it is off as well.

The numbers say by how many standard errors the worst of all estimates is off, from 4,000 particles.
If a kernel is right, the worst of ten or twenty is off by 2 or 3; more than 4 fails a test.

- **correlated**: two levels of Gaussians, and an observation with a child, against quadrature;
- **constrained**: a positive number, a share and a simplex, against conjugate posteriors;
- **hierarchical**: three schools with a spread of their own, against quadrature;
- these three with the likelihood to the powers 1 and 0.5, since sequential Monte Carlo needs both;
- **joint**: draws of variables and data together keep their distribution (Geweke 2004).

| kernel | correlated | constrained | hierarchical | joint |
| --- | --- | --- | --- | --- |
"""

BETWEEN = """

`additive_step_random_walk`, `rmh` and `irmh` also take proposals of your own, in the variables' own
space.

## Not offered

| kernel | reason |
| --- | --- |
"""


def row(name: str) -> str:
    """Write one line of the table."""
    found = [errors(name, case) if applies(name, case) else {} for case in CASES]
    found.append(geweke(name))
    worst = [f"{max(map(abs, f.values())):.1f}" if f else "–" for f in found]
    return f"| {name} | {' | '.join(worst)} |"


def reasons() -> list[str]:
    """Write why some algorithms are not offered, a line each."""
    return [f"| {name} | {reason} |" for name, reason in sorted(NOT_OFFERED.items())]


if __name__ == "__main__":
    print(INTRODUCTION, end="")
    for name in KERNELS:
        print(row(name), flush=True)
    print(BETWEEN.removeprefix("\n") + "\n".join(reasons()))

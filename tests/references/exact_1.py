"""Answers that closed forms or quadrature give, for the gallery's first half.

    uv run --no-project --python 3.12 --with numpy==2.5.5 --with scipy==1.18.1 \
        python tests/references/exact_1.py [MODEL ...]

Quadratures are compared with coarser ones of the same kind before they are believed.
"""

import sys

import numpy as np
from common_2 import DATA, exact, read, write
from scipy.optimize import minimize
from scipy.special import betaln, expit, gammaln, log_softmax, logsumexp
from scipy.stats import beta, binom, expon, gamma, invgamma, lognorm, nbinom, norm, poisson


def trapezoid(log_density, start, points, width=10.0):
    """Integrate over all real vectors, by trapezoids in directions that fit the density.

    Parameters
    ----------
    log_density
        Function of vectors, shape (n, d), of a density with one mode.
    start
        Where to look for the mode.
    points
        How many on each axis; odd.
    width
        How far they reach, in standard deviations of the normal approximation at the mode.

    Returns
    -------
    tuple
        The vectors, their probabilities, and the log of the integral.
    """
    fit = minimize(lambda z: -log_density(z[None])[0], start)
    factor = np.linalg.cholesky(fit.hess_inv)
    size = len(start)
    index = np.indices([points] * size).reshape(size, -1).T
    step = 2 * width / (points - 1)
    vectors = fit.x + (index * step - width) @ factor.T
    values = np.concatenate([log_density(part) for part in np.array_split(vectors, 50)])
    total = logsumexp(values)
    log_integral = total + size * np.log(step) + np.linalg.slogdet(factor)[1]
    edge = np.any((index == 0) | (index == points - 1), axis=1)
    assert logsumexp(values[edge]) - total < np.log(1e-8), "the grid is too narrow"
    coarse = logsumexp(values[np.all(index % 2 == 0, axis=1)]) + size * np.log(2)
    assert abs(coarse - total) < 1e-6, f"the grid is too coarse: {coarse - total}"
    return vectors, np.exp(values - total), log_integral


def gauss_legendre(log_density, low, high, points):
    """Integrate over a box, by Gauss and Legendre's rule; otherwise as `trapezoid`."""
    results = []
    for number in (points * 3 // 4, points):
        nodes, node_weights = np.polynomial.legendre.leggauss(number)
        index = np.indices([number] * len(low)).reshape(len(low), -1).T
        half = (np.asarray(high) - low) / 2
        vectors = np.asarray(low) + half * (nodes[index] + 1)
        log_weights = np.sum(np.log(half * node_weights[index]), axis=1)
        values = np.concatenate([log_density(part) for part in np.array_split(vectors, 50)])
        values += log_weights
        results.append((vectors, np.exp(values - logsumexp(values)), logsumexp(values)))
    coarse, fine = results
    assert abs(coarse[2] - fine[2]) < 1e-6, f"too few points: {coarse[2] - fine[2]}"
    return fine


def moments(values, weights):
    """Mean and standard deviation of variables, shape (n, ...), at points with probabilities."""
    mean = np.tensordot(weights, values, 1)
    return mean, np.sqrt(np.tensordot(weights, (values - mean) ** 2, 1))


def answer(source, log_evidence, quantities, log_densities, positions):
    """Put together what a file holds."""
    densities = []
    for position in positions:
        log_prior, log_likelihood = log_densities(**{n: np.array(v) for n, v in position.items()})
        densities.append(
            {
                "position": position,
                "log_prior": np.sum(log_prior),
                "log_likelihood": np.sum(log_likelihood),
            }
        )
    return {
        "source": source,
        "log_evidence": {"value": log_evidence, "error": 0.0},
        "quantities": exact(quantities),
        "densities": densities,
    }


def schools():
    """Effects and standard errors; the names of the schools are no numbers."""
    with (DATA / "eight_schools.csv").open() as file:
        rows = [line.split(",") for line in file.read().splitlines()[1:]]
    return np.array([[float(y), float(sd)] for _, y, sd in rows]).T


def schools_integral():
    """Integrate over mu and log tau; given these all theta are normal."""
    y, sd = schools()

    def log_density(vectors):
        mu, log_tau = vectors[:, :1], vectors[:, 1:]
        spread = np.sqrt(np.exp(2 * log_tau) + sd**2)
        log_likelihood = norm.logpdf(y, mu, spread).sum(1)
        return log_likelihood + norm.logpdf(mu[:, 0], 0, 10) + norm.logpdf(log_tau[:, 0], 5, 1)

    vectors, weights, log_evidence = trapezoid(log_density, np.array([6.0, 2.5]), 401, width=20.0)
    mu, tau = vectors[:, :1], np.exp(vectors[:, 1:])
    pull = tau**2 / (tau**2 + sd**2)
    given = {  # mean and standard deviation of each school's variables given mu and tau
        "theta": (mu + pull * (y - mu), np.sqrt(pull) * sd),
        "z": (pull * (y - mu) / tau, np.sqrt(pull) * sd / tau),
    }
    quantities = {"mu": moments(mu[:, 0], weights), "tau": moments(tau[:, 0], weights)}
    for name, (mean, spread) in given.items():
        first, second = weights @ mean, weights @ (mean**2 + spread**2)
        quantities[name] = first, np.sqrt(second - first**2)
    return log_evidence, quantities


SCHOOLS_SOURCE = "quadrature over mu and log tau, given which the effects are normal"
EFFECTS = [
    [14.8, 7.2, 2.7, 6.6, 1.8, 3.4, 12.8, 8.0],
    [6.0, 5.5, 6.5, 6.2, 5.8, 6.1, 6.4, 5.9],
    [60.0, -20.5, 33.0, -70.0, 4.0, 12.0, 25.0, -8.0],
]


def eight_schools():
    y, sd = schools()
    log_evidence, quantities = schools_integral()

    def log_densities(mu, tau, theta):
        log_prior = norm.logpdf(mu, 0, 10) + lognorm.logpdf(tau, 1, scale=np.exp(5))
        return log_prior + norm.logpdf(theta, mu, tau).sum(), norm.logpdf(y, theta, sd)

    del quantities["z"]
    positions = [
        {"mu": mu, "tau": tau, "theta": theta}
        for mu, tau, theta in zip((5.8, 6.0, -8.0), (13.2, 0.4, 150.0), EFFECTS, strict=True)
    ]
    return answer(SCHOOLS_SOURCE, log_evidence, quantities, log_densities, positions)


def eight_schools_noncentred():
    y, sd = schools()

    def log_densities(mu, tau, z):
        log_prior = norm.logpdf(mu, 0, 10) + lognorm.logpdf(tau, 1, scale=np.exp(5))
        return log_prior + norm.logpdf(z).sum(), norm.logpdf(y, mu + tau * z, sd)

    positions = [
        {"mu": mu, "tau": tau, "z": [round((effect - mu) / tau, 3) for effect in theta]}
        for mu, tau, theta in zip((5.8, 6.0, -8.0), (13.2, 0.4, 50.0), EFFECTS, strict=True)
    ]
    return answer(SCHOOLS_SOURCE, *schools_integral(), log_densities, positions)


def gaussian_mean():
    y = read("gaussian_mean")["y"]
    precision = 1 / 2**2 + len(y) / 3**2
    mean, sd = y.sum() / 3**2 / precision, precision**-0.5

    def log_densities(mu):
        return norm.logpdf(mu, 0, 2), norm.logpdf(y, mu, 3)

    # the density of data and mu, over that of mu given data, at any mu
    log_evidence = sum(map(np.sum, log_densities(mean))) - norm.logpdf(mean, mean, sd)
    positions = [{"mu": mu} for mu in (5.0, -1.5, 4.2)]
    return answer("closed form", log_evidence, {"mu": (mean, sd)}, log_densities, positions)


def linear_regression():
    table = read("linear_regression")
    y = table.pop("y")
    x = np.column_stack([np.ones(len(y)), *table.values()])
    shape, scale, spread = 3.0, 1.0, 2.0
    precision = x.T @ x + np.eye(3) / spread**2  # of beta, in units of 1 / variance
    covariance = np.linalg.inv(precision)
    mean = covariance @ x.T @ y
    a = shape + len(y) / 2
    b = scale + (y @ y - mean @ precision @ mean) / 2
    log_evidence = (
        -len(y) / 2 * np.log(2 * np.pi)
        - 3 * np.log(spread)
        - np.linalg.slogdet(precision)[1] / 2
        + shape * np.log(scale)
        - a * np.log(b)
        + gammaln(a)
        - gammaln(shape)
    )
    variance = b / (a - 1)
    sigma = np.sqrt(b) * np.exp(gammaln(a - 0.5) - gammaln(a))
    quantities = {
        "variance": (variance, variance / np.sqrt(a - 2)),
        "sigma": (sigma, np.sqrt(variance - sigma**2)),
        "beta": (mean, np.sqrt(variance * np.diag(covariance))),
    }

    def log_densities(variance, beta):
        sigma = np.sqrt(variance)
        log_prior = invgamma.logpdf(variance, shape, scale=scale)
        log_prior = log_prior + norm.logpdf(beta, 0, spread * sigma).sum()
        return log_prior, norm.logpdf(y, x @ beta, sigma)

    positions = [
        {"variance": 0.5, "beta": [1.0, 0.8, -0.4]},
        {"variance": 0.7, "beta": [0.9, 0.9, -0.3]},
        {"variance": 4.0, "beta": [-2.0, 3.0, 1.0]},
    ]
    return answer("closed form", log_evidence, quantities, log_densities, positions)


def regression(name, log_likelihood, positions, points):
    """Integrate over intercept, slopes, and the logarithm of the overdispersion if there is one."""
    table = read(name)
    y, exposure = table.pop("y"), table.pop("exposure", 1.0)
    x = np.column_stack(list(table.values()))

    def log_densities(intercept, slope, overdispersion=None):
        linear = intercept[..., None] + slope @ x.T + np.log(exposure)
        log_prior = norm.logpdf(intercept, 0, 2) + norm.logpdf(slope, 0, 1).sum(-1)
        if overdispersion is None:
            return log_prior, log_likelihood(y, linear).sum(-1)
        log_prior = log_prior + expon.logpdf(overdispersion)
        return log_prior, log_likelihood(y, linear, overdispersion[..., None]).sum(-1)

    has_overdispersion = "overdispersion" in positions[0]

    def split(vectors):
        parts = {"intercept": vectors[:, 0], "slope": vectors[:, 1:3]}
        return parts | ({"overdispersion": np.exp(vectors[:, 3])} if has_overdispersion else {})

    def log_density(vectors):  # of the vectors: with the Jacobian of the logarithm
        return sum(log_densities(**split(vectors))) + vectors[:, 3:].sum(1)

    start = np.zeros(4 if has_overdispersion else 3)
    vectors, weights, log_evidence = trapezoid(log_density, start, points)
    quantities = {n: moments(values, weights) for n, values in split(vectors).items()}
    source = f"quadrature: trapezoids, {points} points on each of {len(start)} axes"
    return answer(source, log_evidence, quantities, log_densities, positions)


def logistic_regression():
    return regression(
        "logistic_regression",
        lambda y, linear: np.log(expit(np.where(y == 1, linear, -linear))),
        [
            {"intercept": -0.5, "slope": [1.2, -0.6]},
            {"intercept": 0.3, "slope": [0.4, 0.2]},
            {"intercept": -2.0, "slope": [-1.0, 2.0]},
        ],
        65,
    )


def poisson_regression():
    return regression(
        "poisson_regression",
        lambda y, linear: poisson.logpmf(y, np.exp(linear)),
        [
            {"intercept": 0.6, "slope": [0.5, -0.3]},
            {"intercept": 0.3, "slope": [0.4, 0.2]},
            {"intercept": -2.0, "slope": [-1.0, 2.0]},
        ],
        65,
    )


def negative_binomial(y, mean, overdispersion):
    """Log mass of counts with variance mean + overdispersion * mean^2."""
    return nbinom.logpmf(y, 1 / overdispersion, 1 / (1 + mean * overdispersion))


def negative_binomial_regression():
    return regression(
        "negative_binomial_regression",
        lambda y, linear, overdispersion: negative_binomial(y, np.exp(linear), overdispersion),
        [
            {"intercept": 1.2, "slope": [0.6, -0.3], "overdispersion": 0.6},
            {"intercept": 0.8, "slope": [0.4, 0.2], "overdispersion": 0.05},
            {"intercept": -2.0, "slope": [-1.0, 2.0], "overdispersion": 3.0},
        ],
        41,
    )


def poisson_goals():
    goals, matches = read("goals").values()
    shape, inverse_scale = 25 + goals @ matches, 10 + matches.sum()

    def log_densities(rate):
        return gamma.logpdf(rate, 25, scale=1 / 10), matches * poisson.logpmf(goals, rate)

    mean = shape / inverse_scale
    log_posterior = gamma.logpdf(mean, shape, scale=1 / inverse_scale)
    log_evidence = sum(map(np.sum, log_densities(mean))) - log_posterior
    quantities = {"rate": (mean, np.sqrt(shape) / inverse_scale)}
    positions = [{"rate": rate} for rate in (2.5, 1.7, 4.0)]
    return answer("closed form", log_evidence, quantities, log_densities, positions)


def negative_binomial_goals():
    goals, matches = read("goals").values()

    def log_densities(rate, overdispersion):
        log_prior = gamma.logpdf(rate, 25, scale=1 / 10) + expon.logpdf(
            overdispersion, scale=1 / 10
        )
        rate, overdispersion = rate[..., None], overdispersion[..., None]
        return log_prior, (matches * negative_binomial(goals, rate, overdispersion)).sum(-1)

    vectors, weights, log_evidence = gauss_legendre(
        lambda v: sum(log_densities(*v.T)), [2.0, 0.0], [3.1, 0.4], 160
    )
    mean, sd = moments(vectors, weights)
    quantities = {"rate": (mean[0], sd[0]), "overdispersion": (mean[1], sd[1])}
    positions = [
        {"rate": rate, "overdispersion": overdispersion}
        for rate, overdispersion in ((2.5, 0.02), (2.2, 0.15), (4.0, 0.6))
    ]
    source = "quadrature: Gauss and Legendre's rule, 160 points on each of 2 axes"
    return answer(source, log_evidence, quantities, log_densities, positions)


def coin_flips():
    """Integrate over omega; given it the coins are beta-binomial."""
    table = read("coin_flips")
    flips, heads = table["flips"], table["heads"]

    def shapes(omega):
        return omega * 13 + 1, (1 - omega) * 13 + 1

    def log_densities(omega, theta):
        log_prior = beta.logpdf(omega, 10, 1) + beta.logpdf(theta, *shapes(omega)).sum()
        return log_prior, binom.logpmf(heads, flips, theta)

    ways = gammaln(flips + 1) - gammaln(heads + 1) - gammaln(flips - heads + 1)

    def log_density(vectors):
        a, b = shapes(vectors)
        log_likelihood = ways + betaln(a + heads, b + flips - heads) - betaln(a, b)
        return log_likelihood.sum(1) + beta.logpdf(vectors[:, 0], 10, 1)

    omega, weights, log_evidence = gauss_legendre(log_density, [0.0], [1.0], 400)
    a, b = shapes(omega)
    given = beta(a + heads, b + flips - heads)
    mean = weights @ given.mean()
    second = weights @ (given.var() + given.mean() ** 2)
    quantities = {
        "omega": moments(omega[:, 0], weights),
        "theta": (mean, np.sqrt(second - mean**2)),
    }
    theta = [0.75, 0.8, 0.82, 0.81, 0.84, 0.7, 0.93, 0.88, 0.86, 0.77]
    positions = [
        {"omega": 0.84, "theta": theta},
        {"omega": 0.7, "theta": theta[::-1]},
        {"omega": 0.95, "theta": [0.5, 0.6, 0.2, 0.99, 0.9, 0.8, 0.7, 0.4, 0.3, 0.95]},
    ]
    source = "quadrature over omega, given which the coins are beta-binomial"
    return answer(source, log_evidence, quantities, log_densities, positions)


def expectancy_valence():
    trials = read("expectancy_valence/subject_1")
    choice = trials["choice"].astype(int) - 1

    def log_likelihood(w, a, c):
        expected = np.zeros((*w.shape, 4))
        total = np.full(w.shape, -np.log(4))  # of the first choice
        for card, (win, loss) in enumerate(zip(trials["win"], trials["loss"], strict=True)):
            deck = choice[card]
            worth = (1 - w) * win + w * loss
            expected[..., deck] += a * (worth - expected[..., deck])
            if card + 1 < len(choice):
                sensitivity = ((card + 1) / 10) ** c
                total += log_softmax(sensitivity[..., None] * expected, -1)[..., choice[card + 1]]
        return total

    def log_densities(w, a, c):
        inside = (w > 0) & (w < 1) & (a > 0) & (a < 1) & (c > -2) & (c < 2)
        return np.where(inside, -np.log(4), -np.inf), log_likelihood(w, a, c)

    vectors, weights, log_evidence = gauss_legendre(
        lambda v: sum(log_densities(*v.T)), [0.0, 0.0, -2.0], [1.0, 1.0, 2.0], 96
    )
    mean, sd = moments(vectors, weights)
    quantities = {name: (mean[i], sd[i]) for i, name in enumerate(("w", "a", "c"))}
    positions = [
        {"w": w, "a": a, "c": c}
        for w, a, c in ((0.4, 0.3, 0.5), (0.9, 0.05, -1.5), (0.1, 0.95, 1.2))
    ]
    source = "quadrature: Gauss and Legendre's rule, 96 points on each of 3 axes"
    return answer(source, log_evidence, quantities, log_densities, positions)


MODELS = {
    f.__name__: f
    for f in (
        eight_schools,
        eight_schools_noncentred,
        gaussian_mean,
        linear_regression,
        logistic_regression,
        poisson_regression,
        negative_binomial_regression,
        poisson_goals,
        negative_binomial_goals,
        coin_flips,
        expectancy_valence,
    )
}

if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        script = {"model": name, "script": "tests/references/exact_1.py"}
        write({**script, **MODELS[name]()})

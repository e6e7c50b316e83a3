"""Full conditionals that are Gamma, inverse Gamma, Beta or Dirichlet distributions.

The log density is read as a sum of powers and logarithms of the variable x (`symbols.py`). If it
has ``x^p`` and ``log x`` on the positive numbers, ``x^p`` has a Gamma distribution; with ``log x``
and ``log(1 - x)`` on the unit interval x has a Beta distribution, and with ``log x`` on the simplex
a Dirichlet distribution. That finds the pairs that books list (normal variances and precisions,
rates, probabilities of success and of categories) and their combinations, whatever tables, groups
and link functions are in between.

The coefficients come from the same reading. It makes of the log density a function that is linear
in the powers and logarithms, taken as inputs of their own, and its derivatives are the
coefficients. So no digits are lost to differences of large numbers.
"""

import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from bamopipe.target.symbols import UNKNOWN, Domain, Full, Key, Range, Run
from bamopipe.target.target import Position, Target, precision_context, tempered

# Where there must be no mass.
OUTSIDE = {
    "positive": [Range(-math.inf, 0.0)],
    "unit": [Range(-math.inf, 0.0), Range(1.0, math.inf)],
    "simplex": [],
}


class Family(NamedTuple):
    """What a full conditional is.

    Attributes
    ----------
    name
        Of the distribution.
    power
        Of the variable, which has a Gamma distribution; -1 for an inverse Gamma distribution.
    """

    name: Literal["Gamma", "Beta", "Dirichlet"]
    power: float = 1.0

    @property
    def keys(self) -> tuple[Key, ...]:
        """The powers and logarithms of its log density."""
        log, log_complement = (0.0, False), (0.0, True)
        if self.name == "Gamma":
            return log, (self.power, False)
        return (log, log_complement) if self.name == "Beta" else (log,)

    @property
    def domain(self) -> Domain:
        """Where it has mass."""
        domains: dict[str, Domain] = {"Gamma": "positive", "Beta": "unit", "Dirichlet": "simplex"}
        return domains[self.name]

    def __str__(self) -> str:
        if self.power == 1:
            return self.name
        return "inverse Gamma" if self.power == -1 else f"Gamma for its power {self.power:g}"


def conjugate_family(target: Target, variable: str) -> Family | None:
    """Return the family of the full conditional of a variable.

    None if it is none of these, or if that cannot be told.

    Examples
    --------
    >>> import distrax as dx
    >>> from bamopipe.base import Model
    >>> from bamopipe.target import compile_target, conjugate_family
    >>> model = Model()
    >>> precision = model.add_node("precision", distribution=dx.Gamma(1.0, 1.0))
    >>> y = model.add_node(
    ...     "y",
    ...     distribution=dx.Normal,
    ...     parents=dict(p=precision),
    ...     link_fn=lambda p: dict(loc=0.0, scale=1 / p**0.5),
    ...     observations=[1.0, 2.0],
    ... )
    >>> print(conjugate_family(compile_target(model), "precision"))
    Gamma
    """
    shape = target.program.shapes[variable]
    free_shape = target.program.free_shapes[variable]
    if variable in target.program.discrete or free_shape is None or 0 in (*shape, *free_shape):
        return None
    domains: list[Domain] = ["positive", "unit"]
    if free_shape != shape:
        is_simplex = free_shape == (*shape[:-1], shape[-1] - 1)
        domains = ["simplex"] if is_simplex else []
    with precision_context(target.program.precision):
        families = (_family_on(domain, target, variable) for domain in domains)
        return next((family for family in families if family is not None), None)


def conjugate_parameters(
    target: Target, position: Position, variable: str, temperature: Array, family: Family
) -> tuple[Array, ...]:
    """Return the parameters of the full conditional of a variable at one position.

    Parameters
    ----------
    target
        The compiled model.
    position
        Values of all latent variables.
    variable
        Whose conditional.
    temperature
        Exponent of the likelihood.
    family
        From `conjugate_family`.

    Returns
    -------
    tuple of Array
        Of the variable's shape: concentration and rate of a Gamma distribution, the two
        concentrations of a Beta distribution, or those of a Dirichlet distribution. Where they are
        not positive there is no such distribution.
    """
    shape, dtype = target.program.shapes[variable], target.program.dtypes[variable]

    def log_density(inputs):
        run = Run(family.domain, shape, dtype, inputs)
        factors = {
            name: jnp.sum(run.as_array(value))
            for name, value in _read(run, run.variable(), target, position, variable).items()
        }
        return tempered(target, factors, temperature)

    zeros = jnp.zeros(shape, dtype)
    coefficients = jax.grad(log_density)(dict.fromkeys(family.keys, zeros))
    log, *others = (coefficients[key] for key in family.keys)
    if family.name == "Gamma":
        return (log + 1) / family.power, -others[0]
    return tuple(exponent + 1 for exponent in (log, *others))


def _family_on(domain: Domain, target: Target, variable: str) -> Family | None:
    """Return the family if the variable has this domain."""
    shape, dtype = target.program.shapes[variable], target.program.dtypes[variable]
    found: list[bool] = []
    run = Run(domain, shape, dtype)

    def read(target, position):
        factors = _read(run, run.variable(), target, position, variable).values()
        for factor in factors:
            found.append(factor is not UNKNOWN)
            if found[-1]:
                run.as_array(factor)  # which notes the powers that it has
        for outside in OUTSIDE[domain]:
            own = _read(Run(domain, shape, dtype), outside, target, position, variable, (variable,))
            factor = own[variable]
            found.append(isinstance(factor, Full) and factor.value == -math.inf)

    jax.eval_shape(read, target, target.example)
    powers = [exponent for exponent, _ in run.used if exponent != 0]
    families: dict[Domain, Family | None] = {
        "positive": Family("Gamma", powers[0]) if powers else None,
        "unit": Family("Beta"),
        "simplex": Family("Dirichlet"),
    }
    family = families[domain]
    return family if family and all(found) and run.used <= set(family.keys) else None


def _read(
    run: Run,
    own: Any,
    target: Target,
    position: Position,
    variable: str,
    names: tuple[str, ...] | None = None,
) -> dict[str, Any]:
    """Read the factors that depend on a variable as sums of its powers and logarithms."""
    names = names or target.touching([variable])
    others = {name: value for name, value in position.items() if name != variable}

    def pointwise(own):
        values = target.values({**others, variable: own}, names)
        return [target.pointwise(name, values) for name in names]

    like = jax.ShapeDtypeStruct(run.shape, run.dtype)
    program = jax.make_jaxpr(pointwise)(like)
    return dict(zip(names, run.evaluate(program, program.consts, [own]), strict=True))

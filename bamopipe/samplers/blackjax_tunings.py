"""How each BlackJAX algorithm is set where nobody says how, and which ones are not offered."""

from collections.abc import Callable
from typing import Any, NamedTuple

import blackjax
import jax.numpy as jnp
import numpy as np
from jax import Array


class Path(NamedTuple):
    """How the paths of an algorithm run through a standard normal.

    Attributes
    ----------
    unit
        Number of coordinates -> time of the integrator in which the phase grows by one; after
        2 pi of them a path is back at its start.
    velocity
        Momentum that a proposal has, and number of coordinates -> change of position by phase.
    """

    unit: Callable[[int], float]
    velocity: Callable[[Array, int], Array]


# BlackJAX turns the momentum of Hamiltonian proposals around.
HAMILTONIAN = Path(lambda size: 1.0, lambda momentum, size: -momentum)
# The momentum has length one, and so has the velocity.
ISOKINETIC = Path(lambda size: size**0.5, lambda momentum, size: size**0.5 * momentum)


class Tuning(NamedTuple):
    """How to set an algorithm in coordinates where the target looks like a standard normal.

    Attributes
    ----------
    acceptance_rate
        The mean that its step size is adapted to; None if it needs no step size, or finds its own,
        or accepts all.
    final_acceptance_rate
        What chains' steps are adapted to once they have found their shape, where that is another
        one. Before, steps may be longer: where curvature is uneven, some diverge, which tells that
        they have to be shorter than that.
    energy_variance
        The mean square of the energy's error at each step, by coordinate, that its step size is
        adapted to where it accepts all.
    step_size
        The first step size, and its power of the number of coordinates.
    settings
        Number of coordinates -> all other settings.
    longest_path
        The length of the first paths, which is kept unless they have to be shorter. Longer ones
        turn back: after half a period they end where they started but for the sign.
    least_dimension
        The fewest coordinates that it can move.
    path
        For an algorithm whose paths have a random length, up to one that ChEES tunes.
    num_steps
        Steps that make up one move, for an algorithm that draws a momentum before the first.
    """

    acceptance_rate: float | None
    step_size: tuple[float, float] = (1.0, 0.0)
    settings: Callable[[int], dict[str, Any]] = lambda size: {}
    longest_path: float | None = None
    least_dimension: int = 1
    path: Path | None = None
    num_steps: int = 1
    final_acceptance_rate: float | None = None
    energy_variance: float | None = None

    @property
    def adapts(self) -> bool:
        """Whether it has a step size that is adapted."""
        return self.acceptance_rate is not None or self.energy_variance is not None


def _unit_mass(**settings) -> Callable[[int], dict[str, Any]]:
    return lambda size: {"inverse_mass_matrix": jnp.ones(size), **settings}


# Acceptance rates: Hoffman and Gelman (2014) for NUTS, Beskos et al. (2013) for Hamiltonian Monte
# Carlo, Roberts and Rosenthal (1998) for MALA, Livingstone and Zanella (2022) for Barker's. Chains
# of NUTS end with 0.9: an effective draw takes as many gradients, and steps are short enough for
# the neck of a hierarchy. In eight schools, 16 runs of 4,000 draws, the standard deviation of `tau`
# is too small by 1.2, 0.6 and 0.0 of its Monte Carlo errors with 0.8, 0.9 and 0.95.
TUNINGS: dict[Callable, Tuning] = {
    blackjax.adjusted_mclmc.differentiable: Tuning(
        0.8, (1.0, 1 / 4), lambda size: {"num_integration_steps": 4}, least_dimension=2
    ),
    blackjax.adjusted_mclmc_dynamic.differentiable: Tuning(
        0.8, (1.0, 1 / 4), least_dimension=2, path=ISOKINETIC
    ),
    blackjax.barker.differentiable: Tuning(0.4, (1.5, -1 / 6), _unit_mass()),
    blackjax.coordinate_slice.differentiable: Tuning(
        None, settings=lambda _: {"initial_widths": 2.0}
    ),
    blackjax.dynamic_hmc.differentiable: Tuning(0.7, (1.0, -1 / 4), _unit_mass(), path=HAMILTONIAN),
    blackjax.ghmc.differentiable: Tuning(
        0.7,
        (1.0, -1 / 4),
        lambda size: {"momentum_inverse_scale": jnp.ones(size), "alpha": 1.0, "delta": 0.5},
    ),
    blackjax.gist_step_size.differentiable: Tuning(
        None, settings=_unit_mass(initial_step_size=1.0, num_integration_steps=4)
    ),
    blackjax.gist_trajectory_length.differentiable: Tuning(
        0.8, (1.0, -1 / 4), _unit_mass(max_num_steps=32)
    ),
    blackjax.hmc.differentiable: Tuning(
        0.7, settings=_unit_mass(num_integration_steps=4), longest_path=np.pi / 2
    ),
    blackjax.mala.differentiable: Tuning(0.574, (1.4, -1 / 3)),
    blackjax.mclmc.differentiable: Tuning(
        None,
        (0.25, 1 / 2),
        lambda size: {"L": size**0.5},
        least_dimension=2,
        num_steps=10,
        energy_variance=5e-4,
    ),
    blackjax.nuts.differentiable: Tuning(
        0.8, (1.0, -1 / 4), _unit_mass(), final_acceptance_rate=0.9
    ),
    blackjax.rmhmc.differentiable: Tuning(
        0.7,
        settings=lambda size: {"mass_matrix": lambda x: jnp.ones(size), "num_integration_steps": 3},
        longest_path=np.pi / 2,
    ),
    blackjax.slice_sampling.differentiable: Tuning(None, settings=lambda _: {"width": 2.0}),
}
# What needs no settings: these, and one that has an update of its own (`make_update`).
TUNE_THEMSELVES = {*TUNINGS, blackjax.irmh.differentiable}
# With any of these settings nothing is tuned.
SCALES = {
    "inverse_mass_matrix",
    "initial_step_size",
    "initial_widths",
    "mass_matrix",
    "momentum_inverse_scale",
    "proposal_distribution",
    "sigma",
    "step_size",
    "width",
}
# These step where their person's own proposals lead; all others of BlackJAX in unconstrained space.
OF_OWN_PROPOSALS = {
    blackjax.additive_step_random_walk.differentiable,
    blackjax.irmh.differentiable,
    blackjax.rmh.differentiable,
}
_ONE_WAY = "its paths only go forwards, which gives wrong draws (in BlackJAX 1.7.1)"
# What is no MCMC kernel of a log density, or would give wrong draws without a word.
NOT_OFFERED = {
    "csgld": "it takes estimates of the gradient",
    "dmhmc": _ONE_WAY,
    "laplace_dhmc": "it integrates over variables that it has to be told",
    "laplace_dmhmc": "it integrates over variables that it has to be told",
    "laplace_hmc": "it integrates over variables that it has to be told",
    "laplace_mhmc": "it integrates over variables that it has to be told",
    "mgrad_gaussian": "it brings a prior of its own that would count twice",
    "multinomial_hmc": _ONE_WAY,
    "nss": "it is a nested sampler",
    "nsswig": "it is a nested sampler",
    "orbital_hmc": "its states are whole orbits with weights",
    "sghmc": "it takes estimates of the gradient",
    "sgld": "it takes estimates of the gradient",
    "sgnht": "it takes estimates of the gradient",
    "svgd": "it is no Markov chain",
}

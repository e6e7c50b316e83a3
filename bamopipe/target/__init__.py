"""The model as inference sees it: log densities of positions, factor by factor.

A *position* is a dict from the name of each latent variable to its value, in the variable's own
(constrained) space. A *factor* is the log density of one random variable given its parents.
"""

from bamopipe.target.compile import compile_target
from bamopipe.target.conjugate import Family, conjugate_family, conjugate_parameters
from bamopipe.target.elements import element_log_factors, independent_axes
from bamopipe.target.minibatch import Minibatch, minibatch
from bamopipe.target.outcomes import possible_values
from bamopipe.target.quadratic import is_gaussian, is_quadratic, tempered_log_density
from bamopipe.target.target import Position, Target, precision_context, sum_of, tempered

__all__ = [
    "Family",
    "Minibatch",
    "Position",
    "Target",
    "compile_target",
    "conjugate_family",
    "conjugate_parameters",
    "element_log_factors",
    "independent_axes",
    "is_gaussian",
    "is_quadratic",
    "minibatch",
    "possible_values",
    "precision_context",
    "sum_of",
    "tempered",
    "tempered_log_density",
]

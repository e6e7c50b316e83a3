"""distrax and TensorFlow Probability distributions behind one small set of functions.

- `bamopipe.distributions.adapter`: make, cast, evaluate and sample one of either library.
- `bamopipe.distributions.support`: where a distribution's density is positive.
- `bamopipe.distributions.text`: distributions written as text in a config.

This module itself imports nothing, so that reading a config does not import JAX.
"""

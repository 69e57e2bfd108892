"""Mechanisms of two papers on CNNs trained with differential privacy, small enough to read.

The path of one run, in five stops: `experiment.sweep` -> `loop.train` -> `methods.noisy_gradient`
(clip, sum, noise, divide) -> `noise.laplace`. Equation numbers are those of paper P1.
"""

__version__ = "0.1.0"

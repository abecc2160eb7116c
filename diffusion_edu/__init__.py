"""Diffusion models, derived: the library that the course imports.

Reading order: gaussian, bound, vae, hvae, schedules, diffusion, ddpm, oracles, samplers.
"""

__version__ = "0.1.0"

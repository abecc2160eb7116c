"""Exercises that answer back: `checks.kl(my_kl)` judges a learner's function by its properties."""

from . import n01_vae, n03_diffusion, n04_ddpm
from .core import CORRECT, ERROR, NOT_ATTEMPTED, WRONG, Result
from .n01_vae import *  # noqa: F403
from .n03_diffusion import *  # noqa: F403
from .n04_ddpm import *  # noqa: F403

EXERCISES = (*n01_vae.EXERCISES, *n03_diffusion.EXERCISES, *n04_ddpm.EXERCISES)

"""Exercises that answer back: `checks.kl(my_kl)` judges a learner's function by its properties, names the mistake if
one is known, and points to the equation. `checks.progress()` says what is done and what is next.

A notebook holds the exercise itself: text, stub, hints and solution. One file here for each notebook judges: random
inputs, the properties of a right answer, and the wrong answers that people really give.
"""

import sys

from . import (
    n00_start,
    n01_vae,
    n02_hvae,
    n03_diffusion,
    n04_ddpm,
    n05_mnist,
    n06_score,
    n07_sde_ode,
    n08_learned_noise,
    n09_steering,
    n10_flow,
    n11_latent,
    record,
)
from .core import CORRECT, ERROR, NOT_ATTEMPTED, WRONG, Exercise, Item, Ordering, Result
from .n00_start import log_normal, noise_guess, noisy_log_prob, paired_gap, too_sure
from .n01_vae import elbo, kl, log_likelihood, lopsided, pathwise_gradient
from .n02_hvae import consistency, information, middle, spoilt_gap
from .n03_diffusion import best_variance, jump, kl_term, posterior, quietest, steps_needed
from .n04_ddpm import ancestral_step, five_steps, noise_weight, simple_loss, x0_from_v
from .n05_mnist import frechet, grey_log_prob, honest_bits, same_n, variance_table
from .n06_score import denoising_loss, mala_ratio, ula_step, walk_matrix
from .n07_sde_ode import ddim, heun, log_prob, reverse_drift
from .n08_learned_noise import entropy_from_errors, even_numbers, knots, price_from_cov, step_cost
from .n09_steering import guided_eps, pushed_x0, put_in, start
from .n10_flow import flow_step, loss_weight, pairs, velocity
from .n11_latent import latent_bound, leaving_cost, mismatch, stacked_p
from .record import forget

NOTEBOOKS = (
    n00_start, n01_vae, n02_hvae, n03_diffusion, n04_ddpm, n05_mnist, n06_score, n07_sde_ode, n08_learned_noise,
    n09_steering, n10_flow, n11_latent,
)  # fmt: skip
EXERCISES: tuple[Item, ...] = tuple(item for notebook in NOTEBOOKS for item in notebook.EXERCISES)

__all__ = [
    "CORRECT", "ERROR", "EXERCISES", "NOT_ATTEMPTED", "WRONG", "Exercise", "Item", "Ordering", "Result",
    "ancestral_step", "best_variance", "consistency", "ddim", "denoising_loss", "elbo", "entropy_from_errors",
    "even_numbers", "five_steps", "flow_step", "forget", "frechet", "grey_log_prob", "guided_eps", "heun",
    "honest_bits", "information", "jump", "kl", "kl_term", "knots", "latent_bound", "leaving_cost", "log_likelihood",
    "log_normal", "log_prob", "lopsided", "loss_weight", "mala_ratio", "middle", "mismatch", "noise_guess",
    "noise_weight", "noisy_log_prob", "paired_gap", "pairs", "pathwise_gradient", "posterior", "price_from_cov",
    "progress", "pushed_x0", "put_in", "quietest", "reverse_drift", "same_n", "simple_loss", "spoilt_gap", "stacked_p",
    "start", "step_cost", "steps_needed", "too_sure", "ula_step", "variance_table", "velocity", "walk_matrix",
    "x0_from_v",
]  # fmt: skip

_STEMS = [notebook.__name__.rpartition(".n")[2] for notebook in NOTEBOOKS]
FILES = {stem[:2]: f"{stem}.ipynb" for stem in _STEMS}  # a notebook's number → its file


def progress() -> None:
    """Shows what is done, how long the rest takes, and what is next: with marks and links where a notebook runs it."""
    shown = record.Progress(EXERCISES, FILES)
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython():
        sys.modules["IPython"].display.display(shown)
    else:
        print(shown)

"""Training: the loop and its losses; runs on disk, several processes, logs.

Notebooks need the names below alone; the command line goes through `runs`.
"""

from .losses import (
    Loss,
    binarised,
    elbo_loss,
    eps_loss,
    flow_loss,
    label_error,
    label_loss,
    log_snr_t,
    min_snr,
    mixed_t,
    uniform_t,
)
from .optimisers import adam, muon
from .trainer import Trainer, check_shards, fit_image_sigma2, fit_sigma2, learning_rate, step_generator

__all__ = [
    "Loss",
    "Trainer",
    "adam",
    "binarised",
    "check_shards",
    "elbo_loss",
    "eps_loss",
    "fit_image_sigma2",
    "fit_sigma2",
    "flow_loss",
    "label_error",
    "label_loss",
    "learning_rate",
    "log_snr_t",
    "min_snr",
    "mixed_t",
    "muon",
    "step_generator",
    "uniform_t",
]

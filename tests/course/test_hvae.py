"""hvae.py: how a hierarchy is initialised."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from diffusion_edu.hvae import HVAE


@pytest.mark.parametrize(("dim", "latent"), [(2, 2), (5, 3)])
def test_the_first_encoder_starts_surest(dim, latent):
    """With the weights of each last layer zero, what is left is its bias: at most 1/√width from where it starts."""
    model = HVAE(levels=3, dim=dim, latent=latent, width=64)
    for net in model.encoders:
        last = [layer for layer in net.modules() if isinstance(layer, nn.Linear)][-1]
        nn.init.zeros_(last.weight)
    variances = [model.q(1, torch.zeros(4, dim)).var] + [model.q(t, torch.zeros(4, latent)).var for t in (2, 3)]
    for var, log_var in zip(variances, (-4.0, -2.0, -2.0), strict=True):
        assert_close(var.log(), torch.full_like(var, log_var), rtol=0, atol=1 / math.sqrt(64))

"""The hierarchical VAE: the same chain, with any number of learned levels.

q(z_t|z_{t−1}) = N(a z_{t−1} + μ, σ²)   and   p(z_t|z_{t+1}) = N(z_{t+1}/… + μ, σ²)
"""

import itertools

import torch
from torch import Tensor, nn

from .gaussian import Gaussian
from .nets import GaussianNet


class HVAE(nn.Module):
    """A Markovian hierarchical VAE with `levels` latents of size `latent` each. Raises ValueError if levels < 1."""

    def __init__(self, levels: int = 3, dim: int = 2, latent: int = 2, width: int = 128, depth: int = 2):
        super().__init__()
        if levels < 1:
            raise ValueError(f"levels must be at least 1, got {levels}")
        sizes = [dim] + [latent] * levels
        self.levels = levels
        self.encoders = nn.ModuleList(GaussianNet(a, b, width, depth) for a, b in itertools.pairwise(sizes))
        self.decoders = nn.ModuleList(GaussianNet(b, a, width, depth) for a, b in itertools.pairwise(sizes))
        self.register_buffer("zero", torch.zeros(latent))

    def q(self, t: int, z_prev: Tensor) -> Gaussian:
        return self.encoders[t - 1](z_prev)

    def p(self, t: int, z_next: Tensor) -> Gaussian:
        return self.decoders[t](z_next)

    def prior(self) -> Gaussian:
        return Gaussian(self.zero, torch.ones_like(self.zero))

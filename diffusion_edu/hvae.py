"""The hierarchical VAE: the same chain, with any number of learned levels.

    q(z_t|z_{t−1}) = N(z_{t−1} + μ_φ(z_{t−1}), σ²_φ(z_{t−1}))      p(z_T) = N(0, I)
    p(z_t|z_{t+1}) = N(z_{t+1} + μ_θ(z_{t+1}), σ²_θ(z_{t+1}))      z₀ = x

Every level starts as a small step from the one below. Without that the upper levels are never used: the
second one up can pass nothing on that the first has not, and training finds the way back to one level
(notebook 02). Source: Rezende et al. 2014; the residual form is that of Kingma et al. 2016, simplified.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from .bound import Model
from .gaussian import Gaussian
from .nets import GaussianNet, StepNet


class HVAE(Model):
    """A Markovian hierarchical VAE for points (..., dim) with `levels` latents of size `latent` each. Between two
    neighbours of one size `step` makes the network, a small step from one to the other; where they differ, `encode`.
    `observe`, if given, makes that of p(x|z₁), such as BernoulliNet for binary pixels. Raises ValueError if
    levels < 1."""

    zero: Tensor

    def __init__(
        self,
        levels: int = 3,
        dim: int = 2,
        latent: int = 2,
        width: int = 128,
        depth: int = 2,
        encode: Callable[..., nn.Module] = GaussianNet,
        step: Callable[..., nn.Module] = StepNet,
        observe: Callable[..., nn.Module] | None = None,
    ):
        super().__init__()
        if levels < 1:
            raise ValueError(f"levels must be at least 1, got {levels}")
        sizes = [dim] + [latent] * levels

        def between(a: int, b: int, log_var: float) -> nn.Module:
            return step(a, width, depth, log_var) if a == b else encode(a, b, width, depth, log_var)

        first = [-4.0] + [-2.0] * (levels - 1)  # the first encoder starts with the smallest variance
        self.levels = levels
        self.encoders = nn.ModuleList(between(a, b, v) for (a, b), v in zip(pairwise(sizes), first, strict=True))
        below = pairwise(sizes) if observe is None else pairwise(sizes[1:])
        decoders = [between(b, a, -2.0) for a, b in below]
        self.decoders = nn.ModuleList(decoders if observe is None else [observe(latent, dim, width, depth), *decoders])
        self.register_buffer("zero", torch.zeros(latent))

    def q(self, t: int, z_prev: Tensor) -> Gaussian:
        """q(z_t | z_{t−1}), z₀ = x."""
        return self.encoders[t - 1](z_prev)

    def p(self, t: int, z_next: Tensor) -> Gaussian:
        """p(z_t | z_{t+1}); t = 0 is the decoder p(x | z₁)."""
        return self.decoders[t](z_next)

    def prior(self) -> Gaussian:
        return Gaussian(self.zero, torch.ones_like(self.zero))

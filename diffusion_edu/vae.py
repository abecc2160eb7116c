"""The variational autoencoder: a chain with one latent.

    q(z|x) = N(μ_φ(x), σ²_φ(x))      p(z) = N(0, I)      p(x|z) = N(μ_θ(z), σ²_θ(z))

Source: Kingma & Welling 2014. Plugged into `bound.bound` it gives the ELBO, into `bound.log_weights` the
importance-weighted bound, into `bound.generate` samples.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .bound import Model
from .gaussian import Gaussian
from .nets import GaussianNet


class VAE(Model):
    """A VAE for points (..., dim) with a latent of size `latent`. `encode` makes the network of q(z|x) and `observe`
    that of p(x|z): GaussianNets, whose variance is learned, or others with the same arguments, such as BernoulliNet
    for binary pixels or those of convnets.py."""

    levels = 1
    zero: Tensor

    def __init__(
        self,
        dim: int = 2,
        latent: int = 2,
        width: int = 128,
        depth: int = 2,
        encode: Callable[..., nn.Module] = GaussianNet,
        observe: Callable[..., nn.Module] = GaussianNet,
    ):
        super().__init__()
        self.encoder = encode(dim, latent, width, depth, log_var=-4.0)
        self.decoder = observe(latent, dim, width, depth)
        self.register_buffer("zero", torch.zeros(latent))

    def q(self, t: int, z_prev: Tensor) -> Gaussian:
        """q(z₁ | x), the encoder."""
        return self.encoder(z_prev)

    def p(self, t: int, z_next: Tensor) -> Gaussian:
        """p(x | z₁), the decoder."""
        return self.decoder(z_next)

    def prior(self) -> Gaussian:
        return Gaussian(self.zero, torch.ones_like(self.zero))

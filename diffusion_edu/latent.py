"""Chains on chains: diffusion in the latent space of an autoencoder.

Where a chain `below` has the latents z₁ … z_L, another, whose data are z_L, can stand in the place of its prior:

    −ELBO = E_q[ −log p(x|z₁) + … + log q(z_L|z_{L−1}) ] + E_q[ −ELBO_above(z_L) ]                        (11.3)

Together they are a chain, which `bound.bound` scores as it is (Vahdat et al. 2021; Rombach et al. 2022)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .bound import Chain, Distribution
from .gaussian import Gaussian
from .oracles import Mixture


@dataclass(frozen=True)
class Stacked:
    """Two chains as one: the data of `above` are the last latents of `below`."""

    below: Chain
    above: Chain

    @property
    def levels(self) -> int:
        return self.below.levels + self.above.levels

    def q(self, t: int, z_prev: Tensor) -> Distribution:
        L = self.below.levels
        return self.below.q(t, z_prev) if t <= L else self.above.q(t - L, z_prev)

    def p(self, t: int, z_next: Tensor) -> Distribution:
        L = self.below.levels
        return self.below.p(t, z_next) if t < L else self.above.p(t - L, z_next)

    def prior(self) -> Distribution:
        return self.above.prior()


@dataclass(frozen=True)
class Prior:
    """A mixture as a chain without levels, so that `Stacked(vae, Prior(mixture))` has it in the place of N(0, I)."""

    law: Mixture
    levels: int = 0

    @property
    def mean(self) -> Tensor:
        return self.law.weights @ self.law.means

    def prior(self) -> "Prior":
        return self

    def log_prob(self, x: Tensor) -> Tensor:
        return self.law.log_prob(x)

    def sample(self, generator: torch.Generator | None = None, shape: tuple[int, ...] = ()) -> Tensor:
        seed = int(torch.randint(2**31, (), generator=generator))
        return self.law.sample(torch.Size(shape).numel(), seed).reshape(*shape, self.law.dim).float()


@dataclass(frozen=True)
class Scaled:
    """A chain of one level with (z − shift)/scale in the place of z and the prior N(0, I). shift, scale: (latent,)."""

    below: Chain
    shift: Tensor
    scale: Tensor
    levels: int = 1

    def q(self, t: int, z_prev: Tensor) -> Gaussian:
        q = self.below.q(t, z_prev)
        return Gaussian((q.mean - self.shift) / self.scale, q.var / self.scale**2)  # pyright: ignore

    def p(self, t: int, z_next: Tensor) -> Distribution:
        return self.below.p(t, z_next * self.scale + self.shift)

    def prior(self) -> Gaussian:
        return Gaussian(torch.zeros_like(self.shift), torch.ones_like(self.scale))


@torch.no_grad()
def encoded(chain: Chain, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One z ~ q(z|x) for each point of x (n, D): (n, latent), without gradient."""
    return chain.q(1, x).sample(generator)


def standardised(chain: Chain, x: Tensor, generator: torch.Generator | None = None) -> Scaled:
    """The chain with a latent of mean 0 and variance 1 in each dimension, over the points x (n, D)."""
    z = encoded(chain, x, generator)
    return Scaled(chain, z.mean(0), z.std(0))


@torch.no_grad()
def aggregate(chain: Chain, x: Tensor) -> Mixture:
    """The aggregate posterior q(z) ≈ 1/n Σ q(z|x_i) of a chain of one level, over x (n, D) (1.13)."""
    q = chain.q(1, x)
    return Mixture(torch.ones(len(x)), q.mean, q.var)  # pyright: ignore

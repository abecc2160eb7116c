"""Latent diffusion in two stages (notebook 11): a VAE first, then, with the VAE as it is, a DDPM of its latents.

The second stage draws its batches from *codes*, the mean and standard deviation of q(z|x) of each training point, which
are computed once; a z ~ q(z|x) is drawn from them anew in each step.
"""

import torch
from torch import Tensor

from ..bound import Model
from ..ddpm import DDPM
from ..gaussian import randn
from ..latent import Scaled, Stacked, standardised
from ..vae import VAE
from .losses import Loss
from .trainer import Trainer, step_generator

ENOUGH = 5000  # training points from which mean and variance of a latent are estimated


class LatentDDPM(Model):
    """A VAE, whose parameters are not trained, and a DDPM of (z − shift)/scale. shift, scale: (latent,)."""

    shift: Tensor
    scale: Tensor

    def __init__(self, vae: VAE, ddpm: DDPM):
        super().__init__()
        self.vae, self.ddpm = vae.requires_grad_(False), ddpm
        self.register_buffer("shift", torch.zeros_like(vae.zero))
        self.register_buffer("scale", torch.ones_like(vae.zero))

    def below(self) -> Scaled:
        """The VAE with the latent that the DDPM has."""
        return Scaled(self.vae, self.shift, self.scale)

    def chain(self) -> Stacked:
        """Both as one chain, whose bound is (11.3)."""
        return Stacked(self.below(), self.ddpm.chain())

    @torch.no_grad()
    def generate(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n samples, (n, D): z down the DDPM's chain, and the decoder's mean of each."""
        return self.below().p(0, self.ddpm.generate(n, generator)).mean

    @torch.no_grad()
    def codes(self, x: Tensor, block: int = 1000) -> Tensor:
        """Mean and standard deviation of q(z|x) of the points x (n, D), side by side, (n, 2 latent)."""
        found = [self.below().q(1, part) for part in x.split(block)]
        return torch.cat([torch.cat([q.mean, q.var.sqrt()], dim=-1) for q in found])


def drawn(codes: Tensor, generator: torch.Generator) -> Tensor:
    """One z ~ q(z|x) for each of the codes (n, 2 latent): (n, latent)."""
    mean, std = codes.chunk(2, dim=-1)
    return mean + std * randn(mean.shape, generator, like=mean)


def of_codes(loss: Loss) -> Loss:
    """A loss of the DDPM, taken at one z ~ q(z|x) for each code of a batch."""

    def of_batch(model: LatentDDPM, codes: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        return loss(model.ddpm, drawn(codes, generator), generator)

    return of_batch


def put_first_stage(t: Trainer, vae: Model) -> None:
    """Puts a trained VAE into the model of a trainer at step 0 and into its average, and standardises the latent over
    some of the trainer's points."""
    model, generator = t.model, step_generator(t.seed, -2)
    model.vae.load_state_dict(vae.state_dict())
    some = t.data[torch.randint(len(t.data), (min(ENOUGH, len(t.data)),), generator=generator)]
    found = standardised(model.vae, some, generator)
    model.shift.copy_(found.shift)
    model.scale.copy_(found.scale)
    t.ema.load_state_dict(model.state_dict())

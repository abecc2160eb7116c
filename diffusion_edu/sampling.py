"""The samplers by name, with what each costs, and samples of a trained model."""

from typing import NamedTuple

import torch
from torch import Tensor

from .bound import Model
from .ddpm import DDPM
from .diffusion import sigma2_beta_tilde
from .samplers import ANCESTRAL, Step, ancestral, ddim, first_order, sample, second_order


class Sampler(NamedTuple):
    """How the chain is run backwards, and how often a step asks the denoiser."""

    step: Step
    calls: int


SAMPLERS = {
    "ancestral": Sampler(ANCESTRAL, calls=1),
    "ancestral-small": Sampler(first_order(ancestral(sigma2_beta_tilde)), calls=1),
    "ancestral-2m": Sampler(second_order(ancestral(sigma2_beta_tilde)), calls=1),
    "ddim": Sampler(first_order(ddim), calls=1),
    "ddim-2m": Sampler(second_order(ddim), calls=1),
}


def sampler_of(name: str) -> Sampler:
    """The sampler of that name. Raises ValueError if there is none."""
    if name not in SAMPLERS:
        raise ValueError(f"unknown sampler {name!r}; known: {', '.join(SAMPLERS)}")
    return SAMPLERS[name]


@torch.no_grad()
def draw(
    model: Model, n: int, generator: torch.Generator, sampler: str = "ancestral", steps: int | None = None
) -> Tensor:
    """n samples of a trained model, (n, D), float32, on the CPU: of a DDPM by a sampler in so many steps (all T if
    None), of a VAE or HVAE down its chain. Raises ValueError on an unknown sampler."""
    if not isinstance(model, DDPM):
        return model.generate(n, generator).cpu().float()
    x_T = model.chain().prior().sample(generator, shape=(n,))
    step = sampler_of(sampler).step
    return sample(model.x0_hat, model.schedule, x_T, step=step, steps=steps, generator=generator).cpu().float()

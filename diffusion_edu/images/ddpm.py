"""The DDPM of images: a last step over grey levels, and a variance for each range of grey.

Both change only p(x_{t−1}|x_t); q, the denoiser and the bound are those of diffusion.py.
"""

import torch
from torch import Tensor

from ..bound import Distribution
from ..ddpm import DDPM
from ..diffusion import ForwardProcess, Variance, reverse_step
from ..nets import NoiseNet
from ..observations import DiscretisedGaussian
from ..schedules import Schedule


def grey_step(schedule: Schedule, t: int, xt: Tensor, x0_hat: Tensor, variance: Variance) -> Distribution:
    """`diffusion.reverse_step` to pixels with 256 levels: its last Gaussian is discretised (Ho et al. 2020, eq. 13)."""
    p = reverse_step(schedule, t, xt, x0_hat, variance)
    return p if t > 1 else DiscretisedGaussian.on_levels(p)


class ImageProcess(ForwardProcess):
    """Diffusion of images as a chain for `bound.bound`."""

    def p(self, t: int, z_next: Tensor) -> Distribution:
        """p(x_t | x_{t+1}), over grey levels at t = 0."""
        return grey_step(self.schedule, t + 1, z_next, self.denoiser(z_next, t + 1), self.variance)


class ImageDDPM(DDPM):
    """The DDPM of images with 256 grey levels in [−1, 1]: x̂₀ stays in that range, the last step is `grey_step`,
    and σ_t² depends on x̂₀.

    One σ_t² for all pixels is too much for those that are surely black and too little for an edge. So `sigma2` is
    (T + 1, 14): a variance for each t and each range of x̂₀, the ranges narrow near black and white, where most
    pixels lie. `training.fit_image_sigma2` sets the optimal ones.
    """

    # borders between the ranges, in grey levels: narrow near 0 and 255
    borders = (1 / 16, 1 / 4, 1, 4, 16, 64, 128, 191, 239, 251, 254, 255 - 1 / 4, 255 - 1 / 16)

    edges: Tensor

    def __init__(self, eps_net: NoiseNet, schedule: Schedule, dim: int):
        super().__init__(eps_net, schedule, dim)
        self.sigma2 = schedule.beta[:, None].repeat(1, len(self.borders) + 1)
        self.register_buffer("edges", torch.tensor(self.borders) / 127.5 - 1, persistent=False)

    def x0_hat(self, xt: Tensor, t: int | Tensor) -> Tensor:
        """The denoiser that ε̂ stands for, like x_t, in [−1, 1]."""
        return super().x0_hat(xt, t).clamp(-1, 1)

    def x0_hat_at(self, xt: Tensor, log_snr: float | Tensor) -> Tensor:
        """The same at any λ = log SNR between the schedule's ends."""
        return super().x0_hat_at(xt, log_snr).clamp(-1, 1)

    def ranges(self, x0_hat: Tensor) -> Tensor:
        """The range, 0 … 13, in which each pixel of x̂₀ lies; like x̂₀."""
        return torch.bucketize(x0_hat.contiguous(), self.edges.to(x0_hat))

    def variance(self, t: int | Tensor, x0_hat: Tensor) -> Tensor:
        """σ_t² of each pixel, like x̂₀."""
        t = torch.as_tensor(t, device=x0_hat.device).unsqueeze(-1)
        return self.sigma2[t, self.ranges(x0_hat)].to(x0_hat)

    def chain(self) -> "ImageProcess":
        """The model as a chain for `bound.bound`; its log P is that of grey levels."""
        like = next(self.parameters())
        return ImageProcess(self.schedule, self.x0_hat, self.variance, self.dim, like.dtype, like.device)

"""Several scales: a diffusion chain whose latents shrink, and the coordinates in which they do.

Where almost all of x_t is noise, the details can leave: above a time t* the chain goes on with fewer coordinates, and
on the way back the details come from N(0, I). It is a chain as any other, so `bound.bound` says what that costs.
Source: Jing et al. 2022; the transform is Haar's.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .diffusion import ForwardProcess
from .gaussian import Gaussian


@dataclass(frozen=True)
class Leaving:
    """A diffusion chain whose latents shrink: x_t has all coordinates up to t = `t_star`, and above it the first
    `few.dim` of them. On the way back the others come from N(0, I). `full` and `few` are chains of the two sizes.

    Raises ValueError unless both have the same schedule, few.dim < full.dim, and 1 ≤ t_star < T.
    """

    full: ForwardProcess
    few: ForwardProcess
    t_star: int

    def __post_init__(self):
        if not torch.equal(self.full.schedule.alpha_bar, self.few.schedule.alpha_bar):
            raise ValueError("full and few must have the same schedule")
        if not self.few.dim < self.full.dim:
            raise ValueError(f"few must have fewer dimensions than full, got {self.few.dim} and {self.full.dim}")
        if not 1 <= self.t_star < self.full.levels:
            raise ValueError(f"t_star must be in 1 … {self.full.levels - 1}, got {self.t_star}")

    @property
    def levels(self) -> int:
        return self.full.levels

    def q(self, t: int, z_prev: Tensor) -> Gaussian:
        return self.full.q(t, z_prev) if t <= self.t_star else self.few.q(t, z_prev[..., : self.few.dim])

    def p(self, t: int, z_next: Tensor) -> Gaussian:
        if t < self.t_star:
            return self.full.p(t, z_next)
        step, gone = self.few.p(t, z_next), self.full.dim - self.few.dim
        if t > self.t_star:
            return step
        rest = torch.zeros_like(step.mean[..., :1]).expand(*step.mean.shape[:-1], gone)
        var = step.var.expand(step.mean.shape)
        return Gaussian(torch.cat([step.mean, rest], -1), torch.cat([var, rest + 1], -1))

    def prior(self) -> Gaussian:
        return self.few.prior()


def haar(n: int) -> tuple[Tensor, Tensor]:
    """The orthonormal transform (n², n²) of images (n, n), flattened, into sums and differences of neighbours, and the
    band of each coefficient (n²,): 0 the coarse image, 1 to 3 the details. The coarse ones come first. ValueError
    unless n is even and at least 2."""
    if n < 2 or n % 2:
        raise ValueError(f"n must be even and at least 2, got {n}")
    pair = torch.eye(n // 2, dtype=torch.float64).repeat_interleave(2, 1) / 2**0.5
    one = torch.cat([pair, pair * torch.tensor([1.0, -1.0]).repeat(n // 2)])
    both = torch.einsum("ia,jb->ijab", one, one).reshape(n * n, n * n)
    low = torch.arange(n) >= n // 2
    band = (2 * low[:, None] + low[None, :]).flatten()
    order = band.argsort(stable=True)
    return both[order], band[order]

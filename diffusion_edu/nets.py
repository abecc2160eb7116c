"""Networks: a plain MLP, one that returns a Gaussian, and one that predicts the noise at time t."""

import itertools

import torch
from torch import Tensor, nn

from .gaussian import Gaussian


def mlp(sizes: list[int]) -> nn.Sequential:
    """Linear layers of the given sizes with SiLU between them: (..., sizes[0]) → (..., sizes[-1])."""
    layers = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


class GaussianNet(nn.Module):
    """z (..., in_dim) → N(mean(z), var(z)) over (..., out_dim), both learned.

    The variance starts near exp(log_var): an encoder that starts sure of itself keeps the decoder from
    learning to ignore it. The log variance is clamped to [−12, 4]; beyond that float32 densities stop
    being useful.
    """

    log_var_range = (-12.0, 4.0)

    def __init__(self, in_dim: int, out_dim: int, width: int = 128, depth: int = 2, log_var: float = 0.0):
        super().__init__()
        self.net = mlp([in_dim, *[width] * depth, 2 * out_dim])
        with torch.no_grad():
            self.net[-1].bias[out_dim:] += log_var

    def forward(self, z: Tensor) -> Gaussian:
        mean, log_var = self.net(z).chunk(2, dim=-1)
        return Gaussian(mean, log_var.clamp(*self.log_var_range).exp())


class StepNet(GaussianNet):
    """z (..., dim) → N(z + mean(z), var(z)): the network learns the step from z, not z itself."""

    def __init__(self, dim: int, width: int = 128, depth: int = 2, log_var: float = -2.0):
        super().__init__(dim, dim, width, depth, log_var)

    def forward(self, z: Tensor) -> Gaussian:
        step = super().forward(z)
        return Gaussian(z + step.mean, step.var)


class TimeEmbedding(nn.Module):
    """t (...) → sin and cos of t at `size`/2 frequencies, geometric from 1 to 10⁻⁴: shape (..., size).

    Distinct integers t get distinct embeddings, since at frequency 1 no integer is a period of 2π
    (Vaswani et al. 2017, §3.5). Raises ValueError if size is odd or below 4.
    """

    def __init__(self, size: int = 32):
        super().__init__()
        if size < 4 or size % 2:
            raise ValueError(f"size must be even and at least 4, got {size}")
        self.register_buffer("frequency", torch.logspace(0, -4, size // 2))

    def forward(self, t: Tensor) -> Tensor:
        angle = t.unsqueeze(-1) * self.frequency
        return torch.cat([angle.sin(), angle.cos()], dim=-1)


class EpsNet(nn.Module):
    """(x_t, t) → ε̂: an MLP on x_t and the embedding of t. x_t (..., D), t (...) → (..., D)."""

    def __init__(self, dim: int, width: int = 128, depth: int = 3, embedding: int = 32):
        super().__init__()
        self.embed = TimeEmbedding(embedding)
        self.net = mlp([dim + embedding, *[width] * depth, dim])

    def forward(self, xt: Tensor, t: Tensor) -> Tensor:
        return self.net(torch.cat([xt, self.embed(t.to(xt))], dim=-1))

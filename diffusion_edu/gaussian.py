"""Diagonal Gaussians: log density, entropy, KL, and conditioning of linear-Gaussian pairs.

    log N(x; μ, v) = −½ Σ_d [ log 2πv_d + (x_d − μ_d)²/v_d ]

A data point is a vector: the last axis holds its D dimensions and is summed over;
all axes before it are batch. Everything is in nats, per data point.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


def captured(x: Tensor) -> bool:
    """Whether x is of a CUDA graph that is just being captured, where nothing can be read from the device."""
    return x.is_cuda and torch.cuda.is_current_stream_capturing()


def holds(condition: Tensor) -> bool:
    """Whether a condition is true everywhere. In a graph that is being captured it counts as true: the same step has
    run before (`training.captured`)."""
    return captured(condition) or bool(condition.all())


@dataclass(frozen=True)
class Gaussian:
    """N(mean, diag(var)); `mean` and `var` broadcast to (..., D).

    Raises ValueError if a variance is not positive.
    """

    mean: Tensor
    var: Tensor

    def __post_init__(self):
        if not holds(self.var > 0):
            raise ValueError(f"var must be positive, got a minimum of {self.var.min().item():g}")

    def log_prob(self, x: Tensor) -> Tensor:
        """log N(x; mean, var), shape (...), nats per data point."""
        return -0.5 * (LOG_2PI + self.var.log() + (x - self.mean) ** 2 / self.var).sum(-1)

    def sample(self, generator: torch.Generator | None = None, shape: tuple[int, ...] = ()) -> Tensor:
        """mean + √var · ε with ε ~ N(0, I): reparameterised, so gradients reach mean and var
        (Kingma & Welling 2014, §2.4). `shape` is put in front, as in torch.distributions."""
        size = (*shape, *torch.broadcast_shapes(self.mean.shape, self.var.shape))
        return self.at(randn(size, generator, like=self.mean))

    def at(self, eps: Tensor) -> Tensor:
        """The point that the noise `eps` leads to: mean + √var · eps."""
        return self.mean + self.var.sqrt() * eps


def randn(size, generator: torch.Generator | None, like: Tensor) -> Tensor:
    """Standard normal noise with the dtype and device of `like`, drawn where the generator lives,
    so that one seed gives one noise on every device."""
    where = generator.device if generator is not None else like.device
    return torch.randn(size, generator=generator, dtype=like.dtype, device=where).to(like.device)


def entropy(p: Gaussian) -> Tensor:
    """−E log p = ½ Σ_d log 2πe v_d, shape (...), nats."""
    return 0.5 * (LOG_2PI + 1 + p.var.log()).expand(torch.broadcast_shapes(p.mean.shape, p.var.shape)).sum(-1)


def kl(q: Gaussian, p: Gaussian) -> Tensor:
    """KL(q ‖ p) = ½ Σ_d [ v_q/v_p − 1 − log v_q/v_p + (μ_q − μ_p)²/v_p ], shape (...), nats."""
    ratio = q.var / p.var
    return 0.5 * (ratio - 1 - ratio.log() + (q.mean - p.mean) ** 2 / p.var).sum(-1)


def marginal(prior: Gaussian, a: float | Tensor, var: float | Tensor) -> Gaussian:
    """p(y) when x ~ prior and y | x ~ N(a x, var): N(a μ, a² v + var)."""
    return Gaussian(a * prior.mean, a**2 * prior.var + var)


def condition(prior: Gaussian, a: float | Tensor, var: float | Tensor, y: Tensor) -> Gaussian:
    """p(x | y) when x ~ prior and y | x ~ N(a x, var): precisions add, and
    precision-weighted means add (Bishop 2006, eq. 2.116)."""
    precision = 1 / prior.var + a**2 / var
    return Gaussian((prior.mean / prior.var + a * y / var) / precision, 1 / precision)

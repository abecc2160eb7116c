"""Observation models p(x|z) for images: what stands in the bound where points of the plane have a Gaussian.

    Bernoulli             binary pixels:      log p(x) = Σ_d [ x_d log π_d + (1 − x_d) log (1 − π_d) ]
    DiscretisedLogistic   grey levels:        P(x) = Π_d [ F(x_d + h) − F(x_d − h) ],  F the logistic law
    DiscretisedGaussian   grey levels:        the same with F the normal law

Grey levels 0 … L − 1 stand at L equally spaced values of [−1, 1], h is half their distance, and the lowest and the
highest take what lies beyond them, so that the probabilities of the L values add up to 1. A probability is at
most 1: −log P in nats of such a pixel is a code length, and bits per dimension are honest.
Each plugs into `bound.bound` and `bound.generate` as a `Distribution`. Source: Salimans et al. 2017, §2.1 (logistic);
Ho et al. 2020, eq. 13 (Gaussian).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .gaussian import Gaussian, holds, randn


@dataclass(frozen=True)
class Bernoulli:
    """Independent binary pixels with P(x_d = 1) = sigmoid(logits_d); logits (..., D)."""

    logits: Tensor

    @property
    def mean(self) -> Tensor:
        return self.logits.sigmoid()

    def log_prob(self, x: Tensor) -> Tensor:
        """log P(x), shape (...), nats per data point. Raises ValueError unless every x is 0 or 1."""
        if not holds((x == 0) | (x == 1)):
            raise ValueError(f"x must be 0 or 1 in each pixel, got values from {x.min():g} to {x.max():g}")
        return logsigmoid(torch.where(x == 1, self.logits, -self.logits)).sum(-1)

    def sample(self, generator: torch.Generator | None = None, shape: tuple[int, ...] = ()) -> Tensor:
        """Zeros and ones in the dtype of the logits, (*shape, ..., D)."""
        return (_rand((*shape, *self.logits.shape), generator, self.logits) < self.mean).to(self.logits)


@dataclass(frozen=True)
class _Discretised:
    """A law with location `mean` and width `scale`, both broadcasting to (..., D), put on `levels` grey levels.

    Raises ValueError if a scale is not positive or levels < 2.
    """

    mean: Tensor
    scale: Tensor
    levels: int = 256

    def __post_init__(self):
        if not holds(self.scale > 0):
            raise ValueError(f"scale must be positive, got a minimum of {self.scale.min().item():g}")
        if self.levels < 2:
            raise ValueError(f"levels must be at least 2, got {self.levels}")

    def log_prob(self, x: Tensor) -> Tensor:
        """log P(x), shape (...), nats per data point. Raises ValueError unless x lies on the grid of grey levels."""
        level = (x + 1) * ((self.levels - 1) / 2)
        if not holds(((level.round() - level).abs() <= 1e-2) & (x.abs() <= 1 + 1e-4)):
            raise ValueError(f"x must be one of {self.levels} equally spaced values in [−1, 1] in each pixel")
        half = 1 / (self.levels - 1)
        low = torch.where(level.round() == 0, -torch.inf, (x - half - self.mean) / self.scale)
        high = torch.where(level.round() == self.levels - 1, torch.inf, (x + half - self.mean) / self.scale)
        return self._log_mass(low, high).sum(-1)

    def sample(self, generator: torch.Generator | None = None, shape: tuple[int, ...] = ()) -> Tensor:
        """Grey levels in [−1, 1], (*shape, ..., D): a draw of the law, moved to the nearest level."""
        size = (*shape, *torch.broadcast_shapes(self.mean.shape, self.scale.shape))
        x = self.mean + self.scale * self._standard(size, generator)
        step = 2 / (self.levels - 1)
        return ((x.clamp(-1, 1) + 1) / step).round() * step - 1

    def _log_mass(self, low: Tensor, high: Tensor) -> Tensor:
        raise NotImplementedError

    def _standard(self, size, generator) -> Tensor:
        raise NotImplementedError


class DiscretisedLogistic(_Discretised):
    """Grey levels under a logistic law with F(u) = sigmoid((u − mean)/scale)."""

    def _log_mass(self, low: Tensor, high: Tensor) -> Tensor:
        """σ(b) − σ(a) = σ(b) σ(−a) (1 − e^{a−b}): a product, so nothing is lost far out."""
        inside = torch.isfinite(low) & torch.isfinite(high)
        gap = torch.where(inside, high - low, torch.inf)
        finite = lambda a: torch.where(torch.isfinite(a), a, 0.0)  # noqa: E731  keeps gradients free of NaN
        left = torch.where(torch.isfinite(high), logsigmoid(finite(high)), 0.0)
        right = torch.where(torch.isfinite(low), logsigmoid(-finite(low)), 0.0)
        return left + right + torch.where(inside, torch.log(-torch.expm1(-finite(gap).clamp(min=1e-30))), 0.0)

    def _standard(self, size, generator) -> Tensor:
        u = _rand(size, generator, self.mean).clamp(1e-7, 1 - 1e-7)
        return u.log() - (-u).log1p()


class DiscretisedGaussian(_Discretised):
    """Grey levels under a normal law with standard deviation `scale`."""

    @classmethod
    def on_levels(cls, p: Gaussian) -> "DiscretisedGaussian":
        """The Gaussian p of the pixels, put on the 256 grey levels."""
        return cls(p.mean, p.var.sqrt())

    def _log_mass(self, low: Tensor, high: Tensor) -> Tensor:
        """log [Φ(b) − Φ(a)] in the tail where both are small: Φ(b) − Φ(a) = Φ(−a) − Φ(−b)."""
        flip = low + high > 0
        a, b = torch.where(flip, -high, low), torch.where(flip, -low, high)
        log_b = torch.special.log_ndtr(torch.where(b == torch.inf, 40.0, b))
        log_a = torch.special.log_ndtr(torch.where(a == -torch.inf, -1e4, a))
        return log_b + torch.log(-torch.expm1((log_a - log_b).clamp(max=-1e-30)))

    def _standard(self, size, generator) -> Tensor:
        return randn(size, generator, like=self.mean)


def _rand(size, generator: torch.Generator | None, like: Tensor) -> Tensor:
    """Uniform numbers, drawn where the generator lives, as `gaussian.randn` does."""
    where = generator.device if generator is not None else like.device
    return torch.rand(size, generator=generator, dtype=like.dtype, device=where).to(like.device)

"""Langevin dynamics: draw from p with its score alone.

    dx = s(x) dτ + √2 dW,   s = ∇ log p

leaves p as it is and forgets every start. A computer takes steps of a size h, and errs:

    ula_step    x + h s(x) + √(2h) ε                  the unadjusted algorithm: a little too wide
    mala_step   the same, accepted or refused         Metropolis-adjusted: exact for every h

Source: Roberts & Tweedie 1996. Some texts take ε/2 for h: the noise is then √ε.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .gaussian import Gaussian, randn

LogProb = Callable[[Tensor], Tensor]
Score = Callable[[Tensor], Tensor]


def ula_step(x: Tensor, score: Tensor, h: float | Tensor, eps: Tensor) -> Tensor:
    """x + h s(x) + √(2h) ε, like x."""
    return x + h * score + (2 * h) ** 0.5 * eps


def ula_variance(var: float | Tensor, h: float) -> float | Tensor:
    """The variance at which the unadjusted steps come to rest on N(0, var): var/(1 − h/(2 var)), from
    v = (1 − h/var)² v + 2h. Raises ValueError unless 0 < h < 2 var: other steps run away."""
    if not bool((torch.as_tensor(var) * 2 > h).all()) or h <= 0:
        raise ValueError(f"h must lie in (0, 2 var) with var = {var}, got {h}")
    return var / (1 - h / (2 * var))


def ula_bias(var: float, h: float) -> float:
    """E log p + H in nats, at rest, of each direction in which p is N(0, var): −½ (v/var − 1)."""
    return -0.5 * (float(ula_variance(var, h)) / var - 1)


def log_ratio(x: Tensor, y: Tensor, log_prob: LogProb, score: Score, h: float) -> Tensor:
    """log [p(y) q(x|y)] − log [p(x) q(y|x)], (n,), for the proposal q(y|x) = N(y; x + h s(x), 2h I). Swapping x and y
    changes its sign."""
    there = Gaussian(x + h * score(x), x.new_tensor(2 * h)).log_prob(y)
    back = Gaussian(y + h * score(y), x.new_tensor(2 * h)).log_prob(x)
    return log_prob(y) + back - log_prob(x) - there


def mala_step(x: Tensor, log_prob: LogProb, score: Score, h: float, eps: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Proposes y = ula_step and takes it where u < p(y) q(x|y)/(p(x) q(y|x)), u (n,) uniform in (0, 1); the points
    after the step, (n, D), and which of them moved, (n,) (Roberts & Tweedie 1996)."""
    y = ula_step(x, score(x), h, eps)
    moved = u.log() < log_ratio(x, y, log_prob, score, h)
    return torch.where(moved.unsqueeze(-1), y, x), moved


@torch.no_grad()
def ula(x: Tensor, score: Score, h: float, steps: int, generator: torch.Generator | None = None) -> Tensor:
    """The points x (n, D) after so many unadjusted steps."""
    for _ in range(steps):
        x = ula_step(x, score(x), h, randn(x.shape, generator, like=x))
    return x


@torch.no_grad()
def mala(
    x: Tensor, log_prob: LogProb, score: Score, h: float, steps: int, generator: torch.Generator | None = None
) -> tuple[Tensor, float]:
    """The points x (n, D) after so many adjusted steps, and the share of the proposals that were accepted."""
    accepted = 0.0
    for _ in range(steps):
        eps = randn(x.shape, generator, like=x)
        u = torch.rand(len(x), generator=generator, dtype=x.dtype).to(x)
        x, moved = mala_step(x, log_prob, score, h, eps, u)
        accepted += moved.double().mean().item() / steps
    return x, accepted


@torch.no_grad()
def annealed(
    x: Tensor,
    score_at: Callable[[Tensor, float], Tensor],
    log_snr: Tensor,
    h: Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """One unadjusted step at each level λ of log_snr (L,), of the size h (L,) of that level, and between two levels
    the points (n, D) shrink or grow with √ᾱ; the end is divided by the last √ᾱ (Song & Ermon 2019, Algorithm 1, in
    the variables of this course). score_at(x, ᾱ) is the score at that noise. Raises ValueError unless log_snr and h
    are one-dimensional and of one length."""
    if log_snr.ndim != 1 or log_snr.shape != h.shape:
        raise ValueError(f"log_snr and h must both be (L,), got {tuple(log_snr.shape)} and {tuple(h.shape)}")
    before = float(log_snr[0].sigmoid())
    for alpha_bar, step in zip(log_snr.sigmoid().tolist(), h.tolist(), strict=True):
        x, before = x * (alpha_bar / before) ** 0.5, alpha_bar
        x = ula_step(x, score_at(x, alpha_bar), step, randn(x.shape, generator, like=x))
    return x / before**0.5

"""Conditioning a model that was trained without the condition: known coordinates, and noisy points.

`known` is (D,), or a row for each point (..., D), NaN where a coordinate is not known. The right law, p(x₀ | known),
is `Mixture.conditional` of a mixture. Replacement and RePaint put what is known into x_t, with fresh noise. The others
take N(known; x̂₀(x_t), r²) for p(known | x_t): reconstruction guidance follows its gradient (ΠGDM: Song et al. 2023;
DPS: Chung et al. 2023), particles also carry weights that undo what is wrong with it (Wu et al. 2023).
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .diffusion import at, posterior_mean, q_step
from .gaussian import LOG_2PI, Gaussian, randn
from .guidance import LogP, log_p_and_gradient
from .oracles import Denoiser
from .samplers import ANCESTRAL, Step
from .schedules import Schedule


def checked_known(known: Tensor, dim: int) -> Tensor:
    """`known` as it came. Raises ValueError unless it has D columns and is NaN in some of them and finite in others."""
    free = known.isnan()
    if known.shape[-1] != dim or bool(known.isinf().any()):
        raise ValueError(f"known must have {dim} columns, finite or NaN, got shape {tuple(known.shape)}")
    if bool((free.all(-1) | ~free.any(-1)).any()):
        raise ValueError("known must have both numbers and NaN in each row: with no NaN there is nothing to draw")
    return known


def replaced(xt: Tensor, known: Tensor, alpha_bar: float | Tensor, eps: Tensor) -> Tensor:
    """x_t with √ᾱ known + √(1−ᾱ) ε where something is known (Lugmayr et al. 2022, eq. 8a), like x_t."""
    noisy = alpha_bar**0.5 * known + (1 - alpha_bar) ** 0.5 * eps
    return torch.where(known.isnan(), xt, noisy.to(xt))


def repaint(known: Tensor, rounds: int, generator: torch.Generator | None) -> Step:
    """An ancestral step, the known coordinates put in at t − 1, noise added back to t, `rounds` times over; with one
    round it is plain replacement (Lugmayr et al. 2022, Algorithm 1, with jumps of one step)."""

    def step(schedule: Schedule, t: int, xt: Tensor, denoiser: Denoiser, eps: Tensor, state: None):
        for turn in range(rounds):
            xt = q_step(schedule, t, xt).sample(generator) if turn else xt
            noise = eps if turn == 0 or t == 1 else randn(xt.shape, generator, like=xt)
            xt, _ = ANCESTRAL(schedule, t, xt, denoiser, noise, None)
            xt = replaced(xt, known, at(schedule.alpha_bar, t - 1, xt), randn(xt.shape, generator, like=xt))
        return xt, None

    return step


def guess(denoiser: Denoiser, known: Tensor, variance: Callable[[Tensor, int], Tensor | float]) -> LogP:
    """(x_t, t) → log N(known; x̂₀, r²), (...), over the known coordinates: the guess of log p(known|x_t) that treats
    x̂₀ as if it were sure up to r² = variance(x_t, t). With r² = 1 − ᾱ and `classifier_guided` it is ΠGDM."""

    def log_p(xt: Tensor, t: int) -> Tensor:
        x0_hat, r2 = (denoiser(xt, t) if t else xt), torch.as_tensor(variance(xt, t)).to(xt)
        miss = known.nan_to_num(0).to(xt) - x0_hat
        return torch.where(known.isnan(), 0, -0.5 * (miss**2 / r2 + r2.log() + LOG_2PI)).sum(-1)

    return log_p


def dps(known: Tensor, zeta: float) -> Step:
    """An ancestral step less ζ ∇|known − x̂₀|² / |known − x̂₀|, the gradient in x_t (Chung et al. 2023, Algorithm 1)."""

    def step(schedule: Schedule, t: int, xt: Tensor, denoiser: Denoiser, eps: Tensor, state: None):
        def square(x: Tensor) -> Tensor:
            return torch.where(known.isnan(), 0, known.nan_to_num(0).to(x) - denoiser(x, t)).square().sum(-1)

        distance, push = log_p_and_gradient(square, xt)
        new, _ = ANCESTRAL(schedule, t, xt, denoiser, eps, None)
        return new - zeta * push / distance.sqrt().clamp(min=1e-12).unsqueeze(-1), None

    return step


def resample(log_w: Tensor, generator: torch.Generator) -> Tensor:
    """Indices (m, N) that draw each of N particles as often as its weight says, to within one: systematic."""
    n, w = log_w.shape[-1], log_w.double().softmax(-1)
    ticks = torch.arange(n) + torch.rand((*log_w.shape[:-1], 1), generator=generator, dtype=torch.float64)
    return torch.searchsorted(w.cumsum(-1), ticks / n).clamp(max=n - 1)


@torch.no_grad()
def particles(
    plain: Denoiser, log_p: LogP, schedule: Schedule, x_T: Tensor, generator: torch.Generator, steps: int | None = None
) -> Iterator[tuple[int, Tensor]]:
    """Yields (t, x_t), (m, N, D): m runs of N particles each that go to the chain's own p(x₀), times exp log_p(x₀, 0).
    They take guided steps and are weighed by what these change; all are drawn anew when in one run fewer than half
    would do as well (twisted SMC; Wu et al. 2023, Algorithm 1). Right for many particles, in any number of steps."""
    sub, times = schedule.respaced(schedule.T if steps is None else steps)
    x, t = x_T, int(times[-1])
    now, push = log_p_and_gradient(lambda y: log_p(y, t), x)
    log_w = now
    for i in range(sub.T, 0, -1):
        bar, x0_hat, before = float(sub.alpha_bar[i]), plain(x, t), now
        p = Gaussian(posterior_mean(sub, i, x, x0_hat), at(sub.beta, i, x))
        guided = Gaussian(posterior_mean(sub, i, x, x0_hat + (1 - bar) / bar**0.5 * push), p.var)
        x, t = guided.sample(generator), int(times[i - 1])
        now, push = log_p_and_gradient(lambda y, t=t: log_p(y, t), x)
        log_w = log_w + now - before + p.log_prob(x) - guided.log_prob(x)
        enough = (2 * log_w.logsumexp(-1) - (2 * log_w).logsumexp(-1)).exp().min()
        if i == 1 or enough < 0.5 * x.shape[-2]:
            k = resample(log_w, generator)
            x, push = (v.gather(-2, k.unsqueeze(-1).expand_as(v)) for v in (x, push))
            now, log_w = now.gather(-1, k), torch.zeros_like(log_w)
        yield t, x


def denoise_from(schedule: Schedule, sigma: float) -> tuple[int, float]:
    """(t, √ᾱ_t) such that √ᾱ_t y is an x_t of the chain when y = x₀ + σ ε: the t with (1−ᾱ)/ᾱ nearest to σ², in log.
    ValueError if sigma is not positive (Carlini et al. 2023)."""
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, got {sigma}")
    t = int((schedule.log_snr[1:] + 2 * math.log(sigma)).abs().argmin()) + 1
    return t, schedule.alpha_bar[t].sqrt().item()

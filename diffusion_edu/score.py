"""Score matching: four losses that are E|ŝ − s|² but for a constant, s = ∇ log p(x).

    explicit     |ŝ − s|²                           needs the score itself, so only a known density has it
    denoising    |ŝ + ε/√(1−ᾱ)|²                    DDPM's loss over 1 − ᾱ         + D SNR error(λ)
    implicit     |ŝ|² + 2 ∇·ŝ                       needs points alone             − E|s|²
    sliced       (v·ŝ)² + 2 v·(∇ŝ) v, E vvᵀ = I     one derivative instead of D    − E|s|²

The last column is the mean of the loss less E|ŝ − s|². Every loss is |·|² summed over the D dimensions, without the ½
of some papers. `alpha_bar` is a number or a tensor that broadcasts against points (..., D). A score function takes
points (n, D) to (n, D), each by itself.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .ddpm import score_from_eps

Score = Callable[[Tensor], Tensor]


def explicit_loss(s_hat: Tensor, s: Tensor) -> Tensor:
    """|ŝ − s|², (...), for scores (..., D). Its mean under p is the Fisher divergence of ŝ (Hyvärinen 2005)."""
    return (s_hat - s).square().sum(-1)


def denoising_loss(s_hat: Tensor, eps: Tensor, alpha_bar: float | Tensor) -> Tensor:
    """|ŝ + ε/√(1−ᾱ)|², (...), for ŝ at x_t = √ᾱ x₀ + √(1−ᾱ) ε and ᾱ < 1 (Vincent 2011)."""
    return explicit_loss(s_hat, score_from_eps(eps, alpha_bar))


def divergence(fn: Score, x: Tensor) -> tuple[Tensor, Tensor]:
    """fn(x), (n, D), and its divergence ∇·fn, (n,), by D backward passes; both can be differentiated further."""
    x = x if x.requires_grad else x.detach().requires_grad_()
    with torch.enable_grad():
        y = fn(x)
        parts = [torch.autograd.grad(y[:, i].sum(), x, create_graph=True)[0][:, i] for i in range(y.shape[1])]
    return y, torch.stack(parts).sum(0)


def along(fn: Score, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """fn(x), (n, D), and v·(∇fn) v, (n,), by one backward pass; for v (n, D) with E vvᵀ = I its mean over v is ∇·fn
    (Hutchinson 1989)."""
    x = x if x.requires_grad else x.detach().requires_grad_()
    with torch.enable_grad():
        y = fn(x)
        (slope,) = torch.autograd.grad((y * v).sum(), x, create_graph=True)
    return y, (slope * v).sum(-1)


def implicit_loss(score: Score, x: Tensor) -> Tensor:
    """|ŝ|² + 2 ∇·ŝ at the points x, (n,) (Hyvärinen 2005, theorem 1)."""
    s_hat, div = divergence(score, x)
    return s_hat.square().sum(-1) + 2 * div


def sliced_loss(score: Score, x: Tensor, v: Tensor) -> Tensor:
    """(v·ŝ)² + 2 v·(∇ŝ) v, (n,), for directions v (n, D) with E vvᵀ = I (Song et al. 2019)."""
    s_hat, slope = along(score, x, v)
    return (s_hat * v).sum(-1).square() + 2 * slope


def sliced_loss_vr(score: Score, x: Tensor, v: Tensor) -> Tensor:
    """The same with |ŝ|² for its estimate (v·ŝ)²: the same mean (SSM-VR of Song
    et al. 2019). Near a thin strand it need not vary less."""
    s_hat, slope = along(score, x, v)
    return s_hat.square().sum(-1) + 2 * slope


def denoising_floor(error: float | Tensor, log_snr: float | Tensor, dim: int) -> float | Tensor:
    """E|ε − E[ε|x_t]|²/(1−ᾱ) = D SNR error(λ): what the denoising loss still is when ŝ = s. `error` is
    E|x₀ − E[x₀|x_t]|²/(D (1−ᾱ)) at λ, from `exact.error_at`."""
    return dim * math.e**log_snr * error


def score_energy(error: float | Tensor, log_snr: float | Tensor, dim: int) -> float | Tensor:
    """E|s|² = −E ∇·s = D (1 + SNR) − D SNR error(λ): the error of ŝ = 0."""
    return dim * (1 + math.e**log_snr) - denoising_floor(error, log_snr, dim)


def x0_from_score(xt: Tensor, score: Tensor, alpha_bar: float | Tensor) -> Tensor:
    """E[x₀ | x_t] = (x_t + (1−ᾱ) s)/√ᾱ, for ᾱ > 0 (Tweedie's formula; Efron 2011)."""
    return (xt + (1 - alpha_bar) * score) / alpha_bar**0.5


def x0_cov_from_hessian(hessian: Tensor, alpha_bar: float) -> Tensor:
    """Cov[x₀ | x_t] = (1−ᾱ)/ᾱ (I + (1−ᾱ) ∇∇ log p), (..., D, D), for ᾱ > 0 (Efron 2011)."""
    eye = torch.eye(hessian.shape[-1], dtype=hessian.dtype)
    return (1 - alpha_bar) / alpha_bar * (eye + (1 - alpha_bar) * hessian)

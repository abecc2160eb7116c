"""What a schedule costs, the one that costs least, and learning where to look.

With the best σ_t² a term of the bound is D/2 log(1 + (SNR_{t−1} − SNR_t) m_t), m_t = E|x₀ − x̂₀|²/D (8.4). So the price
of a schedule follows from the denoiser's error alone. For small steps it is

    Σ g(λ_t) Δλ_t²,   g(λ) = −D/4 (SNR² m² + SNR dm/dλ) = D/4 ᾱ (ᾱ e (1 − e) − de/dλ),   m = (1 − ᾱ) e,   (8.6)

which at the best schedule of T steps is ℓ²/T, ℓ = ∫√g dλ (8.8). λ = log SNR, ᾱ = sigmoid(λ); nats, per data point.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize
from torch import Tensor, nn

from .exact import LOG_SNR, error_table
from .oracles import Mixture
from .schedules import Schedule, from_log_snr


@dataclass(frozen=True)
class Errors:
    """A denoiser's error e = E|x₀ − x̂₀|²/(D (1 − ᾱ)) at rising `log_snr` (K,), `error` (blocks, K): of one data set or
    of independent blocks side by side, each with D = `dim`, E|x₀|² = dim · square and a σ_t² of its own. `level` is the
    distance between grey levels, 0 for points."""

    log_snr: np.ndarray
    error: np.ndarray
    dim: int
    square: float = 1.0
    level: float = 0.0

    def at(self, log_snr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """e and de/dλ at λ (n,), both (blocks, n), by cubic splines; outside the table e stays as it is at its end."""
        inside = log_snr.clip(self.log_snr[0], self.log_snr[-1])
        curve = CubicSpline(self.log_snr, self.error, axis=1)
        return curve(inside), np.where(inside == log_snr, curve(inside, 1), 0.0)


def exact_errors(*data: Mixture) -> Errors:
    """The exact denoiser's, of independent data sets of one dimension and one E|x₀|². Raises ValueError else."""
    squares = [(d.weights @ (d.means**2 + d.variances)).mean().item() for d in data]
    if len({d.dim for d in data}) != 1 or max(squares) - min(squares) > 1e-6:
        raise ValueError(f"data must have one dimension and one E|x₀|², got {[d.dim for d in data]} and {squares}")
    return Errors(LOG_SNR, np.stack([error_table(d) for d in data]), data[0].dim, squares[0])


def entropy(log_snr: np.ndarray, error: np.ndarray, dim: int) -> float:
    """H = D/2 log 2πe − D/2 ∫ (1 − e) ᾱ dλ from errors at evenly spaced λ, both (K,), by the trapezoidal rule (8.2)."""
    gained = 0.5 * dim * np.trapezoid((1 - error) / (1 + np.exp(-log_snr)), log_snr)
    return 0.5 * dim * math.log(2 * math.pi * math.e) - float(gained)


def bound(errors: Errors, log_snr: Tensor) -> Tensor:
    """L₀ + Σ L_{t−1} + L_T at λ_1 > … > λ_T (T,), with the best σ_t²: nats, a scalar with gradient (8.4)."""
    log_snr = torch.as_tensor(log_snr, dtype=torch.float64)
    value, slope = map(torch.from_numpy, errors.at(log_snr.detach().numpy()))
    e = value + slope * (log_snr - log_snr.detach())  # the spline, with its derivative
    m, snr, alpha_bar, noise = (-log_snr).sigmoid() * e, log_snr.exp(), log_snr[-1].sigmoid(), (-log_snr[-1]).sigmoid()
    L_0 = (2 * math.pi * math.e * (m[:, 0] + errors.level**2 / 12)).log() - 2 * math.log(errors.level or 1)
    L_t = torch.log1p(-snr.diff() * m[:, 1:]).sum(1)
    L_T = alpha_bar * errors.square + noise - 1 - noise.log()
    return 0.5 * errors.dim * (L_0 + L_t + L_T).sum()


def price_density(errors: Errors, log_snr: np.ndarray) -> np.ndarray:
    """g(λ) at λ (n,), (n,): a small step Δλ costs g Δλ² nats (8.6). The blocks' are added."""
    e, slope = errors.at(log_snr)
    alpha_bar = 1 / (1 + np.exp(-log_snr))
    return (0.25 * errors.dim * alpha_bar * (alpha_bar * e * (1 - e) - slope)).sum(0).clip(min=0)


def length(errors: Errors) -> tuple[np.ndarray, np.ndarray]:
    """λ on a fine grid, rising, and ∫√g up to there, both (n,). The last one is ℓ (8.8)."""
    fine = np.linspace(errors.log_snr[0], errors.log_snr[-1], 4001)
    root = np.sqrt(price_density(errors, fine).clip(min=1e-14))  # never quite flat: Gaussian data have g = 0
    return fine, np.concatenate([[0], np.cumsum((root[1:] + root[:-1]) / 2 * np.diff(fine))])


def equal_lengths(errors: Errors, T: int, clean: float, noise: float) -> np.ndarray:
    """λ_1 = clean > … > λ_T = noise, (T,), with the same ∫√g between neighbours (8.7)."""
    fine, along = length(errors)
    return np.interp(np.linspace(np.interp(clean, fine, along), np.interp(noise, fine, along), T), along, fine)


def best_log_snr(errors: Errors, T: int) -> np.ndarray:
    """The λ_1 > … > λ_T (T,) at which `bound` is least, by L-BFGS from equal lengths and, as g may have several peaks,
    from even steps over parts of the way. Raises ValueError if T is not an integer of at least 1."""
    if isinstance(T, bool) or not hasattr(T, "__index__") or T < 1:
        raise ValueError(f"T, the number of steps, must be an integer of at least 1, got {T!r}")

    def knots(p: Tensor) -> Tensor:
        return torch.cat([p[:1], p[:1] - p[1:].exp().cumsum(0)])

    def nats(p: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.tensor(p, requires_grad=True)
        value = bound(errors, knots(point))
        return value.item(), torch.autograd.grad(value, point)[0].numpy()

    fine, along = length(errors)
    shares = ((1 - 0.3 / (T + 1), 0.3 / (T + 1)), (0.95, 0.05), (0.95, 0.6), (0.5, 0.1))
    ends = np.interp(along[-1] * np.array(shares), along, fine)
    starts = [equal_lengths(errors, T, *ends[0]), *(np.linspace(a, b, T) for a, b in ends[1:])]
    limits = [(errors.log_snr[0], errors.log_snr[-1]), *[(-14.0, 3.0)] * (T - 1)]
    points = [np.append(s[0], np.log(-np.diff(s))) for s in (starts if T <= 50 else starts[:1])]
    found = [minimize(nats, p, jac=True, method="L-BFGS-B", bounds=limits, tol=1e-14) for p in points]
    return knots(torch.from_numpy(min(found, key=lambda result: result.fun).x)).numpy()


def optimal_schedule(data: Mixture, T: int) -> Schedule:
    """The schedule of T steps that costs least on `data`, with the exact denoiser and the best σ_t²: see `exact.price`.
    Raises ValueError if T is not an integer of at least 1."""
    return from_log_snr(torch.from_numpy(best_log_snr(exact_errors(data), T)))


def low_discrepancy(n: int, generator: torch.Generator) -> Tensor:
    """n numbers spread evenly over [0, 1), each uniform: (u + i/n) mod 1 with one u (Kingma et al. 2021, §5.3)."""
    return (torch.rand(1, generator=generator, dtype=torch.float64) + torch.arange(n) / n) % 1


class Bins(nn.Module):
    """A density of λ on [low, high], constant on K bins of equal width; its quantile function is a learned γ."""

    def __init__(self, low: float, high: float, K: int = 24):
        super().__init__()
        self.low, self.width = low, (high - low) / K
        self.logits = nn.Parameter(torch.zeros(K, dtype=torch.float64))

    def log_density(self, log_snr: Tensor) -> Tensor:
        """log p(λ), (n,), with gradient."""
        k = ((log_snr - self.low) / self.width).long().clamp(0, len(self.logits) - 1)
        return self.logits.log_softmax(0)[k] - math.log(self.width)

    @torch.no_grad()
    def quantile(self, u: Tensor) -> Tensor:
        """λ (n,) below which the share u (n,) of this density lies."""
        p = self.logits.softmax(0)
        below = torch.cat([p.new_zeros(1), p.cumsum(0)])
        k = (torch.searchsorted(below, u, right=True) - 1).clamp(0, len(p) - 1)
        return self.low + self.width * (k + (u - below[k]) / p[k])


def second_moment_loss(loss: Tensor, log_density: Tensor) -> Tensor:
    """A scalar with the gradient of E (loss/p)² in p, for losses (n,) at λ drawn from p. The mean of loss/p does not
    depend on p, so the variance has the same gradient (Kingma et al. 2021, §5.3)."""
    return -((loss / log_density.exp()).detach() ** 2 * log_density).mean()

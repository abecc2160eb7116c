"""Flow matching: noise and data joined by straight lines, and the mean velocity along them.

    x_τ = (1−τ) x₀ + τ ε,   u(τ, x) = E[ε − x₀ | x_τ = x],   dx/dτ = u

carries the data at τ = 0 to noise at τ = 1 and back (Lipman et al. 2023; Liu et al. 2023). With c = √((1−τ)² + τ²)
x_τ/c is x_t of a diffusion at SNR = ((1−τ)/τ)², so each of u, x̂₀, ε̂ and v̂ fixes the others: a DDPM is a flow. That
holds for every pairing of x₀ with ε, but the score is −ε̂/τ only if they are independent. τ broadcasts against (..., D).
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .ddpm import DDPM
from .schedules import Schedule, from_log_snr
from .sde import Field, OdeStep, euler, integrate


def interpolate(x0: Tensor, eps: Tensor, tau: float | Tensor) -> Tensor:
    """x_τ = (1−τ) x₀ + τ ε (Liu et al. 2023, eq. 1, with data at τ = 0)."""
    return (1 - tau) * x0 + tau * eps


def x0_from_u(x: Tensor, u: Tensor, tau: float | Tensor) -> Tensor:
    """x̂₀ = x_τ − τ u."""
    return x - tau * u


def eps_from_u(x: Tensor, u: Tensor, tau: float | Tensor) -> Tensor:
    """ε̂ = x_τ + (1−τ) u."""
    return x + (1 - tau) * u


def u_from_x0(x: Tensor, x0: Tensor, tau: float | Tensor) -> Tensor:
    """u = (x_τ − x̂₀)/τ, for τ > 0."""
    return (x - x0) / tau


def u_from_eps(x: Tensor, eps: Tensor, tau: float | Tensor) -> Tensor:
    """u = (ε̂ − x_τ)/(1−τ), for τ < 1."""
    return (eps - x) / (1 - tau)


def scale(tau: float | Tensor) -> float | Tensor:
    """c = √((1−τ)² + τ²): x_τ = c x_t."""
    return ((1 - tau) ** 2 + tau**2) ** 0.5


def log_snr_at(tau: float) -> float:
    """λ = 2 log((1−τ)/τ); ∞ at τ = 0, −∞ at τ = 1."""
    return 2 * (math.log1p(-tau) - math.log(tau)) if 0 < tau < 1 else math.copysign(math.inf, 0.5 - tau)


def tau_at(log_snr: float | Tensor) -> Tensor:
    """τ = sigmoid(−λ/2)."""
    return torch.as_tensor(-0.5 * log_snr, dtype=torch.float64).sigmoid()


def even_tau(T: int) -> Schedule:
    """The schedule with τ_t = t/(T + 1). A step of DDIM on it is a step of Euler on the flow. ValueError if T < 1."""
    if T < 1:
        raise ValueError(f"T must be at least 1, got {T}")
    tau = torch.arange(1, T + 1, dtype=torch.float64) / (T + 1)
    return from_log_snr(2 * ((1 - tau).log() - tau.log()))


def velocity(x0_hat_at: Callable[[Tensor, float], Tensor], clean: float = 20.0, noise: float = -20.0) -> Field:
    """(τ, x_τ) → u, of a denoiser (x_t, λ) → x̂₀ such as `sde.exact_x0_hat` or `DDPM.x0_hat_at`. It is never asked
    outside clean ≥ λ ≥ noise, but at the nearer end."""

    def u(tau: float, x: Tensor) -> Tensor:
        log_snr = min(max(log_snr_at(tau), noise), clean)
        return u_from_x0(x, x0_hat_at(x / scale(tau), log_snr), tau)

    return u


def velocity_of(model: DDPM) -> Field:
    """The velocity of a trained model, of a DDPM as of a flow."""
    log_snr = model.schedule.log_snr
    return velocity(model.x0_hat_at, (1 - 1e-6) * log_snr[1].item(), (1 - 1e-6) * log_snr[-1].item())


def path(u: Field, eps: Tensor, steps: int, step: OdeStep = euler) -> Iterator[tuple[float, Tensor]]:
    """Yields (τ, x_τ) from (1, ε) down to (0, x₀) in even steps; the last is one of Euler, as u is not asked at τ = 0.
    Raises ValueError if steps < 1."""
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    tau, x = 1.0, eps
    for tau, x in integrate(step, u, torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:-1], eps):
        yield tau, x
    yield 0.0, euler(u, tau, -tau, x)


def arrive(u: Field, eps: Tensor, steps: int, step: OdeStep = euler) -> Tensor:
    """The x₀ (n, D) at the end of `path`."""
    *_, (_, x0) = path(u, eps, steps, step)
    return x0


def straightness(u: Field, eps: Tensor, steps: int, step: OdeStep) -> float:
    """∫ E|u(τ, x_τ) − (ε − x₀)|² dτ along the flow's own paths (Liu et al. 2023, eq. 6), at the middle of each step."""
    points = list(path(u, eps, steps, step))
    chord = eps - points[-1][1]
    pieces = [((x - after) * steps - chord).square().sum(-1).mean() for (_, x), (_, after) in pairwise(points)]
    return torch.stack(pieces).mean().item()


def ot_pairs(x0: Tensor, eps: Tensor, chunk: int = 64) -> Tensor:
    """The ε (n, D) in the order in which the pairs (x₀, ε) of each chunk have the least E|ε − x₀|², by an exact
    assignment (minibatch optimal transport: Pooladian et al. 2023; Tong et al. 2024)."""
    parts = []
    for a, b in zip(x0.split(chunk), eps.split(chunk), strict=True):
        cost = torch.cdist(a.double(), b.double()).square()
        parts.append(b[torch.from_numpy(linear_sum_assignment(cost.cpu().numpy())[1]).to(b.device)])
    return torch.cat(parts)

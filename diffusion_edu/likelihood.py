"""log p(x) by an ODE: a change of variables, taken along the path.

Where points move by dx/dλ = f(λ, x), their density changes by d log p/dλ = −∇·f (Chen et al. 2018, theorem 1).
Along the probability flow, from clean data at λ₁ to noise at λ_T,

    log p_{λ₁}(x) = log N(z; 0, I) + ∫ ∇·f dλ from λ₁ to λ_T,   z the end of the path

(Song et al. 2021, eq. 39). All in nats per data point.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from .bound import check_points
from .gaussian import LOG_2PI
from .oracles import Mixture
from .score import along
from .sde import Field, heun, integrate, sigmoid

Flow = Callable[[float, Tensor], tuple[Tensor, Tensor]]  # (λ, x) → dx/dλ (n, D) and its divergence (n,)


def exact_flow(data: Mixture) -> Flow:
    """The probability flow ½(1−ᾱ)(x + s) of a mixture and its divergence ½(1−ᾱ)(D + ∇·s), both exact."""

    def flow(log_snr: float, x: Tensor) -> tuple[Tensor, Tensor]:
        alpha_bar, rate = sigmoid(log_snr), 0.5 * sigmoid(-log_snr)
        score, spread = data.at_noise(alpha_bar).score_divergence(x, alpha_bar)
        return rate * (x + score), rate * (x.shape[-1] + spread)

    return flow


def with_divergence(field: Field) -> Flow:
    """A field and its divergence, by D derivatives as in `score.divergence`, but with nothing kept for further ones."""

    def flow(log_snr: float, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            velocity = field(log_snr, x)
            slopes = [torch.autograd.grad(v.sum(), x, retain_graph=True)[0] for v in velocity.unbind(-1)]
        return velocity.detach(), torch.stack(slopes, dim=-1).diagonal(dim1=-2, dim2=-1).sum(-1)

    return flow


def with_estimated_divergence(field: Field, probe: Callable[[Tensor], Tensor]) -> Flow:
    """A field and v·(∇f)v for v = probe(x), like x, drawn anew at each call: one derivative. On average over v with
    E vvᵀ = I, such as random signs, it is the divergence (Hutchinson 1989; Grathwohl et al. 2019)."""

    def flow(log_snr: float, x: Tensor) -> tuple[Tensor, Tensor]:
        velocity, slope = along(lambda y: field(log_snr, y), x, probe(x))
        return velocity.detach(), slope.detach()

    return flow


def augmented(flow: Flow) -> Field:
    """The flow as a field of (x, ∫ ∇·f dλ), (n, D + 1), which any solver can follow."""

    def field(log_snr: float, state: Tensor) -> Tensor:
        velocity, spread = flow(log_snr, state[..., :-1])
        return torch.cat([velocity, spread.unsqueeze(-1)], dim=-1)

    return field


class Likelihood(NamedTuple):
    """log p(x) (n,) in nats, the noise z (n, D) that x goes to, and how often the flow was asked."""

    log_p: Tensor
    z: Tensor
    calls: int


def solve(field: Field, x: Tensor, start: float, end: float, rtol: float = 1e-6) -> tuple[Tensor, int]:
    """x at λ = `end` from x (n, D) at `start`, and the calls of the field: scipy's `solve_ivp`, Runge–Kutta of order
    5(4), with rtol = atol. It measures its error over all points together, so one of them may be further off."""

    def flat(log_snr: float, y: np.ndarray) -> np.ndarray:
        return field(log_snr, torch.from_numpy(y).reshape(x.shape)).flatten().numpy()

    found = solve_ivp(flat, (start, end), x.double().flatten().numpy(), rtol=rtol, atol=rtol, t_eval=[end])
    return torch.from_numpy(found.y[:, -1]).reshape(x.shape), found.nfev


def _begin(x: Tensor, clean: float) -> Tensor:
    """(√ᾱ x, 0), float64: where the path of a clean point starts at λ = `clean`."""
    return torch.cat([sigmoid(clean) ** 0.5 * x.double(), torch.zeros_like(x[..., :1]).double()], dim=-1)


def _log_p(end: Tensor, clean: float) -> Tensor:
    """log N(z; 0, I) + ∫ ∇·f dλ + D/2 log ᾱ: the density of x is that of √ᾱ x times ᾱ^{D/2}."""
    z, gained = end[..., :-1], end[..., -1]
    return -0.5 * (z.square() + LOG_2PI).sum(-1) + gained + 0.5 * z.shape[-1] * math.log(sigmoid(clean))


def log_prob_ode(flow: Flow, x: Tensor, clean: float, noise: float, rtol: float = 1e-6) -> Likelihood:
    """log p of clean points x (n, D), float64, along the flow from λ = `clean` to `noise`, where it must have come to
    N(0, I). Raises ValueError unless clean > noise and x is points."""
    check_points(x)
    if not clean > noise:
        raise ValueError(f"clean must be a larger log SNR than noise, got {clean:g} and {noise:g}")
    end, calls = solve(augmented(flow), _begin(x, clean), clean, noise, rtol)
    return Likelihood(_log_p(end, clean), end[..., :-1], calls)


def log_prob_in_steps(flow: Flow, x: Tensor, log_snr: Tensor) -> Tensor:
    """The same (n,) in steps of Heun along a falling grid (N + 1,): for a flow whose divergence is estimated anew at
    each call, which no adaptive solver can follow."""
    clean = float(log_snr[0])
    *_, (_, end) = integrate(heun, augmented(flow), log_snr, _begin(x, clean))
    return _log_p(end, clean)


def round_trip(field: Field, x: Tensor, clean: float, noise: float, rtol: float = 1e-6) -> tuple[Tensor, int]:
    """x (n, D) at λ = `clean`, taken to `noise` and back, and the calls that took."""
    z, there = solve(field, x, clean, noise, rtol)
    back, again = solve(field, z, noise, clean, rtol)
    return back, there + again

"""Noise schedules: β_t → α_t = 1 − β_t, ᾱ_t = Π_{s≤t} α_s, SNR(t) = ᾱ_t / (1 − ᾱ_t).

Every tensor has length T + 1 and float64; entry 0 stands for clean data, so alpha_bar[0] = 1,
beta[0] = 0, snr[0] = ∞ and t is the paper's own index. A schedule says nothing about data
except through L_T, the nats by which q(x_T|x₀) still is not the prior.
"""

import math
import operator
from dataclasses import dataclass

import torch
from torch import Tensor

from .gaussian import Gaussian, kl


@dataclass(frozen=True)
class Schedule:
    """β_1 … β_T and what follows from it; `beta` is (T + 1,) with beta[0] = 0.

    Raises ValueError if T < 1, if a β lies outside (0, 1), if they are not float64, or if log SNR is not finite: ᾱ_T
    must not have come down to 0, nor 1 − ᾱ_1.
    """

    beta: Tensor

    def __post_init__(self):
        beta = self.beta[1:]
        if self.beta.ndim != 1 or len(beta) < 1:
            raise ValueError(f"beta must be (T + 1,) with T at least 1, got shape {tuple(self.beta.shape)}")
        if not bool(((beta > 0) & (beta < 1)).all()):
            raise ValueError(f"beta must lie in (0, 1), got values from {beta.min():g} to {beta.max():g}")
        if self.beta[0] != 0:
            raise ValueError(f"beta[0] stands for clean data and must be 0, got {self.beta[0]:g}")
        if self.beta.dtype != torch.float64:
            raise ValueError(f"beta must be float64, got {self.beta.dtype}: 1 − ᾱ needs the digits")
        if not bool(self.log_snr[1:].isfinite().all()):
            ends = f"{self.alpha_bar[1]:g} to {self.alpha_bar[-1]:g}"
            raise ValueError(f"ᾱ_1 … ᾱ_T must lie between 0 and 1, got {ends}: take smaller steps, or fewer")

    @property
    def T(self) -> int:
        return len(self.beta) - 1

    @property
    def alpha(self) -> Tensor:
        return 1 - self.beta

    @property
    def alpha_bar(self) -> Tensor:
        return self.alpha.cumprod(0)

    @property
    def snr(self) -> Tensor:
        return self.alpha_bar / (1 - self.alpha_bar)

    @property
    def log_snr(self) -> Tensor:
        return self.snr.log()

    @property
    def beta_tilde(self) -> Tensor:
        """β̃_t = (1 − ᾱ_{t−1}) / (1 − ᾱ_t) · β_t, the variance of q(x_{t−1}|x_t, x₀) (Ho et al. 2020, eq. 7).
        β̃_1 = 0: given x₀ there is nothing left to guess."""
        one_minus = 1 - self.alpha_bar
        return torch.cat([self.beta[:1], one_minus[:-1] / one_minus[1:] * self.beta[1:]])

    def L_T(self, x0: Tensor) -> Tensor:
        """KL(q(x_T|x₀) ‖ N(0, I)) for points (..., D), shape (...), nats: how far the end is from noise."""
        alpha_bar = self.alpha_bar[-1].to(x0)
        return kl(
            Gaussian(alpha_bar.sqrt() * x0, 1 - alpha_bar),
            Gaussian(torch.zeros_like(x0), torch.ones_like(alpha_bar)),
        )

    def respaced(self, S: int) -> tuple["Schedule", Tensor]:
        """S + 1 of the times 0 … T, evenly spread, and the schedule that steps between them:
        β'_i = 1 − ᾱ_{t_i}/ᾱ_{t_{i−1}} (Nichol & Dhariwal 2021, §4).

        Raises ValueError unless 1 ≤ S ≤ T.
        """
        if not 1 <= S <= self.T:
            raise ValueError(f"S, the number of sampling steps, must lie in 1 … {self.T}, got {S}")
        times = torch.linspace(0, self.T, S + 1, dtype=torch.float64).round().long()
        if S == self.T:
            return self, times
        return _from_alpha_bar(self.alpha_bar[times]), times


def constant(T: int = 1000, beta: float = 0.01) -> Schedule:
    """β_t = β, so that ᾱ_t = (1 − β)^t."""
    return _from_betas(torch.full((_check_T(T),), beta, dtype=torch.float64))


def linear(T: int = 1000, beta_1: float | None = None, beta_T: float | None = None) -> Schedule:
    """β_t rises linearly (Ho et al. 2020, §4). By default from 0.1/T to 20/T: 10⁻⁴ to 0.02 at the
    paper's T = 1000, and about the same ᾱ_T at any other T (which must then exceed 20)."""
    return _from_betas(torch.linspace(*_ends(T, beta_1, beta_T), T, dtype=torch.float64))


def sigmoid(T: int = 1000, beta_1: float | None = None, beta_T: float | None = None) -> Schedule:
    """β_t rises along a sigmoid over (−6, 6) from about beta_1 to about beta_T; defaults as for `linear`."""
    low, high = _ends(T, beta_1, beta_T)
    return _from_betas(low + (high - low) * torch.linspace(-6, 6, T, dtype=torch.float64).sigmoid())


def cosine(T: int = 1000, s: float = 0.008, beta_max: float = 0.999) -> Schedule:
    """ᾱ_t = f(t)/f(0), f(t) = cos²(π/2 (t/T + s)/(1 + s)), β_t at most beta_max (Nichol & Dhariwal 2021, eq. 17)."""
    t = torch.arange(_check_T(T) + 1, dtype=torch.float64) / T
    f = torch.cos(math.pi / 2 * (t + s) / (1 + s)) ** 2
    return _from_betas((1 - f[1:] / f[:-1]).clamp(max=beta_max))


def from_snr(snr: Tensor) -> Schedule:
    """The schedule whose signal-to-noise ratio at t = 1 … T is `snr` (T,), positive and strictly falling:
    ᾱ = SNR/(1 + SNR) (Kingma et al. 2021, eq. 3). Raises ValueError otherwise."""
    snr = torch.as_tensor(snr, dtype=torch.float64)
    if snr.ndim != 1 or len(snr) < 1 or not bool((snr > 0).all() & (snr.diff() < 0).all() & snr.isfinite().all()):
        raise ValueError(f"snr must be one-dimensional, positive, finite and strictly falling, got {_few(snr)}")
    return _from_alpha_bar(torch.cat([torch.ones(1, dtype=torch.float64), snr / (1 + snr)]))


def from_log_snr(log_snr: Tensor) -> Schedule:
    """The schedule whose log SNR at t = 1 … T is λ = `log_snr` (T,), finite and strictly falling: ᾱ = sigmoid(λ).
    Raises ValueError otherwise."""
    log_snr = torch.as_tensor(log_snr, dtype=torch.float64)
    if log_snr.ndim != 1 or len(log_snr) < 1 or not bool(log_snr.isfinite().all() & (log_snr.diff() < 0).all()):
        raise ValueError(f"log_snr must be one-dimensional, finite and strictly falling, got {_few(log_snr)}")
    return from_snr(log_snr.exp())


CLEAN, NOISE = 10.0, -8.0  # between these λ a learned schedule is sought


def before_learning(T: int) -> Schedule:
    """Where a learned schedule begins: T values of λ, even from CLEAN to NOISE. ValueError if T is below 2."""
    if _check_T(T) < 2:
        raise ValueError(f"T must be at least 2 for the schedule learned, got {T}")
    return from_log_snr(torch.linspace(CLEAN, NOISE, T, dtype=torch.float64))


SCHEDULES = {"constant": constant, "linear": linear, "cosine": cosine, "sigmoid": sigmoid}


def make_schedule(name: str, T: int = 1000, **settings: float) -> Schedule:
    """The schedule called `name`. Raises ValueError for an unknown name."""
    if name not in SCHEDULES:
        raise ValueError(f"unknown schedule {name!r}; known: {', '.join(SCHEDULES)}")
    return SCHEDULES[name](T, **settings)


def _check_T(T: int) -> int:
    """T as a Python integer, NumPy's taken too."""
    if isinstance(T, bool) or not hasattr(T, "__index__") or operator.index(T) < 1:
        raise ValueError(f"T, the number of steps, must be an integer of at least 1, got {T!r}")
    return operator.index(T)


def _few(values: Tensor) -> str:
    """The shape, and how the values begin."""
    return f"shape {tuple(values.shape)}, {values.flatten()[:5].tolist()}"


def _ends(T: int, beta_1: float | None, beta_T: float | None) -> tuple[float, float]:
    _check_T(T)
    if beta_T is None and T <= 20:
        raise ValueError(
            f"T, the number of steps, must be above 20, got {T}: the last β is 20/T by default and must lie in (0, 1). "
            "Give beta_1 and beta_T for fewer steps"
        )
    return (0.1 / T if beta_1 is None else beta_1, 20 / T if beta_T is None else beta_T)


def _from_betas(beta: Tensor) -> Schedule:
    return Schedule(torch.cat([beta.new_zeros(1), beta]))


def _from_alpha_bar(alpha_bar: Tensor) -> Schedule:
    return _from_betas(1 - alpha_bar[1:] / alpha_bar[:-1])

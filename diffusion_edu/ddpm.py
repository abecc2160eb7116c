"""DDPM: predict the noise. Four names for one prediction, and the loss that is the bound.

    x_t = √ᾱ x₀ + √(1−ᾱ) ε,   v = √ᾱ ε − √(1−ᾱ) x₀,   score = −ε/√(1−ᾱ)

Given x_t, each of x₀, ε, v and the score fixes the other three. With x̂₀ from ε̂ the bound's term at t is

    L_{t−1} = w_t |ε − ε̂|² + C_t,   w_t = β_t² / (2 σ_t² α_t (1 − ᾱ_t))

and leaving w_t out gives the simple loss. Source: Ho et al. 2020, eqs. 9–14; v: Salimans & Ho 2022.
In this file `alpha_bar` is a number or a tensor that broadcasts against points (..., D).
"""

import torch
from torch import Tensor

from .bound import Model
from .diffusion import ForwardProcess, at, per_step, q_marginal
from .gaussian import LOG_2PI
from .nets import NoiseNet
from .schedules import Schedule


def _roots(alpha_bar: float | Tensor) -> tuple[float | Tensor, float | Tensor]:
    return alpha_bar**0.5, (1 - alpha_bar) ** 0.5


def noised(x0: Tensor, eps: Tensor, alpha_bar: float | Tensor) -> Tensor:
    """x_t = √ᾱ x₀ + √(1−ᾱ) ε (Ho et al. 2020, eq. 4)."""
    signal, noise = _roots(alpha_bar)
    return signal * x0 + noise * eps


def x0_from_eps(xt: Tensor, eps: Tensor, alpha_bar: float | Tensor) -> Tensor:
    """x₀ = (x_t − √(1−ᾱ) ε)/√ᾱ, for ᾱ > 0 (Ho et al. 2020, eq. 9)."""
    signal, noise = _roots(alpha_bar)
    return (xt - noise * eps) / signal


def eps_from_x0(xt: Tensor, x0: Tensor, alpha_bar: float | Tensor) -> Tensor:
    """ε = (x_t − √ᾱ x₀)/√(1−ᾱ), for ᾱ < 1."""
    signal, noise = _roots(alpha_bar)
    return (xt - signal * x0) / noise


def v_from_eps(xt: Tensor, eps: Tensor, alpha_bar: float | Tensor) -> Tensor:
    """v = √ᾱ ε − √(1−ᾱ) x₀ = (ε − √(1−ᾱ) x_t)/√ᾱ, for ᾱ > 0 (Salimans & Ho 2022, §4)."""
    signal, noise = _roots(alpha_bar)
    return (eps - noise * xt) / signal


def eps_from_v(xt: Tensor, v: Tensor, alpha_bar: float | Tensor) -> Tensor:
    """ε = √ᾱ v + √(1−ᾱ) x_t, at any ᾱ: nothing is divided by a small number."""
    signal, noise = _roots(alpha_bar)
    return signal * v + noise * xt


def x0_from_v(xt: Tensor, v: Tensor, alpha_bar: float | Tensor) -> Tensor:
    """x₀ = √ᾱ x_t − √(1−ᾱ) v, at any ᾱ."""
    signal, noise = _roots(alpha_bar)
    return signal * xt - noise * v


def score_from_eps(eps: Tensor, alpha_bar: float | Tensor) -> Tensor:
    """∇ log q(x_t) = −ε̂/√(1−ᾱ), for ᾱ < 1 (Song et al. 2021; Tweedie's formula)."""
    return -eps / _roots(alpha_bar)[1]


def eps_from_score(score: Tensor, alpha_bar: float | Tensor) -> Tensor:
    """ε̂ = −√(1−ᾱ) ∇ log q(x_t)."""
    return -_roots(alpha_bar)[1] * score


def mean_from_eps(schedule: Schedule, t: int | Tensor, xt: Tensor, eps_hat: Tensor) -> Tensor:
    """μ_θ(x_t, t) = (x_t − β_t/√(1−ᾱ_t) ε̂)/√α_t (Ho et al. 2020, eq. 11): the reverse step's mean."""
    ratio = schedule.beta / (1 - schedule.alpha_bar).sqrt()  # in float64, before the cast
    return (xt - at(ratio, t, xt) * eps_hat) / at(schedule.alpha, t, xt).sqrt()


def eps_weight(schedule: Schedule, sigma2: Tensor) -> Tensor:
    """w_t = β_t²/(2 σ_t² α_t (1 − ᾱ_t)), (T + 1,), entry 0 is 0 (Ho et al. 2020, eq. 12)."""
    weight = schedule.beta**2 / (2 * sigma2 * schedule.alpha * (1 - schedule.alpha_bar))
    return torch.cat([weight.new_zeros(1), weight[1:]])


def loss_constant(schedule: Schedule, sigma2: Tensor, dim: int) -> Tensor:
    """C_t, what the term at t costs even with ε̂ = ε, (T + 1,), nats: D/2 (β̃/σ² − 1 − log β̃/σ²) for t ≥ 2 and
    D/2 log 2πσ_1² at t = 1; entry 0 is 0."""
    ratio = (schedule.beta_tilde / sigma2)[2:]
    first = LOG_2PI + sigma2[1:2].log()
    return 0.5 * dim * torch.cat([first.new_zeros(1), first, ratio - 1 - ratio.log()])


def squared_error(x0: Tensor, t: Tensor, eps: Tensor, eps_net, schedule: Schedule) -> Tensor:
    """|ε − ε̂(x_t, t)|² per data point, (n,): the simple loss (Ho et al. 2020, eq. 14)."""
    xt = q_marginal(schedule, t, x0).at(eps)
    return (eps - eps_net(xt, t)).square().sum(-1)


def weighted_loss(x0, t: Tensor, eps: Tensor, eps_net, schedule: Schedule, sigma2: Tensor) -> Tensor:
    """w_t |ε − ε̂|² + C_t per data point, (n,), nats: the bound's term at t, exactly (eq. 12)."""
    constant = loss_constant(schedule, sigma2, x0.shape[-1])
    weight = at(eps_weight(schedule, sigma2), t, x0).squeeze(-1)
    return weight * squared_error(x0, t, eps, eps_net, schedule) + at(constant, t, x0).squeeze(-1)


def ancestral_step(schedule: Schedule, t: int, xt: Tensor, eps_hat: Tensor, sigma2: Tensor, noise: Tensor) -> Tensor:
    """x_{t−1} = μ_θ(x_t, t) + σ_t z (Ho et al. 2020, Algorithm 2); no noise is added at t = 1."""
    mean = mean_from_eps(schedule, t, xt, eps_hat)
    return mean if t == 1 else mean + at(sigma2, t, xt).sqrt() * noise


class DDPM(Model):
    """A noise-predicting network with its schedule: what training returns and samplers take.

    `sigma2` starts as β_t; `training.fit_sigma2` sets the optimal one.
    """

    sigma2: Tensor

    def __init__(self, eps_net: NoiseNet, schedule: Schedule, dim: int):
        super().__init__()
        self.eps_net, self.schedule, self.dim = eps_net, schedule, dim
        self.register_buffer("sigma2", schedule.beta.clone())

    def eps_hat(self, xt: Tensor, t: int | Tensor) -> Tensor:
        """The network's ε̂(x_t, t), like x_t."""
        return self.eps_net(xt, torch.as_tensor(t, device=xt.device).expand(xt.shape[:-1]))

    def x0_hat(self, xt: Tensor, t: int | Tensor) -> Tensor:
        """The denoiser that ε̂ stands for, like x_t."""
        alpha_bar = at(self.schedule.alpha_bar, t, xt.double())  # 1 − ᾱ would lose digits in float32
        return x0_from_eps(xt, self.eps_hat(xt, t), alpha_bar).to(xt)

    def x0_hat_at(self, xt: Tensor, log_snr: float | Tensor) -> Tensor:
        """The same at any λ = log SNR between the schedule's ends, a number or one for each point (`NoiseNet.at`)."""
        alpha_bar = torch.as_tensor(log_snr, dtype=torch.float64, device=xt.device).sigmoid().unsqueeze(-1)
        return x0_from_eps(xt, self.eps_net.at(xt, log_snr), alpha_bar).to(xt)

    def set_schedule(self, schedule: Schedule) -> None:
        """Another schedule of as many steps, for a network that was trained at all of its levels. ValueError if T
        differs."""
        self.eps_net.set_schedule(schedule)
        self.schedule = schedule

    def variance(self, t: int | Tensor, x0_hat: Tensor) -> Tensor:
        """σ_t², which broadcasts with x̂₀."""
        return at(self.sigma2, t, x0_hat)

    def chain(self, sigma2: Tensor | None = None) -> ForwardProcess:
        """The model as a chain for `bound.bound`; σ_t² (T + 1,) as given, else its own."""
        like = next(self.parameters())
        variance = self.variance if sigma2 is None else per_step(sigma2)
        return ForwardProcess(self.schedule, self.x0_hat, variance, self.dim, like.dtype, like.device)

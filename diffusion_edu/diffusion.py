"""Diffusion as a hierarchical VAE whose q is fixed to noise.

    q(x_t|x_{t−1})     = N(√α_t x_{t−1}, β_t)                                      forward step
    q(x_t|x₀)          = N(√ᾱ_t x₀, 1 − ᾱ_t)                                       forward marginal
    q(x_{t−1}|x_t, x₀) = N(μ̃_t(x_t, x₀), β̃_t)                                      forward posterior
    p(x_{t−1}|x_t)     = N(μ̃_t(x_t, x̂₀(x_t, t)), σ_t²)                             reverse step

A denoiser is a function (x_t, t) → x̂₀: an exact one (oracles.py) or a network. The reverse step puts its
answer where the forward posterior has x₀. Times t are integers, or one integer per data point (n,).
Source: Ho et al. 2020, eqs. 2–8; Sohl-Dickstein et al. 2015.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .gaussian import Gaussian, holds, kl, randn
from .oracles import Denoiser
from .schedules import Schedule


def at(values: Tensor, t: int | Tensor, like: Tensor) -> Tensor:
    """values[t] in the dtype and device of `like`, shaped to multiply points (..., D).

    Raises ValueError if a t lies outside 0 … T, or if t is neither a number nor one for each of the points.
    """
    t = torch.as_tensor(t)
    if t.ndim and t.shape != like.shape[:-1]:
        raise ValueError(f"t must be a number or of shape {tuple(like.shape[:-1])}, got shape {tuple(t.shape)}")
    if t.is_floating_point() or not holds((t >= 0) & (t < len(values))):
        raise ValueError(f"t must be an integer in 0 … {len(values) - 1}, got {t.tolist()}")
    picked = values.to(t.device)[t].to(like)
    return picked if t.ndim == 0 else picked.unsqueeze(-1)


def q_step(schedule: Schedule, t: int | Tensor, x_prev: Tensor) -> Gaussian:
    """q(x_t | x_{t−1}) = N(√α_t x_{t−1}, β_t), for t ≥ 1 (Ho et al. 2020, eq. 2)."""
    return Gaussian(at(schedule.alpha, t, x_prev).sqrt() * x_prev, at(schedule.beta, t, x_prev))


def q_marginal(schedule: Schedule, t: int | Tensor, x0: Tensor) -> Gaussian:
    """q(x_t | x₀) = N(√ᾱ_t x₀, 1 − ᾱ_t), for t ≥ 1 (Ho et al. 2020, eq. 4)."""
    alpha_bar = schedule.alpha_bar
    return Gaussian(at(alpha_bar.sqrt(), t, x0) * x0, at(1 - alpha_bar, t, x0))


def posterior_mean(schedule: Schedule, t: int | Tensor, xt: Tensor, x0: Tensor) -> Tensor:
    """μ̃_t(x_t, x₀) = √ᾱ_{t−1} β_t/(1−ᾱ_t) x₀ + √α_t (1−ᾱ_{t−1})/(1−ᾱ_t) x_t, for t ≥ 1
    (Ho et al. 2020, eq. 7). At t = 1 it is x₀."""
    c0, ct = posterior_mean_coefficients(schedule)
    return at(c0, t, xt) * x0 + at(ct, t, xt) * xt


def posterior_mean_coefficients(schedule: Schedule) -> tuple[Tensor, Tensor]:
    """The factors of x₀ and of x_t in μ̃_t, each (T + 1,); entry 0 is 0 and unused."""
    alpha_bar, beta = schedule.alpha_bar[1:], schedule.beta[1:]
    alpha_bar_prev, alpha = schedule.alpha_bar[:-1], schedule.alpha[1:]
    c0 = alpha_bar_prev.sqrt() * beta / (1 - alpha_bar)
    ct = alpha.sqrt() * (1 - alpha_bar_prev) / (1 - alpha_bar)
    zero = beta.new_zeros(1)
    return torch.cat([zero, c0]), torch.cat([zero, ct])


def q_posterior(schedule: Schedule, t: int | Tensor, xt: Tensor, x0: Tensor) -> Gaussian:
    """q(x_{t−1} | x_t, x₀) = N(μ̃_t, β̃_t), for t ≥ 2 (Ho et al. 2020, eq. 6); at t = 1 it is a point mass,
    and Gaussian raises ValueError."""
    return Gaussian(posterior_mean(schedule, t, xt, x0), at(schedule.beta_tilde, t, xt))


# --- the variance of the reverse step: three choices of σ_t², each (T + 1,), entry 0 unused ---


def sigma2_beta(schedule: Schedule) -> Tensor:
    """σ_t² = β_t («fixed large»): right when x₀ is spread out locally (Ho et al. 2020, §3.2)."""
    return schedule.beta


def sigma2_beta_tilde(schedule: Schedule) -> Tensor:
    """σ_t² = β̃_t («fixed small»): right when x₀ is a single point (Ho et al. 2020, §3.2). β̃_1 is 0, so the
    decoder at t = 1 needs a variance of its own; as in Ho et al.'s code it gets β̃_2 (β_1 if T = 1)."""
    beta_tilde = schedule.beta_tilde.clone()
    beta_tilde[1] = beta_tilde[2] if schedule.T > 1 else schedule.beta[1]
    return beta_tilde


def sigma2_optimal(schedule: Schedule, x0_mse: Tensor) -> Tensor:
    """The σ_t² that minimises each term of the bound: β̃_t + c₀² E|x₀ − x̂₀|²/D, with c₀ the factor of x₀ in μ̃_t.

    x0_mse: the denoiser's mean squared error E|x₀ − x̂₀(x_t, t)|²/D at each t, (T + 1,), see `denoising_error`.
    At t = 1 this is the decoder's own best variance (Bao et al. 2022, Theorem 1, says the same of the
    exact denoiser).
    """
    c0, _ = posterior_mean_coefficients(schedule)
    return schedule.beta_tilde + c0**2 * x0_mse.to(c0)


@torch.no_grad()
def denoising_error(x0: Tensor, schedule: Schedule, denoiser: Denoiser, generator=None) -> Tensor:
    """E|x₀ − x̂₀(x_t, t)|²/D for every t, over the points x0 (n, D), one noise each; (T + 1,), entry 0 is 0."""
    mse = torch.zeros(schedule.T + 1, dtype=torch.float64)
    for t in range(1, schedule.T + 1):
        xt = q_marginal(schedule, t, x0).sample(generator)
        mse[t] = (x0 - denoiser(xt, t)).double().square().mean()
    return mse


# --- the bound, regrouped by Bayes' rule into terms with a closed form ---

Variance = Callable[[int | Tensor, Tensor], Tensor]  # (t, x̂₀) → σ_t², which broadcasts with x̂₀


def per_step(sigma2: Tensor) -> Variance:
    """One σ_t² for each step, `sigma2` (T + 1,), as the function that a reverse step takes."""
    return lambda t, x0_hat: at(sigma2, t, x0_hat)


def reverse_step(schedule: Schedule, t: int | Tensor, xt: Tensor, x0_hat: Tensor, variance: Variance) -> Gaussian:
    """p(x_{t−1} | x_t) = N(μ̃_t(x_t, x̂₀), σ_t²), for t ≥ 1; at t = 1 it is the decoder p(x₀ | x₁)."""
    return Gaussian(posterior_mean(schedule, t, xt, x0_hat), variance(t, x0_hat))


@dataclass(frozen=True)
class ForwardProcess:
    """Diffusion as a chain that `bound.bound` scores: q adds noise, p is the reverse step.

    It is the hierarchical VAE with z_t = x_t, nothing learned in q, and one denoiser for all levels.
    `dim` is D, the size of a data point.
    """

    schedule: Schedule
    denoiser: Denoiser
    variance: Variance
    dim: int = 2
    dtype: torch.dtype = torch.float64
    device: torch.device | str = "cpu"

    @property
    def levels(self) -> int:
        return self.schedule.T

    def q(self, t: int, z_prev: Tensor) -> Gaussian:
        return q_step(self.schedule, t, z_prev)

    def p(self, t: int | Tensor, z_next: Tensor) -> Gaussian:
        """p(x_t | x_{t+1}), the reverse step from t + 1."""
        return reverse_step(self.schedule, t + 1, z_next, self.denoiser(z_next, t + 1), self.variance)

    def prior(self) -> Gaussian:
        zero = torch.zeros(self.dim, dtype=self.dtype, device=self.device)
        return Gaussian(zero, torch.ones_like(zero))


def L_term(schedule: Schedule, t: int, x0: Tensor, xt: Tensor, p: Gaussian) -> Tensor:
    """What step t adds to the negative bound, nats per data point, p being the model's p(x_{t−1}|x_t) (Ho et al. 2020,
    eq. 5): L_{t−1} = KL(q(x_{t−1}|x_t, x₀) ‖ p(x_{t−1}|x_t)) for t ≥ 2, L₀ = −log p(x₀|x₁) for t = 1."""
    return -p.log_prob(x0) if t == 1 else kl(q_posterior(schedule, t, xt, x0), p)


@torch.no_grad()
def closed_form_terms(x0: Tensor, chain: ForwardProcess, generator=None) -> Tensor:
    """L₀, L₁, …, L_{T−1}, L_T down the rows, (T + 1, n), nats per data point, one fresh x_t ~ q(x_t|x₀) per
    term. Their sum over rows estimates −log p(x₀)'s bound; each L_{t−1} alone has no noise but that of x_t."""
    terms, schedule = [], chain.schedule
    for t in range(1, schedule.T + 1):
        xt = q_marginal(schedule, t, x0).sample(generator)
        terms.append(L_term(schedule, t, x0, xt, chain.p(t - 1, xt)))
    return torch.stack([*terms, schedule.L_T(x0)])


def sampled_term(x0: Tensor, t: Tensor, eps: Tensor, chain: ForwardProcess) -> Tensor:
    """The term of step t[i] for each data point i, (n,), nats: T times its mean over uniform t, plus L_T, is
    the negative bound. t: (n,) in 1 … T; eps: the noise of x_t, like x0."""
    t, schedule = t.to(x0.device), chain.schedule
    xt = q_marginal(schedule, t, x0).at(eps)
    p = chain.p(t - 1, xt)
    safe = torch.where((t == 1).unsqueeze(-1), p.var, at(schedule.beta_tilde, t, x0))  # never 0, unused at t = 1
    posterior = Gaussian(posterior_mean(schedule, t, xt, x0), safe)
    return torch.where(t == 1, -p.log_prob(x0), kl(posterior, p))


def forward_path(x0: Tensor, schedule: Schedule, generator=None):
    """Yields (t, x_t) for t = 0 … T along one path of the forward process, each step from the last."""
    x = x0
    yield 0, x
    for t in range(1, schedule.T + 1):
        x = at(schedule.alpha, t, x).sqrt() * x + at(schedule.beta, t, x).sqrt() * randn(x.shape, generator, like=x)
        yield t, x

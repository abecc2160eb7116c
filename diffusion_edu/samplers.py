"""Running the chain backwards: one-line steps and one loop that yields every x_t.

A step is a function (schedule, t, x_t, x̂₀, ε) → x_{t−1}; the loop asks the denoiser for x̂₀ and hands over
the noise. Denoiser and steps know nothing of each other, so every sampler runs with an exact denoiser
or with a network, over all T times or over S of them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .diffusion import at, posterior_mean, sigma2_beta, sigma2_beta_tilde
from .gaussian import randn
from .oracles import Denoiser
from .schedules import Schedule

Step = Callable[[Schedule, int, Tensor, Tensor, Tensor], Tensor]


def ancestral(sigma2: Callable[[Schedule], Tensor] | Tensor = sigma2_beta) -> Step:
    """x_{t−1} = μ̃_t(x_t, x̂₀) + σ_t ε (Ho et al. 2020, Algorithm 2). `sigma2` is a tensor (T + 1,) for the
    schedule that is run, or a function of it such as `sigma2_beta`."""

    def step(schedule: Schedule, t: int, xt: Tensor, x0_hat: Tensor, eps: Tensor) -> Tensor:
        var = sigma2(schedule) if callable(sigma2) else sigma2
        return posterior_mean(schedule, t, xt, x0_hat) + at(var, t, xt).sqrt() * eps

    return step


def ddim(schedule: Schedule, t: int, xt: Tensor, x0_hat: Tensor, eps: Tensor) -> Tensor:
    """x_{t−1} = √ᾱ_{t−1} x̂₀ + √(1−ᾱ_{t−1}) ε̂, with ε̂ from x_t and x̂₀: no fresh noise, `eps` is not used
    (Song, Meng & Ermon 2021, eq. 12 with σ = 0)."""
    signal, noise = schedule.alpha_bar.sqrt(), (1 - schedule.alpha_bar).sqrt()
    eps_hat = (xt - at(signal, t, xt) * x0_hat) / at(noise, t, xt)
    return at(signal, t - 1, xt) * x0_hat + at(noise, t - 1, xt) * eps_hat


@dataclass(frozen=True)
class SecondOrder:
    """The same step with a better x̂₀. A step takes x̂₀ as fixed, while it would go on changing. For this one
    `reverse_path` continues it to the middle of the step, `half_a_step_on`: the denoiser is asked no more often, and
    the error falls with the square of the step. Of `ancestral` with σ² = β̃ it makes SDE-DPM-Solver++(2M), of `ddim`
    DPM-Solver++(2M) (Lu et al. 2022)."""

    step: Step

    def __call__(self, schedule: Schedule, t: int, xt: Tensor, x0_hat: Tensor, eps: Tensor) -> Tensor:
        return self.step(schedule, t, xt, x0_hat, eps)


def half_a_step_on(schedule: Schedule, t: int, x0_hat: Tensor, before: Tensor | None) -> Tensor:
    """x̂₀ halfway from t to t − 1, like x̂₀: on the straight line, in log SNR, through its values at t + 1, `before`, and
    at t. It is x̂₀ itself if there is no value before, and at t = 1, whose step ends where log SNR is infinite."""
    if before is None or t == 1:
        return x0_hat
    step, last = schedule.log_snr[t - 1] - schedule.log_snr[t], schedule.log_snr[t] - schedule.log_snr[t + 1]
    return x0_hat + (step / (2 * last)).to(x0_hat) * (x0_hat - before)


SAMPLERS = {
    "ancestral": ancestral(),
    "ancestral-small": ancestral(sigma2_beta_tilde),
    "ancestral-2m": SecondOrder(ancestral(sigma2_beta_tilde)),
    "ddim": ddim,
    "ddim-2m": SecondOrder(ddim),
}


@torch.no_grad()
def reverse_path(
    denoiser: Denoiser,
    schedule: Schedule,
    x_T: Tensor,
    step: Step = SAMPLERS["ancestral"],
    steps: int | None = None,
    generator: torch.Generator | None = None,
    start: int | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """Yields (t, x_t) from (T, x_T) down to (0, x₀), over `steps` evenly spread times (all T if None).

    No noise is added in the step to t = 0. x_T: (n, D), usually N(0, I). With `start`, one of those times, x_T is x_t
    of that time, and the times above it are left out. The denoiser is always asked at the full schedule's t. Raises
    ValueError if `steps` is not in 1 … T or `start` is not one of the times.
    """
    sub, times = schedule.respaced(schedule.T if steps is None else steps)
    start = schedule.T if start is None else start
    if start not in times[1:]:
        raise ValueError(
            f"start must be one of the {sub.T} times that are visited, from {times[1]} to {schedule.T}, got {start}"
        )
    xt = x_T
    yield start, xt
    before = None
    for i in range(times.tolist().index(start), 0, -1):
        x0_hat = denoiser(xt, int(times[i]))
        if isinstance(step, SecondOrder):
            x0_hat, before = half_a_step_on(sub, i, x0_hat, before), x0_hat
        eps = randn(xt.shape, generator, like=xt) if i > 1 else torch.zeros_like(xt)
        xt = step(sub, i, xt, x0_hat, eps)
        yield int(times[i - 1]), xt


def sample(denoiser: Denoiser, schedule: Schedule, x_T: Tensor, **settings) -> Tensor:
    """The x₀ at the end of `reverse_path`, (n, D); the settings are passed on."""
    *_, (_, x0) = reverse_path(denoiser, schedule, x_T, **settings)
    return x0

"""Running the chain backwards: formulas of one line, and one loop that yields every x_t.

A formula is a function (schedule, t, x_t, x̂₀, ε) → x_{t−1}. A step is what the loop calls: it asks the denoiser, once
or oftener, and may carry something on to the next step. Denoiser and steps know nothing of each other, so every
sampler runs with an exact denoiser or with a network, over all T times or over S of them.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from .diffusion import at, posterior_mean, sigma2_beta
from .gaussian import randn
from .oracles import Denoiser
from .schedules import Schedule

Formula = Callable[[Schedule, int, Tensor, Tensor, Tensor], Tensor]
# (schedule, t, x_t, denoiser, ε, state) → (x_{t−1}, state): the denoiser answers at the times of this schedule, and the
# state is what the last step returned, None at first
Step = Callable[[Schedule, int, Tensor, Denoiser, Tensor, Any], tuple[Tensor, Any]]


def ancestral(sigma2: Callable[[Schedule], Tensor] = sigma2_beta) -> Formula:
    """x_{t−1} = μ̃_t(x_t, x̂₀) + σ_t ε (Ho et al. 2020, Algorithm 2). `sigma2` gives the σ_t², (T + 1,), of the schedule
    that is run."""

    def formula(schedule: Schedule, t: int, xt: Tensor, x0_hat: Tensor, eps: Tensor) -> Tensor:
        return posterior_mean(schedule, t, xt, x0_hat) + at(sigma2(schedule), t, xt).sqrt() * eps

    return formula


def ddim(schedule: Schedule, t: int, xt: Tensor, x0_hat: Tensor, eps: Tensor) -> Tensor:
    """x_{t−1} = √ᾱ_{t−1} x̂₀ + √(1−ᾱ_{t−1}) ε̂, with ε̂ from x_t and x̂₀: no fresh noise, `eps` is not used
    (Song, Meng & Ermon 2021, eq. 12 with σ = 0)."""
    signal, noise = schedule.alpha_bar.sqrt(), (1 - schedule.alpha_bar).sqrt()
    eps_hat = (xt - at(signal, t, xt) * x0_hat) / at(noise, t, xt)
    return at(signal, t - 1, xt) * x0_hat + at(noise, t - 1, xt) * eps_hat


def first_order(formula: Formula) -> Step:
    """The formula with x̂₀ = x̂₀(x_t, t)."""

    def step(schedule: Schedule, t: int, xt: Tensor, denoiser: Denoiser, eps: Tensor, state: None):
        return formula(schedule, t, xt, denoiser(xt, t), eps), None

    return step


ANCESTRAL = first_order(ancestral())


def second_order(formula: Formula) -> Step:
    """The formula with a better x̂₀. It takes x̂₀ as fixed, while x̂₀ would go on changing. Here it is continued to the
    middle of the step: the denoiser is asked no more often, and the error falls with the square of the step. Of
    `ancestral` with σ² = β̃ this makes SDE-DPM-Solver++(2M), of `ddim` DPM-Solver++(2M) (Lu et al. 2022)."""

    def step(schedule: Schedule, t: int, xt: Tensor, denoiser: Denoiser, eps: Tensor, x0_prev: Tensor | None):
        x0_hat = denoiser(xt, t)
        return formula(schedule, t, xt, extrapolate_x0(schedule, t, x0_hat, x0_prev), eps), x0_hat

    return step


def extrapolate_x0(schedule: Schedule, t: int, x0_hat: Tensor, x0_prev: Tensor | None) -> Tensor:
    """x̂₀ halfway from t to t − 1, like x̂₀: on the straight line, in log SNR, through its values at t + 1, `x0_prev`,
    and at t. It is x̂₀ itself if there is no value before, and at t = 1, whose step ends where log SNR is infinite."""
    if x0_prev is None or t == 1:
        return x0_hat
    step, last = schedule.log_snr[t - 1] - schedule.log_snr[t], schedule.log_snr[t] - schedule.log_snr[t + 1]
    return x0_hat + (step / (2 * last)).to(x0_hat) * (x0_hat - x0_prev)


@torch.no_grad()
def reverse_path(
    denoiser: Denoiser,
    schedule: Schedule,
    x_T: Tensor,
    step: Step = ANCESTRAL,
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
    ask = denoiser if sub is schedule else lambda x, i: denoiser(x, int(times[i]))
    xt, state = x_T, None
    yield start, xt
    for i in range(times.tolist().index(start), 0, -1):
        eps = randn(xt.shape, generator, like=xt) if i > 1 else torch.zeros_like(xt)
        xt, state = step(sub, i, xt, ask, eps, state)
        yield int(times[i - 1]), xt


def sample(denoiser: Denoiser, schedule: Schedule, x_T: Tensor, **settings) -> Tensor:
    """The x₀ at the end of `reverse_path`, (n, D); the settings are passed on."""
    *_, (_, x0) = reverse_path(denoiser, schedule, x_T, **settings)
    return x0

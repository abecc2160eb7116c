"""What happens between the steps: the chain's limit, in the clock λ = log SNR.

With ᾱ = sigmoid(λ) the forward process of every schedule is one stochastic differential equation, and read backwards,
towards the data, it is any of

    dx = ½(1−ᾱ)(x + (1 + η²) s) dλ + η √(1−ᾱ) dW,   s = ∇ log p_λ(x),

all with the same law p_λ at every λ: the reverse SDE at η = 1 (Anderson 1982), the probability-flow ODE at η = 0
(Maoutsa, Reich & Opper 2020; Song et al. 2021, eq. 13). A schedule is a grid of λ.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

from torch import Tensor

from .ddpm import DDPM, eps_from_x0, score_from_eps
from .oracles import Denoiser, Mixture
from .samplers import Step
from .schedules import Schedule

Score = Callable[[float, Tensor], Tensor]  # (λ, x) → ∇ log p_λ(x), like x
Field = Callable[[float, Tensor], Tensor]  # (λ, x) → dx/dλ, like x


def sigmoid(log_snr: float) -> float:
    """ᾱ at λ, and 1 − ᾱ at −λ."""
    return 1 / (1 + math.exp(-log_snr))


def exact_score(data: Mixture) -> Score:
    """∇ log p_λ of a mixture."""
    return lambda log_snr, x: data.at_noise(sigmoid(log_snr)).score(x, sigmoid(log_snr))


def exact_x0_hat(data: Mixture) -> Callable[[Tensor, float], Tensor]:
    """(x, λ) → E[x₀|x_λ] of a mixture, as `DDPM.x0_hat_at` is of a network."""
    return lambda x, log_snr: data.at_noise(sigmoid(log_snr)).x0_mean(x, sigmoid(log_snr))


def learned_score(model: DDPM) -> Score:
    """−ε̂/√(1−ᾱ), in the precision of x, for λ between the ends of the model's schedule (ValueError outside)."""
    like = next(model.parameters())
    return lambda log_snr, x: score_from_eps(model.eps_net.at(x.to(like), log_snr).to(x), sigmoid(log_snr))


def reverse_drift(score: Score, eta: float = 1.0) -> Field:
    """½(1−ᾱ)(x + (1 + η²) s), the drift towards the data."""
    return lambda log_snr, x: 0.5 * sigmoid(-log_snr) * (x + (1 + eta**2) * score(log_snr, x))


def probability_flow(score: Score) -> Field:
    """½(1−ᾱ)(x + s): the same laws with no noise at all."""
    return reverse_drift(score, eta=0.0)


def euler(field: Field, log_snr: float, h: float, x: Tensor) -> Tensor:
    """x(λ + h), of order 1 in h."""
    return x + h * field(log_snr, x)


def heun(field: Field, log_snr: float, h: float, x: Tensor) -> Tensor:
    """The mean of the slopes at both ends, of order 2."""
    k1 = field(log_snr, x)
    k2 = field(log_snr + h, x + h * k1)
    return x + h / 2 * (k1 + k2)


def rk4(field: Field, log_snr: float, h: float, x: Tensor) -> Tensor:
    """The classical Runge–Kutta step, of order 4."""
    k1 = field(log_snr, x)
    k2 = field(log_snr + h / 2, x + h / 2 * k1)
    k3 = field(log_snr + h / 2, x + h / 2 * k2)
    k4 = field(log_snr + h, x + h * k3)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def euler_maruyama(drift: Field, log_snr: float, h: float, x: Tensor, eps: Tensor, eta: float = 1.0) -> Tensor:
    """x + h drift + η √((1−ᾱ) h) ε, of order 1: the noise does not depend on x (Kloeden & Platen 1992)."""
    return x + h * drift(log_snr, x) + eta * math.sqrt(sigmoid(-log_snr) * h) * eps


OdeStep = Callable[[Field, float, float, Tensor], Tensor]


def integrate(step: OdeStep, field: Field, log_snr: Tensor, x: Tensor) -> Iterator[tuple[float, Tensor]]:
    """Yields (λ, x) along the grid `log_snr` (N + 1,), in either direction, from x at its first entry."""
    yield float(log_snr[0]), x
    for here, there in pairwise(log_snr.tolist()):
        x = step(field, here, there - here, x)
        yield there, x


# --- the same as steps of `samplers.reverse_path`, from one λ of its schedule to the next ---


def at_log_snr(x0_hat: Callable[[Tensor, float], Tensor], schedule: Schedule) -> Denoiser:
    """(x, λ) → x̂₀ as a denoiser at the times of a schedule. A time between two integers has the λ on the straight
    line between theirs."""
    knots = schedule.log_snr.tolist()

    def denoiser(xt: Tensor, t: float) -> Tensor:
        after = math.ceil(t)
        return x0_hat(xt, knots[after] + (after - t) * (knots[after - 1] - knots[after]) if t < after else knots[after])

    return denoiser


def _score_near(denoiser: Denoiser, schedule: Schedule, t: int) -> tuple[float, float, Score]:
    """λ at t, the way to t − 1, and the score on that way."""
    here = schedule.log_snr[t].item()
    h = schedule.log_snr[t - 1].item() - here

    def score(log_snr: float, x: Tensor) -> Tensor:
        time = round(t - (log_snr - here) / h, 9)
        x0_hat = denoiser(x, int(time) if time.is_integer() else time)
        return score_from_eps(eps_from_x0(x, x0_hat, sigmoid(log_snr)), sigmoid(log_snr))

    return here, h, score


def flow_step(step: OdeStep) -> Step:
    """A step of the probability flow. To t = 0, where λ is infinite, it goes by x̂₀, as all samplers do."""

    def run(schedule: Schedule, t: int, xt: Tensor, denoiser: Denoiser, eps: Tensor, state: None):
        if t == 1:
            return denoiser(xt, 1), None
        here, h, score = _score_near(denoiser, schedule, t)
        return step(probability_flow(score), here, h, xt), None

    return run


def euler_maruyama_step(schedule: Schedule, t: int, xt: Tensor, denoiser: Denoiser, eps: Tensor, state: None):
    """A step of the reverse SDE, and x̂₀ at the end."""
    if t == 1:
        return denoiser(xt, 1), None
    here, h, score = _score_near(denoiser, schedule, t)
    return euler_maruyama(reverse_drift(score), here, h, xt, eps), None

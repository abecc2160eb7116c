r"""Exercises of notebook 07: the drift backwards, DDIM, a step of Heun, and log p from a path."""

import math

import torch

from .. import likelihood, oracles, samplers, schedules, sde
from .core import Draw, Exercise, Mistake, Property

# --- reverse_drift ------------------------------------------------------------------------------------------------


def _drift_cases(draw: Draw) -> list[dict]:
    return [
        {"alpha_bar": draw.number(0.05, 0.95), "x": draw.normal(*size), "score": draw.normal(*size)}
        for size in ((1, 2), (3, 2), (4, 3))
    ]


def _keeps_the_law(f, alpha_bar, x, score):
    """For N(0, v) the score is −x/V with V = ᾱv + 1 − ᾱ, and dV/dλ = 2aV + 1 − ᾱ must be ᾱ(1 − ᾱ)(v − 1)."""
    v = 0.3
    var = alpha_bar * v + 1 - alpha_bar
    slope = f(alpha_bar, x, -x / var)
    return 2 * slope * var + (1 - alpha_bar) * x, alpha_bar * (1 - alpha_bar) * (v - 1) * x


def _from_library(f, alpha_bar, x, score):
    log_snr = math.log(alpha_bar / (1 - alpha_bar))
    return f(alpha_bar, x, score), sde.reverse_drift(lambda *_: score)(log_snr, x)


def _drift(rate, pull, push):
    return lambda a, x, s: rate(a) * (pull * x + push * s)


reverse_drift = Exercise(
    name="reverse_drift", notebook="07", section="3", title="the drift backwards", minutes=8,
    cases=_drift_cases,
    properties=(
        Property("keeps the law of Gaussian data (7.5)", _keeps_the_law, instead="score = that of N(0, 0.3)"),
        Property("is the drift of the reverse SDE for any score (7.5)", _from_library),
    ),
    mistakes=(
        Mistake("½(1 − ᾱ)(x + s)", "That is the drift of the ODE. With noise on the way the score counts twice.", "7.5",
                _drift(lambda a: 0.5 * (1 - a), 1, 1)),
        Mistake("½(1 − ᾱ)(−x + 2s)", "Backwards the shrinking of x is undone: + x.", "7.5",
                _drift(lambda a: 0.5 * (1 - a), -1, 2)),
        Mistake("½(1 − ᾱ)(x − 2s)", "The score points to the data, and so do we.", "7.5",
                _drift(lambda a: 0.5 * (1 - a), 1, -2)),
        Mistake("−½(1 − ᾱ)(x + 2s)", "That is the same drift read towards noise. Here λ rises.", "7.5",
                _drift(lambda a: -0.5 * (1 - a), 1, 2)),
        Mistake("(1 − ᾱ)(x + 2s)", "The ½ is missing: (7.3) in −½β x.", "7.5", _drift(lambda a: 1 - a, 1, 2)),
        Mistake("½√(1 − ᾱ)(x + 2s)", "The noise has the factor √(1 − ᾱ); the drift has its square, the rate of the "
                "variance.", "7.5", _drift(lambda a: 0.5 * (1 - a) ** 0.5, 1, 2)),
        Mistake("½ᾱ(x + 2s)", "1 − ᾱ, not ᾱ: β du = −(1 − ᾱ) dλ.", "7.3", _drift(lambda a: 0.5 * a, 1, 2)),
        Mistake("½(1 − ᾱ)·2s", "The linear term is missing: (7.1) shrinks x, and the way back stretches it.", "7.5",
                _drift(lambda a: 0.5 * (1 - a), 0, 2)),
    ),
)  # fmt: skip

# --- ddim ---------------------------------------------------------------------------------------------------------


def _ddim_cases(draw: Draw) -> list[dict]:
    cases = []
    for size in ((1, 2), (3, 2), (4, 3)):
        low = draw.number(0.05, 0.6)
        cases.append({"alpha_bar": low, "alpha_bar_next": low + draw.number(0.1, 0.9) * (0.98 - low),
                      "x": draw.normal(*size), "eps_hat": draw.normal(*size)})  # fmt: skip
    return cases


def _by_the_flow(f, a, b, x, eps):
    """Euler's step in σ from y = x/√ᾱ, back in x."""
    sigma = lambda bar: ((1 - bar) / bar) ** 0.5  # noqa: E731
    return f(a, b, x, eps), b**0.5 * (x / a**0.5 + (sigma(b) - sigma(a)) * eps)


def _right_guess(f, a, b, x, eps):
    """If ε̂ is the noise that is in x, the step lands on the jump (3.4) with that noise."""
    return f(a, b, a**0.5 * x + (1 - a) ** 0.5 * eps, eps), b**0.5 * x + (1 - b) ** 0.5 * eps


def _library_ddim(f, a, b, x, eps):
    s = schedules.from_snr(torch.tensor([b / (1 - b), a / (1 - a)]))
    x0_hat = (x - (1 - a) ** 0.5 * eps) / a**0.5
    return f(a, b, x, eps), samplers.ddim(s, 2, x, x0_hat, 0 * x)


def _mix(signal, noise):
    """√… x̂₀ and the factor of ε̂, of (a, b)."""
    return lambda a, b, x, e: signal(a, b) * (x - (1 - a) ** 0.5 * e) / a**0.5 + noise(a, b) * e


ddim = Exercise(
    name="ddim", notebook="07", section="4", title="a step of DDIM", minutes=8,
    cases=_ddim_cases,
    properties=(
        Property("is Euler's step of dy/dσ = ε (7.7)", _by_the_flow),
        Property("lands where (3.4) does if ε̂ is right", _right_guess, instead="x = √ᾱ x₀ + √(1−ᾱ) ε; eps_hat = ε"),
        Property("is the library's (7.8)", _library_ddim),
    ),
    mistakes=(
        Mistake("x̂₀", "That is the guess of the data point. The step stops at the next level: mix ε̂ in again.", "7.8",
                _mix(lambda a, b: 1, lambda a, b: 0)),
        Mistake("√ᾱ′ x̂₀", "The noise is missing: at the next level x still has the variance 1 − ᾱ′ of it.", "7.8",
                _mix(lambda a, b: b**0.5, lambda a, b: 0)),
        Mistake("√ᾱ′ x̂₀ + √(1 − ᾱ) ε̂", "The noise is mixed in at the next level too: √(1 − ᾱ′).", "7.8",
                _mix(lambda a, b: b**0.5, lambda a, b: (1 - a) ** 0.5)),
        Mistake("ᾱ′ x̂₀ + (1 − ᾱ′) ε̂", "ᾱ′ is a share of the variance. Points are multiplied by roots.", "3.4",
                _mix(lambda a, b: b, lambda a, b: 1 - b)),
        Mistake("x", "It has gone back to where it came from: ᾱ in the place of ᾱ′.", "7.8",
                _mix(lambda a, b: a**0.5, lambda a, b: (1 - a) ** 0.5)),
        Mistake("x̂₀ + √(1 − ᾱ′) ε̂", "The data shrink by √ᾱ′, as in (3.4).", "7.8",
                _mix(lambda a, b: 1, lambda a, b: (1 - b) ** 0.5)),
        Mistake("y′", "Euler's step is right. The answer is x at the next level, √ᾱ′ y′.", "7.7",
                lambda a, b, x, e: x / a**0.5 + (((1 - b) / b) ** 0.5 - ((1 - a) / a) ** 0.5) * e),
        Mistake("x + (σ′ − σ) ε̂", "Euler's step is taken in y = x/√ᾱ; the answer is √ᾱ′ y′.", "7.7",
                lambda a, b, x, e: x + (((1 - b) / b) ** 0.5 - ((1 - a) / a) ** 0.5) * e),
        Mistake("√ᾱ′ (x − √(1 − ᾱ) ε̂) + √(1 − ᾱ′) ε̂", "x̂₀ still has to be divided by √ᾱ.", "7.8",
                lambda a, b, x, e: b**0.5 * (x - (1 - a) ** 0.5 * e) + (1 - b) ** 0.5 * e),
    ),
)  # fmt: skip

# --- heun ---------------------------------------------------------------------------------------------------------


def _swirl(log_snr, x):
    """A field that depends on λ and bends the points."""
    return (1 + log_snr) * x.sin() + 0.3 * log_snr**2 * x.flip(-1)


def _heun_cases(draw: Draw) -> list[dict]:
    return [
        {"field": _swirl, "log_snr": draw.number(-1, 1), "h": draw.number(0.1, 0.5), "x": draw.normal(n, 2)}
        for n in (1, 3)
    ]


def _quadrature(f, field, log_snr, h, x):
    """For a field of λ alone Heun's step is the trapezoidal rule."""
    slope = lambda at: torch.full_like(x, math.exp(at))  # noqa: E731
    return f(lambda at, y: slope(at), log_snr, h, x), x + h / 2 * (slope(log_snr) + slope(log_snr + h))


def _series(f, field, log_snr, h, x):
    """For dx/dλ = x it is the exponential's series up to h²/2."""
    return f(lambda at, y: y, log_snr, h, x), (1 + h + h**2 / 2) * x


heun = Exercise(
    name="heun", notebook="07", section="5", title="a step of Heun", minutes=10,
    cases=_heun_cases,
    properties=(
        Property("is the trapezoidal rule for a slope that depends on λ alone", _quadrature, instead="field = e^λ"),
        Property("is (1 + h + h²/2) x for the slope x", _series, instead="field = x"),
        Property("has the mean of the two slopes (7.9)", lambda f, *c: (f(*c), sde.heun(*c))),
    ),
    mistakes=(
        Mistake("x + h k₁", "That is Euler's step. The second slope is missing.", "7.9",
                lambda f, t, h, x: x + h * f(t, x)),
        Mistake("the step with k₂ at the old λ", "The second slope is that at λ + h.", "7.9",
                lambda f, t, h, x: x + h / 2 * (f(t, x) + f(t, x + h * f(t, x)))),
        Mistake("the step with k₂ at the old x", "The second slope is that at x + h k₁, Euler's end.", "7.9",
                lambda f, t, h, x: x + h / 2 * (f(t, x) + f(t + h, x))),
        Mistake("x + h k₂", "The second slope alone is of order 1. Take the mean of both.", "7.9",
                lambda f, t, h, x: x + h * f(t + h, x + h * f(t, x))),
        Mistake("x + h (k₁ + k₂)", "The mean of the slopes has a ½.", "7.9",
                lambda f, t, h, x: x + h * (f(t, x) + f(t + h, x + h * f(t, x)))),
        Mistake("the midpoint rule", "That has order 2 as well, but is another method: one slope, at λ + h/2.", "7.9",
                lambda f, t, h, x: x + h * f(t + h / 2, x + h / 2 * f(t, x))),
        Mistake("the step with k₂ at x + ½ h k₁", "The first slope is followed for the whole step, to x + h k₁.", "7.9",
                lambda f, t, h, x: x + h / 2 * (f(t, x) + f(t + h, x + h / 2 * f(t, x)))),
        Mistake("a step of k₂ after a step of k₁", "The slopes are averaged, and the step starts from x.", "7.9",
                lambda f, t, h, x: x + h * f(t, x) + h / 2 * f(t + h, x + h * f(t, x))),
    ),
)  # fmt: skip

# --- log_prob -----------------------------------------------------------------------------------------------------


def _path_cases(draw: Draw) -> list[dict]:
    return [
        {"log_snr": draw.number(0.5, 4) - draw.uniform(0.2, 1.5, steps + 1).cumsum(0),
         "div": draw.normal(steps + 1, n), "z": draw.normal(n, dim)}
        for steps, n, dim in ((1, 1, 2), (4, 3, 2), (6, 2, 5))
    ]  # fmt: skip


def _fine_path(f, log_snr, div, z):
    """Gaussian data: every point keeps its number of standard deviations, and log p is known."""
    dtype, D, v = z.dtype, z.shape[-1], 0.3
    levels = torch.linspace(8, -14, 441, dtype=dtype)
    bar = levels.sigmoid()
    slope = 0.5 * (-levels).sigmoid() * (1 - 1 / (bar * v + 1 - bar))
    x = z / bar[0].sqrt() * ((bar[0] * v + 1 - bar[0]) / (bar[-1] * v + 1 - bar[-1])).sqrt()
    data = oracles.gaussian(torch.zeros(D), v + math.exp(-8.0))
    return f(levels, D * slope.unsqueeze(-1).expand(-1, len(z)), z), data.log_prob(x), 1e-3


def _written_out(f, log_snr, div, z):
    steps = (log_snr[1:] - log_snr[:-1]).unsqueeze(-1) * (div[1:] + div[:-1]) / 2
    shift = 0.5 * z.shape[-1] * log_snr[0].sigmoid().log()
    return f(log_snr, div, z), -0.5 * (z**2 + likelihood.LOG_2PI).sum(-1) + steps.sum(0) + shift


def _path(prior=1.0, integral=1.0, shift=1.0, at=0, constant=1.0):
    def wrong(log_snr, div, z):
        normal = -0.5 * (z**2 + constant * likelihood.LOG_2PI).sum(-1)
        gained = torch.trapezoid(div, log_snr, dim=0)
        return prior * normal + integral * gained + shift * 0.5 * z.shape[-1] * log_snr[at].sigmoid().log()

    return wrong


log_prob = Exercise(
    name="log_prob", notebook="07", section="7", title="log p from a path", minutes=12,
    cases=_path_cases,
    properties=(
        Property("is the log density of Gaussian data along its flow", _fine_path, instead="div = that of N(0, 0.3)"),
        Property("has the three terms of (7.11)", _written_out),
    ),
    mistakes=(
        Mistake("log N(z; 0, I) and no more", "The integral of the divergence is missing.", "7.11",
                _path(integral=0, shift=0)),
        Mistake("(7.11) without its integral", "What was lost on the way is missing: the integral of the divergence.",
                "7.11", _path(integral=0)),
        Mistake("(7.11) with − ∫ ∇·f dλ", "λ falls along the path, so the integral has that sign: add it.", "7.11",
                _path(integral=-1)),
        Mistake("(7.11) without ½D log ᾱ", "That is the density of √ᾱ x, the point where the path starts.", "7.11",
                _path(shift=0)),
        Mistake("(7.11) with − ½D log ᾱ", "p(x) = p_λ(√ᾱ x) ᾱ^{D/2}: shrunken points lie denser.", "7.11",
                _path(shift=-1)),
        Mistake("(7.11) with log ᾱ in the place of ½D log ᾱ", "Each of the D axes shrinks by √ᾱ.", "7.11",
                lambda s, d, z: _path(shift=2 / z.shape[-1])(s, d, z)),
        Mistake("(7.11) with ᾱ at the noisy end", "The path starts at the clean end, log_snr[0].", "7.11",
                _path(at=-1)),
        Mistake("(7.11) without log N(z; 0, I)", "The noise z has a density too.", "7.11", _path(prior=0)),
        Mistake("(7.11) without log 2π", "N(z; 0, I) has the constant D/2 log 2π.", "7.11", _path(constant=0)),
    ),
)  # fmt: skip

EXERCISES = (reverse_drift, ddim, heun, log_prob)

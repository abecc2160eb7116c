r"""Exercises of notebook 10: from noise to velocity, a step of Euler, the weight of a loss, and pairs of least cost."""

import torch

from .. import flow
from .core import Draw, Exercise, Mistake, Property

# --- velocity -----------------------------------------------------------------------------------------------------


def _velocity_cases(draw: Draw) -> list[dict]:
    return [
        {"x_t": draw.normal(*size), "eps_hat": draw.normal(*size), "alpha_bar": draw.number(0.05, 0.95)}
        for size in ((1, 2), (3, 2), (4, 5))
    ]


def _tau(bar: float) -> float:
    return (1 - bar) ** 0.5 / (bar**0.5 + (1 - bar) ** 0.5)


def _on_the_line(f, x_t, eps_hat, alpha_bar):
    """If ε̂ is the noise in x_t, the point is on the line (10.1) and moves by ε − x₀."""
    x0, tau = x_t, _tau(alpha_bar)
    found = f(alpha_bar**0.5 * x0 + (1 - alpha_bar) ** 0.5 * eps_hat, eps_hat, alpha_bar)
    return torch.stack(tuple(found)), torch.stack([(1 - tau) * x0 + tau * eps_hat, eps_hat - x0])


def _by_library(f, x_t, eps_hat, alpha_bar):
    tau = _tau(alpha_bar)
    x = flow.scale(tau) * x_t
    return torch.stack(tuple(f(x_t, eps_hat, alpha_bar))), torch.stack([x, flow.u_from_eps(x, eps_hat, tau)])


def _point(tau=_tau, scaled=flow.scale, slope=lambda x, e, t: (e - x) / (1 - t)):
    def wrong(x_t, eps_hat, bar):
        x = scaled(tau(bar)) * x_t
        return x, slope(x, eps_hat, tau(bar))

    return wrong


velocity = Exercise(
    name="velocity", notebook="10", section="2", title="from noise to velocity", minutes=6,
    parts=2,
    cases=_velocity_cases,
    properties=(
        Property("lies on the line (10.1) and moves along it if ε̂ is right", _on_the_line,
                 instead="x_t = √ᾱ x₀ + √(1−ᾱ) ε; eps_hat = ε"),
        Property("follows (10.4) and (10.5) for any ε̂", _by_library),
    ),
    mistakes=(
        Mistake("with τ = 1 − ᾱ", "ᾱ is a share of the variance. (1 − τ)/τ is a ratio of factors: the root of SNR.",
                "10.4", _point(tau=lambda a: 1 - a)),
        Mistake("with τ = √(1 − ᾱ)", "The two factors of x_t do not add up to 1: divide by their sum.", "10.4",
                _point(tau=lambda a: (1 - a) ** 0.5)),
        Mistake("with x_τ = x_t", "x_τ is c times x_t: its two factors add up to 1, not their squares.", "10.4",
                _point(scaled=lambda t: 1.0)),
        Mistake("with x_τ = x_t/c", "It is the other way round: x_τ = c x_t.", "10.4",
                _point(scaled=lambda t: 1 / flow.scale(t))),
        Mistake("with u = (ε̂ − x_τ)/τ", "ε̂ is a distance 1 − τ away along the line, and τ = 1 is noise.", "10.5",
                _point(slope=lambda x, e, t: (e - x) / t)),
        Mistake("with u = (x_τ − ε̂)/(1 − τ)", "Velocity points from the data to the noise, as τ grows.", "10.5",
                _point(slope=lambda x, e, t: (x - e) / (1 - t))),
        Mistake("with u = ε̂ − x_τ", "That is the way to ε̂, and the time that is left for it is 1 − τ.", "10.5",
                _point(slope=lambda x, e, t: e - x)),
    ),
)  # fmt: skip

# --- flow_step ----------------------------------------------------------------------------------------------------


def _bent(tau, x):
    """A velocity that depends on τ and bends the points."""
    return (1 + tau) * x.sin() - 0.4 * tau**2 * x.flip(-1)


def _step_cases(draw: Draw) -> list[dict]:
    cases = []
    for n in (1, 3):
        tau = draw.number(0.4, 0.95)
        cases.append({"u": _bent, "tau": tau, "tau_next": draw.number(0.05, 0.3), "x": draw.normal(n, 2)})
    return cases


def _lands_on_the_line(f, u, tau, tau_next, x):
    """With the true slope of one line the step stays on it, at τ′."""
    x0, eps = x, x.flip(-1) + 1
    return f(lambda t, y: eps - x0, tau, tau_next, (1 - tau) * x0 + tau * eps), (1 - tau_next) * x0 + tau_next * eps


def _mixture(f, u, tau, tau_next, x):
    """(10.6)"""
    slope = u(tau, x)
    return f(u, tau, tau_next, x), (1 - tau_next) * (x - tau * slope) + tau_next * (x + (1 - tau) * slope)


flow_step = Exercise(
    name="flow_step", notebook="10", section="2", title="a step of Euler", minutes=5,
    cases=_step_cases,
    properties=(
        Property("stays on a straight line (10.1)", _lands_on_the_line, instead="u = ε − x₀; x = a point of the line"),
        Property("is (1 − τ′) x̂₀ + τ′ ε̂ (10.6)", _mixture),
    ),
    mistakes=(
        Mistake("x + (τ − τ′) u", "τ falls: the step τ′ − τ is negative.", "10.6",
                lambda u, a, b, x: x + (a - b) * u(a, x)),
        Mistake("the step with u at τ′", "Euler asks where he stands, at τ.", "10.6",
                lambda u, a, b, x: x + (b - a) * u(b, x)),
        Mistake("x̂₀", "That is where the line ends, at τ′ = 0. The step stops at τ′.", "10.6",
                lambda u, a, b, x: x - a * u(a, x)),
        Mistake("x + u", "The slope still has to be multiplied by the step.", "10.6",
                lambda u, a, b, x: x + u(a, x)),
        Mistake("x + τ′ u", "The step is τ′ − τ, from where x is.", "10.6", lambda u, a, b, x: x + b * u(a, x)),
        Mistake("(1 − τ′) x̂₀ + τ ε̂", "Both factors are those of τ′.", "10.6",
                lambda u, a, b, x: (1 - b) * (x - a * u(a, x)) + a * (x + (1 - a) * u(a, x))),
    ),
)  # fmt: skip

# --- loss_weight --------------------------------------------------------------------------------------------------


def _weight_cases(draw: Draw) -> list[dict]:
    return [{"tau": draw.uniform(0.05, 0.95, n), "density": draw.uniform(0.2, 3, n)} for n in (1, 4, 7)]


def _two_integrals(f, tau, density):
    """Both sides of (10.7) for |ε̂ − ε|² = e^(−λ²/8), the left in τ with π = 2τ, the right in λ."""
    fine = torch.linspace(1e-4, 1 - 1e-4, 20_001, dtype=tau.dtype)
    lam = 2 * ((1 - fine) / fine).log()
    error = (-(lam**2) / 8).exp()
    left = torch.trapezoid(2 * fine * error / (1 - fine) ** 2, fine)
    right = -torch.trapezoid(f(fine, 2 * fine) * 0.5 * error, lam)
    return right, left, 1e-3


loss_weight = Exercise(
    name="loss_weight", notebook="10", section="3", title="the weight of a loss", minutes=10,
    cases=_weight_cases,
    properties=(
        Property("is e^(−λ/2) for τ drawn uniformly (10.7)", lambda f, tau, density: (
            f(tau, torch.ones_like(tau)), tau / (1 - tau)), instead="density = 1"),
        Property("makes the two integrals of (10.7) equal for any density", _two_integrals, instead="density = 2τ"),
        Property("is proportional to the density", lambda f, tau, density: (
            f(tau, density), density * tau / (1 - tau))),
    ),
    mistakes=(
        Mistake("π(τ)", "τ and λ are not the same clock, and u is not ε: both change the weight.", "10.7",
                lambda t, p: p),
        Mistake("τ/(1 − τ)", "The density of τ counts too: a time that is drawn twice as often weighs twice.", "10.7",
                lambda t, p: t / (1 - t)),
        Mistake("π(τ) (1 − τ)/τ", "Upside down: e^(−λ/2) is large at noise, where τ is near 1.", "10.7",
                lambda t, p: p * (1 - t) / t),
        Mistake("π(τ)/(1 − τ)²", "That turns û into ε̂. The step from dτ to dλ is still missing.", "10.7",
                lambda t, p: p / (1 - t) ** 2),
        Mistake("½ π(τ) τ/(1 − τ)", "The ½ is in the integrand of the bound already.", "10.7",
                lambda t, p: 0.5 * p * t / (1 - t)),
        Mistake("π(τ) τ(1 − τ)", "That is the step from dτ to dλ. The step from û to ε̂ is still missing.", "10.7",
                lambda t, p: p * t * (1 - t)),
        Mistake("π(τ) (τ/(1 − τ))²", "That is 1/SNR; the weight is its root.", "10.7",
                lambda t, p: p * (t / (1 - t)) ** 2),
    ),
)  # fmt: skip

# --- pairs --------------------------------------------------------------------------------------------------------


def _pair_cases(draw: Draw) -> list[dict]:
    return [{"x0": draw.normal(n), "eps": draw.normal(n)} for n in (3, 6, 9)]


pairs = Exercise(
    name="pairs", notebook="10", section="5", title="pairs of least cost", minutes=10,
    cases=_pair_cases,
    properties=(
        Property("is the noise in another order", lambda f, x0, eps: (f(x0, eps).sort().values, eps.sort().values)),
        Property("has the least Σ |ε − x₀|²", lambda f, x0, eps: (
            f(x0, eps), flow.ot_pairs(x0[:, None], eps[:, None], len(x0))[:, 0])),
    ),
    mistakes=(
        Mistake("ε as it came", "No order was chosen. Exchange two noises, and see when the sum falls.", "10.1",
                lambda x0, eps: eps + 0 * x0),
        Mistake("ε sorted", "The order belongs to the data: the smallest ε stands where the smallest x₀ stands.",
                "10.1", lambda x0, eps: eps.sort().values),
        Mistake("ε in the order of x₀.argsort()", "argsort says who is first. Needed is which rank each one has: "
                "argsort twice.", "10.1", lambda x0, eps: eps.sort().values[x0.argsort()]),
        Mistake("largest to smallest", "That is the most expensive order.", "10.1",
                lambda x0, eps: eps.sort(descending=True).values[x0.argsort().argsort()]),
        Mistake("each x₀ with its nearest ε", "A noise may be taken once only: the law of ε must stay N(0, I).", "10.1",
                lambda x0, eps: eps[(x0[:, None] - eps).abs().argmin(1)]),
        Mistake("ranks without sorting ε", "Sort the noise first, then take it by the ranks of the data.", "10.1",
                lambda x0, eps: eps[x0.argsort().argsort()]),
    ),
)  # fmt: skip

EXERCISES = (velocity, flow_step, loss_weight, pairs)

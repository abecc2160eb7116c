r"""Exercises of notebook 06: a loss for a score, a Langevin step, whether to accept it, and a walk between cells."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..gaussian import Gaussian
from .core import NO_GRADIENT, Draw, Exercise, Mistake, Property, gradients


@dataclass(frozen=True)
class Bumpy:
    """log p = −Σ_d (k x_d²/2 + a sin x_d) up to a constant, each point by itself; its score has the weight k."""

    k: float | Tensor
    a: float

    def log_prob(self, x: Tensor) -> Tensor:
        """(...), for points (..., D)."""
        return -(self.k * x**2 / 2 + self.a * x.sin()).sum(-1)

    def score(self, x: Tensor) -> Tensor:
        """Like x."""
        return -(self.k * x + self.a * x.cos())


def _bumpy(draw: Draw) -> Bumpy:
    return Bumpy(draw.number(0.5, 2), draw.number(0.2, 1))


# --- denoising_loss -----------------------------------------------------------------------------------------------


def _loss_cases(draw: Draw) -> list[dict]:
    return [
        {"score": _bumpy(draw).score, "x0": draw.normal(n, dim), "eps": draw.normal(n, dim), "alpha_bar": a}
        for n, dim, a in ((1, 2, 0.5), (3, 3, draw.number(0.05, 0.95)), (4, 2, draw.number(0.05, 0.95)))
    ]


def _noised(x0, eps, a, power=0.5):
    return a**power * x0 + (1 - a) ** power * eps


def _by_the_density(f, score, x0, eps, a):
    """The target is the slope of log q(x_t|x₀), by autograd."""
    xt = _noised(x0.double(), eps.double(), a).requires_grad_()
    q = Gaussian(a**0.5 * x0.double(), torch.tensor(1 - a, dtype=torch.float64))
    (slope,) = torch.autograd.grad(q.log_prob(xt).sum(), xt)
    return f(score, x0, eps, a), (score(xt.detach()) - slope).square().sum(-1)


def _known(f, score, x0, eps, a):
    """Where all data are one point, its score is known."""
    one = x0[:1].expand(x0.shape)
    return f(lambda xt: -(xt - a**0.5 * x0[0]) / (1 - a), one, eps, a), 0 * x0.sum(-1)


def _slope(f, score, x0, eps, a):
    """The gradient in the score's weight."""
    weight = torch.tensor(score.__self__.k, dtype=torch.float64, requires_grad=True)
    moving = Bumpy(weight, score.__self__.a).score
    right = _parts(moving, x0, eps, a).square().sum(-1)
    (given,), (right,) = (gradients(value, (weight,)) for value in (f(moving, x0, eps, a), right))
    return given, right


def _parts(score, x0, eps, a):
    return score(_noised(x0, eps, a)) + eps / (1 - a) ** 0.5


denoising_loss = Exercise(
    name="denoising_loss", notebook="06", section="1", title="a loss for a score", minutes=10,
    cases=_loss_cases,
    properties=(
        Property("is the squared distance from the slope of log q(x_t|x₀)", _by_the_density),
        Property("is zero for a score that knows x₀", _known, instead="x0 = one point, n times"),
        Property("hands the gradient on to the score's weights", _slope, hint=NO_GRADIENT),
    ),
    mistakes=(
        Mistake("|ŝ − ε/√(1 − ᾱ)|²", "The sign of the target: it points back to the data, against the noise.", "6.2",
                lambda s, x, e, a: (s(_noised(x, e, a)) - e / (1 - a) ** 0.5).square().sum(-1)),
        Mistake("|ŝ + ε/√(1 − ᾱ)| without the square", "The loss is the squared length.", "6.2",
                lambda *case: _parts(*case).norm(dim=-1)),
        Mistake("|ŝ + ε/√ᾱ|²", "√ᾱ belongs to the signal. The noise has the standard deviation √(1 − ᾱ).", "6.2",
                lambda s, x, e, a: (s(_noised(x, e, a)) + e / a**0.5).square().sum(-1)),
        Mistake("|ŝ + ε|²", "The target is a slope: the noise over its standard deviation √(1 − ᾱ).", "6.2",
                lambda s, x, e, a: (s(_noised(x, e, a)) + e).square().sum(-1)),
        Mistake("|ŝ + ε/(1 − ᾱ)|²", "One root too few: x_t − √ᾱ x₀ is √(1 − ᾱ) ε, and it is divided by 1 − ᾱ.", "6.2",
                lambda s, x, e, a: (s(_noised(x, e, a)) + e / (1 - a)).square().sum(-1)),
        Mistake("the sum of ŝ + ε²/(1 − ᾱ)", "Only the noise is squared. This is linear in ŝ and has no minimum.",
                "6.2", lambda s, x, e, a: (s(_noised(x, e, a)) + e**2 / (1 - a)).sum(-1)),
        Mistake("the mean of the squares over the dimensions", "|·|² is a sum over the dimensions.", "6.2",
                lambda *case: _parts(*case).square().mean(-1)),
        Mistake("the squares of each dimension", "|·|² sums over the last axis.", "6.2",
                lambda *case: _parts(*case).square()),
        Mistake("|ε − ε̂|²", "That is the loss in ε, (1 − ᾱ) times this one.", "6.2",
                lambda s, x, e, a: (1 - a) * _parts(s, x, e, a).square().sum(-1)),
        Mistake("the loss with the score asked at x₀", "The score is that of the noisy points.", "6.2",
                lambda s, x, e, a: (s(x) + e / (1 - a) ** 0.5).square().sum(-1)),
        Mistake("the loss at x_t = ᾱ x₀ + (1 − ᾱ) ε", "Signal and noise are multiplied by the roots.", "4.1",
                lambda s, x, e, a: (s(_noised(x, e, a, 1)) + e / (1 - a) ** 0.5).square().sum(-1)),
    ),
)  # fmt: skip

# --- ula_step -----------------------------------------------------------------------------------------------------


def _step_cases(draw: Draw) -> list[dict]:
    return [
        {"x": draw.normal(*size), "score": _bumpy(draw).score, "h": draw.number(0.05, 0.9), "eps": draw.normal(*size)}
        for size in ((2,), (3, 2), (2, 3))
    ]


ula_step = Exercise(
    name="ula_step", notebook="06", section="4", title="one Langevin step", minutes=6,
    cases=_step_cases,
    properties=(
        Property("goes uphill by h s(x) where there is no noise",
                 lambda f, x, s, h, e: (f(x, s, h, 0 * e), x + h * s(x)), instead="eps = 0"),
        Property("adds noise of the variance 2h", lambda f, x, s, h, e: (
            (f(x, s, h, 0 * e + 1) - f(x, s, h, 0 * e)).square(), 0 * x + 2 * h), instead="eps = 1, then 0"),
        Property("is the sum of both", lambda f, x, s, h, e: (f(x, s, h, e), x + h * s(x) + e * (h + h) ** 0.5)),
    ),
    mistakes=(
        Mistake("x + h s + √h ε", "The noise of the equation is √2 dW: its variance in a time h is 2h. With h it is at "
                "half the temperature.", "6.13", lambda x, s, h, e: x + h * s(x) + h**0.5 * e),
        Mistake("x + ½ h s + √h ε", "That is the step of size h/2.", "6.13",
                lambda x, s, h, e: x + h / 2 * s(x) + h**0.5 * e),
        Mistake("x + ½ h s + √(2h) ε", "Half a drift for the whole noise: twice the temperature.", "6.13",
                lambda x, s, h, e: x + h / 2 * s(x) + (2 * h) ** 0.5 * e),
        Mistake("x + h s + 2h ε", "Variances add up in time, so the noise has the root of 2h.", "6.13",
                lambda x, s, h, e: x + h * s(x) + 2 * h * e),
        Mistake("x + h s + √2 h ε", "The h belongs under the root too.", "6.13",
                lambda x, s, h, e: x + h * s(x) + 2**0.5 * h * e),
        Mistake("x − h s + √(2h) ε", "Uphill: the score points to where points are denser.", "6.13",
                lambda x, s, h, e: x - h * s(x) + (2 * h) ** 0.5 * e),
        Mistake("the step with the score asked after the noise", "The score is taken where the point stands, before it "
                "is shaken.", "6.13", lambda x, s, h, e: (lambda y: y + h * s(y))(x + (2 * h) ** 0.5 * e)),
        Mistake("h s + √(2h) ε", "That is the way it goes. The step starts at x.", "6.13",
                lambda x, s, h, e: h * s(x) + (2 * h) ** 0.5 * e),
    ),
)  # fmt: skip

# --- mala_ratio ---------------------------------------------------------------------------------------------------


def _ratio_cases(draw: Draw) -> list[dict]:
    cases = []
    for n, dim in ((1, 2), (3, 2), (2, 3)):
        p = _bumpy(draw)
        x, y = draw.normal(n, dim), draw.normal(n, dim)
        cases.append({"x": x, "y": y, "log_prob": p.log_prob, "score": p.score, "h": draw.number(0.1, 0.9)})
    return cases


def _square(to, start, drift, h):
    """|to − start − h s(drift)|²."""
    return (to - start - h * drift).square().sum(-1)


def _ratio(x, y, log_prob, score, h, sign=1.0, width=4.0, back=None):
    """The logarithm of (6.17) with `sign` times the log ratio of the proposals, and 2 · variance = `width` · h."""
    there, back = _square(y, x, score(x), h), _square(x, y, score(y) if back is None else back, h)
    return log_prob(y) - log_prob(x) + sign * (there - back) / (width * h)


def _by_densities(f, x, y, log_prob, score, h):
    """The four log densities, constants and all."""
    q = lambda start: Gaussian(start + h * score(start), start.new_tensor(2 * h))  # noqa: E731
    expected = log_prob(y) + q(y).log_prob(x) - log_prob(x) - q(x).log_prob(y)
    return f(x, y, log_prob, score, h), expected


mala_ratio = Exercise(
    name="mala_ratio", notebook="06", section="5", title="accept or refuse", minutes=14,
    cases=_ratio_cases,
    properties=(
        Property("is the log ratio of four densities", _by_densities),
        Property("changes its sign when x and y change places",
                 lambda f, x, y, p, s, h: (f(y, x, p, s, h), -f(x, y, p, s, h))),
        Property("is 0 if the proposal is where the point is", lambda f, x, y, p, s, h: (f(x, x, p, s, h), 0 * p(x)),
                 instead="y = x"),
    ),
    mistakes=(
        Mistake("log π(y) − log π(x)", "The proposals are not alike in both directions: their ratio is missing.",
                "6.17", lambda *case: _ratio(*case, sign=0.0)),
        Mistake("log [π(y) q(y|x)] − log [π(x) q(x|y)]", "The proposal's ratio is upside down: the way back, q(x|y), "
                "stands with π(y).", "6.17", lambda *case: _ratio(*case, sign=-1.0)),
        Mistake("the log ratio with variance h", "The proposal's variance is 2h, so the square is divided by 4h.",
                "6.17", lambda *case: _ratio(*case, width=2.0)),
        Mistake("the log ratio with squares over h", "A Gaussian divides the square by twice its variance, 4h.",
                "6.17", lambda *case: _ratio(*case, width=1.0)),
        Mistake("the log ratio with s(x) in both directions", "The way back starts at y, with the score there.", "6.17",
                lambda x, y, p, s, h: _ratio(x, y, p, s, h, back=s(x))),
        Mistake("the log ratio with s(x) and s(y) exchanged", "Each way has the score of the point at which it starts.",
                "6.17", lambda x, y, p, s, h: p(y) - p(x) + (_square(y, x, s(y), h) - _square(x, y, s(x), h)) / 4 / h),
        Mistake("the ratio itself", "The logarithm is asked for.", "6.17", lambda *case: _ratio(*case).exp()),
        Mistake("the logarithm of the probability (6.17)", "Not the minimum with 1: the fraction alone.", "6.17",
                lambda *case: _ratio(*case).clamp(max=0)),
        Mistake("log [π(x) q(y|x)] − log [π(y) q(x|y)]", "The whole is upside down: y is where it goes.", "6.17",
                lambda *case: -_ratio(*case)),
        Mistake("log q(x|y) − log q(y|x)", "The densities π are missing.", "6.17",
                lambda x, y, p, s, h: _ratio(x, y, p, s, h) - p(y) + p(x)),
    ),
)  # fmt: skip

# --- walk_matrix --------------------------------------------------------------------------------------------------


def _walk_cases(draw: Draw) -> list[dict]:
    return [{"log_pi": draw.normal(n), "spacing": draw.number(0.3, 1.5)} for n in (2, 3, 6)]


def _rates(log_pi, spacing, power=0.5, square=2):
    """The rates between neighbours, from column to row, nothing on the diagonal."""
    n, pi = len(log_pi), log_pi.double().exp()
    A = torch.zeros(n, n, dtype=torch.float64)
    for j in range(n):
        for i in (j - 1, j + 1):
            if 0 <= i < n:
                A[i, j] = (pi[i] / pi[j]) ** power / spacing**square
    return A


def _closed(A):
    return A - torch.diag(A.sum(0))


def _leaking(log_pi, spacing):
    """Columns that sum to 0 inside, while the two ends lose what a neighbour beyond them would take."""
    wide = torch.cat([log_pi[:1], log_pi, log_pi[-1:]])
    return _closed(_rates(wide, spacing))[1:-1, 1:-1]


walk_matrix = Exercise(
    name="walk_matrix", notebook="06", section="6", title="a walk between cells", minutes=12,
    cases=_walk_cases,
    properties=(
        Property("has the rates of (6.18) between neighbours and loses nothing",
                 lambda f, *case: (f(*case), _closed(_rates(*case)))),
        Property("keeps all probability: its columns add up to 0",
                 lambda f, p, d: (f(p, d).sum(0), 0 * p)),
        Property("leaves π alone", lambda f, p, d: (f(p, d).double() @ p.double().exp(), 0 * p)),
    ),
    mistakes=(
        Mistake("A without its diagonal", "What enters a cell has left another: the columns must add up to 0.", "6.18",
                lambda p, d: _rates(p, d)),
        Mistake("A transposed", "Columns are where it comes from, rows where it goes: it is the columns that add up to "
                "0.", "6.18", lambda p, d: _closed(_rates(p, d)).T),
        Mistake("A with the sum of each row on the diagonal", "What leaves cell j stands in column j.", "6.18",
                lambda p, d: (lambda A: A - torch.diag(A.sum(1)))(_rates(p, d))),
        Mistake("A with 1/δ", "The second difference divides by δ².", "6.18",
                lambda p, d: _closed(_rates(p, d, square=1))),
        Mistake("A with π_i/π_j", "The root of the ratio: half of it for each direction.", "6.18",
                lambda p, d: _closed(_rates(p, d, power=1))),
        Mistake("A with √(π_j/π_i)", "Uphill is the faster way: where it goes stands above, where it comes from below.",
                "6.18", lambda p, d: _closed(_rates(p, d, power=-0.5))),
        Mistake("A with rates 1/δ²", "Without π it is the walk of pure noise, whose rest is uniform.", "6.18",
                lambda p, d: _closed(_rates(p, d, power=0))),
        Mistake("A with losses at the two ends", "Nothing leaves there: the ends have one neighbour.", "6.18",
                _leaking),
        Mistake("½A", "The noise is √2 dW: its variance in a time dτ is 2 dτ, and each neighbour gets half.", "6.18",
                lambda p, d: _closed(_rates(p, d)) / 2),
        Mistake("−A", "The sign: rates are positive and the diagonal is negative.", "6.18",
                lambda p, d: -_closed(_rates(p, d))),
    ),
)  # fmt: skip

EXERCISES = (denoising_loss, ula_step, mala_ratio, walk_matrix)

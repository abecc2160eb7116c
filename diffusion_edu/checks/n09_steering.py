r"""Exercises of notebook 09: guidance in ε, a classifier's push on x̂₀, what is known at t, where denoising starts."""

import math

import torch

from .. import conditioning, ddpm, guidance
from .core import Draw, Exercise, Mistake, Property

# --- guided_eps ---------------------------------------------------------------------------------------------------


def _pair_cases(draw: Draw) -> list[dict]:
    return [
        {"eps": draw.normal(*size), "eps_given": draw.normal(*size), "weight": draw.number(1.2, 4)}
        for size in ((1, 2), (3, 2), (4, 3))
    ]


def _exact_at_one(f, eps, eps_given, weight):
    return f(eps, eps_given, 1.0), eps_given


def _no_label_at_zero(f, eps, eps_given, weight):
    return f(eps, eps_given, 0.0), eps


def _as_in_x0(f, eps, eps_given, weight):
    """The library's guidance of x̂₀, turned into ε."""
    bar, xt = 0.3, eps.flip(-1) + eps_given
    x0 = [ddpm.x0_from_eps(xt, e, bar) for e in (eps, eps_given)]
    both = guidance.guided(lambda x, t: x0[0], lambda x, t: x0[1], weight)(xt, 0)
    return f(eps, eps_given, weight), ddpm.eps_from_x0(xt, both, bar)


guided_eps = Exercise(
    name="guided_eps", notebook="09", section="2", title="guidance in ε", minutes=6,
    cases=_pair_cases,
    properties=(
        Property("is ε̂(·, y) at w = 1 (9.4)", _exact_at_one, instead="weight = 1"),
        Property("is ε̂ at w = 0 (9.4)", _no_label_at_zero, instead="weight = 0"),
        Property("is the guidance of x̂₀ turned into ε (9.4)", _as_in_x0),
    ),
    mistakes=(
        Mistake("(1 + w) ε̂(·, y) − w ε̂", "That is Ho & Salimans' weight, which is ours less 1.", "9.4",
                lambda a, b, w: (1 + w) * b - w * a),
        Mistake("ε̂(·, y) + w (ε̂ − ε̂(·, y))", "The two answers are swapped: w pushes away from the label.", "9.4",
                lambda a, b, w: b + w * (a - b)),
        Mistake("ε̂ + w ε̂(·, y)", "The push is the difference of the two answers, not the second answer.", "9.4",
                lambda a, b, w: a + w * b),
        Mistake("ε̂ − w (ε̂(·, y) − ε̂)", "The sign: towards the label is from ε̂ to ε̂(·, y).", "9.4",
                lambda a, b, w: a - w * (b - a)),
        Mistake("w (ε̂(·, y) − ε̂)", "The push is added to ε̂.", "9.4", lambda a, b, w: w * (b - a)),
        Mistake("(ε̂ + w ε̂(·, y))/(1 + w)", "Guidance does not average: for w > 1 it goes beyond both answers.", "9.4",
                lambda a, b, w: (a + w * b) / (1 + w)),
    ),
)  # fmt: skip

# --- pushed_x0 ----------------------------------------------------------------------------------------------------


def _push_cases(draw: Draw) -> list[dict]:
    return [
        {"x0_hat": draw.normal(*size), "gradient": draw.normal(*size), "alpha_bar": draw.number(0.1, 0.9),
         "weight": draw.number(0.5, 3)}
        for size in ((1, 2), (3, 2), (4, 3))
    ]  # fmt: skip


def _library_push(f, x0_hat, gradient, alpha_bar, weight):
    bar = torch.tensor([1.0, alpha_bar])
    guided = guidance.classifier_guided(lambda x, t: x0_hat, lambda x, t: (x * gradient).sum(-1), bar, weight)
    return f(x0_hat, gradient, alpha_bar, weight), guided(torch.zeros_like(x0_hat), 1)


def _bayes(f, x0_hat, gradient, alpha_bar, weight):
    """x₀ ~ N(0, I) and y = x₀ + N(0, v): log p(y|x_t) is known, and so is E[x₀|x_t, y]."""
    v, y, xt = 0.7, gradient, x0_hat
    plain = alpha_bar**0.5 * xt  # E[x₀|x_t], of variance 1 − ᾱ
    slope = alpha_bar**0.5 * (y - plain) / (1 - alpha_bar + v)
    exact = (plain / (1 - alpha_bar) + y / v) / (1 / (1 - alpha_bar) + 1 / v)
    return f(plain, slope, alpha_bar, 1.0), exact


def _push(factor):
    return lambda x0, g, a, w: x0 + w * factor(a) * g


pushed_x0 = Exercise(
    name="pushed_x0", notebook="09", section="2", title="a classifier's push", minutes=8,
    cases=_push_cases,
    properties=(
        Property("turns E[x₀|x_t] into E[x₀|x_t, y] for Gaussians (9.3)", _bayes,
                 instead="x0_hat = E[x₀|x_t]; gradient = that of log p(y|x_t); weight = 1"),
        Property("is the library's guidance by a classifier (9.3)", _library_push),
    ),
    mistakes=(
        Mistake("x̂₀ + w √(1−ᾱ)/√ᾱ ∇", "The push on ε̂ has the factor √(1−ᾱ); from ε̂ to x̂₀ comes another √(1−ᾱ)/√ᾱ.",
                "9.3", _push(lambda a: ((1 - a) / a) ** 0.5)),
        Mistake("x̂₀ + w (1−ᾱ) ∇", "The 1/√ᾱ is missing: x̂₀ is the clean point, not the shrunk one.", "9.3",
                _push(lambda a: 1 - a)),
        Mistake("x̂₀ + w (1−ᾱ)/ᾱ ∇", "1/√ᾱ, not 1/ᾱ: x_t = √ᾱ x₀ + … is divided once.", "9.3",
                _push(lambda a: (1 - a) / a)),
        Mistake("x̂₀ − w (1−ᾱ)/√ᾱ ∇", "The gradient points to where the label is likely, and so does the push. In ε̂ the "
                "sign is the other one.", "9.3", _push(lambda a: -(1 - a) / a**0.5)),
        Mistake("x̂₀ + w ∇", "The score is pushed by w ∇. x̂₀ is (x_t + (1−ᾱ) score)/√ᾱ.", "9.3", _push(lambda a: 1)),
        Mistake("x̂₀ − w √(1−ᾱ) ∇", "That is the push on ε̂.", "9.3", _push(lambda a: -((1 - a) ** 0.5))),
        Mistake("x̂₀ + (1−ᾱ)/√ᾱ ∇", "The weight w is missing.", "9.3",
                lambda x0, g, a, w: x0 + (1 - a) / a**0.5 * g),
    ),
)  # fmt: skip

# --- put_in -------------------------------------------------------------------------------------------------------


def _known_cases(draw: Draw) -> list[dict]:
    cases = []
    for n, D in ((1, 2), (3, 2), (4, 3)):
        is_known = torch.arange(D) > 0
        cases.append({"xt": draw.normal(n, D), "x0": draw.normal(D), "is_known": is_known,
                      "alpha_bar": draw.number(0.1, 0.9), "eps": draw.normal(n, D)})  # fmt: skip
    return cases


def _is_a_point_of_the_chain(f, xt, x0, is_known, alpha_bar, eps):
    """Where something is known, x_t is the jump (3.4) from it."""
    return f(xt, x0, is_known, alpha_bar, eps)[:, 1:], ddpm.noised(x0, eps, alpha_bar)[:, 1:]


def _leaves_the_rest(f, xt, x0, is_known, alpha_bar, eps):
    return f(xt, x0, is_known, alpha_bar, eps)[:, :1], xt[:, :1]


def _library_known(f, xt, x0, is_known, alpha_bar, eps):
    known = torch.where(is_known, x0, math.nan)
    return f(xt, x0, is_known, alpha_bar, eps), conditioning.replaced(xt, known, alpha_bar, eps)


def _put(signal, noise):
    def wrong(xt, x0, is_known, a, eps):
        return torch.where(is_known, signal(a) * x0 + noise(a) * eps, xt)

    return wrong


put_in = Exercise(
    name="put_in", notebook="09", section="6", title="what is known at t", minutes=8,
    cases=_known_cases,
    properties=(
        Property("leaves what is not known as it is", _leaves_the_rest),
        Property("is a point of the chain where something is known (9.10)", _is_a_point_of_the_chain),
        Property("is the library's replaced (9.10)", _library_known),
    ),
    mistakes=(
        Mistake("√ᾱ x + (1−ᾱ) ε", "The misprint of RePaint's Algorithm 1: 1 − ᾱ is the variance, and noise is "
                "multiplied by its root.", "9.10", _put(lambda a: a**0.5, lambda a: 1 - a)),
        Mistake("ᾱ x + √(1−ᾱ) ε", "The signal shrinks by √ᾱ (3.4).", "9.10",
                _put(lambda a: a, lambda a: (1 - a) ** 0.5)),
        Mistake("x", "The clean value at a noisy t: the denoiser has never seen such a point.", "9.10",
                _put(lambda a: 1, lambda a: 0)),
        Mistake("√ᾱ x", "The noise is missing: the denoiser expects the variance 1 − ᾱ in every coordinate.", "9.10",
                _put(lambda a: a**0.5, lambda a: 0)),
        Mistake("x + √(1−ᾱ) ε", "The signal shrinks by √ᾱ (3.4).", "9.10", _put(lambda a: 1, lambda a: (1 - a) ** 0.5)),
        Mistake("√ᾱ x + √(1−ᾱ) ε where nothing is known", "The two sides are swapped.", "9.10",
                lambda xt, x0, k, a, e: torch.where(k, xt, a**0.5 * x0 + (1 - a) ** 0.5 * e)),
    ),
)  # fmt: skip

# --- start --------------------------------------------------------------------------------------------------------


def _start_cases(draw: Draw) -> list[dict]:
    return [{"sigma": draw.uniform(0.2, 0.9), "y": draw.normal(*size)} for size in ((1, 2), (3, 2), (4, 3))]


def _right_snr(f, sigma, y):
    bar, _ = f(sigma, y)
    return (1 - bar) / bar, sigma**2


def _right_scale(f, sigma, y):
    """For Gaussian data the chain's x_t has E[x₀|x_t] = √ᾱ x_t; of y itself it is y/(1 + σ²)."""
    bar, x = f(sigma, y)
    return bar**0.5 * x, y / (1 + sigma**2)


def _begin(bar, scale):
    return lambda s, y: (bar(s), scale(bar(s)) * y)


_RIGHT = lambda s: 1 / (1 + s**2)  # noqa: E731

start = Exercise(
    name="start", notebook="09", section="7", title="where denoising starts", minutes=8,
    cases=_start_cases,
    parts=2,
    properties=(
        Property("starts where the chain has as much noise for its signal as y (9.11)", _right_snr),
        Property("starts from a point of the chain (9.11)", _right_scale),
    ),
    mistakes=(
        Mistake("(1/(1 + σ²), y)", "The ᾱ is right. At that level the chain's points have shrunk by √ᾱ: scale y.",
                "9.11", _begin(_RIGHT, lambda a: 1)),
        Mistake("(1/(1 + σ²), ᾱ y)", "Points shrink by √ᾱ, not by ᾱ.", "9.11", _begin(_RIGHT, lambda a: a)),
        Mistake("(1/(1 + σ), √ᾱ y)", "σ² is the variance of the noise, (1−ᾱ)/ᾱ.", "9.11",
                _begin(lambda s: 1 / (1 + s), lambda a: a**0.5)),
        Mistake("(1 − σ², √ᾱ y)", "That sets √(1−ᾱ) = σ. In x_t the signal has shrunk, in y it has not.", "9.11",
                lambda s, y: (1 - s**2, abs(1 - s**2) ** 0.5 * y)),
        Mistake("(1 − σ², y)", "That sets √(1−ᾱ) = σ. In x_t the signal has shrunk, in y it has not.", "9.11",
                lambda s, y: (1 - s**2, y)),
    ),
)  # fmt: skip

EXERCISES = (guided_eps, pushed_x0, put_in, start)

r"""Exercises of notebook 00: nats, the density at every noise level, the best guess of the noise, and the ruler."""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from ..data import SwissRoll
from ..gaussian import LOG_2PI
from ..oracles import Mixture
from .core import Draw, Exercise, Mistake, Ordering, Property

# --- log_normal ---------------------------------------------------------------------------------------------------


def _normal_cases(draw: Draw) -> list[dict]:
    return [
        {"x": draw.normal(*size), "mean": draw.normal(size[-1]), "std": draw.uniform(0.3, 2)}
        for size in ((1,), (2,), (3, 2), (3, 3), (2, 4, 5))
    ]


def _log_normal(x, mean, std, square=None, log=None):
    """Each dimension's log N(x; mean, std²), with a part replaced."""
    square = (x - mean) ** 2 / (2 * std**2) if square is None else square
    return -square - 0.5 * LOG_2PI - (std.log() if log is None else log)


def _total_on_a_line(f, x, mean, std):
    """∫ exp f over a fine grid, in one dimension."""
    line = torch.linspace(-12, 12, 4001, dtype=x.dtype).unsqueeze(-1)
    return f(line, mean[:1], std).double().exp().sum() * 24 / 4000, torch.ones(())


log_normal = Exercise(
    name="log_normal", notebook="00", section="Nats", title="the log density of a Gaussian", minutes=8,
    cases=_normal_cases,
    properties=(
        Property("agrees with torch.distributions",
                 lambda f, x, m, s: (f(x, m, s), Independent(Normal(m, s), 1).log_prob(x))),
        Property("is the log of a density that integrates to one", _total_on_a_line),
        Property("is −½ D log 2π at the mean for s = 1",
                 lambda f, x, m, s: (f(m + 0 * x, m, s / s), -0.5 * x.shape[-1] * LOG_2PI + 0 * x[..., 0]),
                 instead="x = mean; std = 1"),
        Property("stays finite a hundred standard deviations from the mean",
                 lambda f, x, m, s: (f(m + 100 * s + 0 * x, m, s), _log_normal(m + 100 * s + 0 * x, m, s).sum(-1)),
                 hint="So far out the density is zero in the computer, and its log is −∞. Take the log on paper first: "
                 "what is exp for then?", instead="x = mean + 100 std"),
    ),
    mistakes=(
        Mistake("the negative of it", "That is the surprise, −log p. The log density falls with the distance.", "0.3a",
                lambda *a: -_log_normal(*a).sum(-1)),
        Mistake("the log density of each dimension", "A data point is a vector: sum over the last axis.", "0.3a",
                _log_normal),
        Mistake("the mean over the dimensions", "Logs of independent dimensions add up: a sum, not a mean.", "0.3a",
                lambda *a: _log_normal(*a).mean(-1)),
        Mistake("log N with the constant counted once", "Each of the D dimensions has its own −½ log 2πs².", "0.3a",
                lambda x, m, s: -((x - m) ** 2 / (2 * s**2)).sum(-1) - 0.5 * (2 * math.pi * s**2).log()),
        Mistake("log N with (x − m)²/2s", "The square is measured in variances: 2s², not 2s.", "0.3a",
                lambda x, m, s: _log_normal(x, m, s, square=(x - m) ** 2 / (2 * s)).sum(-1)),
        Mistake("log N with (x − m)²/s²", "The factor ½ in the exponent is missing.", "0.3a",
                lambda x, m, s: _log_normal(x, m, s, square=(x - m) ** 2 / s**2).sum(-1)),
        Mistake("log N with |x − m|", "The distance is not squared.", "0.3a",
                lambda x, m, s: _log_normal(x, m, s, square=(x - m).abs() / (2 * s**2)).sum(-1)),
        Mistake("log N without log s", "A wide density is low: −log s per dimension is missing, and it does not "
                "integrate to one.", "0.3a", lambda x, m, s: _log_normal(x, m, s, log=0).sum(-1)),
        Mistake("log N with log s² in place of log s", "log √(2πs²) is ½ log 2π + log s.", "0.3a",
                lambda x, m, s: _log_normal(x, m, s, log=2 * s.log()).sum(-1)),
        Mistake("the density itself", "The log is missing.", "0.3a", lambda *a: _log_normal(*a).sum(-1).exp()),
    ),
)  # fmt: skip

# --- too_sure -----------------------------------------------------------------------------------------------------

HALF, TWICE, THRICE, UNIT = "noise × ½", "noise × 2", "noise × 3", "unit Gaussian"


@functools.cache
def _distances() -> dict[str, float]:
    """KL(p ‖ model) of four models of the roll, nats, by the trapezoidal rule on a grid as fine as its noise."""
    roll = SwissRoll(nodes=320)
    side = torch.arange(-2.7, 2.7, roll.variances.min().sqrt().item(), dtype=torch.float64)
    x = torch.cartesian_prod(side, side)
    log_p, factors = roll.log_prob(x), {HALF: 0.5, TWICE: 2, THRICE: 3}
    models = {name: Mixture(roll.weights, roll.means, f**2 * roll.variances) for name, f in factors.items()}
    models[UNIT] = Mixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1, 2))
    p = log_p.softmax(0)
    return {name: (p @ (log_p - model.log_prob(x))).item() for name, model in models.items()}


_SURE = ("A model that is too sure calls many true points nearly impossible, and the log makes it pay for each. One "
         "that is unsure loses a little everywhere. See (0.3).")  # fmt: skip

too_sure = Ordering(
    name="too_sure", notebook="00", section="Nats", title="is it worse to be too sure or too unsure?", minutes=4,
    values=_distances,
    backwards="This is the right order, read from the worst to the best.",
    reasons={
        (TWICE, THRICE): "The more noise a model believes in beyond the true one, the more it loses.",
        (TWICE, HALF): "A factor of two costs more downwards than upwards. " + _SURE,
        (TWICE, UNIT): "To know the curve is worth a lot, even with twice the noise. See the ruler.",
        (THRICE, HALF): "Half the noise costs more than even three times the noise. " + _SURE,
        (THRICE, UNIT): "To know the curve is worth a lot, even with three times the noise. See the ruler.",
        (HALF, UNIT): "To know the curve is worth more than the price of being too sure by a factor of two.",
    },
)  # fmt: skip

# --- noisy_log_prob -----------------------------------------------------------------------------------------------


def _mixture_cases(draw: Draw) -> list[dict]:
    return [
        {
            "xt": draw.normal(*size),
            "weights": draw.uniform(0.5, 2, K).softmax(0),
            "means": 2 * draw.normal(K, size[-1]),
            "var": draw.uniform(0.05, 0.4),
            "alpha_bar": draw.uniform(0.1, 0.9),
        }
        for K, size in ((2, (1,)), (3, (2,)), (4, (5, 2)), (3, (3, 3)))
    ]


def _component_logs(xt, means, var):
    """log N(x_t; mean_k, var I), (..., K)."""
    distance = (xt.unsqueeze(-2) - means).square().sum(-1)
    return -0.5 * (distance / var + means.shape[-1] * (2 * math.pi * var).log())


def _noisy(xt, w, m, var, a, signal=0.5, total=None, join=None):
    """log p(x_t), with a part replaced: the power of ᾱ on the means, the variance, or how components are joined."""
    variance = a * var + 1 - a if total is None else total(var, a)
    logs = _component_logs(xt, a**signal * m, variance)
    return (w.log() + logs).logsumexp(-1) if join is None else join(w, logs)


def _noisy_by_torch(f, xt, w, m, var, a):
    parts = Independent(Normal((a.sqrt() * m).double(), (a * var + 1 - a).double().sqrt()), 1)
    return f(xt, w, m, var, a), MixtureSameFamily(Categorical(w.double()), parts).log_prob(xt.double())


noisy_log_prob = Exercise(
    name="noisy_log_prob", notebook="00", section="The truth at every noise level",
    title="the density at every noise level", minutes=15,
    cases=_mixture_cases,
    properties=(
        Property("agrees with torch.distributions", _noisy_by_torch),
        Property("is the clean density at ᾱ = 1",
                 lambda f, x, w, m, v, a: (f(x, w, m, v, a / a), _noisy(x, w, m, v, a / a)), instead="alpha_bar = 1"),
        Property("is N(0, I) at ᾱ = 0, whatever the data",
                 lambda f, x, w, m, v, a: (f(x, w, m, v, 0 * a), Independent(Normal(0 * x, 0 * x + 1), 1).log_prob(x)),
                 instead="alpha_bar = 0"),
        Property("stays finite far from the data",
                 lambda f, x, w, m, v, a: (f(100 + x, w, m, v, a), _noisy((100 + x).double(), w, m, v, a)),
                 hint="Far away every density is zero in the computer. Stay with the logs, and join them with "
                 "torch.logsumexp.", instead="xt = about 100 in each coordinate"),
    ),
    mistakes=(
        Mistake("the density with means ᾱ m", "The curve shrinks by the root of ᾱ.", "0.6",
                lambda *a: _noisy(*a, signal=1)),
        Mistake("the density with the means as they were", "The noise process also shrinks the curve, to √ᾱ c(u).",
                "0.6", lambda *a: _noisy(*a, signal=0)),
        Mistake("the density with variance s² + 1 − ᾱ", "The data's own noise shrinks with the data: ᾱ s².", "0.6",
                lambda *a: _noisy(*a, total=lambda v, a: v + 1 - a)),
        Mistake("the density with variance √ᾱ s² + 1 − ᾱ", "Variances shrink by ᾱ; standard deviations by its root.",
                "0.6", lambda *a: _noisy(*a, total=lambda v, a: a.sqrt() * v + 1 - a)),
        Mistake("the density with variance 1 − ᾱ", "The data's own noise ᾱ s² is missing.", "0.6",
                lambda *a: _noisy(*a, total=lambda v, a: 1 - a)),
        Mistake("the density with variance (√ᾱ s + √(1 − ᾱ))²", "Of independent noises the variances add, not the "
                "standard deviations.", "0.6",
                lambda *a: _noisy(*a, total=lambda v, a: ((a * v).sqrt() + (1 - a).sqrt()) ** 2)),
        Mistake("the weighted mean of the logs", "The density is a mean of densities. The log stands outside.", "0.2",
                lambda *a: _noisy(*a, join=lambda w, logs: (w * logs).sum(-1))),
        Mistake("the density with equal weights", "The weights are missing.", "0.2",
                lambda *a: _noisy(*a, join=lambda w, logs: logs.logsumexp(-1) - math.log(len(w)))),
        Mistake("the log of the sum without weights", "The weights are missing; they add up to one.", "0.2",
                lambda *a: _noisy(*a, join=lambda w, logs: logs.logsumexp(-1))),
        Mistake("the density, not its log", "The log is missing.", "0.6", lambda *a: _noisy(*a).exp()),
    ),
)  # fmt: skip

# --- noise_guess --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NoisyDensity:
    """log p(x_t) of a mixture at one noise level."""

    mixture: Mixture
    alpha_bar: float

    def __call__(self, xt: Tensor) -> Tensor:
        """log p(x_t), (...)."""
        return self.mixture.log_prob(xt, self.alpha_bar)


def _guess_cases(draw: Draw) -> list[dict]:
    cases = []
    for K, size in ((1, (1,)), (2, (2,)), (3, (4, 2)), (2, (3, 3))):
        mixture = Mixture(draw.uniform(0.5, 2, K), 2 * draw.normal(K, size[-1]), draw.uniform(0.05, 0.4, K, 1))
        a = draw.uniform(0.2, 0.8)
        cases.append({"log_prob": NoisyDensity(mixture, a.item()), "xt": draw.normal(*size), "alpha_bar": a})
    return cases


def _by_x0_mean(f, log_prob, xt, a):
    """(x_t − √ᾱ E[x₀|x_t])/√(1 − ᾱ), from the components' posteriors."""
    b = a.double()
    return f(log_prob, xt, a), (xt - b.sqrt() * log_prob.mixture.x0_mean(xt.double(), b.item())) / (1 - b).sqrt()


def _only_noise(f, log_prob, xt, a):
    """Data that are all zero: x_t is √(1 − ᾱ) ε, so ε is known."""
    return f(lambda x: -x.square().sum(-1) / (2 * (1 - a)), xt, a), xt / (1 - a).sqrt()


def _guess(factor, density=False):
    """A multiple of the score, or of the slope of the density."""

    def wrong(log_prob, xt, a):
        s = log_prob.mixture.score(xt, log_prob.alpha_bar)
        return factor(a) * s * (log_prob(xt).exp().unsqueeze(-1) if density else 1)

    return wrong


noise_guess = Exercise(
    name="noise_guess", notebook="00", section="The truth at every noise level", title="the best guess of the noise",
    minutes=8,
    cases=_guess_cases,
    properties=(
        Property("is the mean of ε given x_t, by Bayes' rule over the components", _by_x0_mean),
        Property("is x_t/√(1 − ᾱ) for data that are all zero", _only_noise),
    ),
    mistakes=(
        Mistake("the score", "The factor −√(1 − ᾱ) is missing.", "0.7", _guess(lambda a: 1)),
        Mistake("√(1 − ᾱ) ∇ log p", "The sign of the score: it points to the data, the noise points away from them.",
                "0.7", _guess(lambda a: (1 - a).sqrt())),
        Mistake("−(1 − ᾱ) ∇ log p", "The factor is the noise's standard deviation √(1 − ᾱ), not its variance.", "0.7",
                _guess(lambda a: a - 1)),
        Mistake("−∇ log p/√(1 − ᾱ)", "The factor is on the wrong side: the score is −E[ε|x_t]/√(1 − ᾱ).", "0.7",
                _guess(lambda a: -1 / (1 - a).sqrt())),
        Mistake("−√ᾱ ∇ log p", "The factor belongs to the noise: √(1 − ᾱ).", "0.7", _guess(lambda a: -a.sqrt())),
        Mistake("−∇ log p", "The factor √(1 − ᾱ) is missing.", "0.7", _guess(lambda a: -1)),
        Mistake("−√(1 − ᾱ) ∇ p", "It is the slope of the log density, not of the density.", "0.7",
                _guess(lambda a: -(1 - a).sqrt(), density=True)),
        Mistake("E[x₀|x_t]", "That is the best guess of the data. The noise is (x_t − √ᾱ x₀)/√(1 − ᾱ).", "0.5",
                lambda log_prob, xt, a: log_prob.mixture.x0_mean(xt, log_prob.alpha_bar)),
    ),
)  # fmt: skip

# --- paired_gap ---------------------------------------------------------------------------------------------------


def _pairs(draw: Draw) -> list[dict]:
    cases = []
    for n in (5, 40, 300):
        log_p = 0.7 * draw.normal(n) - 1.4
        cases.append({"log_p": log_p, "log_p_model": log_p - 0.2 * draw.normal(n) - 0.1})
    return cases


def _gap(f, p, model):
    d = (p - model).double()
    se = d.std() / len(d) ** 0.5
    return f(p, model), (d.mean(), se), se / len(d)  # whether one divides by n or n − 1 is no mistake


paired_gap = Exercise(
    name="paired_gap", notebook="00", section="The ruler", title="a sharp ruler", minutes=6,
    cases=_pairs,
    parts=2,
    properties=(
        Property("is the mean difference with its standard error", _gap),
        Property("is exact for a model that is off by the same at every point",
                 lambda f, p, model: (f(p, p - 0.25), (0.25 + 0 * p[0], 0 * p[0])),
                 hint="The points' own spread must cancel."),
    ),
    mistakes=(
        Mistake("minus the gap (part 1)", "The KL is the mean of log p − log p_θ: the truth first. It is not negative.",
                "0.3", lambda p, m: ((m - p).mean(), None)),
        Mistake("the mean distance |log p − log p_θ| (part 1)", "The differences keep their signs: at single points "
                "the model may be above the truth.", "0.3", lambda p, m: ((p - m).abs().mean(), None)),
        Mistake("the model's mean surprise (part 1)", "That is the score, −log p_θ. The distance to H has log p in it.",
                "0.3", lambda p, m: ((-m).mean(), None)),
        Mistake("the sum of the differences (part 1)", "An expectation is a mean.", "0.3",
                lambda p, m: ((p - m).sum(), None)),
        Mistake("the standard deviation (part 2)", "That is the spread of single points. The mean of n points has an "
                "error √n times smaller.", "0.3", lambda p, m: (None, (p - m).std())),
        Mistake("the standard deviation over n (part 2)", "The error of a mean falls like 1/√n.", "0.3",
                lambda p, m: (None, (p - m).std() / len(p))),
        Mistake("the variance over n (part 2)", "The root is missing.", "0.3",
                lambda p, m: (None, (p - m).var() / len(p))),
        Mistake("the standard error of two independent samples (part 2)", "The points are the same, and their spread "
                "cancels: take the standard deviation of the differences.", "0.3",
                lambda p, m: (None, ((p.var() + m.var()) / len(p)).sqrt())),
        Mistake("the standard error of −log p_θ (part 2)", "That is the unpaired estimate. Take the standard deviation "
                "of the differences.", "0.3", lambda p, m: (None, m.std() / len(p) ** 0.5)),
    ),
)  # fmt: skip

EXERCISES = (log_normal, too_sure, noisy_log_prob, noise_guess, paired_gap)

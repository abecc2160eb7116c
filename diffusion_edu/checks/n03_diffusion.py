r"""Exercises of notebook 03: the forward jump, the length of a schedule, the way back, and what each step costs."""

import functools
import math

import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from .. import diffusion, gaussian, oracles, schedules
from ..bound import bound
from ..gaussian import Gaussian
from .core import Draw, Exercise, Mistake, Ordering, Property


def _times(draw: Draw, first: int = 1) -> list[tuple[Tensor, int]]:
    """Random schedules with their first, a middle and their last t."""
    pairs = []
    for where in range(3):
        beta = draw.betas()
        T = len(beta) - 1
        pairs.append((beta, (first, draw.integer(first + 1, T - 1), T)[where]))
    return pairs


def _bars(beta: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """α_t, ᾱ_{t−1}, ᾱ_t and β̃_t."""
    bar = (1 - beta).cumprod(0)
    return 1 - beta[t], bar[t - 1], bar[t], (1 - bar[t - 1]) / (1 - bar[t]) * beta[t]


# --- jump ---------------------------------------------------------------------------------------------------------


def _jump_cases(draw: Draw) -> list[dict]:
    sizes = ((2,), (2,), (3, 2))
    return [
        {"beta": beta, "t": t, "x0": draw.normal(*size), "eps": draw.normal(*size)}
        for (beta, t), size in zip(_times(draw), sizes, strict=True)
    ]


def _single_steps(f, beta, t, x0, eps):
    """The mean and the variance after t single steps of (3.2)."""
    mean, var = x0, torch.zeros_like(beta[0])
    for b in beta[1 : t + 1]:
        mean, var = (1 - b).sqrt() * mean, (1 - b) * var + b
    return f(beta, t, x0, eps), mean + var.sqrt() * eps


def _mix(a, b):
    """x_t with the squared factors a of x₀ and b of ε."""
    return lambda x0, eps: a.sqrt() * x0 + b.sqrt() * eps


def _bar(beta, t):
    return (1 - beta).cumprod(0)[t]


jump = Exercise(
    name="jump", notebook="03", section="2", title="to x_t in one jump", minutes=8,
    cases=_jump_cases,
    properties=(
        Property("has the mean and the variance of t single steps (3.2)", _single_steps),
        Property(
            "preserves the variance: the squared factors add up to one",
            lambda f, b, t, x, e: (f(b, t, 0 * x + 1, 0 * e) ** 2 + f(b, t, 0 * x, 0 * e + 1) ** 2, 0 * x + 1),
            instead="x0 = 1, then 0; eps = 0, then 1",
        ),
        Property("is x₀ itself at t = 0", lambda f, b, t, x, e: (f(b, 0, x, e), x), instead="t = 0",
                 hint="Keep β_0 = 0 in the product: without it index t − 1 of t = 0 is the last one, ᾱ_T."),
    ),
    mistakes=(
        Mistake("√α_t x₀ + √β_t ε", "That is one step, from x_{t−1} to x_t. From x₀ it takes ᾱ_t, the product of all α "
                "so far.", "3.4", lambda b, t, x, e: _mix(1 - b[t], b[t])(x, e)),
        Mistake("ᾱ_t x₀ + √(1 − ᾱ_t) ε", "The root of ᾱ_t multiplies the signal: ᾱ_t is a share of the variance.",
                "3.4", lambda b, t, x, e: _mix(_bar(b, t) ** 2, 1 - _bar(b, t))(x, e)),
        Mistake("√ᾱ_t x₀ + (1 − ᾱ_t) ε", "1 − ᾱ_t is the variance of the noise. The noise is multiplied by its root, "
                "the standard deviation.", "3.4", lambda b, t, x, e: _mix(_bar(b, t), (1 - _bar(b, t)) ** 2)(x, e)),
        Mistake("x_{t−1}", "The index is shifted by one: the product runs up to and with α_t.", "3.4",
                lambda b, t, x, e: _mix(_bar(b, t - 1), 1 - _bar(b, t - 1))(x, e)),
        Mistake("x_{t+1}", "The index is shifted by one: the product runs up to α_t and no further.", "3.4",
                lambda b, t, x, e: _mix(_bar(b, t + 1), 1 - _bar(b, t + 1))(x, e)),
        Mistake("the jump with signal and noise exchanged", "ᾱ_t is the share of the signal. It starts at 1.", "3.4",
                lambda b, t, x, e: _mix(1 - _bar(b, t), _bar(b, t))(x, e)),
        Mistake("√ᾱ_t x₀ + √β_t ε", "The noise of all t steps adds up to 1 − ᾱ_t; β_t is the last step's alone.",
                "3.4", lambda b, t, x, e: _mix(_bar(b, t), b[t])(x, e)),
        Mistake("the jump with ᾱ_t = (1 − β_t)^t", "That holds for a constant β. Here each step has its own.", "3.4",
                lambda b, t, x, e: _mix((1 - b[t]) ** t, 1 - (1 - b[t]) ** t)(x, e)),
    ),
)  # fmt: skip

# --- steps_needed -------------------------------------------------------------------------------------------------


def _length_cases(draw: Draw) -> list[dict]:
    return [
        {"beta": draw.number(0.02, 0.3), "dim": dim, "nats": 10 ** draw.number(-3, -0.5)} for dim in (1, 2, 3, 7, 64)
    ] + [
        {"beta": draw.number(0.6, 0.9), "dim": 1, "nats": 1.0},  # one step is enough
        {"beta": draw.number(0.003, 0.004), "dim": 3, "nats": draw.number(0.005, 0.01)},  # a thousand are not
    ]


def _first_below(beta: float, dim: int, nats: float, cost=None) -> int:
    """The first T at which the mean L_T is below `nats`; `cost(ᾱ, D)` in its place if given."""
    bar = torch.cumprod(torch.full((4000,), 1 - beta, dtype=torch.float64), 0)
    means = gaussian.kl(
        Gaussian(bar.sqrt().unsqueeze(-1), (1 - bar).unsqueeze(-1)),  # one dimension with |x₀|² = 1
        Gaussian(torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)),
    )
    below = (dim * means if cost is None else cost(bar, dim)) < nats
    return int(below.nonzero()[0]) + 1


def _log(bar):
    return -torch.log1p(-bar)


def _exponential(beta, dim, nats):
    """T from e^{−βT} in the place of (1 − β)^T."""
    return math.floor(-math.log(1 - math.exp(-2 * nats / dim)) / beta) + 1


steps_needed = Exercise(
    name="steps_needed", notebook="03", section="3", title="how long must a schedule be?", minutes=10,
    cases=_length_cases,
    properties=(
        Property("is the first T at which KL(q(x_T|x₀) ‖ N(0, I)) is small enough",
                 lambda f, *case: (f(*case), _first_below(*case)),
                 hint="Does the search end too early? A small β needs more than a thousand steps."),
    ),
    mistakes=(
        Mistake("T − 1", "The mean L_T is not yet below the limit there: one step more.", "3.7",
                lambda *case: _first_below(*case) - 1),
        Mistake("T + 1", "One step fewer is enough. β_1 is the first step, so T = 1 has ᾱ_1 = 1 − β.", "3.7",
                lambda *case: _first_below(*case) + 1),
        Mistake("the answer for two dimensions", "The mean L_T grows with D: the factor is D/2.", "3.7",
                lambda *case: _first_below(*case, cost=lambda bar, D: _log(bar))),
        Mistake("the answer with D in place of D/2", "The factor in front of the log is D/2.", "3.7",
                lambda *case: _first_below(*case, cost=lambda bar, D: D * _log(bar))),
        Mistake("the first T with ᾱ_T below the limit", "ᾱ_T is a share of the variance, not nats.", "3.7",
                lambda *case: _first_below(*case, cost=lambda bar, D: bar)),
        Mistake("the first T with −D/2 log(1 − √ᾱ_T) below the limit", "It is ᾱ_T under the log, without a root.",
                "3.7", lambda *case: _first_below(*case, cost=lambda bar, D: D / 2 * _log(bar.sqrt()))),
        Mistake("the answer with e^{−βT}", "ᾱ_T is exactly (1 − β)^T; the exponential is its limit for small β.",
                "3.4", _exponential),
    ),
)  # fmt: skip

# --- posterior ----------------------------------------------------------------------------------------------------


def _posterior_cases(draw: Draw) -> list[dict]:
    sizes = ((2,), (2,), (3, 2))
    return [
        {"beta": beta, "t": t, "xt": draw.normal(*size), "x0": draw.normal(*size)}
        for (beta, t), size in zip(_times(draw), sizes, strict=True)
    ]


def _with_number(f):
    """The answer with its variance as one number, where it comes as the same number for each coordinate."""

    def answer(*inputs):
        mean, var = f(*inputs)
        same = var.shape == mean.shape and bool((var == var.reshape(-1)[0]).all())
        return mean, var.reshape(-1)[0] if same else var

    return answer


def _at_the_first_step(f, beta, t, xt, x0):
    """At t = 1 the posterior is the point x₀ itself."""
    if t > 1:
        return torch.zeros(()), torch.zeros(())
    return _with_number(f)(beta, t, xt, x0), (x0, torch.zeros(()))


def _by_bayes(f, beta, t, xt, x0):
    """Prior times likelihood, by precisions, for t ≥ 2."""
    if t == 1:
        return torch.zeros(()), torch.zeros(())
    alpha, before, _, _ = _bars(beta.double(), t)
    x = x0.double()
    exact = gaussian.condition(Gaussian(before.sqrt() * x, (1 - before) + 0 * x), alpha.sqrt(), beta[t], xt)
    return _with_number(f)(beta, t, xt, x0), (exact.mean, exact.var.reshape(-1)[0])


def _bayes_identity(f, beta, t, xt, x0):
    """log q(x_{t−1}|x_t, x₀) + log q(x_t|x₀) against log q(x_t|x_{t−1}) + log q(x_{t−1}|x₀)."""
    if t == 1:
        return torch.zeros(()), torch.zeros(())
    alpha, before, bar, _ = _bars(beta.double(), t)
    point = Draw(3).normal(*xt.shape)
    mean, var = f(beta, t, xt, x0)
    left = Gaussian(mean, var).log_prob(point) + Gaussian(bar.sqrt() * x0, 1 - bar).log_prob(xt)
    right = Gaussian(alpha.sqrt() * point, beta[t]).log_prob(xt)
    return left, right + Gaussian(before.sqrt() * x0, 1 - before).log_prob(point)


def _mean(c0, ct):
    """A wrong mean; any variance."""

    def wrong(beta, t, xt, x0):
        bars = _bars(beta, t)
        return c0(beta[t], *bars) * x0 + ct(beta[t], *bars) * xt, None

    return wrong


def _right_c0(b, a, before, bar, tilde):
    return before.sqrt() * b / (1 - bar)


def _right_ct(b, a, before, bar, tilde):
    return a.sqrt() * (1 - before) / (1 - bar)


posterior = Exercise(
    name="posterior", notebook="03", section="4", title="the forward posterior", minutes=15,
    cases=_posterior_cases,
    parts=2,
    properties=(
        Property("is x₀ itself with variance 0 at t = 1", _at_the_first_step,
                 hint="At t = 1 the prior is a point. A sum of precisions divides by its variance 1 − ᾱ_0 = 0 there; "
                 "multiplied out, as in (3.9), it does not."),
        Property("is prior times likelihood at t ≥ 2", _by_bayes),
        Property("satisfies Bayes' rule (3.13) at an arbitrary point", _bayes_identity),
    ),
    mistakes=(
        Mistake("the mean with √ᾱ_t in front of x₀ (part 1)", "The root is of ᾱ_{t−1}: 001 has the same slip. At t = 1 "
                "the mean must be x₀.", "3.9",
                _mean(lambda b, a, before, bar, _: bar.sqrt() * b / (1 - bar), _right_ct)),
        Mistake("the mean with ᾱ_{t−1} without its root (part 1)", "The prior's mean is √ᾱ_{t−1} x₀.", "3.9",
                _mean(lambda b, a, before, bar, _: before * b / (1 - bar), _right_ct)),
        Mistake("the mean with α_t without its root (part 1)", "The likelihood's mean is √α_t x_{t−1}.", "3.9",
                _mean(_right_c0, lambda b, a, before, bar, _: a * (1 - before) / (1 - bar))),
        Mistake("the mean with √ᾱ_t in front of x_t (part 1)", "x_t is reached from x_{t−1} in one step: the factor "
                "has the root of α_t, without a bar.", "3.9",
                _mean(_right_c0, lambda b, a, before, bar, _: bar.sqrt() * (1 - before) / (1 - bar))),
        Mistake("the mean with x_t and x₀ exchanged (part 1)", "√ᾱ_{t−1} β_t/(1 − ᾱ_t) belongs to x₀.", "3.9",
                _mean(_right_ct, _right_c0)),
        Mistake("β_t as the variance (part 2)", "β_t is the variance of x_t given x_{t−1}. Two witnesses are better "
                "than one: β̃_t is smaller.", "3.9", lambda b, t, xt, x0: (None, b[t])),
        Mistake("√β̃_t (part 2)", "A standard deviation stands where a variance belongs.", "3.9",
                lambda b, t, xt, x0: (None, _bars(b, t)[3].sqrt())),
        Mistake("β_t (1 − ᾱ_t)/(1 − ᾱ_{t−1}) (part 2)", "The fraction is upside down: β̃_1 is 0, not infinite.", "3.9",
                lambda b, t, xt, x0: (None, b[t] * (1 - _bars(b, t)[2]) / (1 - _bars(b, t)[1]))),
        Mistake("β_t ᾱ_{t−1}/ᾱ_t (part 2)", "The fraction is of the noise variances 1 − ᾱ, not of ᾱ.", "3.9",
                lambda b, t, xt, x0: (None, b[t] * _bars(b, t)[1] / _bars(b, t)[2])),
    ),
)  # fmt: skip

# --- kl_term ------------------------------------------------------------------------------------------------------


def _kl_cases(draw: Draw) -> list[dict]:
    sizes = ((1,), (2,), (4, 3))
    return [
        {
            "beta": beta,
            "t": t,
            "x0": draw.normal(*size),
            "x0_hat": draw.normal(*size),
            "sigma2": draw.uniform(0.1, 0.9),
        }
        for (beta, t), size in zip(_times(draw, first=2), sizes, strict=True)
    ]


def _kl_by_torch(f, beta, t, x0, x0_hat, sigma2):
    """The KL of q(x_{t−1}|x_t, x₀) from the reverse step, at any x_t."""
    alpha, before, bar, tilde = _bars(beta.double(), t)
    xt = Draw(4).normal(*x0.shape)
    mean = lambda x: before.sqrt() * beta[t] / (1 - bar) * x + alpha.sqrt() * (1 - before) / (1 - bar) * xt  # noqa: E731
    q = Independent(Normal(mean(x0.double()), tilde.sqrt()), 1)
    return f(beta, t, x0, x0_hat, sigma2), kl_divergence(
        q, Independent(Normal(mean(x0_hat.double()), sigma2.double().sqrt()), 1)
    )


def _snr_form(f, beta, t, x0, x0_hat, sigma2):
    bar = (1 - beta.double()).cumprod(0)
    snr = bar / (1 - bar)
    tilde = _bars(beta, t)[3]
    return f(beta, t, x0, x0_hat, tilde), 0.5 * (snr[t - 1] - snr[t]) * (x0 - x0_hat).double().square().sum(-1)


def _kl_like(distance=None, weight=None, constant=None):
    """The KL (3.17) with a part replaced: |x₀ − x̂₀|², its factor, or the constant."""

    def wrong(beta, t, x0, x0_hat, sigma2):
        _, before, bar, tilde = _bars(beta, t)
        c, r = before.sqrt() * beta[t] / (1 - bar), tilde / sigma2
        d = (x0 - x0_hat).square().sum(-1) if distance is None else distance(x0 - x0_hat)
        w = c**2 / (2 * sigma2) if weight is None else weight(c, sigma2, beta[t], bar)
        k = x0.shape[-1] / 2 * (r - 1 - r.log()) if constant is None else constant(r, x0.shape[-1])
        return w * d + k

    return wrong


kl_term = Exercise(
    name="kl_term", notebook="03", section="6", title="what one step costs", minutes=15,
    cases=_kl_cases,
    properties=(
        Property("agrees with torch.distributions at any x_t", _kl_by_torch),
        Property("is ½ (SNR(t−1) − SNR(t)) |x₀ − x̂₀|² for σ² = β̃_t (3.18)", _snr_form, instead="sigma2 = β̃_t"),
    ),
    mistakes=(
        Mistake("the KL with a norm that is not squared", "001 and 002 print it so; the KL has |x₀ − x̂₀|².", "3.17",
                _kl_like(distance=lambda d: d.norm(dim=-1))),
        Mistake("the KL without its constant", "A variance that is not β̃_t costs, even if the guess is right.", "3.17",
                _kl_like(constant=lambda r, D: 0)),
        Mistake("the KL with the mean of squares over the dimensions", "Nats add up over dimensions: |x₀ − x̂₀|² is a "
                "sum.", "3.17", _kl_like(distance=lambda d: d.square().mean(-1))),
        Mistake("the KL with the constant of one dimension", "Each of the D dimensions pays the constant: the factor "
                "is D/2.", "3.17", _kl_like(constant=lambda r, D: 0.5 * (r - 1 - r.log()))),
        Mistake("the KL with the constant of two dimensions", "The factor D/2 is 1 in the plane only. D is the length "
                "of a point, x0.shape[-1].", "3.17", _kl_like(constant=lambda r, D: r - 1 - r.log())),
        Mistake("the KL with c_t in place of c_t²", "The distance of the means is c_t |x₀ − x̂₀|, and it is squared "
                "as a whole.", "3.17", _kl_like(weight=lambda c, s, b, bar: c / (2 * s))),
        Mistake("the KL with √ᾱ_t in c_t", "The factor of x₀ in the mean has the root of ᾱ_{t−1}.", "3.9",
                _kl_like(weight=lambda c, s, b, bar: (bar.sqrt() * b / (1 - bar)) ** 2 / (2 * s))),
        Mistake("the KL with σ_t in place of σ_t²", "The squared distance is divided by the variance.", "3.17",
                _kl_like(weight=lambda c, s, b, bar: c**2 / (2 * s.sqrt()))),
        Mistake("the KL with c_t²/σ_t²", "The factor ½ of the squared distance is missing.", "3.17",
                _kl_like(weight=lambda c, s, b, bar: c**2 / s)),
        Mistake("the KL with σ_t²/β̃_t in the constant", "The ratio is upside down: q, with β̃_t, comes first in "
                "KL(q ‖ p).", "1.10", _kl_like(constant=lambda r, D: D / 2 * (1 / r - 1 + r.log()))),
    ),
)  # fmt: skip

# --- quietest -----------------------------------------------------------------------------------------------------

RATIOS, FRESH, PATH = "log ratios, one path", "KLs, a fresh x_t each", "KLs, one path"


@functools.cache
def _scatter() -> dict[str, float]:
    """The standard deviation per point of three estimates of a chain's bound, for Gaussian data."""
    data, s, seeded = oracles.gaussian([0.0, 0.0], 0.25), schedules.cosine(30), torch.Generator().manual_seed
    denoiser, x = oracles.exact_denoiser(data, s.alpha_bar), data.sample(300, seed=3)
    sigma2 = diffusion.sigma2_optimal(s, 0.25 * (1 - s.alpha_bar) / (1 - 0.75 * s.alpha_bar))
    log_p, chain = data.log_prob(x), diffusion.ForwardProcess(s, denoiser, diffusion.per_step(sigma2))
    walk = [(t, xt) for t, xt in diffusion.forward_path(x, s, seeded(2)) if t > 0]
    along = sum(diffusion.L_term(s, t, x, xt, chain.p(t - 1, xt)) for t, xt in walk)
    estimates = {
        RATIOS: log_p - bound(x, chain, seeded(1)).elbo,
        FRESH: log_p + diffusion.closed_form_terms(x, chain, seeded(1)).sum(0),
        PATH: log_p + along + s.L_T(x),
    }
    return {name: values.std().item() for name, values in estimates.items()}


_TELESCOPE = "With a good reverse step the log ratios telescope to log p(x₀), and their noise goes. See (3.20)."

quietest = Ordering(
    name="quietest", notebook="03", section="7", title="which estimate of the whole bound is quietest?", minutes=4,
    values=_scatter,
    backwards="That is the other way round. Term by term the KLs are quieter, but not in the sum. " + _TELESCOPE,
    reasons={
        (RATIOS, FRESH): "Fresh points make the KLs' errors independent, but they do not cancel. " + _TELESCOPE,
        (RATIOS, PATH): "Along a path the KLs' errors have the same sign and add up. " + _TELESCOPE,
        (FRESH, PATH): "Along one path the KLs' errors have the same sign and add up; with fresh points they are "
        "independent. See (3.19).",
    },
)  # fmt: skip

# --- best_variance ------------------------------------------------------------------------------------------------


def _variance_cases(draw: Draw) -> list[dict]:
    return [{"beta": beta, "t": t, "mse": draw.uniform(0.02, 0.3)} for beta, t in _times(draw)]


def _on_gaussian_data(f, beta, t, mse):
    """For N(0, v) data the reverse step is Gaussian, and its variance known by Bayes' rule without x₀."""
    alpha, before, bar, _ = _bars(beta.double(), t)
    v = 4 * mse.double()
    error = v * (1 - bar) / (v * bar + 1 - bar)
    x, zero = (v * before + 1 - before).reshape(1), torch.zeros(1, dtype=torch.float64)
    return f(beta, t, error.to(mse)), gaussian.condition(Gaussian(zero, x), alpha.sqrt(), beta[t], zero).var[0]


def _by_moment(f, beta, t, mse):
    """β̃ + c² mse, the mean square of x_{t−1} − μ̃(x_t, x̂₀) per dimension."""
    _, before, bar, tilde = _bars(beta.double(), t)
    return f(beta, t, mse), tilde + (before.sqrt() * beta[t] / (1 - bar)) ** 2 * mse


def _variance(formula):
    return lambda beta, t, mse: formula(beta[t], mse, *_bars(beta, t))


best_variance = Exercise(
    name="best_variance", notebook="03", section="8", title="the best variance of the reverse step", minutes=12,
    cases=_variance_cases,
    properties=(
        Property("is the mean square that (3.21) asks for", _by_moment),
        Property("is the true reverse variance for Gaussian data", _on_gaussian_data,
                 instead="mse = that of the best denoiser"),
        Property("is β̃_t for a denoiser without error",
                 lambda f, b, t, mse: (f(b, t, 0 * mse), _bars(b.double(), t)[3]), instead="mse = 0"),
        Property("is β_t if the error is 1 − ᾱ_t", lambda f, b, t, mse: (f(b, t, 1 - _bars(b, t)[2]), b[t]),
                 instead="mse = 1 − ᾱ_t"),
    ),
    mistakes=(
        Mistake("β̃_t", "That is right only if x₀ is known. The denoiser's error comes on top.", "3.21",
                _variance(lambda b, mse, a, before, bar, tilde: tilde)),
        Mistake("β_t", "That is right only if mse_t = 1 − ᾱ_t, as on data that are N(0, I).", "3.23",
                _variance(lambda b, mse, a, before, bar, tilde: b)),
        Mistake("β̃_t + mse_t", "The error in x₀ reaches x_{t−1} with the factor c_t, so its square is multiplied by "
                "c_t².", "3.21", _variance(lambda b, mse, a, before, bar, tilde: tilde + mse)),
        Mistake("β̃_t + c_t mse_t", "c_t multiplies a distance; the mean square has c_t².", "3.21",
                _variance(lambda b, mse, a, before, bar, tilde: tilde + before.sqrt() * b / (1 - bar) * mse)),
        Mistake("β̃_t + (β_t − β̃_t) mse_t", "The fraction of (3.23) is mse_t/(1 − ᾱ_t).", "3.23",
                _variance(lambda b, mse, a, before, bar, tilde: tilde + (b - tilde) * mse)),
        Mistake("β_t mse_t/(1 − ᾱ_t)", "Without error β̃_t is left, not zero.", "3.23",
                _variance(lambda b, mse, a, before, bar, tilde: b * mse / (1 - bar))),
        Mistake("β_t + c_t² mse_t", "Around the right mean x_{t−1} scatters with β̃_t, not with β_t.", "3.21",
                _variance(lambda b, mse, a, before, bar, tilde: b + before * (b / (1 - bar)) ** 2 * mse)),
        Mistake("c_t² mse_t", "Even with a perfect denoiser x_{t−1} scatters by β̃_t.", "3.21",
                _variance(lambda b, mse, a, before, bar, tilde: before * (b / (1 - bar)) ** 2 * mse)),
        Mistake("σ_t, the root of the answer", "A standard deviation stands where a variance belongs.", "3.21",
                _variance(lambda b, mse, a, before, bar, t: (t + before * (b / (1 - bar)) ** 2 * mse).sqrt())),
    ),
)  # fmt: skip

EXERCISES = (jump, steps_needed, posterior, kl_term, quietest, best_variance)

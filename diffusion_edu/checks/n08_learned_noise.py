"""Exercises of notebook 08: entropy from errors, the cost of a step, its price density, best knots, even numbers."""

import math

import torch

from .core import Draw, Exercise, Mistake, Property

# --- entropy_from_errors ------------------------------------------------------------------------------------------


def _error_cases(draw: Draw) -> list[dict]:
    cases = []
    for n, dim in ((5, 1), (9, 2), (12, 3)):
        log_snr = draw.number(-6, -2) + draw.number(0.3, 1.2) * torch.arange(n, dtype=draw.dtype)
        cases.append({"log_snr": log_snr, "error": draw.uniform(0.3, 1, n), "dim": dim})
    return cases


def _gaussian_entropy(f, log_snr, error, dim):
    """N(0, v): e = v (1 + SNR)/(1 + v SNR), and H = D/2 log 2πe v."""
    v = 0.3
    fine = torch.linspace(-20, 20, 321, dtype=log_snr.dtype)
    e = v * (1 + fine.exp()) / (1 + v * fine.exp())
    return f(fine, e, dim), torch.tensor(0.5 * dim * math.log(2 * math.pi * math.e * v), dtype=fine.dtype), 1e-3


def _entropy(constant=1.0, sign=-1.0, half=0.5, weight=torch.sigmoid, gain=lambda e: 1 - e, dim_of=lambda d: d):
    def value(log_snr, error, dim):
        D = dim_of(dim)
        gained = torch.trapezoid(gain(error) * weight(log_snr), log_snr)
        return 0.5 * D * constant * math.log(2 * math.pi * math.e) + sign * half * D * gained

    return value


entropy_from_errors = Exercise(
    name="entropy_from_errors", notebook="08", section="1", title="the entropy from errors", minutes=8,
    cases=_error_cases,
    properties=(
        Property("is the entropy of Gaussian data", _gaussian_entropy, instead="error = that of N(0, 0.3 I)"),
        Property("is (8.2) by the trapezoidal rule", lambda f, *c: (f(*c), _entropy()(*c))),
    ),
    mistakes=(
        Mistake("(8.2) without D/2 log 2πe", "That is minus what the data are better than noise. The entropy of the "
                "unit Gaussian, D/2 log 2πe, is missing.", "8.2", _entropy(constant=0)),
        Mistake("(8.2) with + in front of the integral", "Data that can be denoised better than noise have less "
                "entropy than noise.", "8.2", _entropy(sign=1)),
        Mistake("(8.2) without the weight ᾱ", "dSNR = SNR dλ turns m = (1 − ᾱ) err into ᾱ err.", "8.2",
                _entropy(weight=torch.ones_like)),
        Mistake("(8.2) with SNR in the place of ᾱ", "m is (1 − ᾱ) err, and SNR (1 − ᾱ) = ᾱ.", "8.2",
                _entropy(weight=torch.exp)),
        Mistake("(8.2) with 1 − ᾱ in the place of ᾱ", "Little noise, ᾱ near 1, is where data and noise differ.", "8.2",
                _entropy(weight=lambda s: torch.sigmoid(-s))),
        Mistake("(8.2) with err in the place of 1 − err", "What counts is how much better than for noise the guess is, "
                "1 − err.", "8.2", _entropy(gain=lambda e: e)),
        Mistake("(8.2) without the ½ of the integral", "The derivative of the information has a ½.", "8.1",
                _entropy(half=1)),
        Mistake("(8.2) for D = 1", "Each dimension counts: D/2 in both terms.", "8.2", _entropy(dim_of=lambda d: 1)),
    ),
)  # fmt: skip

# --- step_cost ----------------------------------------------------------------------------------------------------


def _step_cases(draw: Draw) -> list[dict]:
    return [
        {"snr": (draw.number(-1, 0.5) - draw.uniform(0.2, 0.8, T).cumsum(0)).exp(), "mse": draw.uniform(0.05, 0.6, T),
         "dim": dim}
        for T, dim in ((2, 1), (4, 2), (6, 3))
    ]  # fmt: skip


def _telescopes(f, snr, mse, dim):
    """N(0, v): m = v/(1 + v SNR), and the steps add up to ½D log of the ratio of 1 + v SNR at the two ends."""
    v = 0.4
    total = 0.5 * dim * ((1 + v * snr[0]) / (1 + v * snr[-1])).log()
    return torch.as_tensor(f(snr, v / (1 + v * snr), dim)).sum(), total


def _step(log=torch.log1p, sign=-1.0, shift=1, half=0.5, dim_of=lambda d: d, ladder=lambda s: s):
    def value(snr, mse, dim):
        return half * dim_of(dim) * log(sign * ladder(snr).diff() * (mse[1:] if shift else mse[:-1]))

    return value


step_cost = Exercise(
    name="step_cost", notebook="08", section="2", title="what a step costs", minutes=8,
    cases=_step_cases,
    properties=(
        Property("adds up to what Gaussian data know", _telescopes, instead="mse = that of N(0, 0.4 I)"),
        Property("is (8.4)", lambda f, *c: (f(*c), _step()(*c))),
    ),
    mistakes=(
        Mistake("D/2 log(1 + (SNR_{t−1} − SNR_t) m_{t−1})", "The denoiser is asked at the noisy end of the step, "
                "m_t. With m_{t−1} the terms are too small, and their sum is no bound.", "8.4", _step(shift=0)),
        Mistake("D/2 (SNR_{t−1} − SNR_t) m_t", "That is the term with σ_t² = β̃_t. The best σ_t² has the logarithm.",
                "8.4", _step(log=lambda x: x)),
        Mistake("D/2 log(1 − (SNR_{t−1} − SNR_t) m_t)", "SNR falls with t: SNR_{t−1} − SNR_t is positive.", "8.4",
                _step(sign=1.0)),
        Mistake("½ log(1 + (SNR_{t−1} − SNR_t) m_t)", "That is one dimension's share. m_t is a mean over D.", "8.4",
                _step(dim_of=lambda d: 1)),
        Mistake("D log(1 + (SNR_{t−1} − SNR_t) m_t)", "The ½ of the Gaussian's KL is missing.", "8.4", _step(half=1)),
        Mistake("D/2 log((SNR_{t−1} − SNR_t) m_t)", "The ratio σ_t*²/β̃_t is 1 + (SNR_{t−1} − SNR_t) m_t.", "8.4",
                _step(log=torch.log)),
        Mistake("D/2 log(1 + (λ_{t−1} − λ_t) m_t)", "Differences of SNR, not of its logarithm.", "8.4",
                _step(ladder=torch.log)),
    ),
)  # fmt: skip

# --- price_from_cov -----------------------------------------------------------------------------------------------


def _cov_cases(draw: Draw) -> list[dict]:
    cases = []
    for n, dim in ((3, 2), (5, 2), (4, 3)):
        root = draw.normal(n, dim, dim)
        cases.append({"cov": root @ root.transpose(-1, -2), "snr": draw.number(0.2, 4)})
    return cases


def _spread(tr2=lambda c: (c @ c).diagonal(dim1=-2, dim2=-1).sum(-1), m2=lambda m, D: D * m**2, mean=True, half=0.25,
            power=2):  # fmt: skip
    def value(cov, snr):
        trace, D = cov.diagonal(dim1=-2, dim2=-1).sum(-1), cov.shape[-1]
        m = trace.mean() / D if mean else trace / D
        return half * snr**power * (tr2(cov) - m2(m, D)).mean()

    return value


def _all_alike(f, cov, snr):
    """If every posterior is v I, nothing is paid."""
    v = 0.7 * torch.eye(cov.shape[-1], dtype=cov.dtype).expand(cov.shape)
    return f(v, snr), torch.zeros((), dtype=cov.dtype)


def _eigenvalues(f, cov, snr):
    """SNR²/4 times D, times the variance of all n D eigenvalues."""
    values = torch.linalg.eigvalsh(cov)
    return f(cov, snr), 0.25 * snr**2 * cov.shape[-1] * values.var(unbiased=False)


price_from_cov = Exercise(
    name="price_from_cov", notebook="08", section="3", title="the price density", minutes=10,
    cases=_cov_cases,
    properties=(
        Property("is zero where every posterior is the same ball", _all_alike, instead="cov = 0.7 I"),
        Property("is SNR² D/4 times the variance of all eigenvalues", _eigenvalues),
        Property("is (8.6)", lambda f, *c: (f(*c), _spread()(*c))),
    ),
    mistakes=(
        Mistake("¼ SNR² E tr Cov²", "That part alone is what a step costs in any case. The D m² is missing.", "8.6",
                _spread(m2=lambda m, D: 0 * m)),
        Mistake("¼ SNR² (E tr Cov² − m²)", "tr(m I)² has D entries: D m².", "8.6", _spread(m2=lambda m, D: m**2)),
        Mistake("¼ SNR² (E (tr Cov)² − D m²)", "The trace of the square, Σ_ij Cov_ij², not the square of the trace.",
                "8.6", _spread(tr2=lambda c: c.diagonal(dim1=-2, dim2=-1).sum(-1) ** 2)),
        Mistake("¼ SNR² (E Σ_d Cov_dd² − D m²)", "The entries off the diagonal count too: tr Cov² = Σ_ij Cov_ij².",
                "8.6", _spread(tr2=lambda c: c.diagonal(dim1=-2, dim2=-1).square().sum(-1))),
        Mistake("¼ SNR² E (tr Cov² − (tr Cov)²/D)", "One σ_t² serves all x_t: m is the mean over all of them.", "8.6",
                _spread(mean=False)),
        Mistake("¼ SNR (E tr Cov² − D m²)", "A step Δλ is a step SNR Δλ of the SNR, squared: SNR².", "8.6",
                _spread(power=1)),
        Mistake("½ SNR² (E tr Cov² − D m²)", "¼: one ½ of the KL, one of the triangle under the curve.", "8.6",
                _spread(half=0.5)),
    ),
)  # fmt: skip

# --- knots --------------------------------------------------------------------------------------------------------


def _bump(log_snr, height, middle, width):
    return height * (-(((log_snr - middle) / width) ** 2)).exp() + 0.02


def _knot_cases(draw: Draw) -> list[dict]:
    cases = []
    for T in (2, 4, 7):
        log_snr = torch.linspace(-4, 8, 2001, dtype=torch.float64)
        g = _bump(log_snr, draw.number(0.5, 1), draw.number(0, 4), draw.number(1, 2))
        cases.append({"log_snr": log_snr.to(draw.dtype), "g": g.to(draw.dtype), "T": T})
    return cases


def _along(log_snr, density):
    steps = (density[1:] + density[:-1]) / 2 * log_snr.diff()
    return torch.cat([steps.new_zeros(1), steps.cumsum(0)])


def _interp(x, xs, ys):
    k = torch.searchsorted(xs, x).clamp(1, len(xs) - 1)
    return ys[k - 1] + (ys[k] - ys[k - 1]) * (x - xs[k - 1]) / (xs[k] - xs[k - 1])


def _by(density, inner=False):
    """λ at equal shares of ∫ density, from clean to noise."""

    def value(log_snr, g, T):
        along = _along(log_snr, density(g))
        shares = torch.linspace(1, 0, T + 2 if inner else T, dtype=g.dtype)
        return _interp((shares[1:-1] if inner else shares) * along[-1], along, log_snr)

    return value


def _flat_price(f, log_snr, g, T):
    return f(log_snr, torch.full_like(g, 0.3), T), torch.linspace(log_snr[-1], log_snr[0], T).to(g), 1e-3


def _right_knots(f, log_snr, g, T):
    return f(log_snr, g, T), _by(torch.sqrt)(log_snr, g, T), 1e-3


knots = Exercise(
    name="knots", notebook="08", section="4", title="the best knots", minutes=12,
    cases=_knot_cases,
    properties=(
        Property("is even in λ where g is constant", _flat_price, instead="g = 0.3 everywhere"),
        Property("has the same ∫√g between neighbours (8.7)", _right_knots),
    ),
    mistakes=(
        Mistake("λ at equal steps of ∫g", "Equal prices need Δλ ∝ 1/√g: take the root before you add up.", "8.7",
                _by(lambda g: g)),
        Mistake("even steps in λ", "That is best only where g is constant.", "8.7", _by(torch.ones_like)),
        Mistake("λ at equal steps of ∫√g, rising", "λ_1 is the clean end: the knots fall with t.", "8.7",
                lambda s, g, T: _by(torch.sqrt)(s, g, T).flip(0)),
        Mistake("λ at equal steps of ∫1/√g", "The *step* is 1/√g wide. The density of the knots is √g.", "8.7",
                _by(lambda g: 1 / g.sqrt())),
        Mistake("λ at equal steps of ∫g²", "The root of g, not its square.", "8.7", _by(lambda g: g**2)),
        Mistake("equal steps of ∫√g without the ends", "λ_1 and λ_T are the two ends of the grid themselves.", "8.7",
                _by(torch.sqrt, inner=True)),
    ),
)  # fmt: skip

# --- even_numbers -------------------------------------------------------------------------------------------------


def _number_cases(draw: Draw) -> list[dict]:
    return [{"u": draw.number(0.55, 0.99), "n": n} for n in (2, 5, 8)]


def _wraps(f, u, n):
    """(u + i/n) mod 1, in the order of i."""
    return f(u, n), torch.tensor([(u + i / n) % 1 for i in range(n)], dtype=torch.float64), 1e-6


even_numbers = Exercise(
    name="even_numbers", notebook="08", section="6", title="numbers of low discrepancy", minutes=5,
    cases=_number_cases,
    properties=(Property("is (u + i/n) mod 1 for i = 0 … n − 1 (8.12)", _wraps),),
    mistakes=(
        Mistake("u + i/n", "Beyond 1 the numbers start again at 0: take them mod 1.", "8.12",
                lambda u, n: torch.tensor([u + i / n for i in range(n)])),
        Mistake("u, n times", "The numbers should spread: shift the i-th by i/n.", "8.12",
                lambda u, n: torch.full((n,), u)),
        Mistake("i/n", "Without u the same n numbers come at every step, and the estimate is biased.", "8.12",
                lambda u, n: torch.arange(n) / n),
        Mistake("(i + u)/n", "That is spread evenly too, but the i-th number stays in the i-th cell. Each one alone "
                "should be uniform.", "8.12", lambda u, n: (torch.arange(n) + u) / n),
        Mistake("(u + (i + 1)/n) mod 1", "The same numbers in another order: i runs from 0.", "8.12",
                lambda u, n: torch.tensor([(u + (i + 1) / n) % 1 for i in range(n)])),
        Mistake("(u·i/n) mod 1", "u shifts, it does not stretch.", "8.12",
                lambda u, n: torch.tensor([(u * i / n) % 1 for i in range(n)])),
    ),
)  # fmt: skip

EXERCISES = (entropy_from_errors, step_cost, price_from_cov, knots, even_numbers)

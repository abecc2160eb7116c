r"""Exercises of notebook 01: the likelihood as an integral, the bound, its gradient and its terms."""

import functools
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from .. import gaussian
from ..gaussian import Gaussian
from .core import NO_GRADIENT, Draw, Exercise, Mistake, Ordering, Property, gradients

# --- log_likelihood -----------------------------------------------------------------------------------------------


def _spread_out(f, a):
    """Draws and data points whose densities are thousands of nats apart."""
    k, point = (torch.arange(n, dtype=a.dtype) for n in (len(a), a[0].numel()))
    far = a - 3000 * k.reshape(-1, *[1] * (a.ndim - 1)) - 4000 * point.reshape(a[:1].shape)
    return f(far), far.double().logsumexp(0) - math.log(len(a))


def _log_values(draw: Draw) -> list[dict]:
    return [{"log_p": 2 * draw.normal(*size) - 3} for size in ((2,), (4,), (5, 3), (3, 3), (6, 2, 4))]


log_likelihood = Exercise(
    name="log_likelihood", notebook="01", section="2", title="the naive estimate of log p(x)", minutes=6,
    cases=_log_values,
    properties=(
        Property("is the log of the mean density", lambda f, a: (f(a), a.double().exp().mean(0).log())),
        Property("is log p itself if all draws say the same", lambda f, a: (f(a[:1].expand(a.shape)), a[0])),
        Property(
            "stays finite at −3,000 nats",
            lambda f, a: (f(a - 3000), a.double().logsumexp(0) - math.log(len(a)) - 3000),
            instead="log_p = numbers near −3,000",
            hint="exp(−3000) is zero in the computer. Take the largest value out before exp, as torch.logsumexp does.",
        ),
        Property(
            "stays finite if the draws are 3,000 nats apart and the data points 4,000",
            _spread_out,
            instead="log_p = this − 3,000 per draw − 4,000 per data point",
            hint="What is taken out before exp must be the largest value of each data point, over its draws: "
            "log_p.max(0). With a mean, or one value for all points, exp gives 0 or ∞ for some of them.",
        ),
    ),
    mistakes=(
        Mistake("the mean of the logs", "The log stands outside the average over z, not inside.", "1.3",
                lambda a: a.mean(0)),
        Mistake("the log of the sum", "A mean of K densities is their sum divided by K: log K is missing.", "1.4",
                lambda a: a.logsumexp(0)),
        Mistake("the sum of the logs", "That is the log of a product, as if all causes had to act at once.", "1.2",
                lambda a: a.sum(0)),
        Mistake("the log mean over the last axis", "The draws k lie along the first axis; the last one holds data "
                "points.", "1.4", lambda a: a.logsumexp(-1) - math.log(a.shape[-1])),
        Mistake("the log of one mean over everything", "Data points are not averaged: each has its own likelihood.",
                "1.4", lambda a: a.reshape(-1).logsumexp(0) - math.log(a.numel())),
        Mistake("the mean density itself", "The log is missing.", "1.4", lambda a: a.exp().mean(0)),
        Mistake("the log of the sum plus log K", "Dividing by K subtracts log K; it was added.", "1.4",
                lambda a: a.logsumexp(0) + math.log(len(a))),
    ),
)  # fmt: skip

# --- elbo ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LinearVAE:
    """z ~ N(0, I), x|z ~ N(a z, var), and q(z|x) the exact posterior, moved by `shift`, its variance times `widen`.
    They answer at p(0, z) and q(1, x); at another level both are off by one for each, so that a wrong index shows."""

    a: float | Tensor
    var: float
    shift: float | Tensor
    widen: float
    like: Tensor
    levels: int = 1

    def __repr__(self) -> str:
        return f"(x|z ~ N({self.a:.3g} z, {self.var:.3g}), q off by {self.shift:.3g}, {self.widen:.3g} × too wide)"

    def prior(self) -> Gaussian:
        """p(z)."""
        return Gaussian(torch.zeros_like(self.like), torch.ones_like(self.like))

    def p(self, t: int, z: Tensor) -> Gaussian:
        """p(x|z)."""
        return Gaussian(self.a * z + t, torch.full_like(z, self.var))

    def posterior(self, x: Tensor) -> Gaussian:
        """p(z|x)."""
        return gaussian.condition(self.prior(), self.a, self.var, x)

    def q(self, t: int, x: Tensor) -> Gaussian:
        """q(z|x)."""
        exact = self.posterior(x)
        return Gaussian(exact.mean + self.shift + t - 1, exact.var * self.widen)

    def evidence(self, x: Tensor) -> Tensor:
        """log p(x)."""
        return gaussian.marginal(self.prior(), self.a, self.var).log_prob(x)

    def exact(self) -> "LinearVAE":
        """The same with q the posterior."""
        return replace(self, shift=0.0, widen=1.0)


def _vaes(draw: Draw) -> list[dict]:
    cases = []
    for size in ((1,), (2,), (4, 2), (3, 3)):
        a, var, widen = draw.number(0.5, 2), draw.number(0.2, 0.8), draw.number(1.5, 3)
        vae = LinearVAE(a, var, draw.number(0.3, 1.3), widen, draw.normal(size[-1]))
        cases.append({"x": draw.normal(*size), "vae": vae, "eps": draw.normal(*size)})
    return cases


def _terms(x, vae, eps, power=0.5, levels=(0, 1)) -> tuple[Tensor, Tensor, Tensor, Gaussian]:
    """log p(x|z), log p(z) and log q(z|x) at z = m + v^power ε, and q, with the levels that p and q are asked for."""
    q = vae.q(levels[1], x)
    z = q.mean + q.var**power * eps
    return vae.p(levels[0], z).log_prob(x), vae.prior().log_prob(z), q.log_prob(z), q


def _elbo(x, vae, eps, weights=(1, 1, -1), **changed):
    terms = zip(weights, _terms(x, vae, eps, **changed), strict=False)
    return sum((w * term for w, term in terms), torch.zeros(()))


def _slopes(f, x, vae, eps):
    """The gradient of the bound in the weights of p and of q, here a and the shift."""
    a, shift = (torch.tensor(w, dtype=torch.float64, requires_grad=True) for w in (vae.a, vae.shift))
    weighted = replace(vae, a=a, shift=shift)
    return gradients(f(x, weighted, eps), (a, shift)), gradients(_elbo(x, weighted, eps), (a, shift))


def _with_closed_kl(x, vae, eps):
    reconstruction, _, _, q = _terms(x, vae, eps)
    return reconstruction - gaussian.kl(q, vae.prior())


def _average_gap(f, x, vae, eps):
    """The mean gap over 4,000 draws against KL(q ‖ posterior)."""
    many, noise = x[..., None, :].expand(*x.shape[:-1], 4000, x.shape[-1]), Draw(7, x.dtype)
    gap = (vae.evidence(many) - f(many, vae, noise.normal(*many.shape))).double()
    return gap.mean(-1), gaussian.kl(vae.q(1, x), vae.posterior(x)), 4 * gap.std(-1) / 4000**0.5


def _by_torch(f, x, vae, eps):
    q = vae.q(1, x)
    z, normal = q.mean + q.var.sqrt() * eps, lambda m, v: Independent(Normal(m, v.sqrt()), 1)
    p_x, p_z = normal(vae.a * z, torch.full_like(z, vae.var)), normal(torch.zeros_like(z), torch.ones_like(z))
    return f(x, vae, eps), p_x.log_prob(x) + p_z.log_prob(z) - normal(q.mean, q.var).log_prob(z)


elbo = Exercise(
    name="elbo", notebook="01", section="3", title="one draw of the bound", minutes=15,
    cases=_vaes,
    properties=(
        Property("is the log ratio of the joint and q", _by_torch),
        Property(
            "is log p(x) in every draw if q is the posterior (1.6)",
            lambda f, x, vae, eps: (f(x, vae.exact(), eps), vae.evidence(x)),
        ),
        Property("is below log p(x) by KL(q ‖ posterior) on average", _average_gap),
        Property("hands the gradient on to the weights of p and q", _slopes, hint=NO_GRADIENT),
    ),
    mistakes=(
        Mistake("log p(x, z) + log q(z|x)", "The density q stands in the denominator, so its log is subtracted.",
                "1.5", lambda *a: _elbo(*a, weights=(1, 1, 1))),
        Mistake("log p(x, z) alone", "The denominator log q(z|x) is missing.", "1.5",
                lambda *a: _elbo(*a, weights=(1, 1, 0))),
        Mistake("log p(x|z) − log q(z|x)", "The joint is p(x|z) p(z): the prior is missing.", "1.1",
                lambda *a: _elbo(*a, weights=(1, 0, -1))),
        Mistake("log p(x|z)", "The joint is p(x|z) p(z), and q is missing too.", "1.5",
                lambda *a: _elbo(*a, weights=(1, 0, 0))),
        Mistake("the ratio at z = m + v ε", "The noise is multiplied by the standard deviation, the root of the "
                "variance.", "1.1a", lambda *a: _elbo(*a, power=1)),
        Mistake("the ratio at z = ε", "That is a draw of the prior. The expectation is under q(z|x), so z is drawn "
                "from q.", "1.5", lambda x, vae, eps: vae.p(0, eps).log_prob(x) + vae.prior().log_prob(eps)
                - vae.q(1, x).log_prob(eps)),
        Mistake("the ratio at z = m", "The noise is not used: an expectation needs a draw, not the mean.", "1.5",
                lambda x, vae, eps: _elbo(x, vae, 0 * eps)),
        Mistake("the ratio with vae.p(1, z)", "p(x|z) is the step from level 1 down to level 0, the data: vae.p(0, z).",
                "1.1", lambda *a: _elbo(*a, levels=(1, 1))),
        Mistake("the ratio with vae.q(0, x)", "q(z|x) draws level 1, and carries its number: vae.q(1, x).", "1.1a",
                lambda *a: _elbo(*a, levels=(0, 0))),
        Mistake("the negative of the bound", "That is the loss. The bound is maximised.", "1.5",
                lambda *a: -_elbo(*a)),
        Mistake("log p(x|z) − KL(q ‖ prior) with the KL in closed form", "Right on average, but the noise of its first "
                "term has nothing to cancel with, and with an exact q it is not log p(x).", "1.6", _with_closed_kl),
    ),
)  # fmt: skip

# --- lopsided -----------------------------------------------------------------------------------------------------


@functools.cache
def _gaps() -> dict:
    """KL(N(0, r) ‖ N(0, 1)) for a q that is r times too wide, nats per dimension."""
    one = torch.ones(1, dtype=torch.float64)
    return {r: gaussian.kl(Gaussian(0 * one, r * one), Gaussian(0 * one, one)).item() for r in (0.1, 0.5, 2.0, 10.0)}


_WIDE = ("A q that is too wide puts its draws where the posterior has next to nothing, and the log of next to nothing "
         "is a large cost. See (1.6).")  # fmt: skip

lopsided = Ordering(
    name="lopsided", notebook="01", section="3", title="is it worse to be too wide or too narrow?", minutes=4,
    values=_gaps,
    backwards="This is the right order, read from the largest gap to the smallest.",
    reasons={
        (0.5, 2.0): "A factor of two costs more upwards than downwards. " + _WIDE,
        (0.5, 0.1): "The further from 1, the larger the gap.",
        (0.5, 10.0): "The further from 1, the larger the gap.",
        (2.0, 0.1): "A factor of ten in either direction costs more than a factor of two.",
        (2.0, 10.0): "The further from 1, the larger the gap.",
        (0.1, 10.0): "A factor of ten costs more upwards than downwards. " + _WIDE,
    },
)  # fmt: skip

# --- pathwise_gradient --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slope:
    """f(z) = a z² + b sin z + c z, whose slope is called."""

    a: float
    b: float
    c: float

    def f(self, z: Tensor) -> Tensor:
        """f(z)."""
        return self.a * z**2 + self.b * torch.sin(z) + self.c * z

    def __call__(self, z: Tensor) -> Tensor:
        """f'(z)."""
        return 2 * self.a * z + self.b * torch.cos(z) + self.c


def _gradient_cases(draw: Draw) -> list[dict]:
    return [
        {
            "slope": Slope(draw.number(0.5, 2), draw.number(0.5, 2), draw.number(-1, 1)),
            "m": draw.normal(),
            "sigma": draw.uniform(0.3, 0.8),
            "eps": draw.normal(n),
        }
        for n in (2, 5, 50)
    ]


def _by_autograd(f, slope, m, s, eps):
    with torch.enable_grad():
        m_, s_ = m.clone().requires_grad_(), s.clone().requires_grad_()
        wanted = torch.autograd.grad(slope.f(m_ + s_ * eps).mean(), (m_, s_))
    return f(slope, m, s, eps), wanted


def _at(slope, z, eps):
    return slope(z).mean(), (slope(z) * eps).mean()


pathwise_gradient = Exercise(
    name="pathwise_gradient", notebook="01", section="4", title="the reparameterised gradient", minutes=10,
    cases=_gradient_cases,
    parts=2,
    properties=(
        Property("agrees with autograd on the same draws", _by_autograd),
        Property(
            "is (a, a × mean ε) for f(z) = a z",
            lambda f, slope, m, s, eps: (f(Slope(0, 0, slope.a), m, s, eps), (slope.a + 0 * m, slope.a * eps.mean())),
        ),
    ),
    mistakes=(
        Mistake("the mean slope, twice", "∂z/∂σ is ε, so the slope is multiplied by ε before the mean.", "1.8",
                lambda g, m, s, e: (g(m + s * e).mean(), g(m + s * e).mean())),
        Mistake("the gradient with respect to log σ (part 2)", "∂z/∂log σ is σ ε; with respect to σ it is ε alone.",
                "1.8", lambda g, m, s, e: (None, (g(m + s * e) * s * e).mean())),
        Mistake("the gradient at z = m + σ² ε", "ε is multiplied by the standard deviation σ, not by the variance.",
                "1.8", lambda g, m, s, e: _at(g, m + s**2 * e, e)),
        Mistake("the slope at the mean", "The slope is taken at each draw z = m + σ ε, not at m.", "1.8",
                lambda g, m, s, e: _at(g, m + 0 * e, e)),
        Mistake("the score function estimate", "That is the other gradient: it uses values of f, and is noisier.",
                "1.7", lambda g, m, s, e: ((g.f(m + s * e) * e / s).mean(), (g.f(m + s * e) * (e**2 - 1) / s).mean())),
        Mistake("a sum over the draws", "An expectation is estimated by a mean; the sum grows with n.", "1.8",
                lambda g, m, s, e: (g(m + s * e).sum(), (g(m + s * e) * e).sum())),
        Mistake("the mean slope times the mean of ε (part 2)", "The mean of a product is not the product of the means: "
                "slope and ε belong to the same draw.", "1.8",
                lambda g, m, s, e: (None, g(m + s * e).mean() * e.mean())),
    ),
)  # fmt: skip

# --- kl -----------------------------------------------------------------------------------------------------------


def _gaussian_pairs(draw: Draw) -> list[dict]:
    sizes = ((1,), (2,), (3, 2), (4, 4), (2, 3, 5))
    return [
        {
            "mean_q": draw.normal(*size),
            "var_q": draw.uniform(0.2, 2, *size),
            "mean_p": draw.normal(*size),
            "var_p": draw.uniform(0.2, 2, *size),
        }
        for size in sizes
    ]


def _kl_parts(m, v, n, w):
    """KL per dimension."""
    return 0.5 * (v / w - 1 - (v / w).log() + (m - n) ** 2 / w)


def _kl_by_torch(f, m, v, n, w):
    normal = lambda mean, var: Independent(Normal(mean, var.sqrt()), 1)  # noqa: E731
    return f(m, v, n, w), kl_divergence(normal(m, v), normal(n, w))


def _many_copies(f, m, v, n, w):
    """Each dimension 500 times, in a unit in which all variances are a thousandth."""
    means, variances = ([x.repeat(*[1] * (m.ndim - 1), 500) for x in pair] for pair in ((m, n), (v, w)))
    small = 1e-3**0.5
    return f(small * means[0], variances[0] / 1000, small * means[1], variances[1] / 1000), 500 * _kl_parts(
        m, v, n, w
    ).sum(-1)


def _mean_log_ratio(f, m, v, n, w):
    z = m + v.sqrt() * Draw(5, m.dtype).normal(2000, *m.shape)
    ratio = (Gaussian(m, v).log_prob(z) - Gaussian(n, w).log_prob(z)).double()
    return f(m, v, n, w), ratio.mean(0), 4 * ratio.std(0) / 2000**0.5


kl = Exercise(
    name="kl", notebook="01", section="5", title="the KL of two Gaussians", minutes=15,
    cases=_gaussian_pairs,
    properties=(
        Property("agrees with torch.distributions", _kl_by_torch),
        Property("is zero for two equal Gaussians", lambda f, m, v, n, w: (f(m, v, m, v), 0 * m.sum(-1))),
        Property("does not change if both are moved", lambda f, m, v, n, w: (f(m + 5, v, n + 5, w), f(m, v, n, w))),
        Property("is the mean log ratio under q", _mean_log_ratio),
        Property("is 500 times as large for 500 copies of each dimension, in any unit", _many_copies,
                 instead="mean_q = 500 copies × 0.03; var_q = 500 copies × 0.001; mean_p = the same; var_p = the same",
                 hint="A product of hundreds of variances is zero in the computer. Take the logs first, and add them."),
    ),
    mistakes=(
        Mistake("KL(p ‖ q)", "The two are turned round: the average is under the first one.", "1.10",
                lambda m, v, n, w: _kl_parts(n, w, m, v).sum(-1)),
        Mistake("the KL of each dimension", "A data point is a vector: sum over the last axis.", "1.10", _kl_parts),
        Mistake("the mean over the dimensions", "Dimensions add up, because the densities factorise: a sum, not a "
                "mean.", "1.10", lambda *a: _kl_parts(*a).mean(-1)),
        Mistake("twice the KL", "The factor ½ is missing.", "1.10", lambda *a: 2 * _kl_parts(*a).sum(-1)),
        Mistake("the KL with a distance that is not squared", "The means enter as (μ − ν)², not as |μ − ν|.", "1.10",
                lambda m, v, n, w: (_kl_parts(m, v, m, w) + 0.5 * (m - n).abs() / w).sum(-1)),
        Mistake("the KL with (μ − ν)²/v", "The squared distance is measured in the variance of p, the second one.",
                "1.10", lambda m, v, n, w: (_kl_parts(m, v, m, w) + 0.5 * (m - n) ** 2 / v).sum(-1)),
        Mistake("the KL of Gaussians whose standard deviations are var_q and var_p", "The inputs are variances "
                "already.", "1.10", lambda m, v, n, w: _kl_parts(m, v**2, n, w**2).sum(-1)),
        Mistake("the KL with the sign of the log turned", "It is −log v/w: where q is narrower than p, the log adds to "
                "the cost.", "1.10", lambda m, v, n, w: (_kl_parts(m, v, n, w) + (v / w).log()).sum(-1)),
        Mistake("the KL without the −1", "−1 makes it zero for two equal Gaussians; it is the mean of "
                "−(z − μ)²/v.", "1.10", lambda *a: (_kl_parts(*a) + 0.5).sum(-1)),
        Mistake("the KL with one sum over everything", "Sum over the last axis only: each data point has its own.",
                "1.10", lambda *a: _kl_parts(*a).sum()),
    ),
)  # fmt: skip

EXERCISES = (log_likelihood, elbo, lopsided, pathwise_gradient, kl)

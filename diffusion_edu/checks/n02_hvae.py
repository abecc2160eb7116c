r"""Exercises of notebook 02: one draw of a consistency term, and what a bound with several levels loses."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .. import gaussian
from ..gaussian import LOG_2PI, Gaussian
from .core import Draw, Exercise, Mistake, Property

# --- spoilt_gap ---------------------------------------------------------------------------------------------------


def _factor_cases(draw: Draw) -> list[dict]:
    return [{"factors": draw.uniform(0.3, 3, T), "dim": dim} for T, dim in ((1, 1), (1, 2), (2, 1), (3, 2), (5, 4))]


def _by_kl(f, factors, dim):
    var = torch.linspace(0.2, 0.8, len(factors), dtype=torch.float64)
    at = lambda v: Gaussian(torch.zeros(len(v), dim, dtype=torch.float64), v.unsqueeze(-1).expand(-1, dim))  # noqa: E731
    return f(factors, dim), gaussian.kl(at(factors.double() * var), at(var)).sum()


def _cost(r):
    return 0.5 * (r - 1 - r.log())


spoilt_gap = Exercise(
    name="spoilt_gap", notebook="02", section="4", title="the price of wrong posteriors", minutes=8,
    cases=_factor_cases,
    properties=(
        Property("is the sum of the levels' KLs (2.6)", _by_kl),
        Property("is zero if nothing is wrong", lambda f, r, D: (f(r / r, D), torch.zeros(()))),
        Property("does not depend on the order of the levels", lambda f, r, D: (f(r.flip(0), D), f(r, D))),
    ),
    mistakes=(
        Mistake("the gap with 1/r in place of r", "The KL is turned round: q comes first, and r = variance of q over "
                "variance of the posterior.", "2.6", lambda r, D: D * _cost(1 / r).sum()),
        Mistake("the gap of one dimension", "Each of the D dimensions pays.", "1.10", lambda r, D: _cost(r).sum()),
        Mistake("the gap without the first factor", "factors[t − 1] belongs to level t, so factors[0] to level 1.",
                "2.6", lambda r, D: D * _cost(r[1:]).sum()),
        Mistake("the mean over the levels", "The KL of a chain is the sum over its levels.", "2.6",
                lambda r, D: D * _cost(r).mean()),
        Mistake("twice the gap", "The factor ½ is missing.", "1.10", lambda r, D: 2 * D * _cost(r).sum()),
        Mistake("the gap without the log", "The log of the ratio belongs to the KL: −½ log r.", "1.10",
                lambda r, D: D / 2 * (r - 1).sum()),
        Mistake("the gap of the product of all factors", "The levels do not multiply into one: each has a KL of its "
                "own, and these add.", "2.6", lambda r, D: D * _cost(r.prod())),
        Mistake("the gap of each level", "One number is wanted, the sum over the levels.", "2.6",
                lambda r, D: D * _cost(r)),
        Mistake("minus the gap", "A gap is log p(x) − ELBO, and a KL: never negative.", "2.6",
                lambda r, D: -D * _cost(r).sum()),
    ),
)  # fmt: skip

# --- consistency --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LinearChain:
    """z_T ~ N(0, I), z_t = a_t z_{t+1} + noise of variance v_t, and q the exact posteriors, their variances times
    `spoil`. Each level has an a and a v of its own, so that a wrong index shows; there are T of each, t = 0, …, T − 1,
    and where t runs over the end they begin anew."""

    a: tuple[float, ...]
    v: tuple[float, ...]
    spoil: float
    like: Tensor

    def __repr__(self) -> str:
        a, v = (", ".join(f"{x:.3g}" for x in numbers) for numbers in (self.a, self.v))
        return f"(a = {a}; v = {v}; q {self.spoil:.3g} × too wide)"

    @property
    def levels(self) -> int:
        """T."""
        return len(self.a)

    def marginal(self, t: int) -> Gaussian:
        """p(z_t)."""
        p = self.prior()
        for s in range(self.levels - 1, t - 1, -1):
            p = gaussian.marginal(p, self.a[s], self.v[s])
        return p

    def q(self, t: int, z: Tensor) -> Gaussian:
        """q(z_t | z_{t−1})."""
        exact = gaussian.condition(self.marginal(t), self.a[t - 1], self.v[t - 1], z)
        return Gaussian(exact.mean, exact.var * self.spoil)

    def p(self, t: int, z: Tensor) -> Gaussian:
        """p(z_t | z_{t+1})."""
        t = t % self.levels
        return Gaussian(self.a[t] * z, torch.full_like(z, self.v[t]))

    def prior(self) -> Gaussian:
        """p(z_T)."""
        return Gaussian(torch.zeros_like(self.like), torch.ones_like(self.like))


def _chain_cases(draw: Draw) -> list[dict]:
    cases = []
    for levels, t, size in ((2, 1, (1,)), (3, 2, (2,)), (3, 1, (3, 2)), (5, 3, (2, 2))):
        a, v = (tuple(draw.uniform(*ends, levels).tolist()) for ends in ((0.6, 0.9), (0.3, 0.6)))
        z = [draw.normal(*size) for _ in range(levels + 1)]
        cases.append({"chain": LinearChain(a, v, draw.number(1.5, 2), draw.normal(size[-1])), "z": z, "t": t})
    return cases


def _log_density(at: Tensor, p: Gaussian) -> Tensor:
    """log N written out."""
    return -0.5 * ((at - p.mean) ** 2 / p.var + p.var.log() + LOG_2PI).double().sum(-1)


def _ratio(f, chain, z, t):
    p, q = chain.p(t, z[t + 1]), chain.q(t, z[t - 1])
    return f(chain, z, t), _log_density(z[t], p) - _log_density(z[t], q)


def _levels(p: int | None = 0, q: int | None = 0):
    """The term with the level that p or q is asked for moved, or always the first if None."""

    def wrong(c, z, t):
        at_p, at_q = (t + move if move is not None else first for move, first in ((p, 0), (q, 1)))
        return c.p(at_p, z[t + 1]).log_prob(z[t]) - c.q(at_q, z[t - 1]).log_prob(z[t])

    return wrong


def _exact_sum(f, chain, z, t):
    """With exact posteriors all terms of (2.5) add up to log p(x) on any path."""
    exact = replace(chain, spoil=1.0)
    T = chain.levels
    ends = exact.p(0, z[1]).log_prob(z[0]) + exact.prior().log_prob(z[T]) - exact.q(T, z[T - 1]).log_prob(z[T])
    return ends + sum(f(exact, z, s) for s in range(1, T)), exact.marginal(0).log_prob(z[0])


_OWN = "Each level has densities of its own, and the number says which variable they are of: "

consistency = Exercise(
    name="consistency", notebook="02", section="3", title="one draw of a consistency term", minutes=8,
    cases=_chain_cases,
    properties=(
        Property("is the term that (2.5) has at level t, at the z of the path", _ratio,
                 hint="Each level has a p and a q of its own: which t are they asked for?"),
        Property("makes the bound log p(x) on every path if the posteriors are exact (2.6)", _exact_sum),
    ),
    mistakes=(
        Mistake("the term as a cost", "In the bound (2.5) p is above and q below: log p − log q.", "2.5",
                lambda c, z, t: c.q(t, z[t - 1]).log_prob(z[t]) - c.p(t, z[t + 1]).log_prob(z[t])),
        Mistake("minus the printed KL", "The KL of (2.9) draws a z_t of its own, which does not know z_{t+1}. The term "
                "is taken at the z_t of the path.", "2.8",
                lambda c, z, t: -gaussian.kl(c.q(t, z[t - 1]), c.p(t, z[t + 1]))),
        Mistake("the printed KL", "The KL of (2.9) draws a z_t of its own, which does not know z_{t+1}. And a bound "
                "loses by it, so its sign would be minus.", "2.8",
                lambda c, z, t: gaussian.kl(c.q(t, z[t - 1]), c.p(t, z[t + 1]))),
        Mistake("minus the KL of two different latents", "q(z_{t+1}|z_t) and p(z_t|z_{t+1}) speak of different "
                "variables. Compare two densities of z_t.", "2.8",
                lambda c, z, t: -gaussian.kl(c.q(t + 1, z[t]), c.p(t, z[t + 1]))),
        Mistake("log p(z_t|z_{t+1}) − log q(z_{t+1}|z_t)", "The two densities are of different variables: q must be "
                "q(z_t|z_{t−1}).", "2.5",
                lambda c, z, t: c.p(t, z[t + 1]).log_prob(z[t]) - c.q(t + 1, z[t]).log_prob(z[t + 1])),
        Mistake("log p(z_{t−1}|z_t) − log q(z_t|z_{t−1})", "The index of p is shifted by one: chain.p(t, z[t + 1]).",
                "2.5", lambda c, z, t: c.p(t - 1, z[t]).log_prob(z[t - 1]) - c.q(t, z[t - 1]).log_prob(z[t])),
        Mistake("the term with chain.p(t − 1, z[t + 1])", _OWN + "p(z_t|z_{t+1}) is chain.p(t, ·).", "2.5",
                _levels(p=-1)),
        Mistake("the term with chain.p(t + 1, z[t + 1])", _OWN + "p(z_t|z_{t+1}) is chain.p(t, ·).", "2.5",
                _levels(p=1)),
        Mistake("the term with chain.p(0, z[t + 1])", _OWN + "p(z_t|z_{t+1}) is chain.p(t, ·).", "2.5",
                _levels(p=None)),
        Mistake("the term with chain.q(t − 1, z[t − 1])", _OWN + "q(z_t|z_{t−1}) is chain.q(t, ·).", "2.5",
                _levels(q=-1)),
        Mistake("the term with chain.q(t + 1, z[t − 1])", _OWN + "q(z_t|z_{t−1}) is chain.q(t, ·).", "2.5",
                _levels(q=1)),
        Mistake("the term with chain.q(1, z[t − 1])", _OWN + "q(z_t|z_{t−1}) is chain.q(t, ·).", "2.5",
                _levels(q=None)),
        Mistake("log p(z_t|z_{t+1})", "q(z_t|z_{t−1}) is missing: a bound without it grows without limit.", "2.4",
                lambda c, z, t: c.p(t, z[t + 1]).log_prob(z[t])),
        Mistake("the true KL with q(z_t|z_{t+1}, x)", "That is (2.13), and it differs from the term by a mutual "
                "information.", "2.13", lambda c, z, t: -gaussian.kl(
                    gaussian.condition(c.q(t, z[t - 1]), c.q(t + 1, torch.ones_like(z[t])).mean, c.q(t + 1, z[t]).var,
                                       z[t + 1]), c.p(t, z[t + 1]))),
    ),
)  # fmt: skip

# --- middle -------------------------------------------------------------------------------------------------------


def _middle_cases(draw: Draw) -> list[dict]:
    return [
        {
            "mean": draw.normal(*size),
            "var": draw.uniform(0.3, 2, *size),
            "a": sign * draw.uniform(0.4, 1.5),
            "v": draw.uniform(0.2, 0.8),
            "z_next": draw.normal(*size),
        }
        for size, sign in (((1,), 1), ((2,), -1), ((3, 2), 1))
    ]


def _bayes(f, mean, var, a, v, z_next):
    """(2.12) at an arbitrary point."""
    point = Draw(2).normal(*mean.shape)
    m, s = f(mean, var, a, v, z_next)
    below = Gaussian(m, s).log_prob(point) + gaussian.marginal(Gaussian(mean, var), a, v).log_prob(z_next)
    return below, Gaussian(a * point, v).log_prob(z_next) + Gaussian(mean, var).log_prob(point)


def _gain(f, mean, var, a, v, z_next):
    """Another form of the same: the mean moves by a gain times the surprise."""
    gain = (a * var / (a**2 * var + v)).double()
    return f(mean, var, a, v, z_next), (mean + gain * (z_next - a * mean), (1 - gain * a) * var)


def _wrong_middle(precision=None, weighted=None, var_only=None):
    def wrong(mean, var, a, v, y):
        P = 1 / var + a**2 / v
        if var_only is not None:
            return None, var_only(var, a, v)
        return (mean / var + a * y / v if weighted is None else weighted(mean, var, a, v, y)) / P, None

    return wrong


middle = Exercise(
    name="middle", notebook="02", section="5", title="a latent seen from both sides", minutes=20,
    cases=_middle_cases,
    parts=2,
    properties=(
        Property("moves the mean by its share of the surprise", _gain),
        Property("satisfies Bayes' rule (2.12) at an arbitrary point", _bayes),
    ),
    mistakes=(
        Mistake("the mean with z_{t+1}/v (part 1)", "The factor a is missing: z_{t+1} is a z_t and noise.", "2.12",
                _wrong_middle(weighted=lambda m, s, a, v, y: m / s + y / v)),
        Mistake("the mean with a² z_{t+1}/v (part 1)", "z_{t+1} points to z_t = z_{t+1}/a with precision a²/v; "
                "multiplied, that is a z_{t+1}/v.", "2.12",
                _wrong_middle(weighted=lambda m, s, a, v, y: m / s + a**2 * y / v)),
        Mistake("the mean with |a| z_{t+1}/v (part 1)", "a keeps its sign: for a < 0 a large z_{t+1} speaks for a "
                "small z_t.", "2.12", _wrong_middle(weighted=lambda m, s, a, v, y: m / s + a.abs() * y / v)),
        Mistake("the mean without the prior (part 1)", "What is known from below is missing: mean/var.", "2.12",
                _wrong_middle(weighted=lambda m, s, a, v, y: a * y / v)),
        Mistake("the mean weighted with variances (part 1)", "The surer witness counts more: weigh with precisions.",
                "2.12", lambda m, s, a, v, y: ((m * s + a * y * v) / (s + a**2 * v), None)),
        Mistake("the midpoint of the two witnesses (part 1)", "The surer one counts more: weigh with precisions.",
                "2.12", lambda m, s, a, v, y: (0.5 * (m + y / a), None)),
        Mistake("var + v (part 2)", "Variances add when noise is added. When a witness is added, precisions do.",
                "2.12", _wrong_middle(var_only=lambda s, a, v: s + v)),
        Mistake("1/(1/var + a/v) (part 2)", "The precision of z_{t+1} about z_t is a²/v.", "2.12",
                _wrong_middle(var_only=lambda s, a, v: 1 / (1 / s + a / v))),
        Mistake("1/(1/var + 1/v) (part 2)", "The precision of z_{t+1} about z_t is a²/v.", "2.12",
                _wrong_middle(var_only=lambda s, a, v: 1 / (1 / s + 1 / v))),
        Mistake("the precision (part 2)", "The variance is one over it.", "2.12",
                _wrong_middle(var_only=lambda s, a, v: 1 / s + a**2 / v)),
        Mistake("a² var + v (part 2)", "That is the variance of z_{t+1}, with z_t averaged out.", "2.12",
                _wrong_middle(var_only=lambda s, a, v: a**2 * s + v)),
    ),
)  # fmt: skip

# --- information --------------------------------------------------------------------------------------------------


def _matrices(draw: Draw) -> list[dict]:
    return [{"log_q": 1.5 * draw.normal(n, n) - 1} for n in (2, 3, 7)]


def _formula(f, log_q):
    q = log_q.double().exp()
    return f(log_q), (q.diagonal() / q.mean(0)).log().mean()


def _linear_pair(f, log_q):
    """z = a y + noise of variance v, y ~ N(0, 1): the information is ½ log(1 + a²/v)."""
    n, a, v, draw = 600, 0.9, 0.3, Draw(3)
    y = draw.normal(n)
    z = a * y + v**0.5 * draw.normal(n)
    log_n = -0.5 * ((z - a * y[:, None]) ** 2 / v + math.log(2 * math.pi * v))
    return f(log_n.to(log_q)), torch.tensor(0.5 * math.log(1 + a**2 / v)), 0.1


def _spread_out(f, log_q):
    """Every draw and every encoder on a scale of its own, thousands of nats apart."""
    far = 2000 * torch.arange(len(log_q), dtype=log_q.dtype)
    m = log_q - far - far.flip(0)[:, None] / 2
    return f(m), (m.double().diagonal() - m.double().logsumexp(0)).mean() + math.log(len(m))


information = Exercise(
    name="information", notebook="02", section="7", title="what a level knows", minutes=15,
    cases=_matrices,
    properties=(
        Property("is the mean log of own density over mean density", _formula),
        Property("is zero if every encoder says the same",
                 lambda f, m: (f(m[:1].expand(m.shape)), torch.zeros(()))),
        Property("is near ½ log(1 + a²/v) for a linear Gaussian pair", _linear_pair),
        Property("stays finite at −2,000 nats", lambda f, m: (f(m - 2000), f(m)), instead="log_q = numbers near −2,000",
                 hint="exp(−2000) is zero in the computer. Take the largest value out first, as torch.logsumexp does."),
        Property("stays finite if each draw and each encoder has a scale of its own", _spread_out,
                 instead="log_q = this − 2,000 per column − 1,000 per row",
                 hint="What is taken out before exp must be the largest value of each column: with a mean, or one "
                 "value for all columns, exp gives 0 or ∞ for some of them."),
    ),
    mistakes=(
        Mistake("the information with the mean of the logs", "The aggregate posterior is a mean of densities: the log "
                "stands outside.", "2.16", lambda m: (m.diagonal() - m.mean(0)).mean()),
        Mistake("the information with the sum over i", "q(z_t) is a mean over i: log n is missing.", "2.16",
                lambda m: (m.diagonal() - m.logsumexp(0)).mean()),
        Mistake("the information with the mean over j", "q(z_t) at one z_t is a mean over the encoders i, the rows.",
                "2.16", lambda m: (m.diagonal() - m.logsumexp(1) + math.log(len(m))).mean()),
        Mistake("minus the information", "Own density first, aggregate second: knowing z_{t−1} can only help.", "2.16",
                lambda m: (m.logsumexp(0) - math.log(len(m)) - m.diagonal()).mean()),
        Mistake("the information of each point", "It is a mean over the draws.", "2.16",
                lambda m: m.diagonal() - m.logsumexp(0) + math.log(len(m))),
        Mistake("a sum over the draws", "It is a mean over the draws.", "2.16",
                lambda m: (m.diagonal() - m.logsumexp(0) + math.log(len(m))).sum()),
        Mistake("a mean over all pairs", "z_t^(j) is paired with the encoder it came from: the diagonal.", "2.16",
                lambda m: (m - m.logsumexp(0) + math.log(len(m))).mean()),
        Mistake("the mean own log density", "The aggregate posterior q(z_t) is missing.", "2.16",
                lambda m: m.diagonal().mean()),
    ),
)  # fmt: skip

EXERCISES = (consistency, spoilt_gap, middle, information)

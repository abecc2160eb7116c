"""Exercises of notebook 11: the hole in nats, a chain on a chain, its bound, what it costs if details leave."""

import math

import torch

from ..gaussian import LOG_2PI
from .core import Draw, Exercise, Mistake, Property

# --- mismatch -----------------------------------------------------------------------------------------------------


def _mismatch_cases(draw: Draw) -> list[dict]:
    return [
        {"z": draw.normal(n, d), "means": draw.normal(k, d), "variances": draw.uniform(0.2, 0.9, k, d)}
        for n, k, d in ((2, 2, 1), (4, 3, 2), (3, 5, 3))
    ]


def _joint(z, means, variances):
    return -0.5 * (LOG_2PI + variances.log() + (z[:, None] - means) ** 2 / variances)


def _mismatch(average=lambda p: p.logsumexp(1) - math.log(p.shape[1]), sum_=lambda p: p.sum(-1), constant=1.0, sign=1.0,
              reduce=lambda v: v.mean(), prior=True, var=lambda v: v):  # fmt: skip
    def value(z, means, variances):
        log_p = -0.5 * (constant * LOG_2PI + z**2)
        return sign * reduce(average(sum_(_joint(z, means, var(variances)))) - prior * log_p.sum(-1))

    return value


def _no_hole(f, z, means, variances):
    return f(z, torch.zeros_like(means), torch.ones_like(variances)), torch.zeros((), dtype=z.dtype)


mismatch = Exercise(
    name="mismatch", notebook="11", section="1", title="the hole in nats", minutes=10,
    cases=_mismatch_cases,
    properties=(
        Property("is zero where the aggregate is the prior", _no_hole, instead="means = 0; variances = 1"),
        Property("is the mean of log q(z) − log p(z) (11.2)", lambda f, *c: (f(*c), _mismatch()(*c))),
    ),
    mistakes=(
        Mistake("E[log Σ_k N_k − log p]", "q(z) is the mean of the components, not their sum: − log K is missing.",
                "1.13", _mismatch(average=lambda p: p.logsumexp(1))),
        Mistake("E[1/K Σ_k log N_k − log p]", "The log of the mean of densities, not the mean of their logs.", "1.13",
                _mismatch(average=lambda p: p.mean(1))),
        Mistake("E[log q]", "The prior's log p(z) is missing: that is minus the entropy of q(z).", "11.2",
                _mismatch(prior=False)),
        Mistake("E[log p − log q]", "That is minus the divergence.", "11.2", _mismatch(sign=-1.0)),
        Mistake("E[log q − log p] with p(z) without (2π)^(−D/2)", "N(0, I) has its constant too.", "11.2",
                _mismatch(constant=0.0)),
        Mistake("the answer for standard deviations in the place of variances", "`variances` are variances already: "
                "they are not squared.", "11.2", _mismatch(var=lambda v: v**2)),
        Mistake("the answer for variances that are the roots of those given", "`variances` are variances already: no "
                "root is taken.", "11.2", _mismatch(var=lambda v: v.sqrt())),
        Mistake("Σ[log q − log p]", "A mean over the draws of z, not a sum.", "11.2",
                _mismatch(reduce=lambda v: v.sum())),
    ),
)  # fmt: skip

# --- stacked_p ----------------------------------------------------------------------------------------------------


def _level(start, slope):
    return lambda t, z: start + slope * t + z


def _stacked_cases(draw: Draw) -> list[dict]:
    cases = []
    for L in (1, 2, 3):
        below, above = (_level(draw.number(*ends), draw.number(1, 2)) for ends in ((1, 2), (20, 30)))
        cases += [{"below": below, "above": above, "L": L, "t": t, "z": draw.normal(2, 2)} for t in range(L + 3)]
    return cases


def _turn(last=0, offset=0, count=True):
    def value(below, above, L, t, z):
        return below(t, z) if t < L + last else above(t - (L if count else 0) + offset, z)

    return value


stacked_p = Exercise(
    name="stacked_p", notebook="11", section="3", title="a chain on a chain", minutes=8,
    cases=_stacked_cases,
    properties=(Property("is the right chain at its own level (11.3)", lambda f, *c: (f(*c), _turn()(*c))),),
    mistakes=(
        Mistake("below up to t = L", "p(z_t | z_{t+1}) with t = L gives the last latent of below, which is the data of "
                "above: it is the decoder of above.", "11.3", _turn(last=1)),
        Mistake("below up to t = L − 2", "below has its own steps at t = 0 … L − 1.", "11.3", _turn(last=-1)),
        Mistake("above(t, z)", "above counts from its own data: its level is t − L.", "11.3", _turn(count=False)),
        Mistake("above(t − L + 1, z)", "At t = L it is the decoder of above, level 0.", "11.3", _turn(offset=1)),
        Mistake("above(t − L − 1, z)", "At t = L it is the decoder of above, level 0.", "11.3", _turn(offset=-1)),
    ),
)  # fmt: skip

# --- latent_bound -------------------------------------------------------------------------------------------------


def _bound_cases(draw: Draw) -> list[dict]:
    return [{"log_p_x": draw.normal(n) - 2, "log_q": draw.normal(n) + 1, "log_prior": draw.normal(n) - 3,
             "elbo_above": draw.normal(n) - 2} for n in (1, 3, 5)]  # fmt: skip


def _bound(p=1.0, q=1.0, prior=0.0, above=1.0, sign=-1.0, reduce=lambda v: v):
    return lambda a, b, c, d: reduce(sign * (p * a - q * b + prior * c + above * d))


latent_bound = Exercise(
    name="latent_bound", notebook="11", section="3", title="the bound of two stages", minutes=5,
    cases=_bound_cases,
    properties=(Property("is (11.3), point by point", lambda f, *c: (f(*c), _bound()(*c))),),
    mistakes=(
        Mistake("−log p(x|z) + log q(z|x) − log p(z) − ELBO_above", "The prior is counted twice: the chain above has "
                "taken the place of N(0, I).", "11.3", _bound(prior=1.0)),
        Mistake("−log p(x|z) + log q(z|x) − log p(z)", "That is the VAE alone, with N(0, I) as its prior.", "11.1",
                _bound(prior=1.0, above=0.0)),
        Mistake("−log p(x|z) − ELBO_above", "The encoder's log q(z|x) is missing. Without it the sum is no bound.",
                "11.3", _bound(q=0.0)),
        Mistake("−log p(x|z) − log q(z|x) − ELBO_above", "log q stands in the denominator: + log q in −ELBO.", "11.3",
                _bound(q=-1.0)),
        Mistake("log p(x|z) − log q(z|x) + ELBO_above", "That is the ELBO. Asked is −ELBO.", "11.3", _bound(sign=1.0)),
        Mistake("−log p(x|z) + log q(z|x) + ELBO_above", "ELBO_above stands where log p(z) stood in (11.1): with a "
                "minus.", "11.3", _bound(above=-1.0)),
        Mistake("log q(z|x) − ELBO_above", "The decoder's log p(x|z) is missing.", "11.3", _bound(p=0.0)),
    ),
)  # fmt: skip

# --- leaving_cost -------------------------------------------------------------------------------------------------


def _leaving_cases(draw: Draw) -> list[dict]:
    return [{"alpha_bar": draw.number(0.05, 0.7), "square": draw.uniform(0.1, 1.5, d), "above": draw.number(0.1, 0.9)}
            for d in (1, 2, 4)]  # fmt: skip


def _leave(half=0.5, credit=-1.0, own=None, reduce=lambda v: v.sum(), noise=lambda a: 1 - a, constant=1.0):
    def value(alpha_bar, square, above):
        var = noise(alpha_bar) if own is None else own(alpha_bar, square)
        var = torch.as_tensor(var, dtype=square.dtype)
        kl = alpha_bar * square + 1 - alpha_bar - constant - var.log()
        return reduce(half * kl) + credit * above

    return value


def _all_found(f, alpha_bar, square, above):
    """If the terms above have found all that x_t* knows of Gaussian details, what is lost is their own divergence."""
    var = alpha_bar * square + 1 - alpha_bar
    known = 0.5 * (var / (1 - alpha_bar)).log().sum().item()
    return f(alpha_bar, square, known), 0.5 * (var - 1 - var.log()).sum()


leaving_cost = Exercise(
    name="leaving_cost", notebook="11", section="8", title="what it costs to leave", minutes=10,
    cases=_leaving_cases,
    properties=(
        Property("is the aggregate's divergence for Gaussian details", _all_found,
                 instead="above = all that x_t* knows"),
        Property("is (11.6)", lambda f, *c: (f(*c), _leave()(*c))),
    ),
    mistakes=(
        Mistake("E KL(q(d|x₀) ‖ N(0, I))", "The terms above t* are saved. Their nats are to be credited.", "11.6",
                _leave(credit=0.0)),
        Mistake("E KL + the terms above", "What is no longer paid is subtracted.", "11.6", _leave(credit=1.0)),
        Mistake("KL of the aggregate − the terms above", "The bound has the mean of the divergences of q(d|x₀), whose "
                "variance is 1 − ᾱ.", "11.6", _leave(own=lambda a, s: a * s + 1 - a)),
        Mistake("(11.6) without the ½", "KL of Gaussians has a ½.", "1.10", _leave(half=1.0)),
        Mistake("(11.6) as a mean over dimensions", "Nats of a data point: the sum over what leaves.", "11.6",
                _leave(reduce=lambda v: v.mean())),
        Mistake("(11.6) with log ᾱ", "The variance of q(x_t|x₀) is 1 − ᾱ.", "3.4", _leave(noise=lambda a: a)),
        Mistake("(11.6) without − 1", "KL of Gaussians: v + μ² − 1 − log v.", "1.10", _leave(constant=0.0)),
    ),
)  # fmt: skip

EXERCISES = (mismatch, stacked_p, latent_bound, leaving_cost)

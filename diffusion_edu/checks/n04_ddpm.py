r"""Exercises of notebook 04: conversions, the weight in the loss, the loss, the step, and how many steps it takes."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import diffusion, oracles, samplers, schedules
from ..data import SwissRoll
from .core import NO_GRADIENT, Draw, Exercise, Mistake, Ordering, Property, gradients
from .n03_diffusion import _bars, _times

# --- x0_from_v ----------------------------------------------------------------------------------------------------


def _v_cases(draw: Draw) -> list[dict]:
    return [
        {"xt": draw.normal(*size), "v": draw.normal(*size), "alpha_bar": draw.uniform(0.1, 0.9)}
        for size in ((1,), (2,), (4, 2), (3, 3))
    ]


def _round_trip(f, xt, v, a):
    """From x₀ and ε, here any two tensors, to x_t and v by (4.1) and (4.2), and back."""
    x0, eps = xt, v
    return f(a.sqrt() * x0 + (1 - a).sqrt() * eps, a.sqrt() * eps - (1 - a).sqrt() * x0, a), x0


x0_from_v = Exercise(
    name="x0_from_v", notebook="04", section="1", title="from v back to the data", minutes=8,
    cases=_v_cases,
    properties=(
        Property("leads back to x₀ from the x_t and the v of (4.1) and (4.2)", _round_trip),
        Property("is x_t where there is no noise", lambda f, xt, v, a: (f(xt, v, torch.ones_like(a)), xt),
                 hint="It divides by something that is zero there.", instead="alpha_bar = 1"),
        Property("is −v where there is no signal", lambda f, xt, v, a: (f(xt, v, torch.zeros_like(a)), -v),
                 hint="It divides by something that is zero there.", instead="alpha_bar = 0"),
    ),
    mistakes=(
        Mistake("√ᾱ x_t + √(1 − ᾱ) v", "The sign of v: where x_t is nearly noise, v is about −x₀.", "4.2",
                lambda x, v, a: a.sqrt() * x + (1 - a).sqrt() * v),
        Mistake("ε", "That is the other unknown, √ᾱ v + √(1 − ᾱ) x_t.", "4.2",
                lambda x, v, a: a.sqrt() * v + (1 - a).sqrt() * x),
        Mistake("√(1 − ᾱ) x_t − √ᾱ v", "The two roots are exchanged: at ᾱ = 1 the point x_t is clean, and x₀ is x_t.",
                "4.1", lambda x, v, a: (1 - a).sqrt() * x - a.sqrt() * v),
        Mistake("ᾱ x_t − (1 − ᾱ) v", "The roots are missing: it is cos φ and sin φ, not their squares.", "4.1",
                lambda x, v, a: a * x - (1 - a) * v),
        Mistake("(x_t − √(1 − ᾱ) v)/√ᾱ", "That treats v as if it were ε.", "4.7",
                lambda x, v, a: (x - (1 - a).sqrt() * v) / a.sqrt()),
        Mistake("−x₀", "The sign of the whole is turned.", "4.2", lambda x, v, a: (1 - a).sqrt() * v - a.sqrt() * x),
    ),
)  # fmt: skip

# --- noise_weight -------------------------------------------------------------------------------------------------


def _weight_cases(draw: Draw) -> list[dict]:
    return [{"beta": beta, "t": t, "sigma2": draw.uniform(0.1, 0.9)} for beta, t in _times(draw)]


def _against_the_bound(f, beta, t, sigma2):
    """What a noise error adds to the bound's term, divided by its square."""
    b = beta.double()
    s, (x0, eps, off), bar = schedules.Schedule(b), Draw(6).normal(3, 2), (1 - b).cumprod(0)[t]
    xt = bar.sqrt() * x0 + (1 - bar).sqrt() * eps
    x0_hat = (xt - (1 - bar).sqrt() * (eps + off)) / bar.sqrt()
    every = diffusion.per_step(sigma2.double().expand(len(b)))
    with_error, without = (
        diffusion.L_term(s, t, x0, xt, diffusion.reverse_step(s, t, xt, guess, every)) for guess in (x0_hat, x0)
    )
    return f(beta, t, sigma2), (with_error - without) / off.square().sum()


def _snr_ratio(f, beta, t, sigma2):
    if t == 1:
        return torch.zeros(()), torch.zeros(())
    bar = (1 - beta.double()).cumprod(0)
    snr = bar / (1 - bar)
    return f(beta, t, _bars(beta, t)[3]), 0.5 * (snr[t - 1] / snr[t] - 1)


def _weight(formula):
    return lambda beta, t, sigma2: formula(beta[t], sigma2, *_bars(beta, t)[:3])


noise_weight = Exercise(
    name="noise_weight", notebook="04", section="2", title="the weight of the noise error", minutes=12,
    cases=_weight_cases,
    properties=(
        Property("is what a noise error adds to L_{t−1} or L₀, per square", _against_the_bound),
        Property("is ½ (SNR(t−1)/SNR(t) − 1) for σ² = β̃_t (4.13)", _snr_ratio, instead="sigma2 = β̃_t"),
    ),
    mistakes=(
        Mistake("w_t with β_t in place of β_t²", "The difference of the means has β_t, and it is squared.", "4.10",
                _weight(lambda b, s, a, before, bar: b / (2 * s * a * (1 - bar)))),
        Mistake("w_t without α_t", "Both means are divided by √α_t; squared, that is 1/α_t.", "4.10",
                _weight(lambda b, s, a, before, bar: b**2 / (2 * s * (1 - bar)))),
        Mistake("w_t with ᾱ_t in place of α_t", "The step from x_t to x_{t−1} undoes one α_t, without a bar.", "4.8",
                _weight(lambda b, s, a, before, bar: b**2 / (2 * s * bar * (1 - bar)))),
        Mistake("2 w_t", "The factor ½ of the KL is missing.", "4.6",
                _weight(lambda b, s, a, before, bar: b**2 / (s * a * (1 - bar)))),
        Mistake("w_t with σ_t in place of σ_t²", "The squared distance is divided by twice the variance.", "4.6",
                _weight(lambda b, s, a, before, bar: b**2 / (2 * s.sqrt() * a * (1 - bar)))),
        Mistake("w_t with √(1 − ᾱ_t)", "The root is in the mean; in the weight it is squared.", "4.10",
                _weight(lambda b, s, a, before, bar: b**2 / (2 * s * a * (1 - bar).sqrt()))),
        Mistake("w_t with √α_t", "The root is in the mean; in the weight it is squared.", "4.10",
                _weight(lambda b, s, a, before, bar: b**2 / (2 * s * a.sqrt() * (1 - bar)))),
        Mistake("w_t with ᾱ_{t−1} in place of ᾱ_t", "The noise in x_t has the variance 1 − ᾱ_t.", "4.10",
                _weight(lambda b, s, a, before, bar: b**2 / (2 * s * a * (1 - before)))),
        Mistake("the weight of |x₀ − x̂₀|²", "That is c_t²/2σ_t². The error in ε is SNR(t) times the one in x₀.", "4.3",
                _weight(lambda b, s, a, before, bar: before * (b / (1 - bar)) ** 2 / (2 * s))),
        Mistake("½ (SNR(t−1)/SNR(t) − 1), whatever σ_t² is", "That holds for σ_t² = β̃_t only.", "4.13",
                _weight(lambda b, s, a, before, bar: 0.5 * (before / (1 - before) * (1 - bar) / bar - 1))),
    ),
)  # fmt: skip

# --- simple_loss --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SomeNet:
    """A function of x_t and t with one weight, in the place of a network. It may be asked for a whole batch, for a
    part of it with one t, or for single points."""

    shift: float | Tensor

    def __call__(self, xt: Tensor, t: Tensor) -> Tensor:
        """A guess at ε, like x_t."""
        time = _like_points(t, xt).to(xt.dtype)
        return torch.tanh(xt + self.shift) + 0.1 * time * torch.arange(1, xt.shape[-1] + 1).to(xt)


def _like_points(t, xt: Tensor) -> Tensor:
    """The time of each point, (..., 1); one t stands for all."""
    t = torch.as_tensor(t)
    return (t.reshape(()) if t.numel() == 1 else t).expand(xt.shape[:-1]).unsqueeze(-1)


def _known_noise(f, net, x0, t, eps, bar):
    """All data are the same point, so that x_t tells the noise, whichever points the network is asked about."""

    def knows(xt, time):
        a = bar[_like_points(time, xt)]
        return (xt - a.sqrt() * x0[0]) / (1 - a).sqrt()

    return f(knows, x0[:1].expand(x0.shape), t, eps, bar), 0 * x0.sum(-1)


def _slope(f, net, x0, t, eps, bar):
    """The gradient in the network's weight."""
    weight = torch.tensor(net.shift, dtype=torch.float64, requires_grad=True)
    case = (SomeNet(weight), x0, t, eps, bar)
    (given,), (right,) = (gradients(value, (weight,)) for value in (f(*case), _error(*case).square().sum(-1)))
    return given, right


def _loss_cases(draw: Draw) -> list[dict]:
    cases = []
    for n, dim in ((2, 2), (1, 3), (5, 2)):
        bar = (1 - draw.betas()).cumprod(0)
        t = torch.randint(1, len(bar), (n,), generator=draw.generator)
        if n > 1:
            t[0], t[1] = 1, len(bar) - 1
        net = SomeNet(draw.number(-1, 1))
        cases.append({"eps_net": net, "x0": draw.normal(n, dim), "t": t, "eps": draw.normal(n, dim), "alpha_bar": bar})
    return cases


def _noised(x0, t, eps, bar, power=0.5):
    """x_t point by point."""
    return torch.stack([bar[i] ** power * x + (1 - bar[i]) ** power * e for x, i, e in zip(x0, t, eps, strict=True)])


def _error(net, x0, t, eps, bar):
    return eps - net(_noised(x0, t, eps, bar), t)


def _without_column(net, x0, t, eps, bar):
    xt = bar[t].sqrt() * x0 + (1 - bar[t]).sqrt() * eps
    return (eps - net(xt, t)).square().sum(-1)


simple_loss = Exercise(
    name="simple_loss", notebook="04", section="2", title="the loss of DDPM", minutes=12,
    cases=_loss_cases,
    properties=(
        Property("is the squared error at the x_t of each point",
                 lambda f, *case: (f(*case), _error(*case).square().sum(-1))),
        Property("is zero for a network that knows the noise", _known_noise, instead="x0 = one point, n times"),
        Property("is |ε|² for a network that says zero",
                 lambda f, net, x, t, e, bar: (f(lambda xt, t: 0 * xt, x, t, e, bar), e.square().sum(-1))),
        Property("hands the gradient on to the network's weights", _slope, hint=NO_GRADIENT),
    ),
    mistakes=(
        Mistake("the loss with alpha_bar[t] multiplied along the wrong axis", "Each row has its own t: "
                "alpha_bar[t] needs a second axis, unsqueeze(-1). With as many points as dimensions nobody complains.",
                "4.12", _without_column),
        Mistake("the mean of the squares over the dimensions", "|·|² is a sum over the dimensions.", "4.12",
                lambda *case: _error(*case).square().mean(-1)),
        Mistake("the mean over the batch", "Return one number per point. The mean over the batch comes afterwards.",
                "4.12", lambda *case: _error(*case).square().sum(-1).mean()),
        Mistake("the squared error of each dimension", "|·|² sums over the last axis.", "4.12",
                lambda *case: _error(*case).square()),
        Mistake("|ε − ε̂|", "The norm is not squared.", "4.12", lambda *case: _error(*case).norm(dim=-1)),
        Mistake("the loss at x_t = ᾱ x₀ + (1 − ᾱ) ε", "Signal and noise are multiplied by the roots.", "4.1",
                lambda net, x, t, e, bar: (e - net(_noised(x, t, e, bar, 1), t)).square().sum(-1)),
        Mistake("the loss with the network asked at x₀", "The network sees the noisy x_t only.", "4.12",
                lambda net, x, t, e, bar: (e - net(x, t)).square().sum(-1)),
        Mistake("|x₀ − ε̂|²", "The target is the noise that was put in.", "4.12",
                lambda net, x, t, e, bar: (x - net(_noised(x, t, e, bar), t)).square().sum(-1)),
        Mistake("the loss with ᾱ_{t−1} in x_t", "The index is shifted by one: alpha_bar[0] = 1 stands for clean data.",
                "4.1", lambda net, x, t, e, bar: (e - net(_noised(x, t - 1, e, bar), t)).square().sum(-1)),
        Mistake("the loss with the network told t − 1", "x_t belongs to t, and the network has to know it.", "4.12",
                lambda net, x, t, e, bar: (e - net(_noised(x, t, e, bar), t - 1)).square().sum(-1)),
    ),
)  # fmt: skip

# --- ancestral_step -----------------------------------------------------------------------------------------------


def _step_cases(draw: Draw) -> list[dict]:
    sizes = ((2,), (2,), (3, 2))
    return [
        {"beta": beta, "t": t, "xt": draw.normal(*size), "eps_hat": draw.normal(*size), "z": draw.normal(*size)}
        for (beta, t), size in zip(_times(draw), sizes, strict=True)
    ]


def _by_x0_hat(f, beta, t, xt, eps_hat, z):
    """Without noise it is the mean (4.5) at the x̂₀ that ε̂ stands for."""
    alpha, before, bar, _ = _bars(beta.double(), t)
    x0_hat = (xt - (1 - bar).sqrt() * eps_hat) / bar.sqrt()
    mean = before.sqrt() * beta[t] / (1 - bar) * x0_hat + alpha.sqrt() * (1 - before) / (1 - bar) * xt
    return f(beta, t, xt, eps_hat, 0 * z), mean


def _noise_added(f, beta, t, xt, eps_hat, z):
    """What z adds."""
    return f(beta, t, xt, eps_hat, z) - f(beta, t, xt, eps_hat, 0 * z), beta[t].sqrt() * z * (t > 1)


def _step(mean=None, std=None, last=0):
    """The step with a part replaced: its mean, or the factor of z; `last` multiplies the noise at t = 1."""

    def wrong(beta, t, xt, eps_hat, z):
        alpha, before, bar, tilde = _bars(beta, t)
        right = (xt - beta[t] / (1 - bar).sqrt() * eps_hat) / alpha.sqrt()
        m = right if mean is None else mean(xt, eps_hat, beta[t], alpha, before, bar)
        s = beta[t].sqrt() if std is None else std(beta[t], tilde, alpha, bar)
        return m + s * z * (last if t == 1 else 1)

    return wrong


ancestral_step = Exercise(
    name="ancestral_step", notebook="04", section="9", title="one step back", minutes=12,
    cases=_step_cases,
    properties=(
        Property("has the mean of the forward posterior at x̂₀ (4.5)", _by_x0_hat),
        Property("adds the right amount of noise at every t (4.19)", _noise_added),
    ),
    mistakes=(
        Mistake("the step with noise at t = 1", "z = 0 in the last step: that noise would stay in the sample.", "4.19",
                _step(last=1)),
        Mistake("the step without noise", "At t > 1 each step adds fresh noise, σ_t z.", "4.19",
                _step(std=lambda b, tilde, a, bar: 0 * b)),
        Mistake("the step with β_t z", "σ_t is the root of β_t: a variance stands where a standard deviation belongs.",
                "4.19", _step(std=lambda b, tilde, a, bar: b)),
        Mistake("the step with √β̃_t z", "That is the other choice of σ_t². Here it is β_t.", "4.19",
                _step(std=lambda b, tilde, a, bar: tilde.sqrt())),
        Mistake("the step with + ε̂", "The noise is taken out of x_t: the sign is minus.", "4.9",
                _step(lambda x, e, b, a, before, bar: (x + b / (1 - bar).sqrt() * e) / a.sqrt())),
        Mistake("the step divided by √ᾱ_t", "One step undoes one α_t. With √ᾱ_t one would jump to x₀.", "4.9",
                _step(lambda x, e, b, a, before, bar: (x - b / (1 - bar).sqrt() * e) / bar.sqrt())),
        Mistake("the step without 1/√α_t", "The forward step shrank x_{t−1} by √α_t; going back stretches it.", "4.9",
                _step(lambda x, e, b, a, before, bar: x - b / (1 - bar).sqrt() * e)),
        Mistake("the step with β_t/(1 − ᾱ_t)", "The factor of ε̂ has the root of 1 − ᾱ_t.", "4.9",
                _step(lambda x, e, b, a, before, bar: (x - b / (1 - bar) * e) / a.sqrt())),
        Mistake("the step with √(1 − ᾱ_{t−1})", "The noise in x_t has the variance 1 − ᾱ_t: the index is shifted by "
                "one.", "4.9", _step(lambda x, e, b, a, before, bar: (x - b / (1 - before).sqrt() * e) / a.sqrt())),
        Mistake("x̂₀ plus noise", "That is the jump (4.7) to the end. A step goes from x_t to x_{t−1}.", "4.9",
                _step(lambda x, e, b, a, before, bar: (x - (1 - bar).sqrt() * e) / bar.sqrt())),
        Mistake("the step with a number for ε̂", "002 prints the mean so: the ε behind the fraction is missing.", "4.8",
                _step(lambda x, e, b, a, before, bar: (x - b / (1 - bar).sqrt()) / a.sqrt())),
    ),
)  # fmt: skip

# --- five_steps ---------------------------------------------------------------------------------------------------


@functools.cache
def _off_after_five() -> dict[str, float]:
    """The share of samples off the roll after five steps of the exact denoiser, in per cent."""
    roll, x_T = SwissRoll(nodes=320), Draw(8).normal(1000, 2)
    threshold = roll.log_prob(roll.sample(10_000, seed=9)).quantile(0.001)
    found = {}
    for name, s in {"linear": schedules.linear(), "cosine": schedules.cosine(),
                    "short": schedules.sigmoid(100, 1e-5, 1e-2)}.items():  # fmt: skip
        denoiser, noise = oracles.exact_denoiser(roll, s.alpha_bar), torch.Generator().manual_seed(10)
        x = samplers.sample(denoiser, s, x_T, steps=5, generator=noise)
        found[name] = 100 * (roll.log_prob(x) < threshold).double().mean().item()
    return found


_STRIDE = "What counts is the last stride, from a noise of width √((1 − ᾱ)/ᾱ) to clean data: "

five_steps = Ordering(
    name="five_steps", notebook="04", section="9", title="which schedule stands five steps best?", minutes=6,
    values=_off_after_five,
    backwards="That is the order from the worst to the best. " + _STRIDE + "linear has the widest, short the thinnest.",
    reasons={
        ("short", "cosine"): _STRIDE + "short spends no step on high noise, so its last one is the thinnest. Its wrong "
        "start costs less than one can see; compare (3.8).",
        ("short", "linear"): _STRIDE + "the linear schedule's is wider than half the distance of the arms.",
        ("cosine", "linear"): _STRIDE + "the linear schedule rises from small β quickly, and its last stride of five "
        "is about twice as wide as the cosine schedule's.",
    },
)  # fmt: skip

EXERCISES = (x0_from_v, noise_weight, simple_loss, ancestral_step, five_steps)

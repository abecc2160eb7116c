"""Guidance: a denoiser pushed towards a label y.

    x̂₀ = x̂₀(x_t) + w (x̂₀(x_t, y) − x̂₀(x_t))                      by a model that knows labels (Ho & Salimans 2022)
       = x̂₀(x_t) + w (1−ᾱ)/√ᾱ ∇ log p(y|x_t)                      by a classifier (Dhariwal & Nichol 2021, §4)

By Bayes' rule the two are one. w = 0 leaves y out, w = 1 is exactly p(x|y); for any other w the law that is sampled is
not p(x) p(y|x)^w, which weighed particles reach (conditioning.py). The maps from x̂₀ to ε̂, v̂ and the score are affine,
so the same w serves for each. Ho & Salimans' own w is this one less 1.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .ddpm import DDPM
from .gaussian import Gaussian
from .likelihood import Flow, augmented
from .nets import Level, NoiseNet
from .oracles import Denoiser, Mixture
from .schedules import Schedule
from .sde import integrate, rk4, sigmoid

LogP = Callable[[Tensor, int], Tensor]  # (x_t, t) → log p(y|x_t) of one label, (...)


def guided(plain: Denoiser, given: Denoiser, weight: float) -> Denoiser:
    """x̂₀ + w (x̂₀(·, y) − x̂₀) of two denoisers (Ho & Salimans 2022, in x̂₀)."""

    def x0_hat(xt: Tensor, t: int | Tensor) -> Tensor:
        x0 = plain(xt, t)
        return x0 + weight * (given(xt, t) - x0)

    return x0_hat


def log_p_and_gradient(log_p: Callable[[Tensor], Tensor], xt: Tensor) -> tuple[Tensor, Tensor]:
    """log p(y|x_t) (...) and its gradient in x_t, like x_t."""
    with torch.enable_grad():
        xt = xt.detach().requires_grad_()
        value = log_p(xt)
        return value.detach(), torch.autograd.grad(value.sum(), xt)[0]


def classifier_guided(plain: Denoiser, log_p: LogP, alpha_bar: Tensor, weight: float) -> Denoiser:
    """x̂₀ + w (1−ᾱ)/√ᾱ ∇ log p(y|x_t) (Dhariwal & Nichol 2021, eq. 14, in x̂₀); `alpha_bar` is (T + 1,)."""

    def x0_hat(xt: Tensor, t: int) -> Tensor:
        bar = float(alpha_bar[t])
        _, gradient = log_p_and_gradient(lambda x: log_p(x, t), xt)
        return plain(xt, t) + weight * (1 - bar) / bar**0.5 * gradient

    return x0_hat


def exact_labels(parts: Sequence[Mixture], alpha_bar: Tensor) -> Callable[[Tensor, int], Tensor]:
    """(x_t, t) → log p(y|x_t), (..., K), where the data are `parts` K in equal shares and y says which."""
    return lambda xt, t: torch.stack([p.log_prob(xt, float(alpha_bar[t])) for p in parts], -1).log_softmax(-1)


def tilted(data: Mixture, log_p: Callable[[Tensor], Tensor], weight: float, n: int, seed: int = 0) -> Tensor:
    """n true samples (n, D) of p(x) p(y|x)^w / Z: a true point is kept with the probability p(y|x)^w. Z is the share
    that is kept. Raises ValueError if weight is negative."""
    if weight < 0:
        raise ValueError(f"weight must not be negative, got {weight}: p(y|x)^w would not be a probability")
    kept, found, generator = [], 0, torch.Generator().manual_seed(seed + 500)  # not the seed of any of the points
    while found < n:
        x = data.sample(2 * n, seed)
        keep = torch.rand(len(x), generator=generator, dtype=torch.float64).log() < weight * log_p(x)
        kept, found, seed = [*kept, x[keep]], found + int(keep.sum()), seed + 1_000
    return torch.cat(kept)[:n]


def guided_flow(plain: Flow, given: Flow, weight: float) -> Flow:
    """The probability flow of guidance and its divergence: both are affine in the score, as x̂₀ is."""

    def flow(log_snr: float, x: Tensor) -> tuple[Tensor, Tensor]:
        (v, spread), (v_y, spread_y) = plain(log_snr, x), given(log_snr, x)
        return v + weight * (v_y - v), spread + weight * (spread_y - spread)

    return flow


def sample_with_density(flow: Flow, z: Tensor, log_snr: Tensor) -> tuple[Tensor, Tensor]:
    """Clean points x (n, D) and the log density (n,), nats, of the law that the flow sends N(0, I) to: z (n, D) goes
    along the rising grid `log_snr` (N + 1,) in steps of order 4, and log p falls by the divergence on the way."""
    *_, (last, end) = integrate(rk4, augmented(flow), log_snr, torch.cat([z, torch.zeros_like(z[:, :1])], dim=-1))
    scale = sigmoid(last) ** 0.5
    start = Gaussian(torch.zeros_like(z), torch.ones_like(z)).log_prob(z)
    return end[:, :-1] / scale, start - end[:, -1] + z.shape[-1] * torch.as_tensor(scale).log()


class GuidedNet(NoiseNet):
    """A network that knows labels, for one label and one weight: v̂ + w (v̂(·, y) − v̂). It is a `NoiseNet` like any
    other, so every sampler, the bound and the likelihood take it. Raises ValueError if there is no such label."""

    def __init__(self, net: NoiseNet, schedule: Schedule, label: int, weight: float):
        super().__init__(schedule, embedding=2, labels=net.labels)
        if not 0 <= label < net.labels:
            known = f"0 … {net.labels - 1}" if net.labels else "none, since the network was trained without"
            raise ValueError(f"label must be one that the network knows, {known}; got {label}")
        self.net, self.label, self.weight = net, label, weight

    def v_hat_at(self, xt: Tensor, level: Level) -> Tensor:
        """The network's answers with and without the label, like x_t."""
        label = torch.full(xt.shape[:-1], self.label, device=xt.device)
        plain, given = self.net.v_hat_at(xt, level), self.net.v_hat_at(xt, level._replace(label=label))
        return plain + self.weight * (given - plain)


def guided_model(model: DDPM, label: int, weight: float = 1.0) -> DDPM:
    """The model for one label, with the same weights and σ_t²; w = 0 is the model without a label."""
    out = type(model)(GuidedNet(model.eps_net, model.schedule, label, weight), model.schedule, model.dim)
    out.sigma2.copy_(model.sigma2)
    return out.to(model.sigma2.device).eval().requires_grad_(False)

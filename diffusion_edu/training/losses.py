"""What training minimises: the bound, or an error of the noise at random times, weighted."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from ..bound import Chain, bound
from ..ddpm import DDPM, squared_error
from ..diffusion import q_marginal
from ..flow import interpolate, scale, u_from_eps
from ..gaussian import randn
from ..nets import NoisyClassifier
from ..schedules import Schedule

# (model, batch (n, D), generator) → named terms in nats; "loss" is minimised
Loss = Callable[..., dict[str, Tensor]]


def elbo_loss(kl_weight: float = 1.0) -> Loss:
    """−ELBO of a chain (VAE, HVAE), nats per data point. The terms other than the reconstruction count with
    `kl_weight`; only 1 gives the bound."""

    def loss(model: Chain, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        b = bound(x, model, generator)
        reconstruction, consistency, prior = b.reconstruction.mean(), b.consistency.sum(0).mean(), b.prior.mean()
        return {
            "loss": -(reconstruction + kl_weight * (consistency + prior)),
            "reconstruction": reconstruction,
            "consistency": consistency,
            "prior": prior,
        }

    return loss


def binarised(loss: Loss) -> Loss:
    """The loss on binary pixels drawn anew at each step from a batch of probabilities (dynamic binarisation)."""

    def drawn(model: nn.Module, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        threshold = torch.rand(x.shape, generator=generator, device=generator.device).to(x)
        return loss(model, (threshold < x).to(x), generator)

    return drawn


def uniform_t(schedule: Schedule, n: int, generator: torch.Generator) -> Tensor:
    """n times drawn uniformly from 1 … T, as Ho et al. 2020 do."""
    return torch.randint(1, schedule.T + 1, (n,), generator=generator, device=generator.device)


def log_snr_t(schedule: Schedule, n: int, generator: torch.Generator, lowest: float = -2.0) -> Tensor:
    """n times, uniform in log SNR from `lowest` up: as the bound weighs |ε − ε̂|² when steps are small (Kingma et al.
    2021, §5). Below `lowest` almost all of x_t is noise and there is little to learn."""
    log_snr = schedule.log_snr[1:].flip(0).contiguous()  # rising
    low, high = log_snr[0].clamp(min=lowest).minimum(log_snr[-1]), log_snr[-1]
    drawn = low + (high - low) * torch.rand(n, generator=generator, dtype=torch.float64, device=generator.device)
    return schedule.T - torch.searchsorted(log_snr, drawn).clamp(max=schedule.T - 1)


def mixed_t(schedule: Schedule, n: int, generator: torch.Generator) -> Tensor:
    """n times, half uniform over 1 … T and half as `log_snr_t` draws them."""
    by_snr = log_snr_t(schedule, n - n // 2, generator)
    return torch.cat([uniform_t(schedule, n // 2, generator), by_snr])


def min_snr(schedule: Schedule, t: Tensor, gamma: float = 5.0) -> Tensor:
    """The weight min(SNR_t, γ) / SNR_t of |ε − ε̂|² (Hang et al. 2023, section 3.4): 1 where there is much noise, and
    that of γ |x₀ − x̂₀|² where there is little. t (n,) → (n,) in float64."""
    return (gamma / schedule.snr[t]).clamp(max=1)


def eps_loss(draw_t: Callable = mixed_t, weight: Callable | None = None) -> Loss:
    """The simple loss |ε − ε̂|² at the times that `draw_t` draws, each times `weight(schedule, t)` if one is given."""

    def loss(model: DDPM, x0: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        return _noise_loss(model, model.eps_net, x0, generator, draw_t, weight)

    return loss


def _noise_loss(model: DDPM, eps_net: Callable, x0: Tensor, generator, draw_t: Callable, weight: Callable | None):
    t = draw_t(model.schedule, len(x0), generator)
    eps = randn(x0.shape, generator, like=x0)
    error = squared_error(x0, t, eps, eps_net, model.schedule)
    return {"loss": (error if weight is None else weight(model.schedule, t).to(error) * error).mean()}


def label_loss(draw_t: Callable = mixed_t, weight: Callable | None = None, drop: float = 0.1) -> Loss:
    """`eps_loss` for a network that knows labels: points (n, D + 1) whose last column is the label. In a share `drop`
    of them the label is left out, so that the network learns p(x) beside p(x|y) (Ho & Salimans 2022, Algorithm 1)."""

    def loss(model: DDPM, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        dropped = (torch.rand(len(x), generator=generator, device=generator.device) < drop).to(x.device)
        label = torch.where(dropped, model.eps_net.labels, x[:, -1].long())
        told = partial(model.eps_net, label=label)
        return _noise_loss(model, told, x[:, :-1], generator, draw_t, weight)

    return loss


def label_error(draw_t: Callable = mixed_t) -> Loss:
    """−log p(y|x_t) of a classifier, nats, at the times that `draw_t` draws, over points (n, D + 1) whose last column
    is the label. On average it is at least H(y|x_t)."""

    def loss(model: NoisyClassifier, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        t = draw_t(model.schedule, len(x), generator)
        xt = q_marginal(model.schedule, t, x[:, :-1]).sample(generator)
        return {"loss": -model(xt, t).gather(-1, x[:, -1:].long()).mean()}

    return loss


def flow_loss(pair: Callable[[Tensor, Tensor], Tensor] | None = None) -> Loss:
    """|û − (ε − x₀)|² at τ uniform over 0 … 1, within the model's schedule (Lipman et al. 2023, eq. 23, without a
    smallest noise). `pair(x₀, ε)` puts the ε of a batch in another order; a batch (n, 2D) holds pairs (x₀, ε)."""

    def loss(model: DDPM, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        if batch.shape[-1] == 2 * model.dim:
            x0, eps = batch.chunk(2, dim=-1)
        else:
            x0, eps = batch, randn(batch.shape, generator, like=batch)
        eps = eps if pair is None else pair(x0, eps)
        tau = torch.rand(len(x0), generator=generator, dtype=torch.float64, device=generator.device).to(x0.device)
        tau = tau.clamp(1 / (model.schedule.T + 1), model.schedule.T / (model.schedule.T + 1))
        log_snr, part = 2 * ((1 - tau).log() - tau.log()), tau.unsqueeze(-1).to(x0)
        x = interpolate(x0, eps, part)
        u_hat = u_from_eps(x, model.eps_net.at(x / scale(part), log_snr), part)
        return {"loss": (u_hat - (eps - x0)).square().sum(-1).mean()}

    return loss

"""A schedule that is learned with the network (notebook 08, section 8).

While the network learns to denoise, bins along λ = log SNR learn how well it does, the error e(λ) of (8.1), from the
same draws. At the end the T knots, ends included, are those that cost the least for this error by (8.4).
"""

import math

import torch
from torch import Tensor, nn

from ..ddpm import DDPM, noised
from ..gaussian import randn
from ..images.ddpm import ImageDDPM
from ..learned_noise import Errors, best_log_snr, equal_lengths
from ..schedules import CLEAN, NOISE, before_learning, from_log_snr
from .losses import Loss

SPACING = 0.5  # between the middles of the bins along λ


class LearnedNoise(nn.Module):
    """The network's error along λ, learned, and the knots λ_1 … λ_T (T,) that follow from it at the end. `square` is
    E|x₀|²/D of the training points, which `training.build.trainer` fills in."""

    log_snr: Tensor
    square: Tensor

    def __init__(self, T: int):
        super().__init__()
        self.error = nn.Parameter(torch.ones(round((CLEAN - NOISE) / SPACING) + 1))  # of one who knows nothing
        self.register_buffer("log_snr", before_learning(T).log_snr[1:])
        self.register_buffer("square", torch.tensor(1.0))

    def forward(self, log_snr: Tensor) -> Tensor:
        """e(λ), linear between the bins' middles, (n,)."""
        place = ((log_snr - NOISE) / SPACING).clamp(0, len(self.error) - 1)
        k = place.long().clamp(max=len(self.error) - 2)
        part = (place - k).to(self.error)
        return (1 - part) * self.error[k] + part * self.error[k + 1]


def learned(model: DDPM) -> DDPM:
    """The model with noise that is learned: its schedule is kept among its weights, and comes back with them."""
    model.add_module("noise", LearnedNoise(model.schedule.T))
    model.register_load_state_dict_post_hook(lambda m, _: m.set_schedule(from_log_snr(noise_of(m).log_snr.cpu())))
    return model


def noise_of(model: nn.Module) -> LearnedNoise:
    """What `learned` has added. ValueError if it has not."""
    if not isinstance(noise := getattr(model, "noise", None), LearnedNoise):
        raise ValueError("the model has a fixed schedule, not a learned one")
    return noise


def error_ratio(x0: Tensor, eps: Tensor, eps_hat: Tensor, log_snr: Tensor, square: Tensor | float) -> Tensor:
    """An unbiased estimate of e = E|x₀ − x̂₀|²/(D (1 − ᾱ)) for each point, (n,), from points, noise and guess (n, D) at
    λ (n, 1); `square` is E|x₀|²/D. |ε − ε̂|²/(Dᾱ) is one; it is paired with the guess √(1−ᾱ) x_t, whose mean error is
    known, because at both ends of λ the two guesses hardly differ."""
    bar, rest = log_snr.sigmoid().to(x0), (-log_snr).sigmoid().to(x0)
    plain = bar * eps - (bar * rest).sqrt() * x0  # the error of that guess
    known = bar * rest * square + bar**2  # its mean square
    return (((eps - eps_hat).square() - plain.square() + known) / bar).mean(-1)


def learned_loss(by_schedule: float) -> Loss:
    """|ε − ε̂|², and the squared error of the bins' e. The share `by_schedule` of the λ is drawn as the cosine schedule
    has them, the rest uniformly from −2 up."""

    def loss(model: DDPM, x0: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        noise, n, where = noise_of(model), len(x0), generator.device
        u = torch.rand(n, generator=generator, dtype=torch.float64, device=where)
        cosine = (-2 * torch.tan(0.5 * math.pi * u).log()).clamp(NOISE, CLEAN)
        few = torch.arange(n, device=where) < round(by_schedule * n)
        log_snr = torch.where(few, cosine, -2 + (CLEAN + 2) * u).to(x0.device)
        eps, bar = randn(x0.shape, generator, like=x0), log_snr.sigmoid().unsqueeze(-1)
        eps_hat = model.eps_net.at(noised(x0, eps, bar).to(x0), log_snr)
        ratio = error_ratio(x0, eps, eps_hat.detach(), log_snr.unsqueeze(-1), noise.square)
        error = (eps - eps_hat).square().sum(-1).mean()
        return {"loss": error + (ratio - noise(log_snr)).square().mean(), "error": error}

    return loss


@torch.no_grad()
def fit_schedule(model: DDPM) -> None:
    """Sets the schedule of a model with learned noise to the best T knots for its error, within NOISE … CLEAN."""
    noise = noise_of(model)
    levels = torch.linspace(NOISE, CLEAN, len(noise.error), dtype=torch.float64).numpy()
    error = noise.error.double().clamp(min=1e-4).cpu().numpy()[None]
    grey = 2 / 255 if isinstance(model, ImageDDPM) else 0.0
    errors = Errors(levels, error, model.dim, noise.square.item(), grey)
    with torch.enable_grad():
        knots = best_log_snr(errors, model.schedule.T)
    if knots[-1] < NOISE:
        knots = equal_lengths(errors, len(knots), knots[0], NOISE)
    noise.log_snr.copy_(torch.from_numpy(knots))
    model.set_schedule(from_log_snr(noise.log_snr.cpu()))

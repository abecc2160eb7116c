"""Networks: a plain MLP, one that returns a Gaussian, one for pixels, and one that predicts the noise at time t.

Inside, a network computes in the precision of its weights, or in bfloat16 (training.py); its answer is in the precision
of what it was asked. The mean of a latent and the latent must not be rounded to three digits where a density compares
them.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .gaussian import Gaussian, holds
from .observations import Bernoulli
from .schedules import Schedule


def in_float32(build: Callable) -> Callable:
    """A function that makes networks, such that they are in float32 whatever torch's default."""

    @functools.wraps(build)
    def wrapped(*args, **settings):
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            return build(*args, **settings)
        finally:
            torch.set_default_dtype(default)

    return wrapped


def like_weights(x: Tensor, net: nn.Module) -> Tensor:
    """x in the precision of the network's weights."""
    return x.to(next(net.parameters()).dtype)


def mlp(sizes: list[int]) -> nn.Sequential:
    """Linear layers of the given sizes with SiLU between them: (..., sizes[0]) → (..., sizes[-1])."""
    layers = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


class GaussianNet(nn.Module):
    """z (..., in_dim) → N(mean(z), var(z)) over (..., out_dim), both learned.

    The variance starts near exp(log_var): an encoder that starts sure of itself keeps the decoder from
    learning to ignore it. The log variance is clamped to [−12, 4]; beyond that float32 densities stop
    being useful.
    """

    log_var_range = (-12.0, 4.0)

    def __init__(self, in_dim: int, out_dim: int, width: int = 128, depth: int = 2, log_var: float = 0.0):
        super().__init__()
        self.net = mlp([in_dim, *[width] * depth, 2 * out_dim])
        with torch.no_grad():
            self.net[-1].get_parameter("bias")[out_dim:] += log_var

    def forward(self, z: Tensor) -> Gaussian:
        mean, log_var = self.net(like_weights(z, self.net)).to(z.dtype).chunk(2, dim=-1)
        return Gaussian(mean, log_var.clamp(*self.log_var_range).exp())


class FixedStd(nn.Module):
    """An encoder (..., in_dim) → N(mean(x), std²) over (..., out_dim), whose standard deviation is given, not learned:
    `VAE(encode=partial(FixedStd, std=0.03))`. Raises ValueError unless std > 0."""

    def __init__(self, in_dim: int, out_dim: int, width: int, depth: int, log_var: float = 0.0, std: float = 0.01):
        super().__init__()
        if not std > 0:
            raise ValueError(f"std must be positive, got {std}")
        self.net, self.std = mlp([in_dim, *[width] * depth, out_dim]), std

    def forward(self, x: Tensor) -> Gaussian:
        mean = self.net(like_weights(x, self.net)).to(x.dtype)
        return Gaussian(mean, torch.full_like(mean, self.std**2))


class BernoulliNet(nn.Module):
    """z (..., in_dim) → independent binary pixels x (..., out_dim), each with a learned probability."""

    def __init__(self, in_dim: int, out_dim: int, width: int = 128, depth: int = 2):
        super().__init__()
        self.net = mlp([in_dim, *[width] * depth, out_dim])

    def forward(self, z: Tensor) -> Bernoulli:
        return Bernoulli(self.net(like_weights(z, self.net)).to(z.dtype))


class StepNet(GaussianNet):
    """z (..., dim) → N(z + mean(z), var(z)): the network learns the step from z, not z itself."""

    def __init__(self, dim: int, width: int = 128, depth: int = 2, log_var: float = -2.0):
        super().__init__(dim, dim, width, depth, log_var)

    def forward(self, z: Tensor) -> Gaussian:
        step = super().forward(z)
        return Gaussian(z + step.mean, step.var)


class TimeEmbedding(nn.Module):
    """t (...) → sin and cos of ω log SNR(t) at `size`/2 frequencies ω, geometric from 0.1 to 3, and
    log SNR(t)/10 itself: shape (..., size + 1).

    The noise level, not its index, is what the network must know: neighbours in t get embeddings that are
    close where their noise is close (Kingma et al. 2021, §5 condition on it too). log SNR falls strictly, so
    distinct t get distinct embeddings. Raises ValueError if size is odd or below 2.
    """

    log_snr: Tensor
    frequency: Tensor

    def __init__(self, schedule: Schedule, size: int = 16):
        super().__init__()
        if size < 2 or size % 2:
            raise ValueError(f"size must be even and at least 2, got {size}")
        log_snr = schedule.log_snr
        clean = log_snr[1:2] + 1  # t = 0 has infinite SNR; no network is asked there
        self.register_buffer("log_snr", torch.cat([clean, log_snr[1:]]).float(), persistent=False)
        self.register_buffer("frequency", torch.logspace(-1, math.log10(3), size // 2), persistent=False)

    def forward(self, t: Tensor) -> Tensor:
        return self.at(self.log_snr[t])

    def at(self, log_snr: Tensor) -> Tensor:
        """λ (...) → sin ωλ, cos ωλ and λ/10, (..., size + 1)."""
        log_snr = log_snr.unsqueeze(-1)
        return torch.cat([(log_snr * self.frequency).sin(), (log_snr * self.frequency).cos(), log_snr / 10], dim=-1)

    def checked(self, log_snr: float | Tensor) -> Tensor:
        """λ as a float64 tensor (...). Raises ValueError unless λ_T ≤ λ ≤ λ_1, both in float32, as they are kept."""
        log_snr = torch.as_tensor(log_snr, dtype=torch.float64, device=self.log_snr.device)
        low, high = self.log_snr[-1].float(), self.log_snr[1].float()
        inside = (log_snr.float() >= low) & (log_snr.float() <= high)
        if not holds(inside):
            raise ValueError(f"log_snr must lie in [{low:g}, {high:g}], got {log_snr[~inside].flatten()[0]:g}")
        return log_snr


class Level(NamedTuple):
    """How much noise is in each point, three ways, each (...): λ = log SNR, √ᾱ = √sigmoid(λ), √(1−ᾱ) = √sigmoid(−λ).
    And, for a network that knows labels, the label of each point, integers (...); None: no label."""

    log_snr: Tensor
    signal: Tensor
    noise: Tensor
    label: Tensor | None = None


class NoiseNet(nn.Module):
    """(x_t, t) → ε̂ = √(1−ᾱ_t) x_t + √ᾱ_t v̂: x_t (..., D) and integers t (...) → (..., D); `at` takes any λ = log SNR
    between the schedule's ends in the place of t.

    A network's own output is v̂ (Salimans & Ho 2022). Where almost all of x_t is noise, ε̂ is then x_t almost
    for free; there the bound weighs an error in ε̂ by hundreds (notebook 04).

    A network that knows `labels` K takes a label 0 … K − 1 for each point as well, or K, which is no label (notebook
    09).
    """

    signal: Tensor
    noise: Tensor

    def __init__(self, schedule: Schedule, embedding: int, labels: int = 0):
        super().__init__()
        self.embed, self.labels = TimeEmbedding(schedule, embedding), labels
        self.register_buffer("signal", schedule.alpha_bar.sqrt().float(), persistent=False)
        self.register_buffer("noise", (1 - schedule.alpha_bar).sqrt().float(), persistent=False)

    def set_schedule(self, schedule: Schedule) -> None:
        """From now on t means the levels of this schedule. ValueError if its T differs."""
        if schedule.T != len(self.signal) - 1:
            raise ValueError(f"the schedule must have T = {len(self.signal) - 1} steps, got {schedule.T}")
        self.embed.log_snr[1:] = schedule.log_snr[1:]
        self.embed.log_snr[0] = schedule.log_snr[1] + 1
        self.signal.copy_(schedule.alpha_bar.sqrt())
        self.noise.copy_((1 - schedule.alpha_bar).sqrt())

    def v_hat_at(self, xt: Tensor, level: Level) -> Tensor:
        """The network's own answer, like x_t."""
        raise NotImplementedError

    def v_hat(self, xt: Tensor, t: Tensor) -> Tensor:
        """The same at integers t (...)."""
        return self.v_hat_at(xt, self.level(t))

    def level(self, t: Tensor) -> Level:
        """The noise at integers t (...), from the schedule."""
        return Level(self.embed.log_snr[t], self.signal[t], self.noise[t])

    def told(self, level: Level) -> Tensor:
        """What a network is told besides x_t, (..., embedding + 1 + labels): λ, and a one in the place of the label."""
        at = self.embed.at(level.log_snr)
        if level.label is None:
            return torch.cat([at, at.new_zeros(*at.shape[:-1], self.labels)], dim=-1)
        return torch.cat([at, nn.functional.one_hot(level.label, self.labels + 1)[..., :-1].to(at)], dim=-1)

    def forward(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        return self.eps_hat_at(xt, self.level(t.to(xt.device))._replace(label=label))

    def at(self, xt: Tensor, log_snr: float | Tensor) -> Tensor:
        """ε̂(x_t, λ), (..., D), for x_t (..., D) and λ = log SNR from λ_T to λ_1, a number or one for each point (...).
        The exact one is data.eps_mean(x_t, sigmoid(λ)), and data.x0_mean(x_t, sigmoid(λ)) the exact denoiser.

        Raises ValueError if a λ lies outside or if there is neither one λ nor one for each of the points.
        """
        log_snr = self.embed.checked(log_snr)
        if log_snr.ndim and log_snr.shape != xt.shape[:-1]:
            expected, got = tuple(xt.shape[:-1]), tuple(log_snr.shape)
            raise ValueError(f"log_snr must be a number or of shape {expected}, got shape {got}")
        log_snr = log_snr.expand(xt.shape[:-1])
        level = (log_snr, log_snr.sigmoid().sqrt(), (-log_snr).sigmoid().sqrt())  # in float64, before the cast
        return self.eps_hat_at(xt, Level(*(part.to(self.noise) for part in level)))

    def eps_hat_at(self, xt: Tensor, level: Level) -> Tensor:
        """ε̂ = √(1−ᾱ) x_t + √ᾱ v̂, like x_t."""
        return level.noise.unsqueeze(-1) * xt + level.signal.unsqueeze(-1) * self.v_hat_at(xt, level)


class EpsNet(NoiseNet):
    """The NoiseNet of points: an MLP that sees x_t and what it is told."""

    def __init__(
        self, dim: int, schedule: Schedule, width: int = 128, depth: int = 4, embedding: int = 16, labels: int = 0
    ):
        super().__init__(schedule, embedding, labels)
        self.net = mlp([dim + embedding + 1 + labels, *[width] * depth, dim])

    def v_hat_at(self, xt: Tensor, level: Level) -> Tensor:
        return self.net(like_weights(torch.cat([xt, self.told(level)], dim=-1), self.net))


class NoisyClassifier(nn.Module):
    """(x_t, t) → log p(y|x_t) of K labels, (..., K): an MLP that sees x_t and the embedding of λ. Asked at t = 1 alone
    it is an ordinary classifier."""

    def __init__(self, dim: int, labels: int, schedule: Schedule, width: int = 128, depth: int = 3):
        super().__init__()
        self.schedule, self.embed = schedule, TimeEmbedding(schedule)
        self.net = mlp([dim + 17, *[width] * depth, labels])

    def forward(self, xt: Tensor, t: int | Tensor) -> Tensor:
        at = self.embed(torch.as_tensor(t).expand(xt.shape[:-1]))
        return self.net(like_weights(torch.cat([xt, at], dim=-1), self.net)).to(xt).log_softmax(-1)

"""Training: a short explicit loop whose batches and noise depend on (seed, step) alone.

So a run is a function of its seed, and one stopped at step k and resumed goes on as if nothing had happened.
"""

import copy
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from .bound import bound
from .ddpm import DDPM, squared_error
from .diffusion import denoising_error, sigma2_optimal
from .schedules import Schedule

# (model, batch (n, D), generator) → named terms in nats; "loss" is minimised
Loss = Callable[[nn.Module, Tensor, torch.Generator], dict[str, Tensor]]


def step_generator(seed: int, step: int) -> torch.Generator:
    """The generator of one step's batch and noise, on the CPU, a function of (seed, step) alone."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)


def learning_rate(step: int, steps: int, peak: float, warmup: int = 100) -> float:
    """Linear from 0 over `warmup` steps, then half a cosine down to 0 at `steps`."""
    return peak * min((step + 1) / warmup, 1.0) * 0.5 * (1 + math.cos(math.pi * step / steps))


class Trainer:
    """A model, its optimiser and an exponential moving average of its parameters, at some step of `steps`.

    data: (n, D), all of it in memory. Raises ValueError if steps or batch is below 1.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        data: Tensor,
        steps: int,
        batch: int = 512,
        peak_lr: float = 5e-3,
        seed: int = 0,
        ema_decay: float = 0.999,
    ):
        if steps < 1 or batch < 1:
            raise ValueError(f"steps and batch must be at least 1, got {steps} and {batch}")
        self.model, self.loss, self.data = model, loss, data
        self.steps, self.batch, self.peak_lr, self.seed = steps, batch, peak_lr, seed
        self.ema_decay, self.ema = ema_decay, copy.deepcopy(model)
        self.optimiser = torch.optim.Adam(model.parameters(), lr=peak_lr, betas=(0.9, 0.99), fused=True)
        self.step = 0

    def one_step(self) -> dict[str, Tensor]:
        """One gradient step; returns the loss's named terms."""
        generator = step_generator(self.seed, self.step)
        batch = self.data[torch.randint(len(self.data), (self.batch,), generator=generator)]
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, self.steps, self.peak_lr)
        terms = self.loss(self.model, batch, generator)
        self.optimiser.zero_grad()
        terms["loss"].backward()
        self.optimiser.step()
        with torch.no_grad():
            decay = min(self.ema_decay, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(list(self.ema.parameters()), list(self.model.parameters()), 1 - decay)
        self.step += 1
        return {name: value.detach() for name, value in terms.items()}

    def state_dict(self) -> dict:
        """All that the steps to come depend on, besides the data and the settings."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Goes on from what `state_dict` gave."""
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])

    def run(self, progress: bool = True) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Takes the steps that are left, yielding (step, terms) after each."""
        with tqdm(total=self.steps, initial=self.step, disable=not progress, mininterval=0.5) as bar:
            while self.step < self.steps:
                terms = self.one_step()
                bar.update()
                yield self.step, terms


def elbo_loss(kl_weight: float = 1.0) -> Loss:
    """−ELBO of a chain (VAE, HVAE), nats per data point. The terms other than the reconstruction count with
    `kl_weight`; only 1 gives the bound."""

    def loss(model: nn.Module, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
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
        return loss(model, (torch.rand(x.shape, generator=generator).to(x) < x).to(x), generator)

    return drawn


def uniform_t(schedule: Schedule, n: int, generator: torch.Generator) -> Tensor:
    """n times drawn uniformly from 1 … T, as Ho et al. 2020 do."""
    return torch.randint(1, schedule.T + 1, (n,), generator=generator)


def mixed_t(schedule: Schedule, n: int, generator: torch.Generator, lowest: float = -2.0) -> Tensor:
    """n times, half uniform over 1 … T and half uniform in log SNR from `lowest` up: the noise levels that the
    bound weighs. Below `lowest` almost all of x_t is noise and there is little to learn."""
    log_snr = schedule.log_snr[1:].flip(0).contiguous()  # rising
    low, high = log_snr[0].clamp(min=min(lowest, log_snr[-1].item())), log_snr[-1]
    at = low + (high - low) * torch.rand(n - n // 2, generator=generator, dtype=torch.float64)
    by_snr = schedule.T - torch.searchsorted(log_snr, at).clamp(max=schedule.T - 1)
    return torch.cat([uniform_t(schedule, n // 2, generator), by_snr])


def eps_loss(draw_t: Callable = mixed_t) -> Loss:
    """The simple loss |ε − ε̂|² at the times that `draw_t` draws."""

    def loss(model: DDPM, x0: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        t = draw_t(model.schedule, len(x0), generator)
        eps = torch.randn(x0.shape, generator=generator).to(x0)
        return {"loss": squared_error(x0, t, eps, model.eps_net, model.schedule).mean()}

    return loss


def fit_sigma2(model: DDPM, data: Tensor, n: int = 2000, seed: int = 0) -> None:
    """Sets model.sigma2 to the optimal σ_t² per step, estimated on n training points."""
    generator = step_generator(seed, -1)
    x0 = data[torch.randint(len(data), (n,), generator=generator)]
    model.sigma2.copy_(sigma2_optimal(model.schedule, denoising_error(x0, model.schedule, model.x0_hat, generator)))

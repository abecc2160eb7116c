"""Training: a short explicit loop whose batches and noise depend on (seed, step, shard) alone.

So a run is a function of its seed, and one stopped at step k and resumed goes on as if nothing had happened. A batch
may come in shards: equal parts, computed one after the other, which needs less memory, or by several processes.
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm.auto import tqdm

from ..bound import bound
from ..ddpm import DDPM, squared_error
from ..diffusion import denoising_error, posterior_mean_coefficients, q_marginal, sigma2_optimal
from ..images.ddpm import ImageDDPM
from ..schedules import Schedule
from . import optimisers
from .parallel import ALONE, Processes

# (model, batch (n, D), generator) → named terms in nats; "loss" is minimised
Loss = Callable[[nn.Module, Tensor, torch.Generator], dict[str, Tensor]]


def step_generator(seed: int, step: int, shard: int = 0) -> torch.Generator:
    """The generator of one shard's data and noise at one step, on the CPU, a function of (seed, step, shard) alone.
    PyTorch keeps 32 bits of a seed; at up to 1,024 shards these meet again only after two million steps."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step + shard * 2_654_435_761) % 2**63)


def learning_rate(step: int, steps: int, peak: float, warmup: int = 100) -> float:
    """Linear from 0 over `warmup` steps, then half a cosine down to 0 at `steps`."""
    return peak * min((step + 1) / warmup, 1.0) * 0.5 * (1 + math.cos(math.pi * step / steps))


def check_shards(batch: int, shards: int) -> None:
    """ValueError unless a batch can be made of so many equal shards."""
    if shards < 1 or batch % shards:
        raise ValueError(f"a batch of {batch} cannot be made of {shards} equal shards")


class _Terms(nn.Module):
    """A loss as the forward of a module, which is what DistributedDataParallel watches."""

    def __init__(self, model: nn.Module, loss: Loss):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        return self.loss(self.model, x, generator)


class Trainer:
    """A model, its optimiser and an exponential moving average of its parameters, at some step of `steps`.

    data: (n, D), all of it in memory. batch: how many points a step sees, in `shards` equal parts; each of the
    `processes` works through its share of them. precision: that of the networks' matrix products and convolutions;
    parameters, densities and sums keep their own. optimiser: adam or muon; peak_lr is Adam's. Raises ValueError if
    steps or batch is below 1, if the shards do not divide the batch or cannot be shared evenly, and on an unknown
    optimiser.
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
        shards: int = 1,
        processes: Processes = ALONE,
        precision: torch.dtype = torch.float32,
        optimiser: str = "adam",
    ):
        if steps < 1 or batch < 1:
            raise ValueError(f"steps and batch must be at least 1, got {steps} and {batch}")
        check_shards(batch, shards)
        self.model, self.data, self.terms = model, data, _Terms(model, loss)
        self.steps, self.batch, self.peak_lr, self.seed = steps, batch, peak_lr, seed
        self.part, self.share = batch // shards, processes.share(shards)
        self.autocast = torch.autocast(data.device.type, torch.bfloat16, enabled=precision == torch.bfloat16)
        self.ema_decay, self.ema = ema_decay, copy.deepcopy(model)
        self.optimisers = optimisers.make(optimiser, model, peak_lr)
        self.step = 0
        if processes.size > 1:
            self.terms = DistributedDataParallel(self.terms)

    def one_step(self) -> dict[str, Tensor]:
        """One gradient step; returns the loss's named terms, averaged over this process's shards."""
        for optimiser, peak in self.optimisers:
            optimiser.param_groups[0]["lr"] = learning_rate(self.step, self.steps, peak)
        self.model.zero_grad()
        terms = list(map(self._add_gradient, self.share))  # a comprehension's frame would keep self after an error
        for optimiser, _ in self.optimisers:
            optimiser.step()
        with torch.no_grad():
            decay = min(self.ema_decay, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(list(self.ema.parameters()), list(self.model.parameters()), 1 - decay)
        self.step += 1
        return {name: torch.stack([t[name] for t in terms]).mean(0) for name in terms[0]}

    def _add_gradient(self, shard: int) -> dict[str, Tensor]:
        """Adds one shard's part of the mean gradient; returns its terms. The processes' gradients are averaged with
        the last shard of each."""
        generator = step_generator(self.seed, self.step, shard)
        x = self.data[torch.randint(len(self.data), (self.part,), generator=generator)]
        silent = isinstance(self.terms, DistributedDataParallel) and shard != self.share[-1]
        with self.terms.no_sync() if silent else nullcontext():
            with self.autocast:
                terms = self.terms(x, generator)
            (terms["loss"] / len(self.share)).backward()
        return {name: value.detach() for name, value in terms.items()}

    def state_dict(self) -> dict:
        """All that the steps to come depend on, besides the data and the settings."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser, _ in self.optimisers],
        }

    def load_state_dict(self, state: dict) -> None:
        """Goes on from what `state_dict` gave."""
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        for (optimiser, _), kept in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)

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


def log_snr_t(schedule: Schedule, n: int, generator: torch.Generator, lowest: float = -2.0) -> Tensor:
    """n times, uniform in log SNR from `lowest` up: as the bound weighs |ε − ε̂|² when steps are small (Kingma et al.
    2021, §5). Below `lowest` almost all of x_t is noise and there is little to learn."""
    log_snr = schedule.log_snr[1:].flip(0).contiguous()  # rising
    low, high = log_snr[0].clamp(min=min(lowest, log_snr[-1].item())), log_snr[-1]
    at = low + (high - low) * torch.rand(n, generator=generator, dtype=torch.float64)
    return schedule.T - torch.searchsorted(log_snr, at).clamp(max=schedule.T - 1)


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
        t = draw_t(model.schedule, len(x0), generator)
        eps = torch.randn(x0.shape, generator=generator).to(x0)
        error = squared_error(x0, t, eps, model.eps_net, model.schedule)
        return {"loss": (error if weight is None else weight(model.schedule, t).to(error) * error).mean()}

    return loss


def fit_sigma2(model: DDPM, data: Tensor, n: int = 2000, seed: int = 0) -> None:
    """Sets model.sigma2 to the optimal σ_t² per step, estimated on n training points."""
    generator = step_generator(seed, -1)
    x0 = data[torch.randint(len(data), (n,), generator=generator)]
    model.sigma2.copy_(sigma2_optimal(model.schedule, denoising_error(x0, model.schedule, model.x0_hat, generator)))


@torch.no_grad()
def fit_image_sigma2(model: ImageDDPM, data: Tensor, n: int = 64, seed: int = 0) -> None:
    """Sets model.sigma2 to the optimal σ² of each step and range of x̂₀, β̃_t + c₀² E[(x₀ − x̂₀)² | x̂₀ in the range]
    (`diffusion.sigma2_optimal`, range by range), estimated on n fresh training images for each t. A range counts the
    step's mean error as ten pixels of its own, so one that was hardly met is not sure of itself. At t = 1 a standard
    deviation is at least a quarter of the half distance between two levels."""
    generator, schedule = step_generator(seed, -1), model.schedule
    c0 = posterior_mean_coefficients(schedule)[0]
    for t in range(1, schedule.T + 1):
        x0 = data[torch.randint(len(data), (n,), generator=generator)]
        x0_hat = model.x0_hat(q_marginal(schedule, t, x0).sample(generator), t)
        error, where = (x0 - x0_hat).double().square().flatten(), model.ranges(x0_hat).flatten()
        bins = {"minlength": model.sigma2.shape[1]}
        mse = (where.bincount(error, **bins) + 10 * error.mean()) / (where.bincount(**bins) + 10)
        model.sigma2[t] = schedule.beta_tilde[t].item() + c0[t].item() ** 2 * mse
    model.sigma2[1].clamp_(min=(1 / 255 / 4) ** 2)

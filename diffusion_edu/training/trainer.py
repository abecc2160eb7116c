"""Training: a short explicit loop whose batches and noise depend on (seed, step, shard) alone.

So a run is a function of its seed, and one stopped at step k and resumed goes on as if nothing had happened. A batch
may come in shards: equal parts, computed one after the other, which needs less memory, or by several processes.
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm.auto import tqdm

from ..ddpm import DDPM
from ..diffusion import denoising_error, posterior_mean_coefficients, q_marginal, sigma2_optimal
from ..images.ddpm import ImageDDPM
from . import optimisers
from .losses import Loss
from .parallel import ALONE, Processes

M = TypeVar("M", bound=nn.Module)


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


class Trainer(Generic[M]):
    """A model, its optimiser and an exponential moving average of its parameters, at some step of `steps`.

    data: (n, D), all of it in memory. batch: how many points a step sees, in `shards` equal parts; each of the
    `processes` works through its share of them. precision: that of the networks' matrix products and convolutions;
    parameters, densities and sums keep their own. make_optimisers: optimisers.adam or optimisers.muon; peak_lr is
    Adam's. Raises ValueError if steps or batch is below 1, and if the shards do not divide the batch or cannot be
    shared evenly.
    """

    def __init__(
        self,
        model: M,
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
        make_optimisers: Callable = optimisers.adam,
    ):
        if steps < 1 or batch < 1:
            raise ValueError(f"steps and batch must be at least 1, got {steps} and {batch}")
        check_shards(batch, shards)
        self.model, self.data, self.terms = model, data, _Terms(model, loss)
        self.steps, self.batch, self.peak_lr, self.seed = steps, batch, peak_lr, seed
        self.part, self.share = batch // shards, processes.share(shards)
        self.autocast = torch.autocast(  # a cast kept from before would be missing in a captured step
            data.device.type, torch.bfloat16, enabled=precision == torch.bfloat16, cache_enabled=False
        )
        self.ema_decay, self.ema = ema_decay, copy.deepcopy(model)
        self.optimisers = make_optimisers(model, peak_lr)
        self.step = 0
        if processes.size > 1:
            self.terms = DistributedDataParallel(self.terms)

    def one_step(self) -> dict[str, Tensor]:
        """One gradient step; returns the loss's named terms, averaged over this process's shards."""
        for optimiser, peak in self.optimisers:
            optimiser.param_groups[0]["lr"] = learning_rate(self.step, self.steps, peak)
        terms = self._work()
        with torch.no_grad():
            lerp = torch._foreach_lerp_  # pyright: ignore[reportPrivateImportUsage]
            lerp(list(self.ema.parameters()), list(self.model.parameters()), 1 - self._decay())
        self.step += 1
        return terms

    def _decay(self) -> float:
        """How much of the average is kept at this step: less at the beginning, when it still is the first guess."""
        return min(self.ema_decay, (1 + self.step) / (10 + self.step))

    def _work(self) -> dict[str, Tensor]:
        """Gradients and a step of each optimiser at the learning rate that it has."""
        self.model.zero_grad()
        terms = list(map(self._add_gradient, self.share))  # a comprehension's frame would keep self after an error
        for optimiser, _ in self.optimisers:
            optimiser.step()
        return {name: torch.stack([t[name] for t in terms]).mean(0) for name in terms[0]}

    def _generator(self, shard: int) -> torch.Generator:
        """Where a shard's data and noise come from."""
        return step_generator(self.seed, self.step, shard)

    def _add_gradient(self, shard: int) -> dict[str, Tensor]:
        """Adds one shard's part of the mean gradient; returns its terms. The processes' gradients are averaged with
        the last shard of each."""
        generator = self._generator(shard)
        x = self.data[torch.randint(len(self.data), (self.part,), generator=generator, device=generator.device)]
        last = shard == self.share[-1]
        with nullcontext() if last or not isinstance(self.terms, DistributedDataParallel) else self.terms.no_sync():
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

    def run(self, progress: bool = True, what: str | None = None) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Takes the steps that are left, yielding (step, terms) after each. `what` stands before the bar."""
        with tqdm(desc=what, total=self.steps, initial=self.step, disable=not progress, mininterval=0.5) as bar:
            while self.step < self.steps:
                terms = self.one_step()
                bar.update()
                yield self.step, terms


def fit_sigma2(model: DDPM, data: Tensor, n: int = 2000, seed: int = 0, progress: bool = False) -> None:
    """Sets model.sigma2 to the optimal σ_t² per step, estimated on n training points."""
    generator = step_generator(seed, -1)
    x0 = data[torch.randint(len(data), (n,), generator=generator)]
    with tqdm(desc="σ² of each t", total=model.schedule.T, disable=not progress) as bar:

        def counted(xt: Tensor, t: int) -> Tensor:
            bar.update()
            return model.x0_hat(xt, t)

        model.sigma2.copy_(sigma2_optimal(model.schedule, denoising_error(x0, model.schedule, counted, generator)))


@torch.no_grad()
def fit_image_sigma2(model: ImageDDPM, data: Tensor, n: int = 64, seed: int = 0, progress: bool = False) -> None:
    """Sets model.sigma2 to the optimal σ² of each step and range of x̂₀, β̃_t + c₀² E[(x₀ − x̂₀)² | x̂₀ in the range]
    (`diffusion.sigma2_optimal`, range by range), estimated on n fresh training images for each t. A range counts the
    step's mean error as ten pixels of its own, so one that was hardly met is not sure of itself. At t = 1 a standard
    deviation is at least a quarter of the half distance between two levels."""
    generator, schedule = step_generator(seed, -1), model.schedule
    c0 = posterior_mean_coefficients(schedule)[0]
    for t in tqdm(range(1, schedule.T + 1), desc="σ² of each t", disable=not progress):
        x0 = data[torch.randint(len(data), (n,), generator=generator)]
        x0_hat = model.x0_hat(q_marginal(schedule, t, x0).sample(generator), t)
        error, where = (x0 - x0_hat).double().square().flatten(), model.ranges(x0_hat).flatten()
        bins = model.sigma2.shape[1]
        mse = (where.bincount(error, bins) + 10 * error.mean()) / (where.bincount(minlength=bins) + 10)
        model.sigma2[t] = schedule.beta_tilde[t].item() + c0[t].item() ** 2 * mse
    model.sigma2[1].clamp_(min=(1 / 255 / 4) ** 2)

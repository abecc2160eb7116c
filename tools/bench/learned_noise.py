"""python tools/bench/learned_noise.py [FILE]: what the density of λ in training is worth afterwards, on the swiss roll.

A network of notebook 04's size sees λ drawn from some density p. Its loss is ½|ε − ε̂|²/p, an unbiased estimate of the
bound, or |ε − ε̂|² ("simple"). A row says how many nats it adds to the bound in continuous time, λ from −12 to 10. Each
row is written as soon as it is known; notebook 08 reads diffusion_edu/pretrained/learned_noise.csv. About a quarter of
an hour of one core.
"""

import csv
import math
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from diffusion_edu import pretrained
from diffusion_edu.data import SwissRoll
from diffusion_edu.ddpm import noised
from diffusion_edu.learned_noise import Bins, low_discrepancy, second_moment_loss
from diffusion_edu.nets import EpsNet
from diffusion_edu.schedules import from_log_snr
from diffusion_edu.training import Trainer

ROLL, LOW, HIGH, STEPS, SEEDS = SwissRoll(), -12.0, 10.0, 3000, 3
RUNS = [  # weight, density, how the numbers are spread, the highest learning rate
    ("bound", "cosine", "free", 5e-3),
    ("bound", "cosine", "free", 1e-3),
    ("bound", "cosine", "even", 1e-3),
    ("bound", "uniform", "free", 5e-3),
    ("bound", "learned", "free", 5e-3),
    ("bound", "learned", "even", 5e-3),
    ("simple", "cosine", "free", 5e-3),
    ("simple", "uniform", "free", 5e-3),
]
FILE = Path(pretrained.__file__).parent / "learned_noise.csv"


class Noise(nn.Module):
    """A network and the density from which its λ are drawn."""

    def __init__(self, density: str):
        super().__init__()
        self.net = EpsNet(2, from_log_snr(torch.linspace(HIGH, LOW, 1000)))
        self.bins = Bins(LOW, HIGH)
        self.density = density

    def draw(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """λ and log p(λ), both (n,), from uniform u (n,)."""
        if self.density == "cosine":  # λ = −2 log tan(πt/2) for t uniform; p = sech(λ/2)/2π
            ends = [2 / math.pi * math.atan(math.exp(-end / 2)) for end in (HIGH, LOW)]
            log_snr = -2 * torch.tan(math.pi / 2 * (ends[0] + (ends[1] - ends[0]) * u)).log()
            return log_snr, -(log_snr / 2).cosh().log() - math.log(2 * math.pi * (ends[1] - ends[0]))
        log_snr = self.bins.quantile(u)  # at their start the bins are uniform
        return log_snr, self.bins.log_density(log_snr)


def loss_of(weight: str, spread: str):
    """A loss for `Trainer`."""

    def loss(model: Noise, x0: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        n = len(x0)
        u = low_discrepancy(n, generator) if spread == "even" else torch.rand(n, generator=generator).double()
        log_snr, log_p = model.draw(u.clamp(1e-9, 1 - 1e-9))
        eps = torch.randn(x0.shape, generator=generator)
        bar = log_snr.sigmoid().unsqueeze(-1)
        error = 0.5 * (eps - model.net.at(noised(x0, eps, bar).float(), log_snr)).square().sum(-1)
        total = (error * (-log_p.detach()).exp()).mean() / 20 if weight == "bound" else 2 * error.mean()
        if model.density == "learned":
            total = total + second_moment_loss(error, log_p) / 500
        return {"loss": total}

    return loss


def train(weight: str, density: str, spread: str, peak_lr: float, seed: int, steps: int = STEPS) -> Noise:
    torch.manual_seed(seed)
    points = ROLL.sample(200_000, seed=seed).float()
    trainer = Trainer(Noise(density), loss_of(weight, spread), points, steps, seed=seed, peak_lr=peak_lr)
    for _ in trainer.run(progress=False):
        pass
    return trainer.model


@torch.no_grad()
def nats_added(model: Noise, n: int = 4000) -> tuple[float, float]:
    """½ ∫ E|ε̂ − E[ε|x_t]|² dλ by the midpoint rule over 22 levels, and its standard error."""
    total, variance = 0.0, 0.0
    for k in range(22):
        log_snr = LOW + 0.5 + k
        bar, generator = 1 / (1 + math.exp(-log_snr)), torch.Generator().manual_seed(600 + k)
        x0 = ROLL.sample(n, 600 + k)
        xt = noised(x0, torch.randn(x0.shape, generator=generator, dtype=x0.dtype), bar)
        off = 0.5 * (model.net.at(xt.float(), log_snr).double() - ROLL.eps_mean(xt, bar)).square().sum(-1)
        total, variance = total + off.mean().item(), variance + off.var().item() / n
    return total, variance**0.5


def main(file: Path) -> None:
    with open(file, "w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(["weight", "density", "numbers", "peak_lr", "seed", "added", "added_se"])
        for seed in range(SEEDS):
            for run in RUNS:
                added, se = nats_added(train(*run, seed=seed))
                writer.writerow([*run, seed, f"{added:.4f}", f"{se:.4f}"])
                f.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)

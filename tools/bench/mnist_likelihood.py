"""python tools/bench/mnist_likelihood.py [FILE]: −log P of mnist-ddpm on fifty test images, three ways, in nats.

By its chain of a thousand steps; by its probability flow, from grey levels blurred as the chain's first step does; and
by the flow from grey levels blurred by uniform noise. The file that notebook 07 reads is
diffusion_edu/pretrained/mnist-likelihood.csv. Needs MNIST; about five minutes of one quiet core.
"""

import csv
import math
import sys
from pathlib import Path

import torch

from diffusion_edu import data, evaluate, pretrained
from diffusion_edu.likelihood import log_prob_in_steps, with_estimated_divergence
from diffusion_edu.sde import learned_score, probability_flow

N, SEED = 50, 5
FILE = Path(pretrained.__file__).parent / "mnist-likelihood.csv"


def uniform(model, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """−log P of grey levels by the flow from x + u, u uniform over the width of a level, (n,)."""

    def signs(x: torch.Tensor) -> torch.Tensor:
        return torch.randint(0, 2, x.shape, generator=generator).to(x) * 2 - 1

    y = x + (torch.rand(x.shape, dtype=torch.float64, generator=generator) - 0.5) * 2 / 255
    levels = torch.linspace(10.0949, math.log(5e-4 / 784), 101, dtype=torch.float64)  # from the cosine's λ_1
    flow = with_estimated_divergence(probability_flow(learned_score(model)), signs)
    return -log_prob_in_steps(flow, y, levels) - x.shape[1] * math.log(2 / 255)


@torch.no_grad()
def main(file: Path) -> None:
    """All rows."""
    model, x = pretrained.load("mnist-ddpm"), data.load("mnist").sample_test(N, SEED)
    generator = torch.Generator().manual_seed(SEED)
    chain = -evaluate.score_chain(x, model.chain(), generator, block=N).elbo
    flow = -evaluate.image_log_p(model, x.double(), generator)
    blurred = uniform(model, x.double(), generator)
    with open(file, "w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(("chain", "flow", "uniform"))
        writer.writerows([f"{v:.2f}" for v in row] for row in zip(chain, flow, blurred, strict=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)

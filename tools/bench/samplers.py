"""python tools/bench/samplers.py [FILE]: every sampler of the swiss roll, by number of calls, with three sets of noise.

Writes a row as soon as it is known; the file that notebook 07 reads is diffusion_edu/pretrained/samplers.csv. About
half an hour of one quiet core.
"""

import csv
import sys
from pathlib import Path

import torch

from diffusion_edu import evaluate, pretrained
from diffusion_edu.data import SwissRoll
from diffusion_edu.oracles import exact_denoiser
from diffusion_edu.samplers import sample
from diffusion_edu.sampling import SAMPLERS, even_grid
from diffusion_edu.sde import at_log_snr, exact_x0_hat

ROLL, N, CALLS, SEEDS = SwissRoll(), 10_000, (8, 12, 20, 52, 100, 200), 3
IN_T = ("ancestral", "ancestral-small", "ddim")
IN_LOG_SNR = ("ancestral-small", "ancestral-2m", "ddim", "ddim-2m", "euler", "heun", "rk4", "euler-maruyama")
FILE = Path(pretrained.__file__).parent / "samplers.csv"
COLUMNS = ("score", "sampler", "grid", "calls", "seed", "energy", "log_p", "off")


@torch.no_grad()
def samples(score: str, name: str, grid: str, calls: int, seed: int, n: int = N) -> torch.Tensor:
    """n samples with that many calls of the denoiser at most, the last of them to t = 0: of a published model, or of
    the exact score of the roll."""
    model, sampler = pretrained.load("cosine" if score == "exact" else score), SAMPLERS[name]
    generator = torch.Generator().manual_seed(seed)
    x_T = torch.randn(n, model.dim, generator=generator).to(torch.float64 if score == "exact" else torch.float32)
    settings = {"step": sampler.step, "generator": generator}
    if grid == "t":
        denoiser = exact_denoiser(ROLL, model.schedule.alpha_bar) if score == "exact" else model.x0_hat
        return sample(denoiser, model.schedule, x_T, steps=calls, **settings)
    knots = even_grid(model.schedule, model.dim, (calls - 1) // sampler.calls + 1)
    return sample(
        at_log_snr(exact_x0_hat(ROLL) if score == "exact" else model.x0_hat_at, knots), knots, x_T, **settings
    )


def judged(x: torch.Tensor, seed: int) -> dict[str, str]:
    """Energy distance from a true set of the same size over its floor, E log p + H, and the share off the roll."""
    truth, floor = ROLL.sample(len(x), 30_000 + seed), evaluate.noise_floor(evaluate.energy_distance, ROLL, len(x))
    return {
        "energy": f"{evaluate.energy_distance(x, truth) / floor:.3f}",
        "log_p": f"{evaluate.mean_log_prob(x, ROLL) + ROLL.entropy():.4f}",
        "off": f"{evaluate.outlier_share(x, ROLL):.4f}",
    }


def main(file: Path) -> None:
    """All rows: true sets first, then both scores."""
    with open(file, "w", newline="", encoding="utf-8") as f:
        writer = csv.DictWriter(f, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for seed in range(2 * SEEDS):
            row = {"score": "none", "sampler": "truth", "grid": "", "calls": 0, "seed": seed}
            writer.writerow(row | judged(ROLL.sample(N, 77 + seed), seed))
        for seed in range(SEEDS):
            for score in ("cosine", "exact"):
                for name, grid in [(name, "t") for name in IN_T] + [(name, "log SNR") for name in IN_LOG_SNR]:
                    for calls in CALLS:
                        row = {"score": score, "sampler": name, "grid": grid, "calls": calls, "seed": seed}
                        writer.writerow(row | judged(samples(score, name, grid, calls, seed), seed))
                        f.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)

"""python tools/bench/mnist_samplers.py [FILE]: six samplers of mnist-ddpm, by number of calls.

Writes a row as soon as it is known; the file that notebook 07 reads is diffusion_edu/pretrained/mnist-samplers.csv.
Two thousand images a row with one set of noise, about 35 minutes of one quiet core.
"""

import csv
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench.samplers import samples
from diffusion_edu import pretrained
from diffusion_edu.images import quality

N, CALLS, SEEDS = 2_000, (10, 20, 50), 1
RUNS = (
    ("ancestral-small", "t"),
    ("ancestral-2m", "t"),
    ("ddim", "t"),
    ("ancestral-2m", "log SNR"),
    ("euler", "log SNR"),
    ("heun", "log SNR"),
)
FILE = Path(pretrained.__file__).parent / "mnist-samplers.csv"
COLUMNS = ("score", "sampler", "grid", "calls", "seed", "frechet", "coverage")


def images(name: str, grid: str, calls: int, seed: int, n: int = N) -> torch.Tensor:
    """n images, a hundred at a time, each hundred with noise of its own."""
    parts = [samples("mnist-ddpm", name, grid, calls, 1000 * seed + i, 100) for i in range(n // 100)]
    return torch.cat(parts)


def judged(x: torch.Tensor) -> dict[str, str]:
    """The Fréchet distance over its floor, and the coverage."""
    found = quality.score_images(x)
    return {"frechet": f"{found.frechet_ratio:.3f}", "coverage": f"{found.coverage:.4f}"}


def main(file: Path) -> None:
    """All rows, the cheapest first."""
    with open(file, "w", newline="", encoding="utf-8") as f:
        writer = csv.DictWriter(f, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for seed in range(SEEDS):
            for calls in CALLS:
                for name, grid in RUNS:
                    row = {"score": "mnist-ddpm", "sampler": name, "grid": grid, "calls": calls, "seed": seed}
                    writer.writerow(row | judged(images(name, grid, calls, seed)))
                    f.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)

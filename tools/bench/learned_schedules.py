"""python tools/bench/learned_schedules.py [FILE]: a learned schedule against the cosine, after training.

Networks of the command line's size on the roll and the digits, small ones on MNIST, two seeds each. A learned schedule
takes a little longer for each step, and fewer of them, so that both have the same seconds. It is trained once for all
T, since only its last act, the choice of knots, depends on T. "ends" is the same network on the knots of a cosine that
is stretched to the learned ends. A row has the bound above the exact entropy in nats (roll) or in bits per dimension
(images), with its standard error, and the seconds of one core. Each row is written as soon as it is known; notebook 08
reads diffusion_edu/pretrained/learned_schedules.csv. About 45 minutes of one core, 40 of them for MNIST, whose files
are fetched.
"""

import csv
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch

from diffusion_edu import pretrained
from diffusion_edu.config import Config
from diffusion_edu.data import SwissRoll, load
from diffusion_edu.ddpm import DDPM, noised
from diffusion_edu.evaluate import terms_by_t
from diffusion_edu.exact import error_at
from diffusion_edu.images.ddpm import ImageDDPM
from diffusion_edu.learned_noise import Errors, bound, exact_errors
from diffusion_edu.schedules import cosine, from_log_snr
from diffusion_edu.training import fit_image_sigma2, fit_sigma2
from diffusion_edu.training.build import build, trainer
from diffusion_edu.training.noise import fit_schedule

STEPS = {("swiss-roll", "cosine"): 3000, ("digits", "cosine"): 500}
STEPS |= {("swiss-roll", "learned"): 2800, ("digits", "learned"): 485}
STEPS |= {("mnist", "cosine"): 5000, ("mnist", "learned"): 5000}
DATA, SIZES = ("swiss-roll", "digits", "mnist"), {"mnist": {"width": 16, "batch": 64}}
LENGTHS, SEEDS, SCHEDULES = (50, 1000), 2, ("cosine", "learned", "ends")
FILE = Path(pretrained.__file__).parent / "learned_schedules.csv"


def trained(data: str, schedule: str, T: int, seed: int, steps: int | None = None) -> tuple[DDPM, torch.Tensor, float]:
    """The averaged network, the points it was trained on, and the seconds of one core that it took."""
    steps = steps or STEPS[data, schedule]
    config = Config("ddpm", data, seed=seed, schedule=schedule, T=T, steps=steps, **SIZES.get(data, {}))
    t, start = trainer(config), time.process_time()
    for _ in t.run(progress=False):
        pass
    return t.ema, t.data, time.process_time() - start


def with_steps(model: DDPM, data: str, T: int) -> DDPM:
    """A network with learned noise, its knots now chosen for T steps."""
    other = build(Config("ddpm", data, schedule="learned", T=T, **SIZES.get(data, {})))
    state = {k: v for k, v in model.state_dict().items() if k not in ("sigma2", "noise.log_snr")}
    other.load_state_dict(state, strict=False)
    fit_schedule(other)
    return other


def between_its_ends(model: DDPM, data: str) -> DDPM:
    """The same network and the same ends, but the knots between them spread as the cosine has them."""
    model = with_steps(model, data, T := model.schedule.T)
    (clean, noise), knots = model.schedule.log_snr[[1, -1]], cosine(T).log_snr[1:]
    model.set_schedule(from_log_snr(noise + (clean - noise) * (knots - knots[-1]) / (knots[0] - knots[-1])))
    return model


@torch.no_grad()
def score(model: DDPM, name: str, points: torch.Tensor, n: int = 4000) -> tuple[float, float]:
    """Nats above the entropy on the roll, bits per dimension on images, each with its standard error."""
    if name == "swiss-roll":
        return above_entropy(model, n)
    (fit_image_sigma2 if isinstance(model, ImageDDPM) else fit_sigma2)(model, points)
    data, per_t = load(name), 1800 if model.schedule.T < 100 else 90
    x = data.sample_test(3600).to(next(model.parameters()))
    means, errors = terms_by_t(x, model.chain(), per_t, torch.Generator().manual_seed(1))
    return data.bits_per_dim(means.sum().item()), errors.square().sum().sqrt().item() / data.dim / math.log(2)


def above_entropy(model: DDPM, n: int) -> tuple[float, float]:
    """The bound with the best σ_t², less H, by (8.4): the exact denoiser's error plus what the network adds to it,
    measured at 81 levels."""
    roll, log_snr = SwissRoll(), model.schedule.log_snr[1:]
    levels, added, variance = torch.linspace(log_snr[-1], log_snr[0], 81, dtype=torch.float64), [], 0.0
    for k, level in enumerate(levels.tolist()):
        bar, x0 = 1 / (1 + math.exp(-level)), roll.sample(n, 700 + k)
        eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(k), dtype=x0.dtype)
        xt = noised(x0, eps, bar)
        inside = min(
            max(level, levels[0].item() + 1e-6), levels[-1].item() - 1e-6
        )  # rounded to float32 it may lie outside
        off = (model.eps_net.at(xt.float(), inside).double() - roll.eps_mean(xt, bar)).square().sum(-1)
        added.append(off.mean().item() / bar / 2)
        variance += (0.5 * (levels[1] - levels[0]).item()) ** 2 * off.var().item() / n
    exact_error = error_at(roll, levels.clamp(-12, 14)).numpy()
    errors = Errors(levels.numpy(), (exact_error + np.array(added))[None], 2, exact_errors(roll).square)
    return bound(errors, log_snr).item() - roll.entropy(), variance**0.5


def main(file: Path) -> None:
    with open(file, "w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(["data", "schedule", "T", "seed", "value", "se", "clean", "noise", "seconds"])
        for seed in range(SEEDS):
            for data in DATA:
                once = trained(data, "learned", LENGTHS[0], seed)
                for T in LENGTHS:
                    for schedule in SCHEDULES:
                        model, points, seconds = once if schedule != "cosine" else trained(data, schedule, T, seed)
                        if schedule != "cosine":
                            model = with_steps(model, data, T)
                        if schedule == "ends":
                            model = between_its_ends(model, data)
                        value, se = score(model, data, points)
                        ends = [f"{model.schedule.log_snr[t]:.2f}" for t in (1, -1)]
                        writer.writerow([data, schedule, T, seed, f"{value:.4f}", f"{se:.4f}", *ends, f"{seconds:.0f}"])
                        f.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)

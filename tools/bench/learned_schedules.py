"""python tools/bench/learned_schedules.py [FILE]: a learned schedule against the cosine, after training.

Networks of the command line's size on the roll and the digits, three seeds each. A learned schedule takes a little
longer for each step, and fewer of them, so that both have the same seconds. It is trained once for all T, since only
its last act, the choice of knots, depends on T. A row has the bound above the exact entropy in nats (roll) or in
bits per dimension (digits), with its standard error, and the seconds of one core. Each row is written as soon as it is
known; notebook 08 reads diffusion_edu/pretrained/learned_schedules.csv. About twenty minutes of one core.
"""

import csv
import sys
import time
from pathlib import Path

import torch

from diffusion_edu import pretrained
from diffusion_edu.config import Config
from diffusion_edu.data import load
from diffusion_edu.ddpm import DDPM
from diffusion_edu.evaluate import gap, report, score_chain
from diffusion_edu.training import fit_sigma2
from diffusion_edu.training.build import build, trainer
from diffusion_edu.training.noise import fit_schedule

STEPS = {("swiss-roll", "cosine"): 3000, ("digits", "cosine"): 1500}
STEPS |= {("swiss-roll", "learned"): 2800, ("digits", "learned"): 1450}
LENGTHS, SEEDS = (50, 1000), 3
FILE = Path(pretrained.__file__).parent / "learned_schedules.csv"


def trained(data: str, schedule: str, T: int, seed: int, steps: int | None = None) -> tuple[DDPM, torch.Tensor, float]:
    """The averaged network, the points it was trained on, and the seconds of one core that it took."""
    config = Config("ddpm", data, seed=seed, schedule=schedule, T=T, steps=steps or STEPS[data, schedule])
    t, start = trainer(config), time.process_time()
    for _ in t.run(progress=False):
        pass
    return t.ema, t.data, time.process_time() - start


def with_steps(model: DDPM, data: str, points: torch.Tensor, T: int) -> DDPM:
    """A network with learned noise, its knots now chosen for T steps."""
    other = build(Config("ddpm", data, schedule="learned", T=T))
    state = {k: v for k, v in model.state_dict().items() if k not in ("sigma2", "noise.log_snr")}
    other.load_state_dict(state, strict=False)
    fit_schedule(other, points)
    return other


@torch.no_grad()
def score(model: DDPM, name: str, points: torch.Tensor, n: int = 4000) -> tuple[float, float]:
    """Nats above the entropy on the roll, bits per dimension on images, each with its standard error."""
    fit_sigma2(model, points)
    data, chain = load(name), model.chain()
    if data.shape is None:
        x = data.sample_test(n)
        b = score_chain(x.float(), chain, torch.Generator().manual_seed(1))
        return gap(b, data.log_prob(x))
    found = report(chain, data, n)
    return found["bits_per_dim"], found["neg_elbo_se"] / data.dim / 0.6931


def main(file: Path) -> None:
    with open(file, "w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(["data", "schedule", "T", "seed", "value", "se", "clean", "noise", "seconds"])
        for seed in range(SEEDS):
            for data in ("swiss-roll", "digits"):
                once = trained(data, "learned", LENGTHS[0], seed)
                for T in LENGTHS:
                    for schedule in ("cosine", "learned"):
                        model, points, seconds = once if schedule == "learned" else trained(data, schedule, T, seed)
                        model = with_steps(model, data, points, T) if schedule == "learned" else model
                        value, se = score(model, data, points)
                        ends = [f"{model.schedule.log_snr[t]:.2f}" for t in (1, -1)]
                        writer.writerow([data, schedule, T, seed, f"{value:.4f}", f"{se:.4f}", *ends, f"{seconds:.0f}"])
                        f.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE)

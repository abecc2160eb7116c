"""python tools/bench/steering.py [TABLE [FOLDER]]: what guidance and inpainting sample on the roll, three times each.

TABLE is inpainting or guidance; both without it. Each row is written as soon as it is known; the files that notebook 09
reads are beside the published models. About twenty minutes of one quiet core.
"""

import csv
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from diffusion_edu import conditioning, evaluate, guidance, pretrained, samplers, schedules
from diffusion_edu.data import SwissRoll
from diffusion_edu.likelihood import exact_flow
from diffusion_edu.oracles import Denoiser, Mixture, exact_denoiser

ROLL, SCHEDULE, SEEDS = SwissRoll(nodes=384), schedules.cosine(1000), 3
BAR = SCHEDULE.alpha_bar
FOLDER = Path(pretrained.__file__).parent

# --- guidance: the middle third of the roll, and a label whose probability rises along it, p(y|u) = u ---

SOFT = tuple(Mixture(ROLL.weights * torch.from_numpy(u), ROLL.means, ROLL.variances) for u in (ROLL.u, 1 - ROLL.u))
LABELS = {"middle": (ROLL.thirds(), 1), "soft": (SOFT, 0)}
WEIGHTS, POINTS, STEPS = (0.5, 1.0, 2.0, 4.0), 2000, 250
GUIDANCE = ("label", "sampler", "weight", "seed", "energy", "log_p", "off", "kl", "kl_se")


def fast(data: Mixture) -> Denoiser:
    """E[x₀|x_t], on as many nodes as it takes."""
    return lambda xt, t: data.at_noise(float(BAR[t])).x0_mean(xt, float(BAR[t]))


def normal(*size: int, seed: int) -> Tensor:
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Steered:
    """One label at one weight: the tilted law p(x) p(y|x)^w / Z and the ways to it."""

    def __init__(self, label: str, weight: float):
        parts, y = LABELS[label]
        self.given, self.weight = parts[y], weight
        every = guidance.exact_labels(parts, BAR)
        self.log_label = lambda x, t: every(x, t)[..., y]
        axis = torch.linspace(-3, 3, 301, dtype=torch.float64)  # a quarter of the roll's width apart
        points = torch.cartesian_prod(axis, axis)
        log_terms = ROLL.log_prob(points) + weight * self.log_label(points, 0)
        self.log_z = log_terms.logsumexp(0) + 2 * math.log(0.02)

    def log_tilted(self, x: Tensor) -> Tensor:
        """The log density of the tilted law, nats."""
        return ROLL.log_prob(x) + self.weight * self.log_label(x, 0) - self.log_z

    def truth(self, n: int, seed: int) -> Tensor:
        return guidance.tilted(ROLL, lambda x: self.log_label(x, 0), self.weight, n, seed)

    def ancestral(self, n: int, seed: int, steps: int = STEPS) -> Tensor:
        denoiser = guidance.guided(fast(ROLL), fast(self.given), self.weight)
        return samplers.sample(denoiser, SCHEDULE, normal(n, 2, seed=seed), steps=steps, generator=_seeded(seed))

    def flow(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """Points of the guided ODE and their log density."""
        flow = guidance.guided_flow(exact_flow(ROLL), exact_flow(self.given), self.weight)
        grid = torch.linspace(-8.7, 11.6, 101, dtype=torch.float64)
        return guidance.sample_with_density(flow, normal(n, 2, seed=seed), grid)

    def particles(self, n: int, seed: int, on_the_way: float, steps: int = 200) -> Tensor:
        """One run of n particles, with g_t = p(y|x_t) to the power `on_the_way`, and to the power w at the end."""
        potential = lambda x, t: (on_the_way if t else self.weight) * self.log_label(x, t)  # noqa: E731
        *_, (_, x) = conditioning.particles(
            fast(ROLL), potential, SCHEDULE, normal(1, n, 2, seed=seed), _seeded(seed), steps
        )
        return x[0]


def judged(x: Tensor, law: Steered, seed: int, floor: float, log_p: float) -> dict[str, str]:
    """Energy distance from true tilted points over its floor, E log p less the truth's, and the share off the roll."""
    truth = law.truth(len(x), 30_000 + seed)
    return {
        "energy": f"{evaluate.energy_distance(x, truth) / floor:.2f}",
        "log_p": f"{law.log_tilted(x).mean().item() - log_p:.4f}",
        "off": f"{evaluate.outlier_share(x, ROLL):.4f}",
    }


def guidance_rows() -> Iterator[dict]:
    for label in LABELS:
        for w in WEIGHTS:
            law = Steered(label, w)
            log_p = law.log_tilted(law.truth(50_000, 99)).mean().item()
            pairs = [(law.truth(POINTS, 50_000 + 2 * i), law.truth(POINTS, 60_000 + 2 * i)) for i in range(4)]
            floor = sum(evaluate.energy_distance(a, b) for a, b in pairs) / 4
            for seed in range(SEEDS):
                row = {"label": label, "weight": w, "seed": seed}
                yield row | {"sampler": "truth"} | judged(law.truth(POINTS, 70_000 + seed), law, seed, floor, log_p)
                x, own = law.flow(POINTS, seed)
                kl, se = evaluate.mean_and_error(own - law.log_tilted(x))
                yield (
                    row
                    | {"sampler": "flow", "kl": f"{kl:.5f}", "kl_se": f"{se:.5f}"}
                    | judged(x, law, seed, floor, log_p)
                )
                drawn = {
                    "ancestral": law.ancestral(POINTS, seed),
                    "particles": law.particles(POINTS, seed, on_the_way=w),
                    "particles-1": law.particles(POINTS, seed, on_the_way=1),
                }
                for sampler, x in drawn.items():
                    yield row | {"sampler": sampler} | judged(x, law, seed, floor, log_p)


# --- inpainting: x₁ is known, x₂ is to be drawn ---

QUANTILES, EACH = (0.03, 0.12, 0.25, 0.4, 0.55, 0.7, 0.85, 0.97), 500
KNOWN = ROLL.sample(200_000, 9)[:, 0].quantile(torch.tensor(QUANTILES, dtype=torch.float64))
DELTA = 0.02  # how exactly particles are asked to hit x₁
INPAINTING = ("method", "setting", "calls", "seed", "wasserstein", "nats", "stray", "miss")


def known_rows(each: int = EACH) -> Tensor:
    """(8 each, 2): x₁, and NaN."""
    x1 = KNOWN.repeat_interleave(each)
    return torch.stack([x1, torch.full_like(x1, torch.nan)], dim=-1)


def by_step(step: Callable, steps: int) -> Callable:
    """A sampler of all rows at once, with a step made from (known, generator)."""

    def draw(seed: int) -> Tensor:
        known, generator = known_rows(), _seeded(100 + seed)
        start = normal(len(known), 2, seed=seed)
        return samplers.sample(
            fast(ROLL), SCHEDULE, start, step=step(known, generator), steps=steps, generator=generator
        )

    return draw


def by_guess(variance: Callable, steps: int = 250) -> Callable:
    """Reconstruction guidance with r² = variance(x_t, t)."""

    def draw(seed: int) -> Tensor:
        known = known_rows()
        guided = guidance.classifier_guided(fast(ROLL), conditioning.guess(fast(ROLL), known, variance), BAR, 1.0)
        return samplers.sample(guided, SCHEDULE, normal(len(known), 2, seed=seed), steps=steps, generator=_seeded(seed))

    return draw


def by_particles(n: int, steps: int = 100) -> Callable:
    """Runs of n particles, sixteen of them or more for each x₁, and 500 of their particles at random."""

    def draw(seed: int) -> Tensor:
        runs = max(16, -(-EACH // n))
        known = known_rows(runs).unsqueeze(1)
        guess = conditioning.guess(fast(ROLL), known, lambda x, t: 1 - float(BAR[t]) + DELTA**2)
        start = normal(8 * runs, n, 2, seed=seed)
        *_, (_, x) = conditioning.particles(fast(ROLL), guess, SCHEDULE, start, _seeded(seed), steps)
        pick = torch.stack([torch.randperm(runs * n, generator=_seeded(seed + i))[:EACH] for i in range(8)])
        return x.reshape(8, runs * n, 2).gather(1, pick.unsqueeze(-1).expand(-1, -1, 2)).flatten(0, 1)

    return draw


def by_law(steps: int = 250) -> Callable:
    """The chain of the exact conditional itself."""

    def draw(seed: int) -> Tensor:
        out = []
        for i, row in enumerate(known_rows(1)):
            denoiser = exact_denoiser(ROLL.conditional(row), BAR)
            start = normal(EACH, 1, seed=8 * seed + i)
            x2 = samplers.sample(denoiser, SCHEDULE, start, steps=steps, generator=_seeded(8 * seed + i + 500))
            out.append(torch.cat([row[0].expand(EACH, 1), x2], dim=-1))
        return torch.cat(out)

    return draw


def truth(seed: int, each: int = EACH) -> Tensor:
    laws = [ROLL.conditional(row) for row in known_rows(1)]
    drawn = [law.sample(each, seed=8 * seed + i + 1_000) for i, law in enumerate(laws)]
    return torch.cat([torch.cat([x1.expand(each, 1), x2], dim=-1) for x1, x2 in zip(KNOWN, drawn, strict=True)])


def locally_gaussian(x: Tensor, t: int) -> Tensor:
    """Var[x₀|x_t] of each coordinate."""
    with torch.no_grad():
        return ROLL.at_noise(float(BAR[t])).x0_cov(x.detach(), float(BAR[t])).diagonal(dim1=-2, dim2=-1)


METHODS = {  # (method, setting): (calls per sample, sampler); a gradient counts as a call
    ("truth", ""): (0, truth),
    ("exact chain", ""): (250, by_law()),
    **{
        ("replacement", str(s)): (s, by_step(lambda known, g: conditioning.repaint(known, 1, g), s))
        for s in (50, 250, 1000)
    },
    **{
        ("RePaint", f"r = {r}"): (100 * r, by_step(lambda known, g, r=r: conditioning.repaint(known, r, g), 100))
        for r in (2, 5, 10, 20)
    },
    **{
        ("DPS", f"ζ = {zeta}"): (500, by_step(lambda known, g, zeta=zeta: conditioning.dps(known, zeta), 250))
        for zeta in (0.01, 0.03, 0.1, 0.3, 1.0)
    },
    ("ΠGDM", "r² = 1−ᾱ"): (500, by_guess(lambda x, t: 1 - float(BAR[t]))),
    ("moment matching", "r² = Var[x₀|x_t]"): (500, by_guess(locally_gaussian)),
    **{("particles", f"N = {n}"): (200 * n, by_particles(n)) for n in (1, 2, 8, 32, 128)},
}


def scored(x: Tensor) -> dict[str, str]:
    """W₁ from the exact law in x₂, averaged over the x₁; log p lost, nats; the share below −6; |x₁ error|."""
    laws, far = [ROLL.conditional(row) for row in known_rows(1)], truth(9, each=20_000)[:, 1].reshape(8, -1)
    x2 = x[:, 1].reshape(8, -1)
    w = [evaluate.wasserstein1(a, b) for a, b in zip(x2, far, strict=True)]
    log_p = torch.stack([law.log_prob(row[:, None]) for law, row in zip(laws, x2, strict=True)])
    exact = torch.stack([law.log_prob(row[:, None]) for law, row in zip(laws, far, strict=True)]).mean()
    return {
        "wasserstein": f"{sum(w) / 8:.4f}",
        "nats": f"{(exact - log_p.mean()).item():.4f}",
        "stray": f"{(log_p < -6).double().mean().item():.4f}",
        "miss": f"{(x[:, 0] - known_rows()[:, 0]).abs().mean().item():.4f}",
    }


def inpainting_rows() -> Iterator[dict]:
    for (method, setting), (calls, draw) in METHODS.items():
        for seed in range(SEEDS):
            yield {"method": method, "setting": setting, "calls": calls, "seed": seed} | scored(draw(seed))


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed + 1_000_000)


def write(file: Path, columns: tuple[str, ...], rows: Iterator[dict]) -> None:
    with open(file, "w", newline="", encoding="utf-8") as f:
        writer = csv.DictWriter(f, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(row)
            f.flush()


TABLES = {"inpainting": (INPAINTING, inpainting_rows), "guidance": (GUIDANCE, guidance_rows)}

if __name__ == "__main__":
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else FOLDER
    for name in sys.argv[1:2] or TABLES:
        columns, rows = TABLES[name]
        write(folder / f"{name}.csv", columns, rows())

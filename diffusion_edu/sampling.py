"""The samplers by name, with what each costs, and samples of a trained model."""

import csv
import math
from importlib.resources import files
from typing import NamedTuple

import torch
from torch import Tensor

from .bound import Model
from .conditioning import checked_known, guess, particles, repaint
from .ddpm import DDPM
from .diffusion import sigma2_beta_tilde
from .evaluate import mean_and_error
from .guidance import classifier_guided
from .oracles import Denoiser
from .samplers import ANCESTRAL, Step, ancestral, ddim, first_order, sample, second_order
from .schedules import Schedule, from_log_snr
from .sde import at_log_snr, euler, euler_maruyama_step, flow_step, heun, rk4


class Sampler(NamedTuple):
    """How one goes backwards, how often a step asks the denoiser, and whether the steps are even in log SNR, and not in
    t."""

    step: Step
    calls: int
    even_in_log_snr: bool = False


SAMPLERS = {
    "ancestral": Sampler(ANCESTRAL, calls=1),
    "ancestral-small": Sampler(first_order(ancestral(sigma2_beta_tilde)), calls=1),
    "ancestral-2m": Sampler(second_order(ancestral(sigma2_beta_tilde)), calls=1),
    "ddim": Sampler(first_order(ddim), calls=1),
    "ddim-2m": Sampler(second_order(ddim), calls=1),
    "euler": Sampler(flow_step(euler), calls=1, even_in_log_snr=True),
    "heun": Sampler(flow_step(heun), calls=2, even_in_log_snr=True),
    "rk4": Sampler(flow_step(rk4), calls=4, even_in_log_snr=True),
    "euler-maruyama": Sampler(euler_maruyama_step, calls=1, even_in_log_snr=True),
}


def sampler_of(name: str) -> Sampler:
    """The sampler of that name. Raises ValueError if there is none."""
    if name not in SAMPLERS:
        known = ", ".join(f"{name} ({s.calls})" for name, s in SAMPLERS.items())
        raise ValueError(f"unknown sampler {name!r}; known, with the calls of a step: {known}")
    return SAMPLERS[name]


def even_grid(schedule: Schedule, dim: int, steps: int) -> Schedule:
    """A schedule of so many steps that is even in log SNR: from λ_1 of the given one down to where D/2 SNR, about the
    nats of (3.7), are 0.0025, or to λ_T if that is before. The step to t = 0 is one of them. Raises ValueError if
    steps < 2."""
    if steps < 2:
        raise ValueError(f"steps, of a sampler that is even in log SNR, must be at least 2, got {steps}")
    clean, noise = schedule.log_snr[1].item(), max(schedule.log_snr[-1].item(), math.log(0.005 / dim))
    return from_log_snr(torch.linspace(clean, noise, steps, dtype=torch.float64))


class Backwards(NamedTuple):
    """How `samplers.reverse_path` runs a model backwards: all that it takes but x_T."""

    denoiser: Denoiser
    schedule: Schedule
    step: Step
    steps: int | None


def backwards(model: DDPM, sampler: str = "ancestral", steps: int | None = None) -> Backwards:
    """A DDPM with a sampler in so many steps (T if None): over the times of its own schedule, or over `even_grid`.
    Raises ValueError on an unknown sampler."""
    step, _, even = sampler_of(sampler)
    if not even:
        return Backwards(model.x0_hat, model.schedule, step, steps)
    schedule = even_grid(model.schedule, model.dim, model.schedule.T if steps is None else steps)
    return Backwards(at_log_snr(model.x0_hat_at, schedule), schedule, step, None)


@torch.no_grad()
def draw(
    model: Model, n: int, generator: torch.Generator, sampler: str = "ancestral", steps: int | None = None
) -> Tensor:
    """n samples of a trained model, (n, D), float32, on the CPU: of a DDPM as `backwards` says, of a VAE or HVAE down
    its chain. Raises ValueError on an unknown sampler."""
    if not isinstance(model, DDPM):
        return model.generate(n, generator).cpu().float()
    x_T = model.chain().prior().sample(generator, shape=(n,))
    denoiser, schedule, step, steps = backwards(model, sampler, steps)
    return sample(denoiser, schedule, x_T, step=step, steps=steps, generator=generator).cpu().float()


def _stepped(rounds: int):
    def run(model: DDPM, known: Tensor, x_T: Tensor, generator: torch.Generator, steps: int | None) -> Tensor:
        step = repaint(known, rounds, generator)
        return sample(model.x0_hat, model.schedule, x_T, step=step, steps=steps, generator=generator)

    return run


def _guess(model: DDPM, known: Tensor, miss: float):
    """log N(known; x̂₀, 1 − ᾱ + miss²)."""
    bar = model.schedule.alpha_bar.tolist()
    return guess(model.x0_hat, known, lambda x, t: 1 - bar[t] + miss**2)


def _reconstructed(model: DDPM, known: Tensor, x_T: Tensor, generator: torch.Generator, steps: int | None) -> Tensor:
    denoiser = classifier_guided(model.x0_hat, _guess(model, known, 0), model.schedule.alpha_bar, 1.0)
    return sample(denoiser, model.schedule, x_T, steps=steps, generator=generator)


def _by_particles(model: DDPM, known: Tensor, x_T: Tensor, generator: torch.Generator, steps: int | None) -> Tensor:
    """One of 16 particles of a run of its own for each point, asked to hit what is known to within 0.02."""
    start = model.chain().prior().sample(generator, shape=(len(x_T), 16))
    *_, (_, x) = particles(model.x0_hat, _guess(model, known, 0.02), model.schedule, start, generator, steps)
    return x[torch.arange(len(x)), torch.randint(16, (len(x),), generator=generator)]


METHODS = {  # of conditioning.py: what it costs in calls of the network per step
    "replacement": (_stepped(1), 1),
    "repaint": (_stepped(10), 10),
    "reconstruction": (_reconstructed, 2),
    "particles": (_by_particles, 32),
}


def check_method(name: str) -> None:
    """Raises ValueError if there is no such method."""
    if name not in METHODS:
        known = ", ".join(f"{name} ({calls})" for name, (_, calls) in METHODS.items())
        raise ValueError(f"unknown method {name!r}; known, with the calls of a step: {known}")


def draw_known(
    model: DDPM, known: Tensor, n: int, generator: torch.Generator, method: str = "repaint", steps: int | None = None
) -> Tensor:
    """n samples, (n, D), float32, on the CPU, with `known` (D,) where that is not NaN (METHODS). Raises ValueError on
    an unknown method and if nothing is known, or all."""
    check_method(method)
    x_T = model.chain().prior().sample(generator, (n,))
    known = checked_known(known, model.dim).to(x_T)
    x = METHODS[method][0](model, known, x_T, generator, steps).cpu().float()
    return torch.where(known.cpu().isnan(), x, known.cpu().float())


Measured = dict[tuple[str, str, str], dict[int, tuple[tuple[float, float], ...]]]


def measured() -> Measured:
    """What tools/bench/samplers.py found on the roll, for (score, sampler, "t" or "log SNR") and a number of calls:
    the energy distance over its floor, E log p + H and the share off, each with its standard error over sets of
    noise. True sets are under ("none", "truth", "") and 0 calls."""
    text = files("diffusion_edu.pretrained").joinpath("samplers.csv").read_text(encoding="utf-8")
    sets: dict = {}
    for row in csv.DictReader(text.splitlines()):
        key = row["score"], row["sampler"], row["grid"]
        values = [float(row[name]) for name in ("energy", "log_p", "off")]
        sets.setdefault(key, {}).setdefault(int(row["calls"]), []).append(values)
    return {
        key: {calls: tuple(map(mean_and_error, torch.tensor(v).T)) for calls, v in row.items()}
        for key, row in sets.items()
    }

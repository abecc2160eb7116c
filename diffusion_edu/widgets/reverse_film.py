"""The reverse film (notebook 04): noise that turns to data, by a network and exactly, from the same noise.

Every frame is a recorded x_t of a real run of `samplers.reverse_path`. To move the choice of schedule or of the
number of steps is to replay another run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import traitlets
from torch import Tensor

from ..ddpm import DDPM
from ..evaluate import mean_log_prob, outlier_share
from ..oracles import Denoiser, Mixture, exact_denoiser
from ..samplers import reverse_path
from .canvas import Canvas, Linked, choice, float32, float64, numbers, rising, script, slider

LEVELS = (-3.0, 8.0, 0.5)  # the film's clock, log SNR: first, last and step
SIDES = ("learned", "exact")


@dataclass(frozen=True)
class ReverseRun:
    """One reverse run of a model and of the exact denoiser, from the same x_T and with the same noise.

    t: the F recorded times, from T down to 0. log_snr: at each of them, rising; the last, at t = 0, is infinite.
    learned, exact: the points x_t (F, n, 2). mean_log_p, outlier_share: for each side, of its points x₀, in nats and as
    a share. done: how many of the steps led to each frame. Raises ValueError on frames that are not in order, on
    shapes that do not fit and on points that are not finite.
    """

    schedule: str
    steps: int
    t: Sequence[int]
    done: Sequence[int]
    log_snr: Sequence[float]
    learned: Tensor
    exact: Tensor
    mean_log_p: Mapping[str, float]
    outlier_share: Mapping[str, float]

    def __post_init__(self):
        frames = len(rising("−t", [-t for t in self.t]))
        numbers("done", rising("done", self.done), (frames,))
        numbers("log_snr", rising("log_snr", self.log_snr[:-1]), (frames - 1,))
        learned = numbers("learned", self.learned, (frames, None, 2))
        numbers("exact", self.exact, learned.shape)

    @property
    def apart(self) -> np.ndarray:
        """How far the two sides' points are from each other at each frame, root mean square, (F,)."""
        return (self.learned - self.exact).double().square().sum(-1).mean(-1).sqrt().numpy()


def film_frames(log_snr: Tensor) -> list[int]:
    """Which states of a run the film shows: at each level of its clock the last state whose log SNR is not above it.
    log_snr: of all states from x_T on, rising; the last, x₀, is shown at the clock's end, x_T at its start."""
    first, last, step = LEVELS
    clock = torch.arange(first, last, step, dtype=torch.float64)
    shown = torch.searchsorted(log_snr[:-1].contiguous(), clock, right=True) - 1
    return sorted({0, *shown.clamp(min=0).tolist(), len(log_snr) - 1})


def record(name: str, model: DDPM, data: Mixture, steps: int, x_T: Tensor, seed: int = 0) -> ReverseRun:
    """The run of `steps` steps that starts at x_T (n, 2), by the model and by the exact denoiser of `data`.

    Raises ValueError unless 1 ≤ steps ≤ T and x_T is finite and (n, 2).
    """
    numbers("x_T", x_T, (None, 2))
    schedule, times = model.schedule, model.schedule.respaced(steps)[1].flip(0)
    log_snr = schedule.log_snr[times]
    keep = film_frames(log_snr)

    def run(denoiser: Denoiser) -> Tensor:
        states = reverse_path(denoiser, schedule, x_T, steps=steps, generator=torch.Generator().manual_seed(seed))
        return torch.stack([x for i, (_, x) in enumerate(states) if i in set(keep)])

    ends = {"learned": run(model.x0_hat), "exact": run(exact_denoiser(data, schedule.alpha_bar))}
    return ReverseRun(
        name, steps, times[keep].tolist(), keep, log_snr[keep].tolist(), **ends,
        mean_log_p={side: mean_log_prob(x[-1], data) for side, x in ends.items()},
        outlier_share={side: outlier_share(x[-1], data) for side, x in ends.items()},
    )  # fmt: skip


class Packed:
    """Tables of numbers as int8 with a scale each: a number is within scale/2 of what was put in."""

    def __init__(self):
        self.tables, self.scales, self.index = [], [], {}

    def put(self, key, table: np.ndarray) -> int:
        """The number of the table; one that was put in under the same key is not stored again."""
        if key not in self.index:
            scale = max(np.abs(table).max() / 127, 1e-12)
            self.index[key] = len(self.tables)
            self.tables.append(np.round(table / scale).astype(np.int8).tobytes())
            self.scales.append(scale)
        return self.index[key]

    def traits(self, name: str) -> dict[str, bytes]:
        """What the browser reads with `table(model, name, number)`."""
        return {name: b"".join(self.tables), f"{name}_scales": float32(np.array(self.scales))}


class ReverseCanvas(Canvas):
    """Two recorded runs side by side at the log SNR of the slider."""

    _esm = script("reverse_film.js")
    states, states_scales = traitlets.Bytes().tag(sync=True), traitlets.Bytes().tag(sync=True)
    fields, fields_scales = traitlets.Bytes().tag(sync=True), traitlets.Bytes().tag(sync=True)
    mixture = traitlets.Bytes().tag(sync=True)  # K rows of weight, mean, variance
    films = traitlets.List().tag(sync=True)  # films[schedule][number of steps]
    about = traitlets.Dict().tag(sync=True)
    level = traitlets.Float(LEVELS[0]).tag(sync=True)
    schedule, steps = traitlets.Int(0).tag(sync=True), traitlets.Int(0).tag(sync=True)
    trails, field = traitlets.Bool(True).tag(sync=True), traitlets.Bool(False).tag(sync=True)


class ReverseFilm(Linked):
    """The widget; `runs[name, steps]` are the recorded runs, with the numbers in its text."""

    runs: dict[tuple[str, int], ReverseRun]


def reverse_film(
    models: Mapping[str, DDPM],
    data: Mixture,
    steps: Sequence[int] = (5, 10, 30, 100),
    n: int = 500,
    shown: int = 240,
    seed: int = 0,
) -> ReverseFilm:
    """A film of the reverse process, learned and exact side by side, for each model and each number of steps.

    `models` are DDPMs of two dimensions by name, `data` what they were trained on. Each run starts from the same n
    points of N(0, I) and takes the same noise; the numbers are of all n points, the picture shows the first `shown`
    of them. The film's clock is log SNR, from −3 to 8, and at each level shows the latest state. Raises ValueError on
    models or data that are not of two dimensions, on a number of steps outside 1 … T and unless 1 ≤ shown ≤ n.
    """
    if not models or data.dim != 2 or any(model.dim != 2 for model in models.values()):
        raise ValueError("models must hold at least one DDPM, and they and the data must have two dimensions")
    if (data.variances[:, :1] != data.variances).any():
        raise ValueError("the parts of data must have the same variance along both axes")
    if not 1 <= shown <= n:
        raise ValueError(f"shown must lie in 1 … n = {n}, got {shown}")
    rising("steps", steps)
    x_T = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))
    runs = {(k, s): record(k, model, data, s, x_T, seed + 1) for k, model in models.items() for s in steps}
    canvas = ReverseCanvas(**pack(runs, models, data, steps, shown), steps=len(steps) - 1)
    first, last, step = LEVELS
    controls = {
        "level": slider("log SNR", first, first, last, step, digits=1),
        "schedule": choice("schedule", list(models)),
        "steps": choice("steps", [str(s) for s in steps], len(steps) - 1),
    }
    film = ReverseFilm(canvas, controls, f"Film: {shown} points of noise turn to data, {len(runs)} recorded runs")
    film.runs = runs
    return film


def eps_apart(model: DDPM, data: Mixture, t: int, xt: Tensor) -> float:
    """How far ε̂(x_t, t) is from E[ε|x_t] at the points x_t (n, 2), root mean square."""
    exact = data.eps_mean(xt, float(model.schedule.alpha_bar[t]))
    return (model.eps_hat(xt, t) - exact).detach().double().square().sum(-1).mean().sqrt().item()


GRID = torch.cartesian_prod(torch.linspace(-2.75, 2.75, 12), torch.linspace(-2.75, 2.75, 12))  # where ε is drawn


def pack(runs: Mapping, models: Mapping[str, DDPM], data: Mixture, steps: Sequence[int], shown: int) -> dict:
    """The canvas's traits."""
    states, fields, films = Packed(), Packed(), []
    for name, model in models.items():
        films.append([])
        for s in steps:
            run = runs[name, s]
            ids = {
                side: [states.put("x_T" if i == 0 else (name, s, side, i), x[:shown].numpy()) for i, x in enumerate(xs)]
                for side, xs in zip(SIDES, (run.learned, run.exact), strict=True)
            }
            field = [fields.put((name, t), model.eps_hat(GRID, t).detach().numpy()) for t in run.t[:-1]]
            ends = {"mean_log_p": dict(run.mean_log_p), "outlier_share": dict(run.outlier_share)}
            shape = {"T": model.schedule.T, "steps": s, "t": list(run.t), "done": list(run.done)}
            alpha_bar = model.schedule.alpha_bar[list(run.t)].tolist()
            levels = {"log_snr": list(run.log_snr[:-1]), "alpha_bar": alpha_bar, "apart": run.apart.tolist()}
            off = [eps_apart(model, data, t, x) for t, x in zip(run.t[:-1], run.learned, strict=False)]
            films[-1].append({**shape, **levels, **ids, **ends, "field": field, "eps_apart": off})
    parts = torch.cat([data.weights[:, None], data.means, data.variances[:, :1]], 1)
    about = {"names": list(models), "entropy": data.entropy(), "points": len(next(iter(runs.values())).learned[0])}
    about |= {"first": LEVELS[0], "last": LEVELS[1], "step": LEVELS[2], "grid": GRID.flatten().tolist()}
    return {**states.traits("states"), **fields.traits("fields"), "mixture": float64(parts.numpy()), "films": films,
            "about": about}  # fmt: skip

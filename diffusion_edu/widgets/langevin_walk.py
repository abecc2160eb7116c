"""The Langevin walk (notebook 06): points that follow the roll's score, and by how many nats their step is wrong."""

import numpy as np
import torch
import traitlets

from ..data import SwissRoll
from .canvas import Canvas, Linked, choice, float32, float64, noise, script, slider

STARTS = ("where data lie", "the inner end", "N(0, I)")
STEPS = 80
LARGEST = 1.8


class LangevinCanvas(Canvas):
    """x ← x + h s(x) + √(2h) ε with h = c s₀², k times, with the same noise for every c; accepted or refused if
    `adjusted`."""

    _esm = script("langevin_walk.js")
    weights = traitlets.Bytes().tag(sync=True)
    means = traitlets.Bytes().tag(sync=True)
    variance = traitlets.Float().tag(sync=True)
    entropy = traitlets.Float().tag(sync=True)
    starts = traitlets.Bytes().tag(sync=True)
    steps = traitlets.Int(STEPS).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    c = traitlets.Float(0.4).tag(sync=True)
    k = traitlets.Int(0).tag(sync=True)
    start = traitlets.Int(0).tag(sync=True)
    adjusted = traitlets.Bool(False).tag(sync=True)


def langevin_walk(data: SwissRoll, c: float = 0.4, k: int = 0, n: int = 800, seed: int = 0) -> Linked:
    """n points follow the exact score of `data`: the step c in units of s₀², their number k, the start, and whether
    steps are refused (MALA) can be chosen. Beside them E log p + H of these points against its theory on a straight
    strand, equation 6.16 and what leads to it, in nats.

    Raises ValueError unless 0 < c ≤ 1.8 and 0 ≤ k ≤ 80.
    """
    if not 0 < c <= LARGEST:
        raise ValueError(f"c must lie in (0, {LARGEST}], got {c}")
    if not 0 <= k <= STEPS:
        raise ValueError(f"k must lie in 0 … {STEPS}, got {k}")
    inner = data.curve(torch.tensor([0.05])).numpy() + np.zeros((n, 2))
    canvas = LangevinCanvas(
        weights=float64(data.weights.numpy()),
        means=float64(data.means.numpy()),
        variance=data.variances[0, 0].item(),
        entropy=data.entropy(),
        starts=float32(np.concatenate([data.sample(n, seed).numpy(), inner, noise((n, 2), seed)])),
        seed=seed,
        c=c,
        k=k,
    )
    controls = {
        "c": slider("c", c, 0.05, LARGEST, 0.05),
        "k": slider("steps", k, 0, STEPS),
        "start": choice("start", list(STARTS)),
    }
    return Linked(canvas, controls, f"Walk: {n:,} points follow the score of the roll")

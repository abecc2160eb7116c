"""Paths from noise to the roll (notebook 07): one start, one noise, and any amount η of it on the way."""

import math

import numpy as np
import traitlets
from scipy.interpolate import CubicSpline

from ..data import SwissRoll
from ..exact import LOG_SNR, aggregate_table
from .canvas import Canvas, Linked, float64, noise, script, slider

STEPS, NOISE, CLEAN, LARGEST = 160, -4.0, 8.0, 1.5


class PathsCanvas(Canvas):
    """x ← x + h ½(1−ᾱ)(x + (1 + η²) s) + η √((1−ᾱ) h) ε, i times along `levels`, with the same ε for every η."""

    _esm = script("reverse_paths.js")
    weights = traitlets.Bytes().tag(sync=True)
    means = traitlets.Bytes().tag(sync=True)
    variance = traitlets.Float().tag(sync=True)
    levels = traitlets.Bytes().tag(sync=True)
    entropies = traitlets.Bytes().tag(sync=True)
    start = traitlets.Bytes().tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    eta = traitlets.Float(1.0).tag(sync=True)
    i = traitlets.Int(0).tag(sync=True)


def reverse_paths(data: SwissRoll, eta: float = 1.0, i: int = 0, n: int = 150, seed: int = 0) -> Linked:
    """n points go from N(0, I) to the roll by equation 7.5 with the exact score: the noise η on the way and the number
    i of steps can be chosen. Beside them E log p + H at the level they have come to, in nats.

    Raises ValueError unless 0 ≤ η ≤ 1.5, 0 ≤ i ≤ 160 and n ≥ 5.
    """
    if not 0 <= eta <= LARGEST:
        raise ValueError(f"eta must lie in [0, {LARGEST}], got {eta}")
    if not 0 <= i <= STEPS:
        raise ValueError(f"i must lie in 0 … {STEPS}, got {i}")
    if n < 5:
        raise ValueError(f"n must be at least 5, the paths that are drawn, got {n}")
    levels = np.linspace(NOISE, CLEAN, STEPS + 1)
    gaussian = 0.5 * data.dim * math.log(2 * math.pi * math.e)  # H of N(0, I); the rest is KL(q(x_t) ‖ N(0, I))
    canvas = PathsCanvas(
        weights=float64(data.weights.numpy()),
        means=float64(data.means.numpy()),
        variance=data.variances[0, 0].item(),
        levels=float64(levels),
        entropies=float64(gaussian - CubicSpline(LOG_SNR, aggregate_table(data))(levels)),
        start=float64(noise((n, 2), seed)),
        seed=seed,
        eta=eta,
        i=i,
    )
    controls = {"eta": slider("noise η", eta, 0.0, LARGEST, 0.05), "i": slider("step", i, 0, STEPS)}
    return Linked(canvas, controls, f"Paths: {n:,} points from noise to the roll")

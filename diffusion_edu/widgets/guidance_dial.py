"""What guidance samples (notebook 09): points pushed to the middle third of the roll, at any weight, and how many nats
their law is off."""

import math

import numpy as np
import torch
import traitlets

from ..data import SwissRoll
from ..guidance import exact_labels
from .canvas import Canvas, Linked, float64, noise, script, slider

STEPS, NOISE, CLEAN, LARGEST, BINS = 60, -8.7, 11.6, 5.0, 30
WEIGHTS = np.linspace(0, LARGEST, 51)


class GuidanceCanvas(Canvas):
    """dx/dλ = ½(1−ᾱ)(x + s + w (s_y − s)) by steps of order 4 along `levels`, with the log density on the way."""

    _esm = script("guidance_dial.js")
    weights = traitlets.Bytes().tag(sync=True)
    means = traitlets.Bytes().tag(sync=True)
    part_weights = traitlets.Bytes().tag(sync=True)
    part_means = traitlets.Bytes().tag(sync=True)
    u = traitlets.Bytes().tag(sync=True)
    variance = traitlets.Float().tag(sync=True)
    levels = traitlets.Bytes().tag(sync=True)
    start = traitlets.Bytes().tag(sync=True)
    log_z = traitlets.Bytes().tag(sync=True)
    target = traitlets.Bytes().tag(sync=True)
    weight = traitlets.Float(1.0).tag(sync=True)
    level = traitlets.Float(0.0).tag(sync=True)


def guidance_dial(data: SwissRoll, weight: float = 1.0, level: float = 1.0, n: int = 150, seed: int = 0) -> Linked:
    """n points go from N(0, I) along the guided probability flow; label: the middle third. Chosen are the weight w and
    the log SNR at which arrows show the guided score. A dial shows KL(guided ‖ tilted) in nats, 9.7.

    Raises ValueError unless 0 ≤ weight ≤ 5, −4 ≤ level ≤ 6 and n ≥ 10.
    """
    if not 0 <= weight <= LARGEST:
        raise ValueError(f"weight must lie in [0, {LARGEST:g}], got {weight}")
    if not -4 <= level <= 6:
        raise ValueError(f"level must lie in [-4, 6], got {level}")
    if n < 10:
        raise ValueError(f"n must be at least 10, got {n}")
    parts = data.thirds()
    of_middle = lambda x: exact_labels(parts, torch.ones(1))(x, 0)[..., 1]  # noqa: E731
    canvas = GuidanceCanvas(
        weights=float64(data.weights.numpy()),
        means=float64(data.means.numpy()),
        part_weights=float64(parts[1].weights.numpy()),
        part_means=float64(parts[1].means.numpy()),
        u=float64(np.asarray(data.u)),
        variance=data.variances[0, 0].item(),
        levels=float64(np.linspace(NOISE, CLEAN, STEPS + 1)),
        start=float64(noise((n, 2), seed)),
        log_z=float64(_log_z(data, of_middle)),
        target=float64(_target(data, of_middle)),
        weight=weight,
        level=level,
    )
    controls = {
        "weight": slider("weight w", weight, 0.0, LARGEST, 0.1),
        "level": slider("arrows at log SNR", level, -4.0, 6.0, 0.1),
    }
    return Linked(canvas, controls, f"Guidance: {n:,} points pushed to the middle third of the roll")


def _log_z(data: SwissRoll, of_middle) -> np.ndarray:
    """log ∫ p(x) p(y|x)^w dx at WEIGHTS, on a grid of half the roll's width."""
    axis = torch.linspace(-3, 3, 168, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    log_p, log_y = data.log_prob(points), of_middle(points)
    terms = log_p + torch.from_numpy(WEIGHTS)[:, None] * log_y
    return (terms.logsumexp(-1) + 2 * math.log((axis[1] - axis[0]).item())).numpy()


def _target(data: SwissRoll, of_middle, n: int = 20_000) -> np.ndarray:
    """How a true point of the tilted law is spread along the roll: shares of BINS equal pieces of u, one row for each
    of WEIGHTS."""
    x, u = data.sample_with_u(n, 1)
    piece, sure = np.clip((u * BINS).long().numpy(), 0, BINS - 1), of_middle(x).numpy()
    share = np.stack([np.bincount(piece, np.exp(w * sure), BINS) for w in WEIGHTS])
    return share / share.sum(1, keepdims=True)

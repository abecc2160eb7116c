"""Inpainting on the roll (notebook 09): x₁ is dragged, and four methods draw x₂ beside the exact p(x₂|x₁)."""

import traitlets

from ..data import SwissRoll
from ..schedules import cosine
from .canvas import Canvas, Linked, choice, float64, script

METHODS = ("replacement", "RePaint, 5 rounds", "reconstruction guidance", "12 runs of 16 particles")
STEPS, SAMPLES, DELTA, LARGEST = 60, 192, 0.02, 1.6


class InpaintingCanvas(Canvas):
    """SAMPLES points go through the chain at `alpha_bar`, with x₁ known."""

    _esm = script("inpainting_line.js")
    weights = traitlets.Bytes().tag(sync=True)
    means = traitlets.Bytes().tag(sync=True)
    variance = traitlets.Float().tag(sync=True)
    alpha_bar = traitlets.Bytes().tag(sync=True)
    delta = traitlets.Float(DELTA).tag(sync=True)
    samples = traitlets.Int(SAMPLES).tag(sync=True)
    limit = traitlets.Float(2.4).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    x1 = traitlets.Float(0.45).tag(sync=True)
    method = traitlets.Int(0).tag(sync=True)


def inpainting_line(data: SwissRoll, x1: float = 0.45, method: str = "replacement", seed: int = 0) -> Linked:
    """x₁ can be dragged, and the method chosen (METHODS): the samples of x₂ as a histogram beside the exact density,
    and what they lose in E log p(x₂|x₁), in nats. Sixty steps of the cosine schedule, the exact denoiser.

    Raises ValueError for an unknown method and unless −1.6 ≤ x1 ≤ 1.6.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    if not -LARGEST <= x1 <= LARGEST:
        raise ValueError(f"x1 must lie in [-{LARGEST}, {LARGEST}], got {x1}")
    canvas = InpaintingCanvas(
        weights=float64(data.weights.numpy()),
        means=float64(data.means.numpy()),
        variance=data.variances[0, 0].item(),
        alpha_bar=float64(cosine(1000).respaced(STEPS)[0].alpha_bar.numpy()),
        seed=seed,
        x1=x1,
        method=METHODS.index(method),
    )
    controls = {"method": choice("method", list(METHODS), METHODS.index(method))}
    return Linked(canvas, controls, f"Inpainting: {SAMPLES} samples of x₂ with x₁ known, by {method}")

"""The density film (notebook 06): the forward process on a grid and as points, and how fast its KL falls."""

import numpy as np
import traitlets

from .. import exact
from ..data import SwissRoll
from .canvas import Canvas, Linked, float32, float64, noise, script, slider

TAUS = np.concatenate([[0.0], np.geomspace(1e-3, 1.5, 60)])
AXIS = np.linspace(-3.6, 3.6, 72)


class DensityCanvas(Canvas):
    """p(τ) = E p(0) Eᵀ on 72² cells, and x_t = √ᾱ x₀ + √(1−ᾱ) ε with ᾱ = e^{−2τ}, at the τ of the slider."""

    _esm = script("density_film.js")
    weights = traitlets.Bytes().tag(sync=True)
    means = traitlets.Bytes().tag(sync=True)
    variance = traitlets.Float().tag(sync=True)
    error = traitlets.Bytes().tag(sync=True)
    taus = traitlets.Bytes().tag(sync=True)
    axis = traitlets.Bytes().tag(sync=True)
    x0 = traitlets.Bytes().tag(sync=True)
    eps = traitlets.Bytes().tag(sync=True)
    i = traitlets.Int(0).tag(sync=True)


def density_film(data: SwissRoll, i: int = 0, n: int = 1500, seed: int = 0) -> Linked:
    """The forward process of `data` at the i-th of 61 times: its density by the Fokker–Planck equation on a grid,
    n points beside it, and KL(p ‖ N(0, I)) in nats, with the slope −I of equation 6.21.

    Raises ValueError unless 0 ≤ i ≤ 60.
    """
    if not 0 <= i < len(TAUS):
        raise ValueError(f"i must lie in 0 … {len(TAUS) - 1}, got {i}")
    canvas = DensityCanvas(
        weights=float64(data.weights.numpy()),
        means=float64(data.means.numpy()),
        variance=data.variances[0, 0].item(),
        error=float64(exact.error_table(data)),
        taus=float64(TAUS),
        axis=float64(AXIS),
        x0=float32(data.sample(n, seed).numpy()),
        eps=float32(noise((n, 2), seed)),
        i=i,
    )
    return Linked(canvas, {"i": slider("frame", i, 0, len(TAUS) - 1)}, "Film: a density on its grid, and points")

"""The knot explorer (notebook 08): the steps of a schedule over the price density, and what each of them costs."""

import numpy as np
import torch
import traitlets

from .. import schedules
from ..exact import LOG_SNR, aggregate_table, error_table
from ..learned_noise import best_log_snr, exact_errors, length, price_density
from ..oracles import Mixture
from .canvas import Canvas, Linked, float64, script, slider

MOST, LOW, HIGH = 30, -8.0, 12.0


class KnotCanvas(Canvas):
    """λ_1 > … > λ_T that can be dragged, and the price (8.4) of these knots, from the exact denoiser's error alone."""

    _esm = script("knot_explorer.js")
    error = traitlets.Bytes().tag(sync=True)
    slope = traitlets.Bytes().tag(sync=True)
    aggregate = traitlets.Bytes().tag(sync=True)
    density = traitlets.Bytes().tag(sync=True)
    best = traitlets.Bytes().tag(sync=True)
    cosine = traitlets.Bytes().tag(sync=True)
    even = traitlets.Bytes().tag(sync=True)
    square = traitlets.Float().tag(sync=True)
    entropy = traitlets.Float().tag(sync=True)
    length = traitlets.Float().tag(sync=True)
    most = traitlets.Int(MOST).tag(sync=True)
    knots = traitlets.List(traitlets.Float()).tag(sync=True)
    chosen = traitlets.Int(1).tag(sync=True)
    T = traitlets.Int(10).tag(sync=True)


def knot_explorer(data: Mixture, T: int = 10) -> Linked:
    """T knots over g(λ) of `data`, in the plane; they start at the cosine schedule. Bars are the prices of the steps,
    that of the decoder at the clean end and of the prior at the noisy one; the words say their sum, that of the best
    knots, and ℓ²/T. Nats per data point. Raises ValueError for data that are not in the plane and for T outside 1 … 30.
    """
    if data.dim != 2:
        raise ValueError(f"data must be in the plane, D = 2, got D = {data.dim}")
    if not 1 <= T <= MOST:
        raise ValueError(f"T must lie in 1 … {MOST}, got {T}")
    errors = exact_errors(data)
    every = range(1, MOST + 1)
    cosine = [schedules.cosine(t).log_snr[1:].clamp(LOW, HIGH) for t in every]
    cosine = [torch.minimum(k, HIGH - 0.05 * torch.arange(len(k))).numpy() for k in cosine]
    canvas = KnotCanvas(
        error=float64(error_table(data)),
        slope=float64(errors.at(np.asarray(LOG_SNR))[1][0]),
        aggregate=float64(aggregate_table(data)),
        density=float64(price_density(errors, np.asarray(LOG_SNR))),
        best=float64(np.concatenate([best_log_snr(errors, t) for t in every])),
        cosine=float64(np.concatenate(cosine)),
        even=float64(np.concatenate([np.linspace(10, -6, t) for t in every])),
        square=float((data.weights @ (data.means**2 + data.variances)).sum()),
        entropy=data.entropy(),
        length=float(length(errors)[1][-1]),
        knots=cosine[T - 1].tolist(),
        T=T,
    )
    return Linked(canvas, {"T": slider("T", T, 1, MOST)}, "Explorer of a schedule's knots")

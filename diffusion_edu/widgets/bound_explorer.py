"""The bound explorer (notebook 03): its terms against T, against log SNR, and what is left above the entropy."""

import traitlets

from ..exact import aggregate_table, error_table
from ..oracles import Mixture
from .canvas import Canvas, Linked, choice, float64, script, slider

SCHEDULES = ["cosine", "linear, β ∝ 1/T", "sigmoid, β ∝ 1/T", "linear, β of Ho et al."]
SIGMAS = ["best", "β", "β̃"]
STEPS = (10, 1000)


class BoundCanvas(Canvas):
    """The terms L₀ … L_T of the exact denoiser, from its error alone (3.17)."""

    _esm = script("bound_explorer.js")
    error = traitlets.Bytes().tag(sync=True)
    aggregate = traitlets.Bytes().tag(sync=True)
    square = traitlets.Float().tag(sync=True)
    entropy = traitlets.Float().tag(sync=True)
    schedule = traitlets.Int(0).tag(sync=True)
    sigma = traitlets.Int(0).tag(sync=True)
    T = traitlets.Float(100).tag(sync=True)  # the browser takes the nearest of its LENGTHS


def bound_explorer(data: Mixture, schedule: str = "cosine", T: int = 100, sigma: str = "best") -> Linked:
    """The negative bound of the exact denoiser on `data`, in the plane: L₀, the L_{t−1} and L_T stacked against T;
    the L_{t−1} as nats per unit of log SNR; the gap to the entropy for three choices of σ_t². Nats per data point.

    Schedules: the library's, scaled to T, and Ho et al.'s β at any T. No sampling: all terms follow from the error
    E|x₀ − x̂₀|² at each log SNR, tabulated (exact.py). Raises ValueError for data that are not in the plane, an
    unknown schedule or sigma, and T outside 10 … 1000.
    """
    if data.dim != 2:
        raise ValueError(f"data must be in the plane, D = 2, got D = {data.dim}")
    for name, value, known in [("schedule", schedule, SCHEDULES), ("sigma", sigma, SIGMAS)]:
        if value not in known:
            raise ValueError(f"{name} must be one of {known}, got {value!r}")
    if not STEPS[0] <= T <= STEPS[1]:
        raise ValueError(f"T must lie in {STEPS[0]} … {STEPS[1]}, got {T}")
    canvas = BoundCanvas(
        error=float64(error_table(data)),
        aggregate=float64(aggregate_table(data)),
        square=float((data.weights @ (data.means**2 + data.variances)).sum()),
        entropy=data.entropy(),
    )
    controls = {
        "schedule": choice("schedule", SCHEDULES, SCHEDULES.index(schedule)),
        "sigma": choice("σₜ²", SIGMAS, SIGMAS.index(sigma)),
        "T": slider("T", T, *STEPS, step=0.1, log=True, digits=0),
    }
    return Linked(canvas, controls, "Explorer of the bound's terms")

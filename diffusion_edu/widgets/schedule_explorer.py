"""The schedule explorer (notebook 03): β₁, β_T, T and the kind of schedule, and whether its end is noise."""

import traitlets

from ..data import SwissRoll
from ..exact import aggregate_table
from ..schedules import SCHEDULES
from .canvas import Canvas, Linked, choice, float32, float64, noise, script, slider

KINDS = list(SCHEDULES)
STEPS, BETAS = (10, 1000), (1e-5, 0.5)


class ScheduleCanvas(Canvas):
    """The schedule that the controls name, the points x₀ at one of its times, and what its end costs."""

    _esm = script("schedule_explorer.js")
    x0 = traitlets.Bytes().tag(sync=True)
    eps = traitlets.Bytes().tag(sync=True)
    aggregate = traitlets.Bytes().tag(sync=True)
    square = traitlets.Float().tag(sync=True)
    stretch = traitlets.Float().tag(sync=True)
    shift = traitlets.List(traitlets.Float()).tag(sync=True)
    tenth = traitlets.Bool(False).tag(sync=True)
    kind = traitlets.Int(1).tag(sync=True)
    T = traitlets.Int(1000).tag(sync=True)
    beta_1 = traitlets.Float(1e-4).tag(sync=True)
    beta_T = traitlets.Float(0.02).tag(sync=True)
    fraction = traitlets.Float(1.0).tag(sync=True)


def schedule_explorer(
    data: SwissRoll, kind: str = "linear", T: int = 1000, beta_1: float = 1e-4, beta_T: float = 0.02, n: int = 600
) -> Linked:
    """Controls for the schedule; curves of β, ᾱ and log SNR; n points of `data` at a chosen t; E[L_T] (3.7) and, of
    it, the KL(q(x_T) ‖ N(0, I)) that the bound and the samples pay (3.8), in nats.

    Raises ValueError for an unknown kind, T outside 10 … 1000, a β outside 10⁻⁵ … 0.5, or n < 1.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    for name, value, (low, high) in [("T", T, STEPS), ("beta_1", beta_1, BETAS), ("beta_T", beta_T, BETAS)]:
        if not low <= value <= high:
            raise ValueError(f"{name} must lie in {low:g} … {high:g}, got {value}")
    if n < 1:
        raise ValueError(f"n, the number of points, must be at least 1, got {n}")
    x0 = data.sample(n, seed=3).numpy()
    canvas = ScheduleCanvas(
        x0=float32(x0),
        eps=float32(noise(x0.shape, seed=0)),
        aggregate=float64(aggregate_table(data)),
        square=float((data.weights @ (data.means**2 + data.variances)).sum()),
        stretch=data.scale / 10,
        shift=(data.shift / 10).tolist(),
    )
    controls = {
        "kind": choice("schedule", KINDS, KINDS.index(kind)),
        "T": slider("T", T, *STEPS, step=10),
        "beta_1": slider("β₁", beta_1, *BETAS, step=0.05, log=True),
        "beta_T": slider("β_T", beta_T, *BETAS, step=0.05, log=True),
        "fraction": slider("t/T", 1.0, 0.0, 1.0, step=0.01),
    }
    return Linked(canvas, controls, "Explorer of β schedules")

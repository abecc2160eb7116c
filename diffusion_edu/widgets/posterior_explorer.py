"""The posterior explorer (notebook 03): the law of x_{t−1} given x_t and x₀."""

import traitlets
from torch import Tensor

from ..schedules import Schedule
from .canvas import Canvas, Linked, float32, float64, numbers, script, slider

LIMIT = 2.6


class PosteriorCanvas(Canvas):
    """q(x_{t−1}|x_t, x₀) = N(μ̃_t, β̃_t), with the two Gaussians whose product it is."""

    _esm = script("posterior_explorer.js")
    limit = traitlets.Float(LIMIT).tag(sync=True)
    points = traitlets.Bytes().tag(sync=True)
    beta = traitlets.Bytes().tag(sync=True)
    alpha_bar = traitlets.Bytes().tag(sync=True)
    x0 = traitlets.List(traitlets.Float()).tag(sync=True)
    xt = traitlets.List(traitlets.Float()).tag(sync=True)
    t = traitlets.Int().tag(sync=True)


def posterior_explorer(schedule: Schedule, points: Tensor, t: int = 2, x0=(-1.4, 0.3), xt=(1.0, 1.2)) -> Linked:
    """Drag x₀ and x_t, slide t: the forward posterior (3.9) as circles of 1σ and 2σ around μ̃_t, its two factors
    q(x_{t−1}|x₀) and q(x_t|x_{t−1}), and μ̃_t's coefficients and β̃_t against t. `points` (n, 2) lie faint behind it.

    A schedule of few steps shows more: with T = 1000 a step is too small to be seen. Raises ValueError unless the
    points are finite and (n, 2), x0 and xt lie in the plane [−2.6, 2.6]², and 1 ≤ t ≤ T.
    """
    places = {"x0": numbers("x0", x0, (2,)), "xt": numbers("xt", xt, (2,))}
    for name, place in places.items():
        if abs(place).max() > LIMIT:
            raise ValueError(f"{name} must lie in −{LIMIT} … {LIMIT}, got {place.tolist()}")
    if not 1 <= t <= schedule.T:
        raise ValueError(f"t must lie in 1 … {schedule.T}, got {t}")
    canvas = PosteriorCanvas(
        points=float32(numbers("points", points, (None, 2))),
        beta=float64(schedule.beta.numpy()),
        alpha_bar=float64(schedule.alpha_bar.numpy()),
        t=t,
        **{name: place.tolist() for name, place in places.items()},
    )
    return Linked(canvas, {"t": slider("t", t, 1, schedule.T)}, "Explorer of q(xₜ₋₁|xₜ, x₀)")

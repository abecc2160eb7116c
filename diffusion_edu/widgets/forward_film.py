"""The forward film (notebook 03): points that turn to noise, and how many nats are left to go."""

import traitlets
from torch import Tensor

from ..schedules import Schedule
from .canvas import Canvas, Linked, float32, float64, noise, numbers, script, slider


class ForwardCanvas(Canvas):
    """x_t = √ᾱ_t x₀ + √(1−ᾱ_t) ε at the t of the slider, with one ε per point."""

    _esm = script("forward_film.js")
    x0 = traitlets.Bytes().tag(sync=True)
    eps = traitlets.Bytes().tag(sync=True)
    alpha_bar = traitlets.Bytes().tag(sync=True)
    square = traitlets.Float().tag(sync=True)
    t = traitlets.Int(0).tag(sync=True)


def forward_film(x0: Tensor, schedule: Schedule, t: int = 0, seed: int = 0) -> Linked:
    """A film of the points x0 (n, 2) under `schedule`: play, pause, scrub t. Beside it ᾱ_t, the SNR, and the mean
    over the points of KL(q(x_t|x₀) ‖ N(0, I)), nats per data point (equation 3.6).

    Every frame is an exact draw from q(x_t|x₀) (Ho et al. 2020, eq. 4); the frames share each point's ε, so that
    the eye can follow it. Raises ValueError unless x0 is finite and (n, 2), and 0 ≤ t ≤ T.
    """
    points = numbers("x0", x0, (None, 2))
    if not 0 <= t <= schedule.T:
        raise ValueError(f"t must lie in 0 … {schedule.T}, got {t}")
    canvas = ForwardCanvas(
        x0=float32(points),
        eps=float32(noise(points.shape, seed)),
        alpha_bar=float64(schedule.alpha_bar.numpy()),
        square=float((points**2).sum(1).mean()),
        t=t,
    )
    return Linked(canvas, {"t": slider("t", t, 0, schedule.T)}, f"Film: {len(points):,} points turn to noise")

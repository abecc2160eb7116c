"""When the details leave (notebook 11): one image at t* with its details and with fresh noise for them, and what it
costs in nats against the work that it saves."""

import numpy as np
import traitlets
from torch import Tensor

from ..scales import haar
from ..schedules import cosine
from .canvas import Canvas, Linked, float64, noise, numbers, rising, script, slider


class LeavingCanvas(Canvas):
    """Left, x_t* of one image by its Haar coefficients `y`, and the same with its details replaced. Right, the cost
    (11.6) by the mean squares of the details and by `above`, what the networks' terms above each time add up to."""

    _esm = script("leaving_time.js")
    y = traitlets.Bytes().tag(sync=True)
    eps = traitlets.Bytes().tag(sync=True)
    fresh = traitlets.Bytes().tag(sync=True)
    transform = traitlets.Bytes().tag(sync=True)
    squares = traitlets.Bytes().tag(sync=True)
    times = traitlets.Bytes().tag(sync=True)
    alpha_bar = traitlets.Bytes().tag(sync=True)
    above = traitlets.Bytes().tag(sync=True)
    T = traitlets.Int().tag(sync=True)
    t_star = traitlets.Int(800).tag(sync=True)


def leaving_time(y: Tensor, squares: Tensor, times, above, t_star: int = 800, T: int = 1000, seed: int = 0) -> Linked:
    """A slider for t*, one of the evenly spaced `times` (n,) of the cosine schedule of T steps.

    y: the Haar coefficients (n²,) of one image, coarse first; squares: the mean squares of the details (3n²/4,);
    above: at each time what is saved, the details' terms above it less what the coarse image's grow, nats (n,).
    Raises ValueError on shapes that do not fit, on times that do not rise, and if t_star is none of them.
    """
    times, image = rising("times", times), numbers("y", y, (None,))
    side = round(len(image) ** 0.5)
    if t_star not in times:
        raise ValueError(f"t_star must be one of the times, {times[0]:g} … {times[-1]:g}, got {t_star}")
    step = int(times[1] - times[0])
    canvas = LeavingCanvas(
        y=float64(image),
        eps=float64(noise((side**2,), seed)),
        fresh=float64(noise((side**2 * 3 // 4,), seed + 1)),
        transform=float64(haar(side)[0].numpy()),
        squares=float64(numbers("squares", squares, (side**2 * 3 // 4,))),
        times=float64(times),
        alpha_bar=float64(cosine(T).alpha_bar[times.astype(np.int64)].numpy()),
        above=float64(numbers("above", above, (len(times),))),
        T=T,
        t_star=t_star,
    )
    controls = {"t_star": slider("t*", t_star, int(times[0]), int(times[-1]), step)}
    return Linked(canvas, controls, f"When details leave: nats against work saved, {len(times)} times")

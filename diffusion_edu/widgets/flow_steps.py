"""One flow in few steps (notebook 10): lines from noise to data, and where steps of Euler along the flow end."""

import numpy as np
import torch
import traitlets

from .. import flow
from ..data import SwissRoll
from ..sde import exact_x0_hat, heun
from .canvas import Canvas, Linked, choice, float64, noise, script, slider

MOST, PAIRS = 64, ("joined at random", "the flow's own ends")


class StepsCanvas(Canvas):
    """Left, lines from `start` to `data` or to `ends`. Right, `steps` steps of Euler from `start`: along the exact
    velocity of the first, or along the lines of the second, which are straight."""

    _esm = script("flow_steps.js")
    weights = traitlets.Bytes().tag(sync=True)
    means = traitlets.Bytes().tag(sync=True)
    variance = traitlets.Float().tag(sync=True)
    entropy = traitlets.Float().tag(sync=True)
    start = traitlets.Bytes().tag(sync=True)
    data = traitlets.Bytes().tag(sync=True)
    ends = traitlets.Bytes().tag(sync=True)
    pairs = traitlets.Int(0).tag(sync=True)
    steps = traitlets.Int(4).tag(sync=True)


def flow_steps(data: SwissRoll, pairs: int = 0, steps: int = 4, n: int = 120, seed: int = 0) -> Linked:
    """n points of noise, the lines that join them to data (pairs 0: at random, 1: to where the exact flow takes them),
    and where `steps` steps of Euler along the flow of these lines end, with E log p + H in nats.

    Raises ValueError unless pairs is 0 or 1, 1 ≤ steps ≤ 64 and n ≥ 2.
    """
    if pairs not in (0, 1):
        raise ValueError(f"pairs must be 0, {PAIRS[0]}, or 1, {PAIRS[1]}; got {pairs}")
    if not 1 <= steps <= MOST:
        raise ValueError(f"steps must lie in 1 … {MOST}, got {steps}")
    if n < 2:
        raise ValueError(f"n must be at least 2, got {n}")
    start = noise((n, 2), seed)
    ends = flow.arrive(flow.velocity(exact_x0_hat(data)), torch.from_numpy(start), 200, heun)
    canvas = StepsCanvas(
        weights=float64(data.weights.numpy()),
        means=float64(data.means.numpy()),
        variance=data.variances[0, 0].item(),
        entropy=data.entropy(),
        start=float64(start),
        data=float64(np.asarray(data.sample(n, seed))),
        ends=float64(ends.numpy()),
        pairs=pairs,
        steps=steps,
    )
    controls = {"pairs": choice("lines", list(PAIRS), pairs), "steps": slider("steps", steps, 1, MOST)}
    return Linked(canvas, controls, f"Steps of a flow: {n:,} points of noise and the lines to their data")

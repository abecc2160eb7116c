"""The HVAE ladder (notebook 02): sample from the top down, draw one level anew, and see what it decides."""

import numpy as np
import torch
import traitlets
from torch import Tensor

from ..hvae import HVAE
from ..nets import StepNet
from .canvas import Canvas, Linked, choice, float16, layers, noise, numbers, script

DRAWS, FAN = 24, 200  # the draws of each level that the buttons go through, and those of the fan
SUB = "₀₁₂₃₄₅₆"


class LadderCanvas(Canvas):
    """z_T from the prior and z_t from p(z_t|z_{t+1}), by the decoders' own weights. draws[t] says which of the
    noises makes z_t (z₀ = x), `held` how many levels, counted from the top, the fan leaves as they are."""

    _esm = script("hvae_ladder.js")
    sizes = traitlets.List().tag(sync=True)
    steps = traitlets.List().tag(sync=True)
    weights = traitlets.Bytes().tag(sync=True)
    clouds = traitlets.Bytes().tag(sync=True)
    eps = traitlets.Bytes().tag(sync=True)
    fan_eps = traitlets.Bytes().tag(sync=True)
    draws = traitlets.List().tag(sync=True)
    held = traitlets.Int(0).tag(sync=True)


def hvae_ladder(model: HVAE, x: Tensor, held: int = 0, seed: int = 0) -> Linked:
    """Sample `model` from the top down. A button draws one level anew and keeps those above it; the fan shows 200
    continuations below the levels that are held, before the codes of the points x (n, 2), and the spread of their x.

    The spread is √E|x − E x|² over the fan. The decoders run in the browser with weights rounded to half precision,
    as is the noise, which is a function of the seed; samples move by about 0.001 (tests/widgets/).
    Raises ValueError unless every level and x have two dimensions, the decoders are Gaussian, T ≤ 6, x is finite,
    and 0 ≤ held ≤ T.
    """
    T, nets = model.levels, [layers(decoder) for decoder in model.decoders]
    if T > 6:
        raise ValueError(f"model must have at most 6 levels to be drawn side by side, got {T}")
    if any(sizes[0] != 2 or sizes[-1] != 4 for sizes, _ in nets):
        shapes = [(sizes[0], sizes[-1]) for sizes, _ in nets]
        raise ValueError(f"model must have two dimensions on every level and Gaussian decoders (2 → 4), got {shapes}")
    if not 0 <= held <= T:
        raise ValueError(f"held must lie in 0 … {T}, got {held}")
    points = numbers("x", x, (None, 2))
    names = [f"z{SUB[t]}" for t in range(T, 0, -1)]
    canvas = LadderCanvas(
        sizes=[sizes for sizes, _ in nets],
        steps=[isinstance(decoder, StepNet) for decoder in model.decoders],
        weights=float16(np.concatenate([weights for _, weights in nets])),
        clouds=float16(_clouds(model, points, seed)),
        eps=float16(noise((T + 1, DRAWS, 2), seed)),
        fan_eps=float16(noise((T + 1, FAN, 2), seed + 1)),
        draws=[0] * (T + 1),
        held=held,
    )
    options = ["nothing"] + [", ".join(names[:n]) for n in range(1, T + 1)]
    controls = {"held": choice("Hold", options, held)}
    return Linked(canvas, controls, f"Ladder: a hierarchical VAE of {T} levels, sampled from the top")


def _clouds(model: HVAE, x: np.ndarray, seed: int) -> np.ndarray:
    """The points x and their codes on each level, one draw from q each: (T + 1, n, 2)."""
    generator, like = torch.Generator().manual_seed(seed), next(model.parameters())
    z = [torch.as_tensor(x).to(like)]
    with torch.no_grad():
        for t in range(1, model.levels + 1):
            z.append(model.q(t, z[-1]).sample(generator))
    return numbers("the codes", torch.stack(z), (None, None, 2))

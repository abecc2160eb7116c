"""The latent explorer (notebook 01): walk a VAE's latent plane, see what each z decodes to and whose codes are near."""

import math

import numpy as np
import torch
import traitlets
from torch import Tensor

from ..evaluate import off_threshold
from ..gaussian import Gaussian
from ..oracles import Mixture
from ..vae import VAE
from .canvas import Canvas, Linked, float32, float64, layers, noise, numbers, script, slider

LIMIT = 3.2  # of the latent plane
RADIUS = 0.25  # codes this near to z count as its neighbours


class LatentCanvas(Canvas):
    """p(x|z) from the decoder's own weights, and the prior and the aggregate posterior at z = (z1, z2)."""

    _esm = script("latent_explorer.js")
    z1 = traitlets.Float(0.0).tag(sync=True)
    z2 = traitlets.Float(0.0).tag(sync=True)
    sizes = traitlets.List().tag(sync=True)
    weights = traitlets.Bytes().tag(sync=True)
    x = traitlets.Bytes().tag(sync=True)
    codes = traitlets.Bytes().tag(sync=True)
    mean = traitlets.Bytes().tag(sync=True)
    variance = traitlets.Bytes().tag(sync=True)
    truth = traitlets.Bytes().tag(sync=True)  # weights, means and variances of the data's exact density, or nothing
    off = traitlets.Float(0.0).tag(sync=True)
    places = traitlets.Dict().tag(sync=True)
    limit = traitlets.Float(LIMIT).tag(sync=True)
    radius = traitlets.Float(RADIUS).tag(sync=True)


def latent_explorer(
    model: VAE, x: Tensor, data: Mixture | None = None, z: tuple[float, float] = (0.0, 0.0), seed: int = 0
) -> Linked:
    """Walk the plane of z with a grip, arrow keys or two sliders. The decoder runs in the browser; it shows p(x|z),
    the prior's log density at z, and that of the aggregate posterior (equation 1.13) made from the points x (n, D).

    D = 2 is drawn in the plane, a square number D as a picture. With `data`, whose density is exact, it tells
    log p of the decoded mean and whether that lies off the data (evaluate.off_threshold).
    Raises ValueError unless the latent has two dimensions, the decoder is Gaussian, x is finite and of the model's
    size, and |z₁|, |z₂| ≤ 3.2.
    """
    sizes, weights = layers(model.decoder)
    points = _checked(sizes, x, data, z)
    with torch.no_grad():
        q = model.q(1, torch.as_tensor(points, dtype=next(model.parameters()).dtype))
        codes = q.at(torch.as_tensor(noise(q.mean.shape, seed)).to(q.mean))
    canvas = LatentCanvas(
        z1=float(z[0]),
        z2=float(z[1]),
        sizes=sizes,
        weights=float32(weights),
        x=float32(points) if points.shape[1] == 2 else b"",
        codes=float32(numbers("the codes", codes, (None, 2))),
        mean=float32(numbers("the encoder's means", q.mean, (None, 2))),
        variance=float32(numbers("the encoder's variances", q.var, (None, 2))),
        truth=b"" if data is None else float64(_packed(data)),
        off=0.0 if data is None else off_threshold(data),
        places={"hole": _hole(q, seed), "code": q.mean[0].clamp(-LIMIT, LIMIT).tolist()},
    )
    controls = {f"z{i}": slider(f"z{'₁₂'[i - 1]}", float(v), -LIMIT, LIMIT, 0.05) for i, v in enumerate(z, start=1)}
    return Linked(canvas, controls, "Latent plane: what each z decodes to, and the data's codes")


def _checked(sizes: list[int], x: Tensor, data: Mixture | None, z: tuple[float, float]) -> np.ndarray:
    """The points x, if they, the decoder's sizes, the data and z fit together."""
    if sizes[0] != 2:
        raise ValueError(f"model must have a latent of size 2, which is a plane, got {sizes[0]}")
    points = numbers("x", x, (None, None))
    D = points.shape[1]
    if sizes[-1] != 2 * D:
        raise ValueError(f"x and model must agree: {D} means and {D} variances, but the decoder returns {sizes[-1]}")
    if D != 2 and math.isqrt(D) ** 2 != D:
        raise ValueError(f"x must hold points of the plane or square pictures, got D = {D}")
    if data is not None and data.dim != D:
        raise ValueError(f"data must have the dimension of x, {D}, got {data.dim}")
    if max(map(abs, z)) > LIMIT:
        raise ValueError(f"z must lie in [−{LIMIT}, {LIMIT}]², got {tuple(z)}")
    return points


def _packed(data: Mixture):
    """weights (K,), means (K, D) and variances (K, D), as one row."""
    return torch.cat([data.weights, data.means.flatten(), data.variances.flatten()]).numpy()


def _hole(q: Gaussian, seed: int) -> list[float]:
    """Of 2,000 draws from the prior those in its inner part, and of them the one that the aggregate of q lacks most."""
    aggregate = Mixture(torch.ones(len(q.mean)), q.mean, q.var)
    z = torch.as_tensor(noise((2000, 2), seed + 1))
    z = z[z.square().sum(1) < 1.5**2]
    log_ratio = aggregate.log_prob(z) + 0.5 * z.square().sum(1)  # log q(z) − log p(z), up to a constant
    return z[log_ratio.argmin()].tolist()

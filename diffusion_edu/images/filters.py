"""What pixels of the same shade say of each other: filters of x_t, with the noise as their measure.

A convolution weighs another pixel by where it stands. A bilateral filter (Tomasi & Manduchi 1998) weighs it by its
shade too, and here is reason to: two pixels that were alike before the noise came differ by d √(1−ᾱ_t), d ~ N(0, 2),
so that e^{−d²/4} says how well they agree. If they were alike, half the difference is a pixel's own noise.

In this file x is (n, 784), pixels of x_t, and noise (n,), the √(1−ᾱ_t) of each picture, taken as half a grey level if
it is less. The answers are in units of the noise.
"""

import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

SIDE = 28
LEAST = 1 / 255  # half a grey level: nothing is hidden by less
WIDTHS = (1.0, 2.0)  # of the kernels in `shades`; 1 is that of d above
PER_NOISE, REACH = 4, 8  # cells of the histogram per unit of noise, and how many units a kernel reaches
FILTERS = 8 + len(WIDTHS)


def neighbours(x: Tensor, noise: Tensor) -> Tensor:
    """d e^{−d²/4}, d = (x_i − x_j)/noise, for the eight neighbours j of each pixel i, row by row, (n, 8, 784). Beyond
    the border all is black, −1."""
    picture = x.reshape(-1, SIDE, SIDE)
    around = pad(picture, (1, 1, 1, 1), value=-1.0).unfold(1, 3, 1).unfold(2, 3, 1).flatten(3)
    around = torch.cat([around[..., :4], around[..., 5:]], dim=-1)
    d = (picture.unsqueeze(-1) - around) / noise.clamp(min=LEAST).reshape(-1, 1, 1, 1)
    return (d * (-(d**2) / 4).exp()).flatten(1, 2).transpose(1, 2)


def shades(x: Tensor, noise: Tensor) -> Tensor:
    """Σ_j w(d) d / Σ_j w(d), w(d) = e^{−d²/4s²}, over all pixels j of the picture, for each s of WIDTHS: (n, 2, 784).
    A sum over pairs of pixels would cost 784² terms, so the pixels are counted by shade: each is shared out between two
    cells of a histogram, the cells are summed with w up to REACH units away, and read off between cells."""
    unit = noise.clamp(min=LEAST).unsqueeze(-1)
    cells = 2 * PER_NOISE * (REACH + round(1 / LEAST)) + 2
    place = (((x + 1) / unit + REACH) * PER_NOISE).clamp(0, cells - 1.001)  # black stands REACH units from the end
    left = place.floor()
    share, left = place - left, left.long()
    counts = x.new_zeros(len(x), cells).scatter_add(1, left, 1 - share).scatter_add(1, left + 1, share)
    d = torch.arange(-REACH * PER_NOISE, REACH * PER_NOISE + 1).to(x) / PER_NOISE
    kernels = [w * power for s in WIDTHS for w in [(-((d / s) ** 2) / 4).exp()] for power in (-d, torch.ones_like(d))]
    with torch.autocast(x.device.type, enabled=False):
        sums = conv1d(counts.unsqueeze(1), torch.stack(kernels).unsqueeze(1), padding=REACH * PER_NOISE)
    left, share = left.unsqueeze(1).expand(-1, len(kernels), -1), share.unsqueeze(1)
    read = (1 - share) * sums.gather(2, left) + share * sums.gather(2, left + 1)
    return read[:, 0::2] / read[:, 1::2]


def alike(x: Tensor, noise: Tensor) -> Tensor:
    """All of them, (n, FILTERS, 784)."""
    return torch.cat([neighbours(x, noise), shades(x, noise)], dim=1)

"""How a frame is drawn: points of the plane as soft discs, images side by side, with t above."""

import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..data import Data, SwissRoll
from ..images.sheet import sheet
from ..plots import EXTRA, LIMIT, MODEL, Q

Draw = Callable[[int, Tensor, Tensor], np.ndarray]
STRIP = 26  # pixels of a film's height that t takes


def draw_points(
    colours=None, size: int = 384, limit: float = LIMIT, radius: float = 2.0, opacity: float = 0.85
) -> Draw:
    """Draws points (n, 2) as discs on white, the plane from −limit to limit on `size` × `size` pixels, with t in the
    upper left corner.

    colours: a function x₀ (n, 2) → (n, 3) in [0, 1]; all in the models' orange if None. radius in pixels. The
    discs have soft edges and mix where they overlap, in no order. The function raises ValueError for points
    that are not in the plane.
    """

    def draw(t: int, xt: Tensor, x0: Tensor) -> np.ndarray:
        if xt.ndim != 2 or xt.shape[1] != 2:
            raise ValueError(f"points to draw must be (n, 2), got {tuple(xt.shape)}")
        rgb = np.tile(rgb_of(MODEL), (len(x0), 1)) if colours is None else colours(x0)
        x = xt.double().cpu().numpy()
        centres = (np.stack([x[:, 0], -x[:, 1]], axis=1) / limit + 1) * size / 2  # pixels from the upper left corner
        return labelled(splat(centres.clip(-size, 2 * size), rgb, size, radius, opacity), f"t = {t}")

    return draw


def splat(centres: np.ndarray, rgb: np.ndarray, size: int, radius: float, opacity: float) -> np.ndarray:
    """Discs of colours rgb (n, 3) in [0, 1] at the pixels `centres` (n, 2), on white, (size, size, 3) of bytes."""
    reach = np.arange(-int(radius + 1), int(radius + 1) + 1)
    down, right = (d.ravel() for d in np.meshgrid(reach, reach, indexing="ij"))
    column, row = (np.floor(centres[:, i, None]).astype(int) + d for i, d in enumerate((right, down)))  # (n, k)
    distance = np.hypot(column + 0.5 - centres[:, :1], row + 0.5 - centres[:, 1:])
    cover = opacity * np.clip(radius + 0.5 - distance, 0, 1)  # of each pixel by each disc, with a soft edge
    seen = (cover > 0) & (column >= 0) & (column < size) & (row >= 0) & (row < size)
    disc, _ = np.nonzero(seen)
    pixels, where = np.unique((row * size + column)[seen], return_inverse=True)
    cover = cover[seen].clip(max=0.999)
    clear = np.exp(np.bincount(where, np.log1p(-cover)))[:, None]
    mixed = np.stack([np.bincount(where, cover * c) for c in rgb[disc].T], axis=1) / np.bincount(where, cover)[:, None]
    picture = np.full((size * size, 3), 255, np.uint8)
    picture[pixels] = np.round(255 * (clear + (1 - clear) * mixed))
    return picture.reshape(size, size, 3)


def draw_images(to_images: Callable[[Tensor], Tensor], columns: int, size: int = 384) -> Draw:
    """Draws images side by side, `columns` in a row, in grey on black, enlarged by a whole factor to at most `size`
    pixels across, with t in a strip above. to_images: (n, D) → (n, H, W) in [0, 1], such as `Digits.to_images`."""

    def draw(t: int, xt: Tensor, x0: Tensor) -> np.ndarray:
        images = to_images(xt).double().cpu().numpy()
        across = columns * (images.shape[2] + 1) + 1
        zoom = 2 * max(size // across // 2, 1)  # even, as the codecs' pictures must be
        big = np.round(255 * sheet(images, columns, line=1, zoom=zoom)).astype(np.uint8)
        big = np.pad(big, ((STRIP, 0), (0, 0)), constant_values=255)
        return labelled(np.repeat(big[..., None], 3, axis=2), f"t = {t}")

    return draw


def labelled(picture: np.ndarray, text: str) -> np.ndarray:
    """The picture with the text in its upper left corner, in a white box of `STRIP` pixels' height."""
    image = Image.fromarray(picture)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=2 * STRIP // 3)
    pen.rectangle((0, 0, pen.textlength(text, font=font) + 12, STRIP - 1), fill="white")
    pen.text((6, STRIP // 2), text, fill="black", font=font, anchor="lm")
    return np.asarray(image)


def rgb_of(colour: str) -> np.ndarray:
    """A colour written as #rrggbb as three numbers in [0, 1]."""
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def arc_colours(roll: SwissRoll) -> Callable[[Tensor], np.ndarray]:
    """The function x₀ (n, 2) → colours (n, 3) that runs along the roll, from blue inside over green to orange."""
    u = np.linspace(0, 1, 512)
    curve = roll.curve(u)
    stops = np.stack([rgb_of(c) for c in (Q, EXTRA[0], MODEL)])

    def colours(x0: Tensor) -> np.ndarray:
        nearest = u[torch.cdist(x0.to(curve), curve).argmin(1).numpy()]
        return np.stack([np.interp(nearest, np.linspace(0, 1, len(stops)), c) for c in stops.T], axis=1)

    return colours


def drawing_of(data: Data, n: int) -> Draw:
    """How n points of a data set are drawn: the roll's coloured along the roll, images as a square of them."""
    if data.shape is None:
        return draw_points(arc_colours(data))
    return draw_images(data.to_images, columns=math.ceil(math.sqrt(n)))

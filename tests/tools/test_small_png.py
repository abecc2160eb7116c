"""Stored figures get a palette: smaller, the same to the eye, and the same bytes each time."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from notebooks import block_means, small_png


def encoded(pixels: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels.astype("uint8")).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")


def decoded(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def density(n: int = 160) -> np.ndarray:
    """A smooth grey density with a few sharp orange points on it."""
    x, y = np.meshgrid(*[np.linspace(-2, 2, n)] * 2)
    grey = 255 * (1 - np.exp(-(x**2) - y**2))
    pixels = np.repeat(grey[..., None], 3, axis=-1)
    pixels[::16, ::16] = (230, 159, 0)
    return pixels


@pytest.mark.parametrize("channels", [3, 4])
def test_smooth_areas_stay_smooth_and_sharp_points_keep_their_colour(channels):
    pixels = np.concatenate([density(), np.full((160, 160, 1), 255)], axis=-1)[..., :channels]
    before = encoded(pixels)
    image = decoded(small_png(before))
    assert image.mode == "P"
    assert image.size == (160, 160)
    rgb = image.convert("RGB")
    error = np.abs(block_means(rgb) - block_means(decoded(before).convert("RGB"))).max(-1)
    assert np.quantile(error, 0.99) <= 2.5
    assert np.abs(np.asarray(rgb, dtype=int)[::16, ::16] - (230, 159, 0)).max() < 12


def test_few_colours_are_kept_exactly():
    pixels = np.full((40, 60, 3), 255)
    pixels[5:20, 5:50], pixels[25:35, 10:30] = (0, 114, 178), (0, 0, 0)
    assert np.array_equal(np.asarray(decoded(small_png(encoded(pixels))).convert("RGB")), pixels)


def test_twice_is_as_good_as_once():
    once = small_png(encoded(density()))
    assert small_png(once) == once
    assert small_png(encoded(density())) == once
    assert len(once) < len(encoded(density()))


def test_a_tiny_picture_is_no_problem():
    assert decoded(small_png(encoded(np.full((1, 2, 3), 7)))).size == (2, 1)

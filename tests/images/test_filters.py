"""filters.py: against sums over pixels written out, and what two noisy pixels of one shade know of each other."""

import itertools

import pytest
import torch
from shared import generator
from torch.testing import assert_close

from diffusion_edu.images import filters
from diffusion_edu.images.filters import FILTERS, LEAST, REACH, WIDTHS, alike, neighbours, shades

NOISE = torch.tensor([0.01, 0.05, 0.3])
SHADES = torch.rand(3, 784, generator=generator(0)) * 2 - 1
SHADES[:, :400] = -1.0
X = (SHADES + NOISE[:, None] * torch.randn(3, 784, generator=generator(1))).double()


def pairwise(x, noise, s):
    """Σ_j w(d) d / Σ_j w(d) over all pairs within reach, one by one."""
    d = (x[:, :, None] - x[:, None, :]) / noise[:, None, None]
    w = (-((d / s) ** 2) / 4).exp() * (d.abs() <= REACH)
    return (w * d).sum(-1) / w.sum(-1)


def test_the_neighbours_are_those_on_the_picture_and_black_beyond_it():
    found = neighbours(X, NOISE.double())
    picture = X.reshape(3, 28, 28)
    places = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    for row, column in ((0, 0), (0, 13), (17, 27), (14, 5), (27, 27)):
        for k, (i, j) in enumerate(places):
            inside = 0 <= row + i < 28 and 0 <= column + j < 28
            other = picture[:, row + i, column + j] if inside else torch.tensor(-1.0).double()
            d = (picture[:, row, column] - other) / NOISE.double()
            assert_close(found[:, k, 28 * row + column], d * torch.exp(-(d**2) / 4))


@pytest.mark.parametrize(("k", "s"), list(enumerate(WIDTHS)))
def test_the_histogram_gives_the_sum_over_all_pairs(k, s):
    error = (shades(X, NOISE.double())[:, k] - pairwise(X, NOISE.double(), s)).abs()
    assert error.mean() < 0.005
    assert error.mean() > 0  # it is counted in cells, not summed


def test_finer_cells_err_less_by_the_square(monkeypatch):
    """Linear shares and linear reading are of second order."""
    expected, errors = pairwise(X, NOISE.double(), 1.0), []
    for cells in (2, 4, 8):
        monkeypatch.setattr(filters, "PER_NOISE", cells)
        errors.append((shades(X, NOISE.double())[:, 0] - expected).square().mean().sqrt().item())
    for coarse, fine in itertools.pairwise(errors):
        assert 3 < coarse / fine < 5


def test_a_half_of_the_difference_is_the_noise_where_two_pixels_are_alike():
    """E[ε_i | d] = d/2 of two pixels of one shade, so ε_i − d/2 has half the variance of ε_i. A neighbour that is far
    from it in shade says nothing."""
    noise = torch.full((2000,), 0.02).double()
    eps = torch.randn(2000, 784, generator=generator(2), dtype=torch.float64)
    shade = torch.full((784,), -0.5).double()
    shade[1::2] = 0.5  # even columns and odd ones: the left neighbour differs, the one above does not
    x = shade + noise[:, None] * eps
    found, i = neighbours(x, noise), 28 * 14 + 14
    above, left = found[:, 1, i], found[:, 3, i]
    d = eps[:, i] - eps[:, i - 28]
    assert_close(above, d * torch.exp(-(d**2) / 4))
    assert left.abs().max() < 1e-12
    assert (eps[:, i] - d / 2).var() == pytest.approx(0.5, rel=0.15)
    slope = (above * eps[:, i]).mean() / above.square().mean()
    assert (eps[:, i] - slope * above).var() < 0.8


def test_many_pixels_of_one_shade_know_the_noise_of_each():
    """In a picture of two shades, however they are strewn, the wider filter leaves a tenth of the noise's variance."""
    eps = torch.randn(20, 784, generator=generator(3), dtype=torch.float64)
    shade = torch.where(torch.rand(784, generator=generator(4)) < 0.3, 0.7, -0.2).double()
    found = shades(shade + 0.01 * eps, torch.full((20,), 0.01).double())[:, 1]
    slope = (found * eps).mean() / found.square().mean()
    assert (eps - slope * found).square().mean() < 0.1


def test_only_differences_of_shade_count_and_not_where_they_lie():
    noise, order = NOISE.double(), torch.randperm(784, generator=generator(5))
    assert_close(shades(X[:, order], noise), shades(X, noise)[..., order])
    moved = X.clamp(-0.9, 0.5) + 0.237
    assert (shades(moved, noise) - shades(X.clamp(-0.9, 0.5), noise)).abs().mean() < 0.005
    inner = torch.arange(784).reshape(28, 28)[1:-1, 1:-1].flatten()
    assert_close(neighbours(X + 0.237, noise)[..., inner], neighbours(X, noise)[..., inner])


def test_less_noise_than_half_a_grey_level_counts_as_that():
    one = lambda noise: alike(X, torch.full((3,), noise, dtype=torch.float64))  # noqa: E731
    assert one(LEAST).shape == (3, FILTERS, 784)
    assert torch.equal(one(LEAST), one(LEAST / 3))
    assert not torch.allclose(one(LEAST), one(LEAST * 2))
    assert one(1.0).isfinite().all()


def test_the_whitest_and_the_blackest_find_their_place():
    """With the least noise the histogram is longest; values far beyond white stay in it."""
    x = torch.cat([torch.full((1, 392), -1.0), torch.full((1, 392), 1.0)], dim=1)
    x = x + LEAST * torch.randn(1, 784, generator=generator(6))
    assert_close(shades(x, torch.tensor([LEAST]))[:, 0], pairwise(x, torch.tensor([LEAST]), 1.0), atol=0.1, rtol=0)
    assert shades(x * 5, torch.tensor([LEAST])).isfinite().all()

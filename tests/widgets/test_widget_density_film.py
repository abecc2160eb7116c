"""The density film in a real browser: grid, points, KL and its slope are the library's."""

import math

import numpy as np
import pytest
import torch
from browsing import drawn, numbers, set_traits

from diffusion_edu import ddpm, exact, fokker_planck, widgets
from diffusion_edu.data import SwissRoll
from diffusion_edu.widgets.density_film import AXIS, TAUS

ROLL = SwissRoll(nodes=192)
CELLS = torch.cartesian_prod(torch.from_numpy(AXIS), torch.from_numpy(AXIS))
START = ROLL.log_prob(CELLS).exp().numpy().reshape(72, 72)
AREA = (AXIS[1] - AXIS[0]) ** 2


@pytest.fixture
def film(show):
    return show(widgets.density_film(ROLL, i=30, n=200))


@pytest.mark.parametrize("i", [1, 20, 40, 60])
def test_numbers_are_the_librarys(film, i):
    set_traits(film, i=i)
    got, tau = numbers(film), TAUS[i]
    assert got["tau"] == pytest.approx(tau, rel=1e-12)
    grid = fokker_planck.forward(START, AXIS, tau)
    np.testing.assert_allclose(np.array(got["p"]).reshape(72, 72), grid, rtol=1e-6, atol=1e-9)
    rest = -math.log(2 * math.pi) - 0.5 * (AXIS[:, None] ** 2 + AXIS**2)
    assert got["kl"] == pytest.approx((grid * (np.log(grid) - rest)).sum() * AREA, abs=1e-6)
    log_snr = -math.log(math.expm1(2 * tau))
    expected = fokker_planck.relative_fisher(exact.error_at(ROLL, log_snr), log_snr, 2)
    assert got["information"] == pytest.approx(expected, rel=1e-4, abs=1e-6)  # the browser interpolates the table
    x0, eps = ROLL.sample(200, 0), torch.randn(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = ddpm.noised(x0, eps, math.exp(-2 * tau)).flatten()
    torch.testing.assert_close(torch.tensor(got["xt"], dtype=torch.float64), expected, rtol=1e-6, atol=1e-6)


def test_it_starts_as_data_and_is_moved_by_keys_and_play(film):
    set_traits(film, i=0)
    got, before = numbers(film), drawn(film)
    np.testing.assert_allclose(np.array(got["p"]).reshape(72, 72), START, rtol=1e-6, atol=1e-9)
    film.locator(".noUi-handle").focus()
    film.keyboard.press("ArrowRight")
    assert numbers(film)["i"] == 1
    assert drawn(film) != before
    film.get_by_role("button", name="Play").click()
    film.wait_for_function("() => document.querySelector('.dedu').numbers.i > 5")
    film.get_by_role("button", name="Pause").click()
    assert "nats from N(0, I)" in film.locator(".dedu-words").inner_text()


def test_a_frame_that_is_none_is_refused():
    with pytest.raises(ValueError, match="i must lie in 0 … 60, got 61"):
        widgets.density_film(ROLL, i=61)

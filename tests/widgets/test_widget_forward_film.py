"""The forward film in a real browser: its numbers are the library's, and keyboard, mouse and play button move it."""

import pytest
import torch
from browsing import drawn, numbers, set_traits

from diffusion_edu import ddpm, diffusion, gaussian, schedules, widgets
from diffusion_edu.data import SwissRoll

COSINE = schedules.cosine(1000)
X0 = SwissRoll().sample(500, seed=3)
PRIOR = gaussian.Gaussian(torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64))


@pytest.fixture
def film(show):
    return show(widgets.forward_film(X0, COSINE, t=250))


@pytest.mark.parametrize("t", [1, 2, 250, 700, 1000])
def test_numbers_are_the_librarys(film, t):
    set_traits(film, t=t)
    got = numbers(film)
    assert got["alpha_bar"] == pytest.approx(COSINE.alpha_bar[t].item(), rel=1e-12)
    assert got["snr"] == pytest.approx(COSINE.snr[t].item(), rel=1e-9)
    nats = gaussian.kl(diffusion.q_marginal(COSINE, t, X0), PRIOR).mean().item()
    assert got["nats"] == pytest.approx(nats, rel=1e-6)
    eps = torch.randn(X0.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    xt = ddpm.noised(X0, eps, COSINE.alpha_bar[t]).flatten()
    torch.testing.assert_close(torch.tensor(got["xt"], dtype=torch.float64), xt, rtol=1e-6, atol=1e-6)


def test_keyboard_and_mouse_move_it(film):
    handle, before = film.locator(".noUi-handle"), drawn(film)
    handle.focus()
    film.keyboard.press("ArrowRight")
    assert numbers(film)["t"] == 251
    assert drawn(film) != before
    film.keyboard.press("End")
    assert numbers(film)["t"] == 1000
    assert "noise" in film.locator(".dedu-words").inner_text()
    box = film.locator(".noUi-target").bounding_box()
    film.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert numbers(film)["t"] == pytest.approx(500, abs=20)


def test_play_runs_to_the_end_and_moves_the_slider(film):
    film.get_by_role("button", name="Play").click()
    film.wait_for_function("() => document.querySelector('.dedu').numbers.t > 300")
    film.get_by_role("button", name="Pause").click()
    t = numbers(film)["t"]
    assert film.locator(".noUi-handle").get_attribute("aria-valuetext") in (str(t), f"{t:.1f}", f"{t:.2f}")
    film.wait_for_timeout(100)
    assert numbers(film)["t"] == t


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="x0 must have the shape"):
        widgets.forward_film(torch.zeros(5, 3), COSINE)
    with pytest.raises(ValueError, match="x0 must be finite"):
        widgets.forward_film(torch.full((5, 2), torch.nan), COSINE)
    with pytest.raises(ValueError, match="t must lie in 0 … 1000"):
        widgets.forward_film(X0, COSINE, t=1001)

"""The knot explorer in a real browser: its prices are the library's; knots by mouse, finger and keyboard; presets."""

import numpy as np
import pytest
import torch
from browsing import drawn, numbers, set_traits

from diffusion_edu import exact, learned_noise, schedules, widgets
from diffusion_edu.data import SwissRoll
from diffusion_edu.oracles import gaussian

ROLL = SwissRoll()


@pytest.fixture(scope="module")
def made():
    return widgets.knot_explorer(ROLL, T=10)


@pytest.fixture
def explorer(show, made):
    return show(made)


def price(knots):
    return exact.price(ROLL, schedules.from_log_snr(torch.tensor(knots, dtype=torch.float64)))


@pytest.mark.parametrize(
    "knots", [[3.7], [5.0, 1.5], [9.0, 4.25, 3.1, -0.3, -7.0], np.linspace(11.5, -7.5, 30).round(2).tolist()]
)
def test_prices_are_the_librarys(explorer, knots):
    set_traits(explorer, T=len(knots), knots=knots)
    got = numbers(explorer)
    assert got["price"] == pytest.approx(price(knots), abs=1e-6)
    assert got["best"] == pytest.approx(exact.price(ROLL, learned_noise.optimal_schedule(ROLL, len(knots))), abs=1e-6)
    ell = learned_noise.length(learned_noise.exact_errors(ROLL))[1][-1]
    assert got["limit"] == pytest.approx(ell**2 / len(knots), rel=1e-6)


def test_what_the_steps_cost_adds_up_to_the_price(explorer):
    got = numbers(explorer)
    paid = list(got["paid"].values()) if isinstance(got["paid"], dict) else got["paid"]
    assert len(paid) == 11
    assert sum(paid) == pytest.approx(got["price"], abs=1e-9)
    assert min(paid) > -1e-6, "no step brings more information than it costs"
    knots, e = got["knots"], exact.error_at(ROLL, torch.tensor(got["knots"], dtype=torch.float64))
    table = np.asarray(exact.LOG_SNR)
    term = np.log1p((np.exp(knots[3]) - np.exp(knots[4])) * e[4].item() / (1 + np.exp(knots[4])))
    rate = 0.5 * 2 * exact.error_table(ROLL) / (1 + np.exp(-table))
    inside = np.linspace(knots[4], knots[3], 2001)
    assert paid[4] == pytest.approx(term - np.trapezoid(np.interp(inside, table, rate), inside), abs=1e-3)


def test_presets_and_the_slider(explorer):
    explorer.get_by_role("button", name="Best").click()
    got = numbers(explorer)
    assert got["price"] == pytest.approx(got["best"], abs=1e-9)
    assert got["knots"] == pytest.approx(learned_noise.optimal_schedule(ROLL, 10).log_snr[1:].tolist(), abs=1e-6)
    explorer.get_by_role("button", name="Even in λ").click()
    assert np.diff(numbers(explorer)["knots"]) == pytest.approx([-16 / 9] * 9)
    explorer.get_by_role("button", name="Cosine").click()
    assert numbers(explorer)["price"] == pytest.approx(0.7423, abs=2e-3)  # λ_T = −10.6 is drawn at −8
    explorer.locator(".noUi-handle").focus()
    explorer.keyboard.press("ArrowRight")
    assert numbers(explorer)["T"] == 11
    assert explorer.get_by_role("button", name="knot").count() == 11
    assert "11 knots: the price is" in explorer.locator(".dedu-words").inner_text()


def test_a_knot_follows_keys_and_mouse_and_stays_between_its_neighbours(explorer):
    explorer.get_by_role("button", name="Even in λ").click()
    before, picture = numbers(explorer)["knots"], drawn(explorer)
    grip = explorer.get_by_role("button", name="knot 4 at")
    grip.focus()
    explorer.keyboard.press("ArrowLeft")
    explorer.keyboard.press("Shift+ArrowRight")
    got = numbers(explorer)
    assert got["chosen"] == 4
    assert got["knots"][3] == pytest.approx(before[3] + 0.4)
    assert [k for i, k in enumerate(got["knots"]) if i != 3] == [k for i, k in enumerate(before) if i != 3]
    assert got["price"] == pytest.approx(price(got["knots"]), abs=1e-6)
    assert all(a != b for a, b in zip(picture, drawn(explorer), strict=True))
    for _ in range(9):
        explorer.keyboard.press("Shift+ArrowRight")
    assert numbers(explorer)["knots"][3] == pytest.approx(before[2] - 0.05)
    box, panel = grip.bounding_box(), explorer.locator(".dedu-panel").first.bounding_box()
    explorer.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    explorer.mouse.down()
    explorer.mouse.move(panel["x"] + 5, panel["y"] + 20, steps=4)
    explorer.mouse.up()
    assert numbers(explorer)["knots"][3] == pytest.approx(before[4] + 0.05)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="T must lie in 1 … 30, got 31"):
        widgets.knot_explorer(ROLL, T=31)
    with pytest.raises(ValueError, match="data must be in the plane"):
        widgets.knot_explorer(gaussian([0.0], [1.0]))

"""When details leave, in a real browser: the library's transform, schedule and divergence."""

import pytest
import torch
from browsing import drawn, numbers, set_traits
from shared import tensor
from torch.testing import assert_close

from diffusion_edu import widgets
from diffusion_edu.gaussian import Gaussian, kl
from diffusion_edu.scales import haar
from diffusion_edu.schedules import cosine
from diffusion_edu.widgets.canvas import noise

W, _ = haar(8)
Y = torch.linspace(-1, 1, 64, dtype=torch.float64)
SQUARES = torch.linspace(0.01, 0.9, 48, dtype=torch.float64)
TIMES, ABOVE = [100 + 20 * i for i in range(45)], torch.linspace(28, 0, 45, dtype=torch.float64)


@pytest.fixture
def leaving(show):
    return show(widgets.leaving_time(Y, SQUARES, TIMES, ABOVE))


@pytest.mark.parametrize("t", [100, 500, 800, 980])
def test_cost_and_images_are_the_librarys(leaving, t):
    set_traits(leaving, t_star=t)
    got, schedule = numbers(leaving), cosine(1000)
    bar = schedule.alpha_bar[t]
    one = Gaussian((bar * SQUARES).sqrt(), (1 - bar).expand(48))  # a detail whose square is the mean square
    pays = kl(one, Gaussian(torch.zeros(48, dtype=torch.float64), torch.ones(48, dtype=torch.float64))).item()
    above = ABOVE[TIMES.index(t)].item()
    assert got["pays"] == pytest.approx(pays, rel=1e-6, abs=1e-9)
    assert got["cost"] == pytest.approx(pays - above, rel=1e-6, abs=1e-9)
    assert got["log_snr"] == pytest.approx(schedule.log_snr[t].item(), rel=1e-6)
    assert got["saved"] == pytest.approx(0.75 * (1 - t / 1000))
    x = bar.sqrt() * Y + (1 - bar).sqrt() * torch.from_numpy(noise((64,), 0))
    assert_close(tensor(got["with"]), x @ W, rtol=1e-6, atol=1e-9)
    x[16:] = torch.from_numpy(noise((48,), 1))
    assert_close(tensor(got["without"]), x @ W, rtol=1e-6, atol=1e-9)


def test_the_control_moves_it(leaving):
    before = drawn(leaving)
    leaving.locator(".noUi-handle").first.focus()
    leaving.keyboard.press("ArrowRight")
    assert numbers(leaving)["t"] == 820
    assert before != drawn(leaving)
    assert "of the work is saved" in leaving.locator(".dedu-words").inner_text()


def test_bad_input_is_refused():
    for bad, message in (
        ({"t_star": 805}, "one of the times, 100 … 980, got 805"),
        ({"times": TIMES[::-1]}, "strictly increase"),
        ({"squares": SQUARES[:5]}, "squares must have the shape"),
        ({"above": ABOVE[:5]}, "above must have the shape"),
    ):
        with pytest.raises(ValueError, match=message):
            widgets.leaving_time(**{"y": Y, "squares": SQUARES, "times": TIMES, "above": ABOVE} | bad)

"""The paths from noise to the roll in a real browser: steps of the library's, one start for every η, one law."""

import pytest
import torch
from browsing import drawn, numbers, set_traits
from shared import tensor
from torch.testing import assert_close

from diffusion_edu import sde, widgets
from diffusion_edu.data import SwissRoll

ROLL = SwissRoll(nodes=256)


@pytest.fixture
def paths(show):
    return show(widgets.reverse_paths(ROLL, eta=0.6, i=3, n=60))


@pytest.mark.parametrize("eta", [0.0, 0.45, 1.0])
@pytest.mark.parametrize("i", [1, 80, 160])
def test_a_step_is_the_librarys(paths, eta, i):
    set_traits(paths, eta=eta, i=i)
    got = numbers(paths)
    levels = torch.linspace(-4, 8, 161, dtype=torch.float64)
    here, h = levels[i - 1].item(), (levels[i] - levels[i - 1]).item()
    before, eps = tensor(got["before"]["x"], 2), tensor(got["before"]["eps"], 2)
    drift = sde.reverse_drift(lambda log_snr, x: ROLL.score(x, sde.sigmoid(log_snr)), eta)
    x = tensor(got["x"], 2)
    assert_close(x, sde.euler_maruyama(drift, here, h, before, eps, eta), rtol=1e-6, atol=1e-6)
    bar = sde.sigmoid(levels[i].item())
    expected = ROLL.log_prob(x, bar) + ROLL.entropy(bar)
    assert got["nats"][i] == pytest.approx(expected.mean().item(), abs=1e-6)
    assert got["level"] == pytest.approx(levels[i].item())


@pytest.mark.parametrize("eta", [0.0, 0.8])
def test_log_p_by_the_path_is_the_librarys_sum(paths, eta):
    """From i = 1 to 2 by (7.10) with the trapezoidal rule, and at η = 0 it ends at the exact log p."""
    levels = torch.linspace(-4, 8, 161, dtype=torch.float64)
    seen = []
    for i in (80, 81, 160):
        set_traits(paths, eta=eta, i=i)
        got = numbers(paths)
        x, bar = tensor(got["x"], 2), sde.sigmoid(levels[i].item())
        div = ROLL.score_divergence(x, bar)[1]
        seen.append((tensor(got["sum"]), 0.5 * (1 - bar) * (2 + (1 + eta**2) * div)))
        assert_close(tensor(got["exact"]), ROLL.log_prob(x, bar), rtol=1e-6, atol=1e-6)
    (before, spread), (after, more), (end, _) = seen
    assert_close(after, before - (levels[1] - levels[0]) * (spread + more) / 2, rtol=1e-6, atol=1e-6)
    off = (end - ROLL.log_prob(x, bar)).abs().median()
    assert off < 0.15 if eta == 0 else off > 1


def test_every_amount_of_noise_starts_from_the_same_points_with_the_same_noise(paths):
    seen = []
    for eta in (0.0, 1.5):
        set_traits(paths, eta=eta, i=1)
        before = numbers(paths)["before"]
        seen.append((tensor(before["x"]), tensor(before["eps"])))
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))


def test_the_five_paths_are_those_of_the_first_points(paths):
    set_traits(paths, eta=0.3, i=20)
    got = numbers(paths)
    assert len(got["paths"]) == 5
    assert all(len(path) == 21 for path in got["paths"])
    assert_close(tensor([path[-1] for path in got["paths"]]), tensor(got["x"], 2)[:5])


def test_controls_move_it(paths):
    before = drawn(paths)
    handle = paths.locator(".noUi-handle").nth(1)
    handle.focus()
    paths.keyboard.press("ArrowRight")
    assert numbers(paths)["i"] == 4
    assert all(a != b for a, b in zip(before, drawn(paths), strict=True))
    assert "E log p + H" in paths.locator(".dedu-words").inner_text()
    set_traits(paths, eta=0.0)
    assert "one smooth way" in paths.locator(".dedu-words").inner_text()
    paths.get_by_role("button", name="Play").click()
    paths.wait_for_function("() => document.querySelector('.dedu').numbers.i > 20")
    paths.get_by_role("button", name="Pause").click()


def test_bad_input_is_refused():
    for settings, message in (({"eta": 2}, "eta must lie in"), ({"i": 161}, "i must lie in"), ({"n": 4}, "at least 5")):
        with pytest.raises(ValueError, match=message):
            widgets.reverse_paths(ROLL, **settings)

"""The Langevin walk in a real browser: its steps are the library's, its noise is noise, its line the theory."""

import math

import pytest
import torch
from browsing import drawn, numbers, set_traits
from shared import tensor
from torch.testing import assert_close

from diffusion_edu import langevin, widgets
from diffusion_edu.data import SwissRoll

ROLL = SwissRoll(nodes=192)
S2 = ROLL.variances[0, 0].item()


@pytest.fixture
def walk(show):
    return show(widgets.langevin_walk(ROLL, c=0.6, k=3, n=300))


@pytest.mark.parametrize("start", [0, 1, 2])
@pytest.mark.parametrize(("c", "adjusted"), [(0.2, False), (1.5, False), (1.2, True)])
def test_a_step_is_the_librarys(walk, start, c, adjusted):
    set_traits(walk, c=c, k=7, start=start, adjusted=adjusted)
    got = numbers(walk)
    x, before = tensor(got["x"], 2), tensor(got["before"]["x"], 2)
    eps, u = tensor(got["before"]["eps"], 2), tensor(got["before"]["u"])
    if adjusted:
        expected, _ = langevin.mala_step(before, ROLL.log_prob, ROLL.score, c * S2, eps, u)
    else:
        expected = langevin.ula_step(before, ROLL.score(before), c * S2, eps)
    assert_close(x, expected, rtol=1e-6, atol=1e-6)
    assert got["nats"][7] == pytest.approx((ROLL.log_prob(x).mean() + ROLL.entropy()).item(), abs=1e-6)


def test_its_noise_is_normal_and_uniform(walk):
    eps, u = [], []
    for k in range(1, 41):
        set_traits(walk, k=k)
        before = numbers(walk)["before"]
        eps, u = [*eps, tensor(before["eps"])], [*u, tensor(before["u"])]
    eps, u = torch.cat(eps), torch.cat(u)
    for value, mean, sd in (
        (eps, 0, 1),
        (eps**2, 1, 2**0.5),
        (eps**4, 3, 96**0.5),
        (u, 0.5, 12**-0.5),
        (u**2, 1 / 3, 0.3),
    ):
        assert abs(value.mean() - mean) < 4 * sd / math.sqrt(len(value))
    pairs = eps.reshape(-1, 2)
    assert abs((pairs[:, 0] * pairs[:, 1]).mean()) < 4 / math.sqrt(len(pairs))
    assert abs((eps[1:] * eps[:-1]).mean()) < 4 / math.sqrt(len(eps))


def test_the_line_is_the_theory_of_a_strand(walk):
    set_traits(walk, c=0.8, k=0, adjusted=False)
    got = numbers(walk)
    assert got["line"][-1] == pytest.approx(langevin.ula_bias(S2, 0.8 * S2), rel=1e-6)
    assert got["rest"] == pytest.approx(langevin.ula_bias(S2, 0.8 * S2), rel=1e-9)
    assert got["line"][1] == pytest.approx(-0.5 * ((1 - 0.8) ** 2 + 1.6 - 1), rel=1e-9)
    set_traits(walk, k=30)
    got = numbers(walk)
    assert abs(got["nats"][30] - got["rest"]) < 4 * got["se"]
    set_traits(walk, adjusted=True)
    got = numbers(walk)
    assert (got["rest"], set(got["line"])) == (0, {0})
    assert 0.75 < got["accepted"] < 0.95


def test_controls_move_it(walk):
    before = drawn(walk)
    walk.get_by_role("button", name="Accept or refuse").click()
    assert numbers(walk)["adjusted"] is True
    assert "accepted" in walk.locator(".dedu-words").inner_text()
    handle = walk.locator(".noUi-handle").nth(1)
    handle.focus()
    walk.keyboard.press("ArrowRight")
    assert numbers(walk)["k"] == 4
    assert all(a != b for a, b in zip(before, drawn(walk), strict=True))
    walk.locator("select").select_option("the inner end")
    assert "inner end" in walk.locator(".dedu-words").inner_text()
    walk.get_by_role("button", name="Play").click()
    walk.wait_for_function("() => document.querySelector('.dedu').numbers.k > 20")
    walk.get_by_role("button", name="Pause").click()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"c must lie in \(0, 1.8\], got 2"):
        widgets.langevin_walk(ROLL, c=2)
    with pytest.raises(ValueError, match="k must lie in 0 … 80, got 81"):
        widgets.langevin_walk(ROLL, k=81)

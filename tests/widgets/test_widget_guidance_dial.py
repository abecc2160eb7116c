"""The dial of guidance in a real browser: points and log densities of the library's flow, and its nats."""

import pytest
import torch
from browsing import drawn, numbers, set_traits
from shared import tensor
from torch.testing import assert_close

from diffusion_edu import guidance, sde, widgets
from diffusion_edu.data import SwissRoll
from diffusion_edu.widgets.canvas import noise
from diffusion_edu.widgets.guidance_dial import CLEAN, NOISE, STEPS

ROLL = SwissRoll(nodes=192)
PARTS = ROLL.thirds()
LABELS = guidance.exact_labels(PARTS, torch.ones(1))


@pytest.fixture
def dial(show):
    return show(widgets.guidance_dial(ROLL, weight=2.0, level=1.0, n=40))


def plain_flow(data):
    """exact_flow on the nodes of the data, whatever the noise."""

    def flow(log_snr, x):
        rate = 0.5 * sde.sigmoid(-log_snr)
        score, spread = data.score_divergence(x, sde.sigmoid(log_snr))
        return rate * (x + score), rate * (2 + spread)

    return flow


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.0, 4.5])
def test_points_and_their_density_are_the_librarys(dial, weight):
    set_traits(dial, weight=weight)
    got = numbers(dial)
    z = torch.from_numpy(noise((40, 2), 0))
    grid = torch.linspace(NOISE, CLEAN, STEPS + 1, dtype=torch.float64)
    flow = guidance.guided_flow(plain_flow(ROLL), plain_flow(PARTS[1]), weight)
    x, log_p = guidance.sample_with_density(flow, z, grid)
    assert_close(tensor(got["x"], 2), x, rtol=0, atol=1e-6)
    assert_close(tensor(got["logP"]), log_p, rtol=0, atol=1e-5)
    axis = torch.linspace(-3, 3, 301, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    log_z = (ROLL.log_prob(points) + weight * LABELS(points, 0)[..., 1]).logsumexp(0) + 2 * torch.log(axis[1] - axis[0])
    tilted = ROLL.log_prob(x) + weight * LABELS(x, 0)[..., 1] - log_z
    assert got["kl"] == pytest.approx((log_p - tilted).mean().item(), abs=1e-3)


def test_the_arrows_are_the_guided_score(dial):
    set_traits(dial, weight=3.0, level=0.5)
    arrows = tensor(numbers(dial)["arrows"])
    bar = sde.sigmoid(0.5)
    plain, given = (data.score(arrows[:, :2], bar) for data in (ROLL, PARTS[1]))
    assert_close(arrows[:, 2:], plain + 3 * (given - plain), rtol=1e-6, atol=1e-6)


def test_the_target_is_a_law_and_at_weight_one_the_third(dial):
    set_traits(dial, weight=1.0)
    got = numbers(dial)
    target = tensor(got["target"])
    assert target.sum().item() == pytest.approx(1)
    assert tensor(got["share"]).sum().item() == pytest.approx(1)
    assert target[10:20].sum().item() > 0.95
    assert_close(target[11:19], torch.full((8,), 0.1, dtype=torch.float64), rtol=0.15, atol=0)


def test_controls_move_it(dial):
    before = drawn(dial)
    handle = dial.locator(".noUi-handle").first
    handle.focus()
    dial.keyboard.press("ArrowRight")
    assert numbers(dial)["weight"] == pytest.approx(2.1)
    assert all(a != b for a, b in zip(before, drawn(dial), strict=True))
    assert "nats" in dial.locator(".dedu-words").inner_text()
    set_traits(dial, weight=1.0)
    assert "guidance is exact" in dial.locator(".dedu-words").inner_text()
    assert "Salimans 0" in dial.locator(".dedu-words").inner_text()


def test_bad_input_is_refused():
    for settings, message in (
        ({"weight": 6}, "weight must lie in"),
        ({"level": 9}, "level must"),
        ({"n": 4}, "at least"),
    ):
        with pytest.raises(ValueError, match=message):
            widgets.guidance_dial(ROLL, **settings)

"""Steps of a flow in a real browser: the library's velocity and its steps of Euler."""

import pytest
from browsing import drawn, numbers, set_traits
from shared import tensor
from torch.testing import assert_close

from diffusion_edu import evaluate, flow, widgets
from diffusion_edu.data import SwissRoll
from diffusion_edu.sde import exact_x0_hat, heun

ROLL = SwissRoll(nodes=256)
U = flow.velocity(exact_x0_hat(ROLL))


@pytest.fixture
def steps(show):
    return show(widgets.flow_steps(ROLL, steps=3, n=60))


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_steps_of_euler_are_the_librarys(steps, n):
    set_traits(steps, steps=n)
    got = numbers(steps)
    start = tensor(got["states"][0], 2)
    for (_, expected), state in zip(flow.path(U, start, n), got["states"], strict=True):
        assert_close(tensor(state, 2), expected, rtol=1e-5, atol=1e-6)
    x = tensor(got["x"], 2)
    assert got["mean"] == pytest.approx(evaluate.mean_log_prob(x, ROLL) + ROLL.entropy(), abs=1e-6)
    assert got["cost"] == pytest.approx((start - tensor(got["to"], 2)).square().sum(-1).mean().item(), abs=1e-9)


def test_the_flows_own_ends_are_reached_in_one_step(steps):
    set_traits(steps, pairs=1, steps=1)
    got = numbers(steps)
    assert_close(tensor(got["x"], 2), flow.arrive(U, tensor(got["states"][0], 2), 200, heun), rtol=1e-6, atol=1e-6)
    assert got["mean"] == pytest.approx(0, abs=0.4)
    independent = numbers(steps)["cost"]
    set_traits(steps, pairs=0)
    assert independent < 0.2 * numbers(steps)["cost"]


def test_controls_move_it(steps):
    before = drawn(steps)
    handle = steps.locator(".noUi-handle").first
    handle.focus()
    steps.keyboard.press("ArrowRight")
    assert numbers(steps)["steps"] == 4
    assert before != drawn(steps)
    assert "zero is right" in steps.locator(".dedu-words").inner_text()
    set_traits(steps, pairs=1)
    assert "one step is enough" in steps.locator(".dedu-words").inner_text()


def test_bad_input_is_refused():
    for settings, message in (
        ({"pairs": 2}, "pairs must be 0"),
        ({"steps": 65}, "steps must lie"),
        ({"n": 1}, "at least 2"),
    ):
        with pytest.raises(ValueError, match=message):
            widgets.flow_steps(ROLL, **settings)

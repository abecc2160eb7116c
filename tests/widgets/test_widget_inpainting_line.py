"""Inpainting in a real browser: each method's step is the library's, and so is the exact law."""

import math

import pytest
import torch
from browsing import drawn, numbers, set_traits
from shared import tensor
from torch.testing import assert_close

from diffusion_edu import conditioning, diffusion, guidance, schedules, widgets
from diffusion_edu.data import SwissRoll
from diffusion_edu.gaussian import Gaussian
from diffusion_edu.oracles import exact_denoiser
from diffusion_edu.widgets.inpainting_line import DELTA, METHODS, SAMPLES, STEPS

ROLL = SwissRoll(nodes=192)
SCHEDULE = schedules.cosine(1000).respaced(STEPS)[0]
BAR = SCHEDULE.alpha_bar
PLAIN = exact_denoiser(ROLL, BAR)


@pytest.fixture
def line(show):
    return show(widgets.inpainting_line(ROLL, x1=0.3))


def guess(x1, extra):
    known = torch.tensor([x1, math.nan], dtype=torch.float64)
    return conditioning.guess(PLAIN, known, lambda x, t: 1 - float(BAR[t]) + extra)


@pytest.mark.parametrize("method", [0, 1])
def test_a_step_of_replacement_is_the_librarys(line, method):
    set_traits(line, method=method, x1=-0.7)
    traced = numbers(line)["traced"]
    t, before = traced["t"], tensor(traced["before"], 2)
    mean = diffusion.posterior_mean(SCHEDULE, t, before, PLAIN(before, t))
    new = mean + SCHEDULE.beta[t].sqrt() * tensor(traced["eps"], 2)
    known = torch.tensor([-0.7, math.nan], dtype=torch.float64)
    eps = tensor(traced["known"])[:, None].expand(-1, 2)
    assert_close(tensor(traced["after"], 2), conditioning.replaced(new, known, BAR[t - 1], eps), rtol=0, atol=1e-6)
    x = tensor(numbers(line)["x"], 2)
    assert_close(x[:, 0], torch.full((SAMPLES,), -0.7, dtype=torch.float64))


def test_a_step_of_reconstruction_guidance_is_the_librarys(line):
    set_traits(line, method=2)
    traced = numbers(line)["traced"]
    t, before = traced["t"], tensor(traced["before"], 2)
    x0_hat = guidance.classifier_guided(PLAIN, guess(0.3, 0), BAR, 1.0)(before, t)
    mean = diffusion.posterior_mean(SCHEDULE, t, before, x0_hat)
    expected = mean + SCHEDULE.beta[t].sqrt() * tensor(traced["eps"], 2)
    assert_close(tensor(traced["after"], 2), expected, rtol=0, atol=1e-6)


def test_a_step_of_particles_and_its_weights_are_the_librarys(line):
    set_traits(line, method=3)
    traced = numbers(line)["traced"]
    t, before = traced["t"], tensor(traced["before"], 2)
    log_p = guess(0.3, DELTA**2)
    x0_hat = PLAIN(before, t)
    pushed = guidance.classifier_guided(PLAIN, log_p, BAR, 1.0)(before, t)
    p, k = (Gaussian(diffusion.posterior_mean(SCHEDULE, t, before, x), SCHEDULE.beta[t]) for x in (x0_hat, pushed))
    x = k.at(tensor(traced["eps"], 2))
    assert_close(tensor(traced["after"], 2), x, rtol=0, atol=1e-6)
    change = log_p(x, t - 1) - log_p(before, t) + p.log_prob(x) - k.log_prob(x)
    assert_close(tensor(traced["log_w_after"]), tensor(traced["log_w"]) + change, rtol=0, atol=1e-6)


@pytest.mark.parametrize("x1", [-1.2, 0.45])
def test_the_exact_law_and_its_nats(line, x1):
    set_traits(line, x1=x1)
    got = numbers(line)
    law = ROLL.conditional(torch.tensor([x1, math.nan], dtype=torch.float64))
    points = tensor(got["line"])[:, None]
    assert_close(tensor(got["density"]), law.log_prob(points).exp(), rtol=1e-6, atol=1e-6)
    x2 = tensor(got["x"], 2)[:, 1:]
    assert got["nats"] == pytest.approx(law.log_prob(x2).mean().item() + law.entropy(), abs=1e-5)
    assert got["stray"] == pytest.approx((law.log_prob(x2) < -6).double().mean().item())


def test_particles_lose_less_than_replacement(line):
    lost = []
    for method in (0, 3):
        set_traits(line, method=method)
        lost.append(-numbers(line)["nats"])
    assert lost[1] < 0.5 < lost[0]


def test_the_line_is_moved_by_keys_mouse_and_list(line):
    grip = line.get_by_role("button", name="x₁ at")
    before = drawn(line)
    grip.focus()
    line.keyboard.press("ArrowRight")
    assert numbers(line)["x1"] == pytest.approx(0.35)
    assert all(a != b for a, b in zip(before, drawn(line), strict=True))
    box = grip.bounding_box()
    line.mouse.move(box["x"] + 16, box["y"] + 16)
    line.mouse.down()
    line.mouse.move(box["x"] - 60, box["y"] + 16)
    line.mouse.up()
    assert numbers(line)["x1"] < 0.1
    line.get_by_role("combobox").select_option(METHODS[2])
    assert numbers(line)["method"] == 2
    assert "true ones never do" in line.locator(".dedu-words").inner_text()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="unknown method 'magic'"):
        widgets.inpainting_line(ROLL, method="magic")
    with pytest.raises(ValueError, match="x1 must lie in"):
        widgets.inpainting_line(ROLL, x1=3)

"""The posterior explorer in a real browser, against diffusion.py and Bayes' rule; grips by mouse and keyboard."""

import pytest
import torch
from browsing import drawn, numbers, set_traits
from shared import tensor
from torch.testing import assert_close

from diffusion_edu import diffusion, gaussian, schedules, widgets
from diffusion_edu.data import SwissRoll

POINTS = SwissRoll().sample(100)
SCHEDULES = {
    "cosine": schedules.cosine(20),
    "linear": schedules.linear(1000),
    "falling": schedules.linear(7, 0.6, 0.01),
}


@pytest.fixture(params=SCHEDULES)
def schedule(request):
    return SCHEDULES[request.param]


def test_numbers_are_the_librarys(show, schedule):
    page = show(widgets.posterior_explorer(schedule, POINTS))
    for t, x0, xt in [
        (2, [-1.0, 0.5], [0.25, 2.0]),
        (schedule.T // 2, [0.0, 0.0], [-2.0, 1.0]),
        (schedule.T, [1, 1], [1, -1]),
    ]:
        set_traits(page, t=t, x0=x0, xt=xt)
        got = numbers(page)
        c0, ct = diffusion.posterior_mean_coefficients(schedule)
        q = diffusion.q_posterior(schedule, t, tensor(xt), tensor(x0))
        assert (got["c0"], got["ct"]) == pytest.approx((c0[t].item(), ct[t].item()), rel=1e-6)
        assert (got["variance"], got["beta"]) == pytest.approx((q.var.item(), schedule.beta[t].item()), rel=1e-6)
        assert got["mean"] == pytest.approx(q.mean.tolist(), rel=1e-6)


def test_the_dashed_factors_multiply_to_the_posterior(show, schedule):
    """Bayes' rule from what is drawn: precisions add, and precision-weighted means."""
    page = show(widgets.posterior_explorer(schedule, POINTS))
    for t in (2, schedule.T):
        set_traits(page, t=t)
        got = numbers(page)
        prior, like = got["prior"], got["likelihood"]
        before = diffusion.q_marginal(schedule, t - 1, tensor(got["x0"]))
        assert prior["mean"] == pytest.approx(before.mean.tolist(), rel=1e-6)
        assert prior["variance"] == pytest.approx(before.var.item(), rel=1e-6)
        a, var = schedule.alpha[t].sqrt(), schedule.beta[t]
        assert_close(tensor(like["mean"]) * a, tensor(got["xt"]), rtol=1e-6, atol=1e-12)
        assert like["variance"] == pytest.approx((var / a**2).item(), rel=1e-6)
        product = gaussian.condition(before, a, var, tensor(got["xt"]))
        assert got["mean"] == pytest.approx(product.mean.tolist(), rel=1e-6)
        assert got["share"] == pytest.approx((product.var / before.var).item(), rel=1e-6)
        shares = got["share"] + got["variance"] / like["variance"]
        assert shares == pytest.approx(1, rel=1e-9)


@pytest.fixture
def explorer(show):
    return show(widgets.posterior_explorer(SCHEDULES["cosine"], POINTS, t=8, x0=(-1.0, 0.5), xt=(1.0, 1.0)))


def test_the_first_step_is_a_point(explorer):
    set_traits(explorer, t=1)
    got = numbers(explorer)
    assert (got["variance"], got["ct"]) == (0, 0)
    assert got["mean"] == pytest.approx([-1.0, 0.5], rel=1e-9)
    assert "the posterior is the point x₀ itself" in explorer.locator(".dedu-words").inner_text()


def test_the_slider_moves_t(explorer):
    before = drawn(explorer)
    explorer.locator(".noUi-handle").focus()
    explorer.keyboard.press("ArrowRight")
    assert numbers(explorer)["t"] == 9
    assert all(a != b for a, b in zip(before, drawn(explorer), strict=True))
    explorer.keyboard.press("End")
    assert "xₜ tells next to nothing" in explorer.locator(".dedu-words").inner_text()


@pytest.mark.parametrize(("name", "other"), [("x₀", "xt"), ("xₜ", "x0")])
def test_both_ends_follow_keys_and_mouse(explorer, name, other):
    trait = {"x₀": "x0", "xₜ": "xt"}[name]
    grip, before, picture = explorer.get_by_role("button", name=f"{name} at"), numbers(explorer), drawn(explorer)
    grip.focus()
    explorer.keyboard.press("ArrowRight")
    explorer.keyboard.press("Shift+ArrowDown")
    got = numbers(explorer)
    assert got[trait] == pytest.approx([before[trait][0] + 0.1, before[trait][1] - 0.5])
    assert drawn(explorer)[0] != picture[0]
    box, panel = grip.bounding_box(), explorer.locator(".dedu-panel").first.bounding_box()
    explorer.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    explorer.mouse.down()
    explorer.mouse.move(panel["x"] + panel["width"] / 4, panel["y"] + panel["height"] * 3 / 4, steps=4)
    explorer.mouse.up()
    got = numbers(explorer)
    assert got[trait] == pytest.approx([-1.3, -1.3], abs=0.03)
    assert got[other] == before[other]
    mean = diffusion.posterior_mean(SCHEDULES["cosine"], 8, tensor(got["xt"]), tensor(got["x0"]))
    assert got["mean"] == pytest.approx(mean.tolist(), rel=1e-6)
    explorer.mouse.move(panel["x"], panel["y"])
    assert numbers(explorer) == got


def test_an_end_stays_inside(explorer):
    explorer.get_by_role("button", name="xₜ at").focus()
    for _ in range(9):
        explorer.keyboard.press("Shift+ArrowUp")
    assert numbers(explorer)["xt"] == pytest.approx([1.0, 2.6])


def test_bad_input_is_refused():
    cosine = SCHEDULES["cosine"]
    with pytest.raises(ValueError, match="points must have the shape"):
        widgets.posterior_explorer(cosine, torch.zeros(3))
    with pytest.raises(ValueError, match="t must lie in 1 … 20"):
        widgets.posterior_explorer(cosine, POINTS, t=0)
    with pytest.raises(ValueError, match="x0 must lie in"):
        widgets.posterior_explorer(cosine, POINTS, x0=(3, 0))
    with pytest.raises(ValueError, match="xt must be finite"):
        widgets.posterior_explorer(cosine, POINTS, xt=(float("nan"), 0))

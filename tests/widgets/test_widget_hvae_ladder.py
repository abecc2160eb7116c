"""The HVAE ladder in a real browser: its chain and its fans are the model's, and every control moves it."""

import copy

import pytest
import torch
from browsing import drawn, numbers, set_traits
from shared import randn

from diffusion_edu import bound, widgets
from diffusion_edu.data import SwissRoll
from diffusion_edu.hvae import HVAE
from diffusion_edu.nets import GaussianNet

X = SwissRoll().sample(100, seed=3)


def an_hvae(levels=3, step=True, **sizes):
    """A network with weights large enough that each layer matters."""
    torch.manual_seed(4)
    model = HVAE(levels, width=16, **sizes)
    if not step:
        model.decoders = torch.nn.ModuleList(GaussianNet(2, 2, 16, log_var=-2.0) for _ in range(levels))
    for part in model.requires_grad_(False).parameters():
        part.mul_(1.5)
    return model


def halved(tensor):
    return tensor.half().double()


def in_the_browser(model):
    """The model with its weights as the browser has them, in float64."""
    rounded = copy.deepcopy(model).double()
    for part in rounded.parameters():
        part.copy_(halved(part))
    return rounded


def chain(model, draws, seed=0):
    """z₀ = x, z₁ … z_T by the model's own p from the noises that the buttons have chosen."""
    eps, z = halved(randn(model.levels + 1, 24, 2, seed=seed)), {}
    for t in range(model.levels, -1, -1):
        p = model.prior() if t == model.levels else model.p(t, z[t + 1])
        z[t] = p.at(eps[t, draws[t]])
    return torch.stack([z[t] for t in range(model.levels + 1)])


def fan(model, held, z, seed=1):
    """200 continuations below the top `held` levels of z: level → (200, 2)."""
    T, out = model.levels, {}
    eps, above = halved(randn(T + 1, 200, 2, seed=seed)), z[T - held + 1] if held else None
    for t in range(T - held, -1, -1):
        out[t] = above = (model.prior() if t == T else model.p(t, above)).at(eps[t])
    return out


def spread(x):
    return (x - x.mean(0)).square().sum(1).mean().sqrt().item()


def with_small_numbers():
    """Too small for half precision's normal numbers, which end at 6e-5."""
    model = an_hvae(1, step=False)
    model.decoders[0].net[-1].weight.zero_()
    model.decoders[0].net[-1].bias.copy_(torch.tensor([4e-5, -3e-6, -12.0, -12.0]))
    return model


MODELS = {"3 levels": an_hvae(), "1 level": an_hvae(1), "plain": an_hvae(step=False), "small": with_small_numbers()}


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_numbers_are_the_models(show, model):
    page, exact, T = show(widgets.hvae_ladder(model, X)), in_the_browser(model), model.levels
    for held, draws in [(0, [0] * (T + 1)), (T, list(range(3, T + 4))), (1, [23] * (T + 1)), (T // 2, [5] + [0] * T)]:
        set_traits(page, held=held, draws=draws)
        got, z = numbers(page), chain(exact, draws)
        torch.testing.assert_close(torch.tensor(got["z"], dtype=torch.float64), z, rtol=1e-6, atol=1e-9)
        expected = fan(exact, held, z)
        assert len(got["points"]) == len(expected) == T - held + 1
        for t, points in expected.items():
            there = torch.tensor(got["points"][t], dtype=torch.float64).reshape(200, 2)
            torch.testing.assert_close(there, points, rtol=1e-6, atol=1e-9)
        assert got["spreads"] == pytest.approx([spread(fan(exact, h, z)[0]) for h in range(T + 1)], rel=1e-6)


def test_what_nothing_holds_is_what_generate_draws(show):
    """The fan's x with nothing held have the mean and the covariance of 200 samples of bound.generate."""
    model = an_hvae()
    got = numbers(show(widgets.hvae_ladder(model, X)))
    x, samples = torch.tensor(got["points"][0]).reshape(200, 2).double(), bound.generate(model.double(), 20_000)
    error = samples.std(0) / 200**0.5
    assert ((x.mean(0) - samples.mean(0)).abs() < 4 * error).all()
    assert spread(x) == pytest.approx(spread(samples), rel=0.2)


def test_half_precision_moves_samples_little():
    model = an_hvae()
    x, rounded = (chain(m, [3, 1, 4, 1])[0] for m in (copy.deepcopy(model).double(), in_the_browser(model)))
    assert (x - rounded).abs().max() < 0.005


def test_buttons_draw_one_level_and_keep_those_above(show):
    page = show(widgets.hvae_ladder(an_hvae(), X))
    for t, button in enumerate(["New x", "New z₁", "New z₂", "New z₃"]):
        before, pictures = numbers(page), drawn(page)
        page.get_by_role("button", name=button).focus()
        page.keyboard.press("Enter")
        after = numbers(page)
        assert after["held"] == 3 - t
        assert after["z"][t + 1 :] == before["z"][t + 1 :]
        assert all(new != old for new, old in zip(after["z"][: t + 1], before["z"][: t + 1], strict=True))
        assert all(new != old for new, old in zip(drawn(page)[3 - t : 4], pictures[3 - t : 4], strict=True))
        assert after["spreads"][: 4 - t] == before["spreads"][: 4 - t]
        assert (after["spreads"][4 - t :] != before["spreads"][4 - t :]) == (t > 0)
    for _ in range(23):
        page.get_by_role("button", name="New z₃").click()
    assert numbers(page)["draws"] == [1, 1, 1, 0]


def test_choice_holds_levels_by_keyboard_and_mouse(show):
    page = show(widgets.hvae_ladder(an_hvae(), X, held=1))
    choice, before = page.locator("select"), drawn(page)
    choice.focus()
    page.keyboard.press("ArrowDown")
    got = numbers(page)
    assert got["held"] == 2
    assert len(got["points"]) == 2
    assert drawn(page)[1] != before[1]
    words = page.locator(".dedu-words").inner_text()
    assert words.startswith("Held: z₃ and z₂. Drawn 200 times: z₁ and x.")
    choice.select_option("z₃, z₂, z₁")
    assert numbers(page)["held"] == 3
    page.get_by_role("button", name="New z₂").click()
    assert choice.input_value() == "z₃"


ORANGE = """(i) => { const c = document.querySelectorAll('.dedu canvas')[i];
  const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;
  for (let k = 0; k < d.length; k += 4) n += d[k + 3] > 100 && d[k] > 200 && d[k + 2] < 90;
  return n; }"""


def test_the_fan_is_seen_below_the_levels_held(show):
    page = show(widgets.hvae_ladder(an_hvae(), X))
    for held in (0, 2):
        set_traits(page, held=held)
        orange = [page.evaluate(ORANGE, panel) for panel in range(4)]  # z₃, z₂, z₁, x
        assert all(n == 0 for n in orange[:held])
        assert all(n > 200 for n in orange[held:])  # the chain's dot alone has about 50


BOXES = """() => [...document.querySelectorAll('.dedu-panel')].map((e) => {
  const { width, top } = e.getBoundingClientRect(); return [Math.round(width), Math.round(top)]; })"""


def test_on_a_phone_a_plane_can_have_the_whole_width(show):
    page = show(widgets.hvae_ladder(an_hvae(), X))
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(200)
    before = page.evaluate(BOXES)
    assert all(width < 200 for width, _ in before[:4])
    page.get_by_role("button", name="z₂ larger").click()
    page.wait_for_timeout(200)
    z3, z2, z1, x, bars = page.evaluate(BOXES)
    assert z2[0] > 340
    assert z2[1] < z3[1] == z1[1] == x[1] < bars[1]
    page.get_by_role("button", name="x larger").press("Enter")
    page.wait_for_timeout(200)
    z3, z2, z1, x, bars = page.evaluate(BOXES)
    assert x[0] > 340
    assert x[1] < z3[1] == z2[1] == z1[1] < bars[1]
    page.get_by_role("button", name="x smaller").click()
    page.wait_for_timeout(200)
    assert page.evaluate(BOXES) == before


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="x must have the shape"):
        widgets.hvae_ladder(an_hvae(), torch.zeros(5, 3))
    with pytest.raises(ValueError, match="x must be finite"):
        widgets.hvae_ladder(an_hvae(), torch.full((5, 2), torch.nan))
    with pytest.raises(ValueError, match=r"two dimensions on every level and Gaussian .* got \[\(3, 4\), \(3, 6\)\]"):
        widgets.hvae_ladder(an_hvae(2, latent=3), X)
    with pytest.raises(ValueError, match=r"at most 6 levels .* got 7"):
        widgets.hvae_ladder(an_hvae(7), X)
    with pytest.raises(ValueError, match="held must lie in 0 … 3, got 4"):
        widgets.hvae_ladder(an_hvae(), X, held=4)
    model = an_hvae()
    model.decoders[0].net[0].weight[0, 0] = 1e5
    with pytest.raises(ValueError, match="half precision ends"):
        widgets.hvae_ladder(model, X)

"""The reverse film in a real browser: it replays the recorded runs, and says their numbers as the library has them."""

import dataclasses

import numpy as np
import pytest
import torch
from browsing import drawn, numbers, set_traits

from diffusion_edu import evaluate, oracles, pretrained, samplers, widgets
from diffusion_edu.data import SwissRoll
from diffusion_edu.widgets.reverse_film import GRID, LEVELS, SIDES, Packed, ReverseRun, film_frames, record

STEPS = (5, 20)
LAST = LEVELS[1]


@pytest.fixture(scope="module")
def roll():
    return SwissRoll()


@pytest.fixture(scope="module")
def models():
    return {name: pretrained.load(name) for name in ("cosine", "short")}


@pytest.fixture(scope="module")
def made(models, roll):
    return widgets.reverse_film(models, roll, steps=STEPS, n=60, shown=50)


@pytest.fixture
def film(show, made):
    return show(made)


def said(film) -> str:
    return film.locator(".dedu-words").inner_text()


# --- recording ---


def test_a_recorded_run_is_the_librarys_run(made, models, roll):
    for (name, steps), run in made.runs.items():
        S, x_T = models[name].schedule, torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
        exact = oracles.exact_denoiser(roll, S.alpha_bar)
        for denoiser, side in ((models[name].x0_hat, run.learned), (exact, run.exact)):
            path = samplers.reverse_path(denoiser, S, x_T, steps=steps, generator=torch.Generator().manual_seed(1))
            states = dict(path)
            assert torch.equal(side, torch.stack([states[t] for t in run.t]))
        assert run.t[0] == S.T
        assert run.t[-1] == 0
        assert run.log_snr[:-1] == S.log_snr[run.t[:-1]].tolist()
        assert run.done == sorted(run.done)
        assert run.done[-1] == steps
        assert run.mean_log_p["exact"] == roll.log_prob(run.exact[-1].double()).mean().item()
        assert run.outlier_share["learned"] == evaluate.outlier_share(run.learned[-1], roll)


def test_both_sides_take_the_same_noise(models, roll):
    """The exact denoiser, given the network's part too, has the same run: only the denoisers differ."""
    twin = dataclasses.make_dataclass("Twin", ["schedule", "x0_hat"])
    S = models["short"].schedule
    model, x_T = twin(S, oracles.exact_denoiser(roll, S.alpha_bar)), torch.randn(9, 2)
    run = record("twin", model, roll, 10, x_T, seed=3)
    assert torch.equal(run.learned, run.exact)
    assert run.mean_log_p["learned"] == run.mean_log_p["exact"]
    assert (run.apart == 0).all()


def test_film_frames_are_the_last_states_not_above_each_level():
    log_snr = torch.tensor([-20.0, -3.1, -2.9, -2.6, 0.0, 7.4, 9.0, torch.inf], dtype=torch.float64)
    assert film_frames(log_snr) == [0, 1, 3, 4, 5, 7]
    late = torch.tensor([0.4, 3.0, torch.inf], dtype=torch.float64)
    assert film_frames(late) == [0, 1, 2]


def test_packing_rounds_to_half_a_scale_and_stores_a_key_once():
    packed, table = Packed(), torch.randn(40, 2, generator=torch.Generator().manual_seed(0)).numpy()
    assert [packed.put("a", table), packed.put("b", 3 * table), packed.put("a", table)] == [0, 1, 0]
    traits = packed.traits("states")
    values = np.frombuffer(traits["states"], np.int8).reshape(2, 40, 2)
    scales = np.frombuffer(traits["states_scales"], "<f4")
    for i, wanted in enumerate((table, 3 * table)):
        assert np.abs(values[i] * scales[i] - wanted).max() <= scales[i] * 0.501
        assert scales[i] == pytest.approx(np.abs(wanted).max() / 127)


def test_the_notebooks_film_is_small(roll):
    """250 KiB on the page, where bytes become base64."""
    film = widgets.reverse_film({name: pretrained.load(name) for name in pretrained.NAMES}, roll, n=240)
    stored = [v for v in film.canvas.get_state().values() if isinstance(v, bytes)]
    assert 100_000 < sum(map(len, stored)) * 4 / 3 < 250 * 1024


# --- what is refused ---


def good() -> dict:
    x = torch.zeros(3, 4, 2)
    ends = {side: 0.0 for side in SIDES}
    return {
        "schedule": "cosine", "steps": 2, "t": [10, 5, 0], "done": [0, 1, 2], "log_snr": [-3.0, 1.0, float("inf")],
        "learned": x, "exact": x, "mean_log_p": ends, "outlier_share": ends,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"t": [5, 10, 0]}, "−t must strictly increase"),
        ({"t": [10, 5, 5]}, "−t must strictly increase"),
        ({"t": [10, 0]}, r"done must have the shape \(2\)"),
        ({"done": [0, 2, 1]}, "done must strictly increase"),
        ({"log_snr": [1.0, -3.0, float("inf")]}, "log_snr must strictly increase"),
        ({"log_snr": [1.0, float("nan"), float("inf")]}, "log_snr must be finite"),
        ({"learned": torch.full((3, 4, 2), torch.nan)}, "learned must be finite, got 24"),
        ({"exact": torch.full((3, 4, 2), torch.inf)}, "exact must be finite"),
        ({"learned": torch.zeros(2, 4, 2)}, r"learned must have the shape \(3, any, 2\), got \(2, 4, 2\)"),
        ({"exact": torch.zeros(3, 5, 2)}, r"exact must have the shape \(3, 4, 2\)"),
        ({"learned": torch.zeros(3, 4)}, "learned must have the shape"),
    ],
)
def test_a_run_that_is_none_is_refused(bad, message):
    ReverseRun(**good())
    with pytest.raises(ValueError, match=message):
        ReverseRun(**good() | bad)


def test_bad_input_is_refused(models, roll):
    film = widgets.reverse_film
    with pytest.raises(ValueError, match="at least one DDPM"):
        film({}, roll)
    with pytest.raises(ValueError, match="two dimensions"):
        film(models, oracles.gaussian([0.0], 1.0))
    with pytest.raises(ValueError, match="same variance along both axes"):
        film(models, oracles.gaussian([0.0, 0.0], [1.0, 2.0]))
    with pytest.raises(ValueError, match="shown must lie in 1 … n = 5"):
        film(models, roll, n=5, shown=6)
    with pytest.raises(ValueError, match="steps must strictly increase"):
        film(models, roll, steps=(20, 5))
    with pytest.raises(ValueError, match="must lie in 1 … 100, got 101"):
        film(models, roll, steps=(101,), n=2, shown=2)
    with pytest.raises(ValueError, match="x_T must be finite"):
        record("cosine", models["cosine"], roll, 5, torch.full((3, 2), torch.nan))


# --- in the browser ---


@pytest.mark.parametrize("schedule", [0, 1])
@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize("level", [-3.0, 0.0, 2.5, 7.5, 8.0])
def test_each_frame_is_the_recorded_one(film, made, models, roll, schedule, steps, level):
    set_traits(film, schedule=schedule, steps=steps, level=level, field=True)
    got, name = numbers(film), list(models)[schedule]
    run = made.runs[name, STEPS[steps]]
    if level == LAST:
        k = len(run.t) - 1
    elif level == LEVELS[0]:
        k = 0  # the film starts with x_T
    else:
        k = max(i for i in range(len(run.t)) if i == 0 or run.log_snr[i] <= level)
    assert (got["k"], got["t"], got["done"]) == (k, run.t[k], run.done[k])
    assert got["apart"] == pytest.approx(run.apart[k], rel=1e-6)
    for side in SIDES:
        wanted = getattr(run, side)[k, :50].flatten()
        step = wanted.abs().max().item() / 127
        assert len(got[side]) == k + 1
        torch.testing.assert_close(torch.tensor(got[side][-1]), wanted, rtol=0, atol=0.51 * step)
    t = run.t[min(k, len(run.t) - 2)]
    alpha_bar = models[name].schedule.alpha_bar[t].item()
    exact = roll.eps_mean(GRID.double(), alpha_bar).flatten()
    found = torch.tensor(got["exactField"], dtype=torch.float64)
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=1e-9)
    learned = models[name].eps_hat(GRID, t).flatten()
    rounding = 0.51 * learned.abs().max().item() / 127
    torch.testing.assert_close(torch.tensor(got["learnedField"]), learned, rtol=0, atol=rounding)
    x = run.learned[min(k, len(run.t) - 2)]
    apart = (models[name].eps_hat(x, t) - roll.eps_mean(x.double(), alpha_bar)).square().sum(-1).mean().sqrt().item()
    assert got["epsApart"] == pytest.approx(apart, rel=1e-4)
    assert apart < 1e-4 or f"are {float(f'{apart:.2g}'):g} apart" in said(film)


def test_the_text_says_the_librarys_numbers(film, made, models):
    for i, name in enumerate(("cosine", "short")):
        for j, steps in enumerate(STEPS):
            set_traits(film, schedule=i, steps=j, level=LAST)
            run, text = made.runs[name, steps], said(film)
            assert f"Schedule {name}, {steps} steps (T = {models[name].schedule.T}). Done." in text
            for side in SIDES:
                p, off = float(f"{run.mean_log_p[side]:.3g}"), float(f"{100 * run.outlier_share[side]:.2g}")
                label = "Learned: mean log p(x₀) =" if side == "learned" else "exact:"
                assert f"{label} {p:g} nats, {off:g} %".replace("-", "−") in text
            assert "true points: −1.35 nats, 0.1 %" in text
            assert ("the steps are too long" in text) == (run.outlier_share["exact"] > 0.02)


def test_a_chain_that_begins_late_says_so(film, models):
    set_traits(film, schedule=1, steps=0, level=-1.0)
    begin = models["short"].schedule.log_snr[-1].item()
    assert f"begins at log SNR {begin:.2g}" in said(film)
    assert numbers(film)["t"] == 100
    set_traits(film, schedule=0, level=LEVELS[0])
    assert "begin with the same noise" in said(film)


def test_keyboard_mouse_and_choices_move_it(film):
    handle, pictures = film.locator(".noUi-handle"), [drawn(film)]
    handle.focus()
    for _ in range(6):
        film.keyboard.press("ArrowRight")
    assert numbers(film)["level"] == pytest.approx(0.0)
    pictures.append(drawn(film))
    box = film.locator(".noUi-target").bounding_box()
    film.mouse.click(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2)
    assert numbers(film)["level"] == pytest.approx(5.8, abs=0.5)
    pictures.append(drawn(film))
    film.get_by_label("schedule").select_option("short")
    assert numbers(film)["name"] == "short"
    pictures.append(drawn(film))
    film.get_by_label("steps").select_option("5")
    assert "Schedule short, 5 steps (T = 100)" in said(film)
    pictures.append(drawn(film))
    for name in ("Trails", "Field of ε"):
        button = film.get_by_role("button", name=name)
        was = button.get_attribute("aria-pressed")
        button.focus()
        film.keyboard.press("Space")
        assert button.get_attribute("aria-pressed") != was
        pictures.append(drawn(film))
    assert len(set(pictures)) == len(pictures)


def test_play_goes_through_the_film_and_moves_the_slider(film):
    film.get_by_role("button", name="Play").click()
    film.wait_for_function("() => document.querySelector('.dedu').numbers.level >= -1")
    film.get_by_role("button", name="Pause").click()
    level = numbers(film)["level"]
    assert float(2 * level).is_integer()
    assert float(film.locator(".noUi-handle").get_attribute("aria-valuetext")) == pytest.approx(level)
    film.wait_for_timeout(100)
    assert numbers(film)["level"] == level

"""The schedule explorer in a real browser, against schedules.py and the exact entropies; and its tables."""

import math

import numpy as np
import pytest
import torch
from browsing import drawn, numbers, set_traits
from scipy.interpolate import KroghInterpolator

from diffusion_edu import ddpm, diffusion, schedules, widgets
from diffusion_edu.data import SwissRoll
from diffusion_edu.exact import LOG_SNR, ROLL, aggregate_table, error, error_table, mse
from diffusion_edu.oracles import Mixture, exact_denoiser

ROLL_DATA = SwissRoll(nodes=320)
SETTINGS = {
    "constant": {"T": 100, "beta_1": 1e-4, "beta_T": 0.005},
    "linear": {"T": 1000, "beta_1": 1e-4, "beta_T": 0.02},
    "cosine": {"T": 10, "beta_1": 1e-4, "beta_T": 0.02},
    "sigmoid": {"T": 370, "beta_1": 1e-3, "beta_T": 0.04},
    "linear falling": {"T": 50, "beta_1": 0.04, "beta_T": 1e-4},
}


def library(name, T, beta_1, beta_T):
    kind = name.split()[0]
    ends = {"constant": {"beta": beta_T}, "cosine": {}}.get(kind, {"beta_1": beta_1, "beta_T": beta_T})
    return kind, schedules.make_schedule(kind, T, **ends)


def lookup(table, log_snr):
    """The cubic through the four neighbours, by another route than the browser's."""
    i = np.clip(np.searchsorted(LOG_SNR, log_snr, side="right") - 1, 1, len(table) - 3)
    near = slice(i - 1, i + 3)
    return float(KroghInterpolator(LOG_SNR[near], table[near])(np.clip(log_snr, LOG_SNR[0], LOG_SNR[-1])))


def mean_square(data):
    return (data.weights @ (data.means**2 + data.variances)).sum()


def kl_from_prior(data, alpha_bar):
    """(3.8) from the entropy on a grid."""
    square = alpha_bar * mean_square(data).item() + 2 * (1 - alpha_bar)
    return math.log(2 * math.pi) + 0.5 * square - data.entropy(alpha_bar)


def tenth(roll):
    means = (roll.means * roll.scale + torch.from_numpy(roll.shift)) / 10
    return Mixture(roll.weights, means, roll.variances * (roll.scale / 10) ** 2)


@pytest.fixture
def explorer(show):
    return show(widgets.schedule_explorer(ROLL_DATA, n=300))


@pytest.mark.parametrize("name", SETTINGS)
def test_numbers_are_the_librarys(explorer, name):
    kind, schedule = library(name, **SETTINGS[name])
    set_traits(explorer, kind=list(schedules.SCHEDULES).index(kind), fraction=0.3, **SETTINGS[name])
    got = numbers(explorer)
    assert got["t"] == round(0.3 * schedule.T)
    np.testing.assert_allclose(got["beta"], schedule.beta, rtol=1e-9)
    np.testing.assert_allclose(got["alpha_bar"], schedule.alpha_bar, rtol=1e-6)
    np.testing.assert_allclose(got["log_snr"][1:], schedule.log_snr[1:], rtol=1e-6, atol=1e-9)
    point = torch.stack([mean_square(ROLL_DATA).sqrt(), torch.zeros(())])
    assert got["L_T"] == pytest.approx(schedule.L_T(point).item(), rel=1e-6, abs=1e-12)
    aggregate = lookup(aggregate_table(ROLL_DATA), schedule.log_snr[-1].item())
    assert got["mismatch"] == pytest.approx(max(aggregate, 0), rel=1e-6, abs=1e-9)
    assert got["mismatch"] == pytest.approx(kl_from_prior(ROLL_DATA, schedule.alpha_bar[-1].item()), abs=2e-6)
    eps = torch.randn(300, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    xt = ddpm.noised(ROLL_DATA.sample(300, seed=3), eps, schedule.alpha_bar[got["t"]]).flatten()
    np.testing.assert_allclose(got["xt"], xt, rtol=1e-5, atol=1e-6)


def test_the_roll_as_toy_models_scale_it(explorer):
    """Section 3 of notebook 03: divided by ten and not centred, L_T is smaller and the mismatch larger."""
    explorer.get_by_role("button", name="as in many toy models").click()
    before = numbers(explorer)
    explorer.get_by_role("button", name="÷ 10").click()
    got, schedule, small = numbers(explorer), schedules.constant(100, 0.005), tenth(ROLL_DATA)
    assert got["alpha_bar"][100] == pytest.approx(0.606, abs=0.001)
    point = torch.stack([mean_square(small).sqrt(), torch.zeros(())])
    assert got["L_T"] == pytest.approx(schedule.L_T(point).item(), rel=1e-6)
    assert got["mismatch"] == pytest.approx(kl_from_prior(small, schedule.alpha_bar[-1].item()), abs=2e-6)
    assert got["L_T"] < before["L_T"]
    assert got["mismatch"] > 4 * before["mismatch"] > 0
    raw = ROLL_DATA.sample(300, seed=3) * ROLL_DATA.scale + torch.from_numpy(ROLL_DATA.shift)
    eps = torch.randn(300, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    xt = ddpm.noised(raw / 10, eps, schedule.alpha_bar[100]).flatten()
    np.testing.assert_allclose(got["xt"], xt, rtol=1e-5, atol=1e-6)
    assert "wrong shares" in explorer.locator(".dedu-words").inner_text()


def test_words_warn(explorer):
    words = explorer.locator(".dedu-words")
    assert "xT is noise" in words.inner_text()
    explorer.get_by_role("button", name="the same β").click()
    assert numbers(explorer)["T"] == 100
    assert "Warning: xT is not yet noise, 36 %" in words.inner_text()
    set_traits(explorer, beta_1=0.1)
    assert "β₁ is above βT" in words.inner_text()
    set_traits(explorer, kind=2)
    assert "computes its own β" in words.inner_text()
    assert explorer.locator(".widget-inline-hbox[inert]").count() == 2  # β₁ and β_T do nothing, and cannot be used
    assert "Warning" not in words.inner_text()
    set_traits(explorer, kind=0)
    assert "every β is βT" in words.inner_text()
    assert explorer.locator(".widget-inline-hbox[inert]").count() == 1
    assert "Shown" not in words.inner_text()
    set_traits(explorer, kind=1, T=1000, beta_1=1e-4, beta_T=0.02, fraction=0.5)
    assert "Shown: t = 500, ᾱ = 0.0786, log SNR = −2.46." in words.inner_text()


def test_keyboard_and_mouse_move_it(explorer):
    T, beta_1, beta_T, fraction = explorer.locator(".noUi-handle").all()
    before, seen = drawn(explorer), numbers(explorer)
    for handle, key, name in [(T, "ArrowLeft", "T"), (beta_1, "ArrowRight", "beta_1"), (beta_T, "ArrowLeft", "beta_T")]:
        handle.focus()
        explorer.keyboard.press(key)
        now, seen = seen, numbers(explorer)
        assert (seen[name] > now[name]) if key == "ArrowRight" else (seen[name] < now[name])
    assert seen["T"] == seen["t"] == 990
    assert seen["beta_T"] == seen["beta"][990] == 0.018
    fraction.focus()
    explorer.keyboard.press("Home")
    assert numbers(explorer)["t"] == 0
    assert all(a != b for a, b in zip(before, drawn(explorer), strict=True))
    box = explorer.locator(".noUi-target").nth(3).bounding_box()
    explorer.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert numbers(explorer)["t"] == pytest.approx(495, abs=30)
    explorer.locator("select").select_option("cosine")
    assert numbers(explorer)["kind"] == "cosine"
    explorer.get_by_role("button", name="Ho et al.").click()
    assert numbers(explorer)["kind"] == "linear"
    assert explorer.locator("select").input_value() == "linear"


def test_play_runs_through_the_times(explorer):
    set_traits(explorer, T=100, fraction=0.0)
    explorer.get_by_role("button", name="Play").click()
    explorer.wait_for_function("() => document.querySelector('.dedu').numbers.t > 20")
    explorer.get_by_role("button", name="Pause").click()
    assert 20 < numbers(explorer)["t"] < 100


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="kind must be one of constant, linear"):
        widgets.schedule_explorer(ROLL_DATA, kind="quadratic")
    with pytest.raises(ValueError, match="T must lie in 10 … 1000"):
        widgets.schedule_explorer(ROLL_DATA, T=5)
    with pytest.raises(ValueError, match="beta_T must lie in"):
        widgets.schedule_explorer(ROLL_DATA, beta_T=1.5)
    with pytest.raises(ValueError, match="n, the number of points"):
        widgets.schedule_explorer(ROLL_DATA, n=0)


# --- the tables ---


@pytest.mark.parametrize("log_snr", [-12, -5.5, -1, 0.25, 2])
def test_stored_errors_are_the_exact_denoisers(log_snr):
    stored = error_table(SwissRoll())[np.flatnonzero(log_snr == LOG_SNR)[0]]
    assert stored == pytest.approx(error(ROLL_DATA, log_snr), abs=1e-7)
    assert len(ROLL.split()) == len(LOG_SNR)


@pytest.mark.parametrize("log_snr", [3.75, 6, 9])
def test_stored_errors_by_sampling(log_snr):
    """Where a grid takes long."""
    alpha_bar = 1 / (1 + math.exp(-log_snr))
    x0 = ROLL_DATA.sample(4000, seed=5)
    xt = ddpm.noised(
        x0, torch.randn(x0.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(6)), alpha_bar
    )
    share = (x0 - ROLL_DATA.x0_mean(xt, alpha_bar)).square().mean(1) / (1 - alpha_bar)
    stored = error_table(SwissRoll())[np.flatnonzero(log_snr == LOG_SNR)[0]]
    assert share.mean().item() == pytest.approx(stored, abs=4 * share.std().item() / 4000**0.5)


def test_the_table_between_its_nodes():
    table = error_table(SwissRoll())
    for log_snr in (-3.3, 1.56, 2.06):
        assert lookup(table, log_snr) == pytest.approx(error(ROLL_DATA, log_snr), abs=1e-5)


def test_mse_is_the_mean_that_denoising_error_samples():
    schedule = schedules.linear(25)
    x0, exact = ROLL_DATA.sample(4000, seed=9), mse(ROLL_DATA, schedule)
    denoiser = exact_denoiser(ROLL_DATA, schedule.alpha_bar)
    sampled = diffusion.denoising_error(x0, schedule, denoiser, torch.Generator().manual_seed(10))
    assert exact[0] == 0
    # a squared error's spread is about its mean
    np.testing.assert_allclose(sampled[1:] / exact[1:], 1, atol=4 * 1.5 / 4000**0.5)


def test_the_integral_of_the_error_is_the_information():
    table = aggregate_table(SwissRoll())
    for log_snr in (-2, 0, 2, 4):
        alpha_bar = 1 / (1 + math.exp(-log_snr))
        at_node = table[np.flatnonzero(log_snr == LOG_SNR)[0]]
        assert at_node == pytest.approx(kl_from_prior(ROLL_DATA, alpha_bar), abs=1e-6)
    assert table[-1] == pytest.approx(1 + math.log(2 * math.pi) - ROLL_DATA.entropy(), abs=1e-4)

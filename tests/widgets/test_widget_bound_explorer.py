"""The bound explorer in a real browser, against ddpm.py's form of the terms and against Monte Carlo."""

import numpy as np
import pytest
import torch
from browsing import drawn, numbers, set_traits

from diffusion_edu import ddpm, diffusion, evaluate, oracles, schedules, widgets
from diffusion_edu.data import SwissRoll
from diffusion_edu.exact import LOG_SNR, aggregate_table, error_table
from diffusion_edu.widgets.bound_explorer import SCHEDULES, SIGMAS

ROLL, H = SwissRoll(nodes=320), 1.35090  # its entropy: notebook 00
MAKE = [schedules.cosine, schedules.linear, schedules.sigmoid, lambda T: schedules.linear(T, 1e-4, 0.02)]
PICKS = [(0, 10), (0, 1000), (1, 30), (2, 200), (3, 10), (3, 100)]  # schedule, T


def lookup(table, log_snr):
    """The cubic through the four neighbours, by Neville's scheme, where the browser has Lagrange's."""
    x = np.clip(np.atleast_1d(log_snr), LOG_SNR[0], LOG_SNR[-1])[:, None]
    i = np.clip(np.searchsorted(LOG_SNR, x[:, 0], side="right") - 1, 1, len(table) - 3)
    near = i[:, None] + np.arange(-1, 3)
    nodes, y = LOG_SNR[near], table[near]
    for k in (1, 2, 3):
        left, right = nodes[:, :-k], nodes[:, k:]
        y = ((right - x) * y[:, :-1] + (x - left) * y[:, 1:]) / (right - left)
    return y[:, 0]


def tabulated_mse(schedule):
    """E|x₀ − x̂₀|²/D of the exact denoiser at t = 0 … T, from the table that the browser has."""
    fraction = lookup(error_table(SwissRoll()), schedule.log_snr[1:].numpy())
    return (1 - schedule.alpha_bar) * torch.tensor([0.0, *fraction], dtype=torch.float64)


def sigma2(name, schedule, mse):
    choices = {"β": diffusion.sigma2_beta, "β̃": diffusion.sigma2_beta_tilde}
    return choices[name](schedule) if name in choices else diffusion.sigma2_optimal(schedule, mse)


def library_terms(schedule, sigma):
    """L₀ … L_T as w_t E|ε − ε̂|² + C_t, with E|ε − ε̂|² = SNR E|x₀ − x̂₀|²: another route than (3.17)."""
    mse = tabulated_mse(schedule)
    s2 = sigma2(sigma, schedule, mse)
    steps = ddpm.eps_weight(schedule, s2)[1:] * schedule.snr[1:] * 2 * mse[1:] + ddpm.loss_constant(schedule, s2, 2)[1:]
    square = (ROLL.weights @ (ROLL.means**2 + ROLL.variances)).sum()
    return torch.cat([steps, schedule.L_T(torch.stack([square.sqrt(), torch.zeros(())]))[None]])


@pytest.fixture(scope="module")
def widget():
    return widgets.bound_explorer(ROLL, T=100)


@pytest.fixture
def explorer(show, widget):
    return show(widget)


def test_numbers_are_the_librarys(explorer):
    for number, T in PICKS:
        schedule = MAKE[number](T)
        set_traits(explorer, schedule=number, T=T)
        for k, sigma in enumerate(SIGMAS):
            set_traits(explorer, sigma=k)
            got, expected = numbers(explorer), library_terms(schedule, sigma)
            np.testing.assert_allclose(got["now"]["L"], expected, rtol=1e-6, atol=1e-9)
            assert got["now"]["neg_elbo"] == pytest.approx(expected.sum().item(), rel=1e-6)
            assert got["now"]["gap"] == pytest.approx(expected.sum().item() - H, abs=5e-5)
            saved = expected.sum() - library_terms(schedule, "best").sum()
            assert got["saved"] == pytest.approx(saved.item(), rel=1e-6, abs=1e-9)
            assert got["now"]["L_0"] == got["now"]["L"][0]
            assert got["now"]["L_T"] == got["now"]["L"][T]
            assert sum(got["now"]["bands"]) == pytest.approx(expected[1:-1].sum().item(), rel=1e-6)
            np.testing.assert_allclose(got["now"]["log_snr"][1:], schedule.log_snr[1:], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("number", "T"), [(0, 16), (3, 30)])
def test_terms_agree_with_sampled_ones(number, T):
    """`closed_form_terms` draws x_t; the table never does."""
    schedule, x0 = MAKE[number](T), ROLL.sample(1500, seed=7)
    denoiser, mse = oracles.exact_denoiser(ROLL, schedule.alpha_bar), tabulated_mse(schedule)
    for sigma in SIGMAS:
        chain = diffusion.ForwardProcess(schedule, denoiser, diffusion.per_step(sigma2(sigma, schedule, mse)))
        sampled = diffusion.closed_form_terms(x0, chain, torch.Generator().manual_seed(8))
        expected = library_terms(schedule, sigma)
        for rows in (slice(0, 1), slice(1, T // 2), slice(T // 2, T), slice(T, T + 1), slice(None)):
            mean, se = evaluate.mean_and_error(sampled[rows].sum(0))
            assert abs(mean - expected[rows].sum().item()) < 4 * se


def test_places_add_up(explorer):
    """The stack's bands and the prices: what each place pays is not negative, and adds up to the gap."""
    for number, T in PICKS:
        schedule = MAKE[number](T)
        set_traits(explorer, schedule=number, T=T, sigma=0)
        got, log_snr = numbers(explorer), schedule.log_snr
        L, width = library_terms(schedule, "best")[1:-1], log_snr[1:-1] - log_snr[2:]
        fine = ((log_snr[1:-1] - 5) / width).clamp(0, 1)
        coarse = ((0 - log_snr[2:]) / width).clamp(0, 1)
        bands = [(L * fine).sum().item(), (L * (1 - fine - coarse)).sum().item(), (L * coarse).sum().item()]
        assert got["now"]["bands"] == pytest.approx(bands, rel=1e-6, abs=1e-9)
        assert sum(got["prices"]) == pytest.approx(got["now"]["gap"], abs=1e-9)
        assert all(price > -1e-5 for price in got["prices"])
        end = max(lookup(aggregate_table(SwissRoll()), log_snr[-1].item()).item(), 0)
        assert got["prices"][3] == pytest.approx(end, abs=1e-8)  # the KL of all x_T from N(0, I)


def test_the_story(explorer):
    """Steps make the gap fall like 1/T; β̃ costs a nat at any T; best ≤ β < β̃; a short schedule leaves L_T."""
    set_traits(explorer, schedule=0, sigma=0, T=1000)
    got = numbers(explorer)
    best, large, small = (np.array(row) for row in got["curves"])
    assert (np.diff(best) < 0).all()
    assert (best < large).all()
    assert (large < small).all()
    assert 0.9 < small.min() < 1.1
    assert got["curves"][0][10] / got["now"]["gap"] == pytest.approx(10, rel=0.1)  # T = 100 against T = 1000
    assert [row["T"] for row in got["stack"]][10] == 100
    set_traits(explorer, schedule=3, T=50)
    assert 0.6 < numbers(explorer)["now"]["alpha_bar_T"] < 0.61
    assert numbers(explorer)["now"]["L_T"] == pytest.approx(0.92, abs=0.01)


def test_words(explorer):
    words = explorer.locator(".dedu-words")
    assert "above H = 1.351" in words.inner_text()
    assert "Warning" not in words.inner_text()
    set_traits(explorer, sigma=2, T=1000)
    assert "where log SNR > 5 and in the decoder" in words.inner_text()
    assert "The best σ² would save 1.0" in words.inner_text()
    set_traits(explorer, schedule=3, T=50)
    assert "Warning: ᾱT = 0.603, xT is not yet noise. Of LT, 0.018 nats are lost" in words.inner_text()
    set_traits(explorer, schedule=1, T=16)
    assert "needs T above 20" in words.inner_text()
    assert numbers(explorer)["now"] is None
    set_traits(explorer, T=31.6)
    assert numbers(explorer)["now"]["T"] == 30


def test_keyboard_and_mouse_move_it(explorer):
    before = drawn(explorer)
    explorer.locator(".noUi-handle").focus()
    explorer.keyboard.press("ArrowRight")
    assert numbers(explorer)["T"] == 130  # the slider is logarithmic
    assert all(a != b for a, b in zip(before, drawn(explorer), strict=True))
    box = explorer.locator(".noUi-target").bounding_box()
    explorer.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert numbers(explorer)["T"] == 100
    schedule, sigma = explorer.locator("select").all()
    schedule.select_option(SCHEDULES[3])
    sigma.select_option("β")
    got = numbers(explorer)
    assert (got["schedule"], got["sigma"]) == (3, "β")
    assert "linear with the β of Ho et al." in explorer.locator(".dedu-words").inner_text()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="data must be in the plane"):
        widgets.bound_explorer(oracles.gaussian([0.0], [1.0]))
    with pytest.raises(ValueError, match="schedule must be one of"):
        widgets.bound_explorer(ROLL, schedule="quadratic")
    with pytest.raises(ValueError, match="sigma must be one of"):
        widgets.bound_explorer(ROLL, sigma="γ")
    with pytest.raises(ValueError, match="T must lie in 10 … 1000"):
        widgets.bound_explorer(ROLL, T=2000)

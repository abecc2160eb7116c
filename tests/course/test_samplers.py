"""samplers.py: the exact law at finite T, orders of convergence, and what the denoiser is asked."""

import math

import pytest
import torch
from shared import assert_mean, generator, randn
from torch.testing import assert_close

from diffusion_edu.data import SwissRoll
from diffusion_edu.diffusion import posterior_mean, posterior_mean_coefficients, sigma2_beta, sigma2_beta_tilde
from diffusion_edu.evaluate import energy_distance, noise_floor
from diffusion_edu.oracles import exact_denoiser, gaussian
from diffusion_edu.samplers import ancestral, ddim, extrapolate_x0, first_order, reverse_path, sample, second_order
from diffusion_edu.sampling import SAMPLERS
from diffusion_edu.schedules import cosine, from_snr, linear

MEAN, VARIANCE = 0.5, 0.3
DATA = gaussian([MEAN], [VARIANCE])
SCHEDULE = linear(8, 0.05, 0.6)
DENOISER = exact_denoiser(DATA, SCHEDULE.alpha_bar)


def law_of_ancestral_sampling(schedule, sigma2, times) -> tuple[float, float]:
    """Mean and variance after x_T ~ N(0, 1) went through x_s = c₀ x̂₀ + c_t x_t + σ z at every kept time, where
    x̂₀ = m + k (x_t − √ᾱ m) with k = √ᾱ v/(ᾱ v + 1 − ᾱ): each step is linear, and the last adds no noise."""
    mean, var = 0.0, 1.0
    for i in range(len(times) - 1, 0, -1):
        a, before = float(schedule.alpha_bar[times[i]]), float(schedule.alpha_bar[times[i - 1]])
        step = a / before  # the signal that survives from time i − 1 to i
        c0, ct = math.sqrt(before) * (1 - step) / (1 - a), math.sqrt(step) * (1 - before) / (1 - a)
        k = math.sqrt(a) * VARIANCE / (a * VARIANCE + 1 - a)
        gain = c0 * k + ct
        mean = gain * mean + c0 * (1 - k * math.sqrt(a)) * MEAN
        var = gain**2 * var + (sigma2(step, a, before) if i > 1 else 0)
    return mean, var


CHOICES = {
    "ancestral": lambda step, a, before: 1 - step,
    "ancestral-small": lambda step, a, before: (1 - before) / (1 - a) * (1 - step),
}


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("steps", [8, 4, 3, 1])
def test_exact_law_at_finite_T(name, steps):
    x_T = randn(100_000, 1)
    x0 = sample(DENOISER, SCHEDULE, x_T, step=SAMPLERS[name].step, steps=steps, generator=generator(1))
    times = [round(8 * i / steps) for i in range(steps + 1)]  # 3 steps: 0, 3, 5, 8
    mean, var = law_of_ancestral_sampling(SCHEDULE, CHOICES[name], times)
    assert_mean(x0, mean)
    assert_mean((x0 - mean) ** 2, var)
    assert abs(var - VARIANCE) > 0.01  # the law at this T, which is not yet the data's


def test_no_noise_is_added_at_the_last_step():
    x_T = randn(9, 1)
    *_, (one, x1), (zero, x0) = reverse_path(DENOISER, SCHEDULE, x_T, generator=generator(1))
    assert (one, zero) == (1, 0)
    assert_close(x0, posterior_mean(SCHEDULE, 1, x1, DENOISER(x1, 1)))
    single = [sample(DENOISER, SCHEDULE, x_T, steps=1, generator=generator(seed)) for seed in (1, 2)]
    assert torch.equal(*single)


def test_noise_is_added_at_every_other_step_and_comes_from_the_generator():
    paths = [list(reverse_path(DENOISER, SCHEDULE, randn(9, 1), generator=generator(seed))) for seed in (1, 1, 2)]
    for (t, x), (_, same), (_, other) in zip(*paths, strict=True):
        assert torch.equal(x, same)
        assert t == 8 or not torch.equal(x, other)


@pytest.mark.parametrize("steps", [None, 8, 5, 2])
def test_the_path_visits_the_kept_times_and_asks_the_denoiser_there(steps):
    asked = []

    def denoiser(xt, t):
        asked.append(t)
        return DENOISER(xt, t)

    times = [t for t, _ in reverse_path(denoiser, SCHEDULE, randn(9, 1), step=first_order(ddim), steps=steps)]
    assert times == sorted(set(times), reverse=True)
    assert (times[0], times[-1], len(times)) == (8, 0, (steps or 8) + 1)
    assert asked == times[:-1]


@pytest.mark.parametrize("steps", [8, 4, 3])
def test_a_path_that_starts_on_the_way_goes_on_as_the_whole_one(steps):
    """With DDIM, which draws nothing, from each time of a path."""
    whole = list(reverse_path(DENOISER, SCHEDULE, randn(9, 1), first_order(ddim), steps))
    for k in range(steps):
        t, xt = whole[k]
        for (s, after), (also, expected) in zip(
            reverse_path(DENOISER, SCHEDULE, xt, first_order(ddim), steps, start=t), whole[k:], strict=True
        ):
            assert s == also
            assert torch.equal(after, expected)


@pytest.mark.parametrize("start", [0, 1, 9])
def test_a_start_that_is_not_visited_is_refused(start):
    with pytest.raises(
        ValueError, match=f"start must be one of the 4 times that are visited, from 2 to 8, got {start}"
    ):
        list(reverse_path(DENOISER, SCHEDULE, randn(9, 1), steps=4, start=start))


@pytest.mark.parametrize("T", [1, 8])
def test_ddim_draws_nothing(T):
    schedule = linear(T, 0.3, 0.6)
    denoiser, x_T = exact_denoiser(DATA, schedule.alpha_bar), randn(9, 1)
    runs = [sample(denoiser, schedule, x_T, step=first_order(ddim), generator=generator(seed)) for seed in (1, 2)]
    assert torch.equal(*runs)


def test_ddim_converges_with_order_one_to_the_flow():
    """As T grows DDIM follows an ODE, which on Gaussian data keeps every point at its own number of standard
    deviations: x₀ = m + √v (x_T − √ᾱ_T m)/√(ᾱ_T v + 1 − ᾱ_T). Error ∝ 1/T: slope −1."""
    x_T, sizes, errors = torch.linspace(-2, 2, 9).double().unsqueeze(1), [100, 200, 400, 800], []
    for T in sizes:
        schedule = linear(T)
        a = float(schedule.alpha_bar[-1])
        limit = MEAN + math.sqrt(VARIANCE / (a * VARIANCE + 1 - a)) * (x_T - math.sqrt(a) * MEAN)
        x0 = sample(exact_denoiser(DATA, schedule.alpha_bar), schedule, x_T, step=first_order(ddim))
        errors.append((x0 - limit).abs().max().log2())
    slopes = torch.stack(errors).diff()
    assert_close(slopes, torch.full((3,), -1.0).double(), rtol=0, atol=0.1)  # halving T, O(1/T) off −1


def even_in_log_snr(T):
    """From SNR 100 to 1/1000 in T − 1 steps that are even in log SNR; the step to t = 0 is left out of what follows."""
    return from_snr(torch.logspace(2, -3, T, dtype=torch.float64))


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("ddim-2m", 2)])
def test_the_second_order_step_follows_the_flow_with_order_two(name, order):
    """The same flow as above, down to x₁."""
    x_T, errors = torch.linspace(-2, 2, 9).double().unsqueeze(1), []
    for T in (100, 200, 400, 800):
        schedule = even_in_log_snr(T)
        a = schedule.alpha_bar
        sd = (a * VARIANCE + 1 - a).sqrt()
        limit = a[1].sqrt() * MEAN + sd[1] / sd[-1] * (x_T - a[-1].sqrt() * MEAN)
        path = dict(reverse_path(exact_denoiser(DATA, a), schedule, x_T, step=SAMPLERS[name].step))
        errors.append((path[1] - limit).abs().max().log2())
    assert_close(torch.stack(errors).diff(), torch.full((3,), -float(order)).double(), rtol=0, atol=0.03)


def spread_of_the_noisy_second_order(schedule) -> float:
    """The variance at t = 1 after x_T ~ N(√ᾱ_T m, ᾱ_T v + 1 − ᾱ_T) went through the steps of `ancestral-2m`: each is
    linear in x_t and in the x̂₀ before, so the covariance of the two is all there is to follow."""
    a, (c0, ct) = schedule.alpha_bar, posterior_mean_coefficients(schedule)
    both = torch.zeros(2, 2).double()
    both[0, 0] = a[-1] * VARIANCE + 1 - a[-1]
    for t in range(schedule.T, 1, -1):
        k = a[t].sqrt() * VARIANCE / (a[t] * VARIANCE + 1 - a[t])
        ahead = 0.5 if t < schedule.T else 0.0  # all steps are even
        step = torch.tensor([[c0[t] * k * (1 + ahead) + ct[t], -c0[t] * ahead], [k, 0]])
        both = step @ both @ step.T
        both[0, 0] += schedule.beta_tilde[t]
    return both[0, 0].item()


def test_the_noisy_second_order_step_has_the_law_that_follows_from_its_equation():
    schedule = even_in_log_snr(8)
    sd = math.sqrt(schedule.alpha_bar[-1] * VARIANCE + 1 - schedule.alpha_bar[-1])
    x_T = schedule.alpha_bar[-1].sqrt() * MEAN + sd * randn(100_000, 1).double()
    denoiser = exact_denoiser(DATA, schedule.alpha_bar)
    path = dict(reverse_path(denoiser, schedule, x_T, SAMPLERS["ancestral-2m"].step, generator=generator(1)))
    var = spread_of_the_noisy_second_order(schedule)
    assert_mean((path[1] - schedule.alpha_bar[1].sqrt() * MEAN) ** 2, var)
    assert abs(var - (schedule.alpha_bar[1] * VARIANCE + 1 - schedule.alpha_bar[1])) > 0.01


def test_the_law_of_the_noisy_second_order_step_converges_with_order_two():
    errors = []
    for T in (100, 200, 400, 800):
        schedule = even_in_log_snr(T)
        right = (schedule.alpha_bar[1] * VARIANCE + 1 - schedule.alpha_bar[1]).item()
        errors.append(math.log2(abs(spread_of_the_noisy_second_order(schedule) - right)))
    assert_close(torch.tensor(errors).diff(), torch.full((3,), -2.0), rtol=0, atol=0.03)


def test_x0_is_continued_on_a_straight_line_in_log_snr():
    line = 3 - 0.2 * SCHEDULE.log_snr[1:].unsqueeze(1)
    for t in range(2, SCHEDULE.T):
        middle = (line[t - 1] + line[t - 2]) / 2
        assert_close(extrapolate_x0(SCHEDULE, t, line[t - 1], line[t]), middle)
    assert_close(extrapolate_x0(SCHEDULE, 1, line[0], line[1]), line[0])
    assert_close(extrapolate_x0(SCHEDULE, SCHEDULE.T, line[-1], None), line[-1])


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_step_asks_the_denoiser_as_often_as_the_table_says(name):
    asked = []

    def denoiser(xt, t):
        asked.append(t)
        return 0.5 * xt

    step, calls, _ = SAMPLERS[name]
    times = [t for t, _ in reverse_path(denoiser, SCHEDULE, randn(9, 1), step=step)]
    assert len(asked) == calls * 7 + 1, "the step to 0 needs but one"
    assert asked[::calls] == times[:-1]


def test_the_second_order_goes_from_one_x0_to_the_next():
    """Over five of eight times, whose steps are uneven, written out."""
    sub, times = SCHEDULE.respaced(5)
    xt = randn(9, 1).double()
    path, before = list(reverse_path(DENOISER, SCHEDULE, xt, second_order(ddim), 5)), None
    for i, (t, after) in zip(range(5, 0, -1), path[1:], strict=True):
        x0_hat = DENOISER(xt, int(times[i]))
        xt = ddim(sub, i, xt, extrapolate_x0(sub, i, x0_hat, before), torch.zeros_like(xt))
        assert t == times[i - 1]
        assert_close(after, xt)
        before = x0_hat


def test_sigma2_is_that_of_the_schedule_that_is_run():
    def run(sigma2):
        step = first_order(ancestral(sigma2))
        return sample(DENOISER, SCHEDULE, randn(9, 1), step=step, steps=4, generator=generator(3))

    sub, _ = SCHEDULE.respaced(4)
    for sigma2 in (sigma2_beta, sigma2_beta_tilde):
        of_sub = sigma2(sub)
        assert torch.equal(run(sigma2), run(lambda _, var=of_sub: var))
    assert not torch.equal(run(sigma2_beta), run(sigma2_beta_tilde))


def test_a_step_gets_back_what_it_returned_and_may_ask_the_denoiser_at_every_time():
    """Over five of eight times: a step that counts itself, and asks where it ends too."""
    asked, states = [], []

    def denoiser(xt, t):
        asked.append(t)
        return DENOISER(xt, t)

    def step(schedule, t, xt, denoiser, eps, state):
        states.append(state)
        return denoiser(xt, t - 1) if t > 1 else xt, (state or 0) + 1

    times = [t for t, _ in reverse_path(denoiser, SCHEDULE, randn(9, 1), step=step, steps=5)]
    assert states == [None, 1, 2, 3, 4]
    assert asked == times[1:-1]


def test_the_exact_reverse_process_draws_the_swiss_roll():
    """Beside a true set, the samples lie no further than two noise floors off; the start lies over five off."""
    roll, schedule, n = SwissRoll(), cosine(60), 1500
    truth, floor = roll.sample(n, 5), noise_floor(energy_distance, roll, n)
    x_T = randn(n, 2, seed=6)
    x0 = sample(exact_denoiser(roll, schedule.alpha_bar), schedule, x_T, generator=generator(7))
    assert energy_distance(x0, truth) < 2 * floor
    assert energy_distance(x_T, truth) > 5 * floor


@pytest.mark.parametrize("steps", [0, 9])
def test_a_number_of_steps_that_the_schedule_has_not_is_refused(steps):
    with pytest.raises(ValueError, match="S, the number of sampling steps"):
        sample(DENOISER, SCHEDULE, randn(9, 1), steps=steps)

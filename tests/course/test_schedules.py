"""schedules.py: every schedule's formula, simulation of ᾱ, and what is no schedule."""

import math

import numpy as np
import pytest
import torch
from shared import assert_mean, generator, randn
from torch.distributions import Independent, Normal, kl_divergence
from torch.testing import assert_close

from diffusion_edu.schedules import SCHEDULES, Schedule, constant, cosine, from_snr, linear, make_schedule, sigmoid

each_schedule = pytest.mark.parametrize("name", SCHEDULES)


@each_schedule
@pytest.mark.parametrize("T", [25, 1000])
def test_index_zero_is_clean_data_and_alpha_bar_is_the_running_product(name, T):
    s = make_schedule(name, T)
    assert (s.T, s.beta.dtype, s.beta[0]) == (T, torch.float64, 0)
    for values in (s.beta, s.alpha, s.alpha_bar, s.snr, s.log_snr, s.beta_tilde):
        assert values.shape == (T + 1,)
    products = [math.prod((1 - s.beta[1 : t + 1]).tolist()) for t in range(T + 1)]
    assert_close(s.alpha_bar, torch.tensor(products).double())
    assert s.alpha_bar[0] == 1
    assert bool((s.alpha_bar.diff() < 0).all())


@each_schedule
def test_snr_and_beta_tilde_follow_from_alpha_bar(name):
    s = make_schedule(name, 50)
    signal, noise = s.alpha_bar[1:], 1 - s.alpha_bar[1:]
    assert math.isinf(s.snr[0])
    assert_close(s.snr[1:], signal / noise)
    assert_close(s.log_snr[1:], signal.log() - noise.log())
    # 1/β̃_t = α_t/β_t + 1/(1 − ᾱ_{t−1}): the precisions of q(x_t|x_{t−1}) and of q(x_{t−1}|x₀) add
    assert_close(1 / s.beta_tilde[2:], s.alpha[2:] / s.beta[2:] + 1 / noise[:-1])
    assert s.beta_tilde[1] == 0


def test_alpha_bar_by_simulation():
    """From one point, the mean after t steps is √ᾱ_t x₀ and the variance 1 − ᾱ_t."""
    s, noise, x0 = linear(8, 0.05, 0.6), generator(0), 2.0
    x = torch.full((50_000,), x0, dtype=torch.float64)
    for t in range(1, 9):
        x = (1 - s.beta[t]).sqrt() * x + s.beta[t].sqrt() * torch.randn(50_000, generator=noise, dtype=torch.float64)
        mean = s.alpha_bar[t].sqrt() * x0
        assert_mean(x, mean)
        assert_mean((x - mean) ** 2, 1 - s.alpha_bar[t])


def test_linear_is_the_papers_at_a_thousand_steps():
    s = linear(1000)
    assert_close(s.beta[[1, 1000]], torch.tensor([1e-4, 0.02]).double(), rtol=1e-6, atol=0)
    assert_close(s.beta[1:].diff(), ((s.beta[1000] - s.beta[1]) / 999).expand(999), rtol=0, atol=1e-15)
    assert_close(linear(10, 0.1, 0.4).beta[[1, 4, 10]], torch.tensor([0.1, 0.2, 0.4]).double())


@pytest.mark.parametrize("T", [200, 4000])
def test_linear_ends_at_the_same_noise_for_every_number_of_steps(T):
    """log ᾱ_T is −Σβ − Σβ²/2 − …; Σβ is 10.05 at any T and Σβ² is about 400/3T."""
    s = linear(T)
    assert_close(s.beta.sum().item(), 10.05)
    assert_close(s.alpha_bar[-1].log().item(), -10.05 - 400 / 6 / T, rtol=0, atol=5e3 / T**2)


def test_constant_sigmoid_and_cosine_have_their_formulas():
    t = torch.arange(101, dtype=torch.float64)
    assert_close(constant(100, 0.03).alpha_bar, 0.97**t)
    f = torch.cos(math.pi / 2 * (t / 100 + 0.008) / 1.008).square()
    assert_close(cosine(100).alpha_bar[:-1], (f / f[0])[:-1])
    assert cosine(100).beta[-1] == 0.999  # clamped: ᾱ would be 0
    beta = sigmoid(100, 0.01, 0.2).beta[1:]
    assert_close(beta, 0.01 + 0.19 / (1 + torch.exp(6 - 12 * (t[1:] - 1) / 99)))


def test_from_snr_round_trip():
    snr = torch.logspace(3, -3, 40, dtype=torch.float64)
    assert_close(from_snr(snr).snr[1:], snr)
    s = cosine(30)
    assert_close(from_snr(s.snr[1:]).beta, s.beta)


def test_L_T_is_the_kl_from_the_prior_and_vanishes():
    x0 = randn(5, 3)
    for T in (1, 20):
        s = constant(T, 0.1)
        end = Normal(math.sqrt(0.9**T) * x0, math.sqrt(1 - 0.9**T))
        expected = kl_divergence(Independent(end, 1), Independent(Normal(0 * x0, 1), 1))
        assert_close(s.L_T(x0), expected)
    falling = torch.stack([constant(T, 0.01).L_T(x0) for T in (1, 10, 100, 1000)])
    assert bool((falling.diff(dim=0) < 0).all())
    # for small ᾱ it is ½ ᾱ|x₀|² + O(D ᾱ²/4)
    assert_close(falling[-1], 0.5 * 0.99**1000 * x0.square().sum(1), rtol=0, atol=0.99**2000)


@each_schedule
@pytest.mark.parametrize("S", [1, 7, 25, 49, 50])
def test_respaced_keeps_alpha_bar_at_the_times_it_keeps(name, S):
    s = make_schedule(name, 50)
    sub, times = s.respaced(S)
    assert (sub.T, len(times), times[0], times[-1]) == (S, S + 1, 0, 50)
    assert_close(sub.alpha_bar, s.alpha_bar[times])
    ideal = torch.arange(S + 1) * 50 / S
    assert bool(((times - ideal).abs() <= 0.5 + 1e-4).all())  # the nearest integers (float32)


@each_schedule
@pytest.mark.parametrize("T", [0, -3, 2.5, True, "10"])
def test_a_number_of_steps_that_is_none_is_refused(name, T):
    with pytest.raises(ValueError, match="T, the number of steps"):
        make_schedule(name, T)


@pytest.mark.parametrize("beta", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_beta_outside_zero_to_one_is_refused(beta):
    with pytest.raises(ValueError, match="beta must lie in"):
        constant(10, beta)
    with pytest.raises(ValueError, match="beta must lie in"):
        linear(10, 0.1, beta)


@pytest.mark.parametrize("snr", [[1.0, 1.0], [1.0, 2.0], [1.0, 0.0], [1.0, -1.0], [float("inf"), 1.0], [], [[1.0]]])
def test_an_snr_that_does_not_fall_is_refused(snr):
    with pytest.raises(ValueError, match="strictly falling"):
        from_snr(torch.tensor(snr))


def test_other_bad_input_is_refused():
    with pytest.raises(ValueError, match="unknown schedule 'quadratic'"):
        make_schedule("quadratic")
    with pytest.raises(ValueError, match=r"beta must be \(T \+ 1,\)"):
        Schedule(torch.zeros(1))
    with pytest.raises(ValueError, match=r"beta\[0\] stands for clean data"):
        Schedule(torch.tensor([0.1, 0.1]))
    for S in (0, 11):
        with pytest.raises(ValueError, match="S, the number of sampling steps"):
            linear(10, 0.1, 0.2).respaced(S)


@pytest.mark.parametrize("betas", [(1000, 0.9, 0.99), (10, 1e-17, 1e-16)])
def test_a_schedule_whose_log_snr_is_not_finite_is_refused(betas):
    with pytest.raises(ValueError, match="must lie between 0 and 1, got"):
        linear(*betas)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_schedule_is_float64(dtype):
    with pytest.raises(ValueError, match="beta must be float64, got torch"):
        Schedule(cosine(10).beta.to(dtype))


def test_numpys_integers_are_integers():
    assert torch.equal(cosine(np.int64(100)).beta, cosine(100).beta)
    for bad in (True, 2.0, "3", 0, np.int64(0)):
        with pytest.raises(ValueError, match="T, the number of steps, must be an integer of at least 1, got"):
            cosine(bad)


def test_too_few_steps_for_the_default_betas_say_so():
    for make in (linear, sigmoid):
        with pytest.raises(ValueError, match="must be above 20, got 10: the last β is 20/T by default"):
            make(10)
        assert make(10, beta_1=0.01, beta_T=0.5).T == 10
        assert make(21).T == 21

"""sde.py: laws on Gaussian data, measured orders, and the samplers that are even in log SNR."""

import math
from itertools import pairwise

import pytest
import torch
from shared import assert_mean, generator, randn
from torch.testing import assert_close

from diffusion_edu import sampling
from diffusion_edu.data import SwissRoll
from diffusion_edu.ddpm import DDPM
from diffusion_edu.likelihood import solve
from diffusion_edu.nets import EpsNet
from diffusion_edu.oracles import gaussian
from diffusion_edu.samplers import ddim, first_order, reverse_path, sample
from diffusion_edu.schedules import cosine, from_log_snr, linear
from diffusion_edu.sde import (
    at_log_snr,
    euler,
    euler_maruyama,
    euler_maruyama_step,
    exact_score,
    flow_step,
    heun,
    integrate,
    learned_score,
    probability_flow,
    reverse_drift,
    rk4,
    sigmoid,
)

ROLL, MEAN, V = SwissRoll(), 0.5, 0.3
DATA = gaussian([MEAN], [V])
CENTRED = gaussian([0.0], [V])
NARROW = 0.05
ORDERS = {"euler": (euler, 1), "heun": (heun, 2), "rk4": (rk4, 4)}
each_method = pytest.mark.parametrize(("step", "order"), ORDERS.values(), ids=ORDERS)


def even(noise, clean, steps):
    return torch.linspace(noise, clean, steps + 1, dtype=torch.float64)


def variance(log_snr: float, v: float = V) -> float:
    return sigmoid(log_snr) * v + sigmoid(-log_snr)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0, 2.0])
@pytest.mark.parametrize("log_snr", [-5.0, 0.3, 6.0])
def test_every_amount_of_noise_has_the_same_law(eta, log_snr):
    """The variance of a linear SDE obeys dV/dλ = 2aV + η²(1−ᾱ) with the drift's slope a; of x_λ it is ᾱv + 1 − ᾱ."""
    drift = reverse_drift(exact_score(CENTRED), eta)
    a = drift(log_snr, torch.ones(1, 1).double()).item()
    change = sigmoid(log_snr) * sigmoid(-log_snr) * (V - 1)
    assert_close(2 * a * variance(log_snr) + eta**2 * sigmoid(-log_snr), change)


def test_the_flow_keeps_every_point_at_its_number_of_standard_deviations():
    x = torch.linspace(-2, 2, 9).double().unsqueeze(1)
    found, _ = solve(probability_flow(exact_score(DATA)), x, -6.0, 5.0, rtol=1e-9)
    z = (x - math.sqrt(sigmoid(-6)) * MEAN) / math.sqrt(variance(-6))
    assert_close(found, math.sqrt(sigmoid(5)) * MEAN + math.sqrt(variance(5)) * z, rtol=0, atol=1e-8)


@each_method
def test_orders_on_the_roll(step, order):
    """By the median: at the watersheds between two arms a small error grows large, and those points rule the mean."""
    flow, x_T = probability_flow(exact_score(ROLL)), randn(200, 2, seed=3).double()
    right, _ = solve(flow, x_T, -6.0, 8.0, rtol=1e-11)
    errors = []
    for steps in {1: (400, 800), 2: (200, 400), 4: (100, 200)}[order]:
        *_, (_, x) = integrate(step, flow, even(-6, 8, steps), x_T)
        errors.append((x - right).norm(dim=-1).median())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


def spread(steps, gain, noise=lambda *_: 0.0):
    """The variance at λ = 5 that starts right at −6 and goes through x → gain x + noise."""
    grid = even(-6, 5, steps).tolist()
    v = variance(-6, NARROW)
    for here, there in pairwise(grid):
        v = gain(here, there - here) ** 2 * v + noise(here, there - here) ** 2
    return v


def weak_order(gain, noise=lambda *_: 0.0, steps=800):
    """The order at which the spread comes to the data's."""
    errors = [abs(spread(n, gain, noise) / variance(5, NARROW) - 1) for n in (steps, 2 * steps)]
    return math.log2(errors[0] / errors[1])


ONE, NONE = torch.ones(1, 1).double(), torch.zeros(1, 1).double()


@each_method
def test_weak_orders_of_the_flow_by_a_closed_recursion(step, order):
    flow = probability_flow(exact_score(gaussian([0.0], [NARROW])))
    found = weak_order(lambda here, h: step(flow, here, h, ONE).item(), steps={1: 800, 2: 400, 4: 200}[order])
    assert found == pytest.approx(order, abs=0.05)


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_weak_order_of_euler_maruyama_by_a_closed_recursion(eta):
    drift = reverse_drift(exact_score(gaussian([0.0], [NARROW])), eta)
    found = weak_order(
        lambda here, h: euler_maruyama(drift, here, h, ONE, NONE, eta).item(),
        lambda here, h: euler_maruyama(drift, here, h, NONE, ONE, eta).item(),
    )
    assert found == pytest.approx(1, abs=0.05)


def test_euler_maruyama_converges_along_the_path_with_order_one():
    """Coupled to one Brownian path: with noise that does not depend on x the strong order is 1, not ½."""
    drift, fine = reverse_drift(exact_score(ROLL)), 1600
    h = 14 / fine
    eps, x_T, grid = randn(fine, 100, 2, seed=4).double(), randn(100, 2, seed=5).double(), even(-6, 8, fine).tolist()

    def path(jump):
        x = x_T
        for i in range(0, fine, jump):
            x = euler_maruyama(drift, grid[i], jump * h, x, eps[i : i + jump].sum(0) / math.sqrt(jump))
        return x

    right = path(1)
    coarse, finer = ((path(jump) - right).norm(dim=-1).log2().mean() for jump in (64, 8))
    assert (coarse - finer) / 3 == pytest.approx(1, abs=0.15)


def test_a_grid_is_walked_from_its_first_entry_to_its_last():
    grid, x = torch.tensor([2.0, 1.0, -0.5]), torch.ones(1, 1)
    path = list(integrate(euler, lambda log_snr, x: torch.full_like(x, log_snr), grid, x))
    assert [log_snr for log_snr, _ in path] == grid.tolist()
    assert [x.item() for _, x in path] == [1.0, 1.0 + 2 * -1, 1.0 - 2 + 1 * -1.5]


def test_the_learned_score_is_that_of_the_network_and_is_asked_inside_its_range_only():
    schedule = cosine(60)
    torch.manual_seed(0)
    model = DDPM(EpsNet(2, schedule, width=16), schedule, 2).requires_grad_(False)
    x, score = randn(7, 2).double(), learned_score(model)
    assert score(1.5, x).dtype == torch.float64
    assert_close(score(1.5, x), -model.eps_net.at(x.float(), 1.5).double() / math.sqrt(1 - sigmoid(1.5)))
    with pytest.raises(ValueError, match="log_snr must lie in"):
        score(30.0, x)


def test_the_chain_goes_to_the_sde_with_order_one():
    """ᾱ of `linear` against exp(−∫β) with β(t) = 0.1 + 19.9 t."""
    errors = []
    for T in (500, 1000, 2000):
        t = torch.arange(T + 1) / T
        limit = torch.exp(-(0.1 * t + 9.95 * t**2)).double()
        errors.append((linear(T).alpha_bar - limit).abs().max().log2())
    assert_close(torch.stack(errors).diff(), torch.full((2,), -1.0).double(), rtol=0, atol=0.05)


# --- as samplers ---

KNOTS = from_log_snr(torch.tensor([4.0, 3.0, 1.5, -0.5, -2.0, -5.0]))


def denoise(x, log_snr):
    return DATA.x0_mean(x, sigmoid(log_snr))


def test_a_denoiser_in_log_snr_knows_the_times_of_a_schedule_and_those_between():
    asked = []
    denoiser = at_log_snr(lambda x, log_snr: asked.append(log_snr), KNOTS)
    for t in (6, 2, 2.5, 1.25):
        denoiser(ONE, t)
    assert_close(torch.tensor(asked), torch.tensor([-5.0, 3.0, 2.25, 3.75]))


@each_method
def test_a_step_of_the_flow_is_that_of_the_method(step, order):
    x_T, flow = randn(9, 1).double(), probability_flow(exact_score(DATA))
    path = dict(reverse_path(at_log_snr(denoise, KNOTS), KNOTS, x_T, step=flow_step(step)))
    expected = dict(integrate(step, flow, KNOTS.log_snr[1:].flip(0), x_T))
    for t in range(1, 7):
        assert_close(path[t], expected[KNOTS.log_snr[t].item()])
    assert_close(path[0], DATA.x0_mean(path[1], sigmoid(4.0)))


def test_euler_maruyama_has_the_law_that_follows_from_its_equation():
    """x → x + h (½(1−ᾱ)x + √ᾱ x̂₀ − x) + √((1−ᾱ)h) ε, with x̂₀ = m + k (x − √ᾱ m) linear in x."""
    x_T = randn(100_000, 1).double()
    denoiser = at_log_snr(denoise, KNOTS)
    path = dict(reverse_path(denoiser, KNOTS, x_T, step=euler_maruyama_step, generator=generator(1)))
    mean, var, levels = 0.0, 1.0, KNOTS.log_snr.tolist()
    for t in range(6, 1, -1):
        a, h = sigmoid(levels[t]), levels[t - 1] - levels[t]
        k = math.sqrt(a) * V / (a * V + 1 - a)
        gain = 1 + h * (0.5 * (1 - a) - 1 + math.sqrt(a) * k)
        mean = gain * mean + h * math.sqrt(a) * (1 - k * math.sqrt(a)) * MEAN
        var = gain**2 * var + (1 - a) * h
    assert_mean(path[1], mean)
    assert_mean((path[1] - mean) ** 2, var)
    assert abs(var - variance(4.0)) > 0.01, "not yet the data's"


def test_ddim_is_euler_in_the_noise_to_signal_ratio():
    """y = x/√ᾱ, σ = e^{−λ/2}: dy/dσ = ε̂."""
    x_T = randn(9, 1).double()
    path = dict(reverse_path(at_log_snr(denoise, KNOTS), KNOTS, x_T, step=first_order(ddim)))
    y = x_T / math.sqrt(sigmoid(-5.0))
    for t in range(6, 1, -1):
        here, there = KNOTS.log_snr[t].item(), KNOTS.log_snr[t - 1].item()
        eps_hat = DATA.eps_mean(math.sqrt(sigmoid(here)) * y, sigmoid(here))
        y = y + (math.exp(-there / 2) - math.exp(-here / 2)) * eps_hat
        assert_close(path[t - 1], math.sqrt(sigmoid(there)) * y)


def test_an_even_grid_goes_from_the_clean_end_to_where_hardly_a_nat_is_left():
    schedule = linear(100)
    grid = sampling.even_grid(schedule, 2, 7)
    steps = grid.log_snr[1:]
    assert steps[0] == pytest.approx(schedule.log_snr[1].item())
    assert grid.L_T(torch.ones(2).double()).item() == pytest.approx(0.0025, rel=0.01), "at |x|² = D"
    assert_close(steps.diff(), steps.diff().mean().expand(6))
    assert sampling.even_grid(schedule, 784, 7).log_snr[-1] == pytest.approx(schedule.log_snr[-1].item())
    with pytest.raises(ValueError, match="must be at least 2, got 1"):
        sampling.even_grid(schedule, 2, 1)


@pytest.mark.parametrize("name", ["heun", "rk4", "euler-maruyama"])
def test_samples_of_a_model_on_an_even_grid(name):
    schedule = cosine(60)
    torch.manual_seed(0)
    model = DDPM(EpsNet(2, schedule, width=16), schedule, 2)
    x, g = sampling.draw(model, 5, generator(3), name, 6), generator(3)
    grid, x_T = sampling.even_grid(schedule, 2, 6), randn(5, 2, seed=3).float()
    x_T = torch.randn(5, 2, generator=g)
    step = sampling.SAMPLERS[name].step
    assert_close(x, sample(at_log_snr(model.x0_hat_at, grid), grid, x_T, step=step, generator=g))
    assert not torch.allclose(x, sampling.draw(model, 5, generator(3), name, 7))

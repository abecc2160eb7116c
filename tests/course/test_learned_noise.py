"""learned_noise.py: what a schedule costs, the best one, and densities of λ that are learned."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch.testing import assert_close

from diffusion_edu import exact, schedules
from diffusion_edu.data import SwissRoll
from diffusion_edu.diffusion import ForwardProcess, per_step, sigma2_optimal
from diffusion_edu.evaluate import gap, mean_and_error, score_chain
from diffusion_edu.learned_noise import (
    Bins,
    Errors,
    best_log_snr,
    bound,
    entropy,
    equal_lengths,
    exact_errors,
    length,
    low_discrepancy,
    optimal_schedule,
    price_density,
    second_moment_loss,
)
from diffusion_edu.oracles import Mixture, exact_denoiser, gaussian
from diffusion_edu.sde import sigmoid

ROLL = SwissRoll()
OF_ROLL = exact_errors(ROLL)


def line(means: list[float], variance: float) -> Mixture:
    """A mixture on the line with E|x|² = 1."""
    at = torch.tensor(means, dtype=torch.float64)
    scale = (at.square().mean() + variance).sqrt()
    return Mixture(torch.ones(len(at)), (at / scale).unsqueeze(1), (variance / scale**2).expand(len(at), 1))


LUMPS, COMB = line([-1.0, 1.0], 0.09), line([(k - 7.5) / 4.6 for k in range(16)], 0.0009)


def test_the_entropy_from_twenty_seven_errors():
    error = exact.error_table(ROLL)
    for step, error_of_h in ((1, 2e-4), (8, 2e-4), (16, 2e-3)):
        found = entropy(exact.LOG_SNR[::step], error[::step], dim=2)
        assert abs(found - ROLL.entropy()) < error_of_h
    assert len(exact.LOG_SNR[::8]) == 27
    assert abs(entropy(exact.LOG_SNR[::32], error[::32], dim=2) - ROLL.entropy()) > 0.1, "seven are not enough"


def test_the_entropy_of_data_on_a_line_and_of_unequal_second_moment():
    for data in (LUMPS, gaussian([0.3], [0.4])):
        assert abs(entropy(exact.LOG_SNR, exact.error_table(data), dim=1) - data.entropy()) < 2e-4


@pytest.mark.parametrize("schedule", [schedules.cosine(50), schedules.linear(200), schedules.cosine(1)])
def test_the_bound_is_the_price_above_the_entropy(schedule):
    found = bound(OF_ROLL, schedule.log_snr[1:]).item()
    assert_close(found - ROLL.entropy(), exact.price(ROLL, schedule), rtol=1e-9, atol=1e-12)


def test_the_bounds_gradient_is_its_difference_quotient():
    log_snr = torch.tensor([6.0, 3.0, 1.0, -2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: bound(OF_ROLL, x), log_snr, eps=1e-5, atol=1e-6)


def test_the_price_density_is_the_spread_of_the_posterior_covariance():
    """g = ¼ SNR² (E tr Cov² − D mse²), by sampling."""
    for log_snr in (0.0, 2.92, 8.0):
        bar = sigmoid(log_snr)
        generator = torch.Generator().manual_seed(3)
        x0 = ROLL.sample(4000, 5)
        xt = bar**0.5 * x0 + (1 - bar) ** 0.5 * torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
        cov = ROLL.x0_cov(xt, bar)
        square, m = (cov @ cov).diagonal(dim1=-2, dim2=-1).sum(-1), 0.5 * cov.diagonal(dim1=-2, dim2=-1).sum(-1)
        mean, se = mean_and_error(0.25 * math.exp(2 * log_snr) * (square - 4 * m.mean() * m + 2 * m.mean() ** 2))
        found = price_density(OF_ROLL, np.array([log_snr]))[0]
        assert abs(found - mean) < 4 * se
        assert found > 8 * se, "the check can tell it from zero"


def test_the_price_density_is_what_a_small_step_costs():
    """A step from λ + h to λ costs g h² more than infinitely many."""
    h, log_snr = 0.05, np.array([-1.0, 1.0, 2.9, 6.0])
    for at, g in zip(log_snr, price_density(OF_ROLL, log_snr), strict=True):
        coarse, fine = (bound(OF_ROLL, torch.linspace(at + h, at, n).double()).item() for n in (2, 200))
        assert abs((coarse - fine) / h**2 / g - 1) < 0.05


def test_gaussian_data_cost_nothing_and_get_even_steps():
    errors = exact_errors(gaussian([0.0, 0.0], [1.0, 1.0]))
    assert price_density(errors, np.linspace(-10, 12, 50)).max() < 1e-9
    knots = equal_lengths(errors, 5, 8.0, -4.0)
    assert_close(knots, np.linspace(8, -4, 5), rtol=0, atol=1e-2)


@pytest.mark.parametrize(("T", "least"), [(10, 0.2762), (20, 0.1518), (50, 0.0646)])
def test_the_optimum_on_the_roll_as_measured_before(T, least):
    schedule = optimal_schedule(ROLL, T)
    assert schedule.T == T
    assert exact.price(ROLL, schedule) < 1.001 * least
    assert exact.price(ROLL, schedule) < 0.45 * exact.price(ROLL, schedules.cosine(T))


def shortest_path(errors: Errors, T: int) -> float:
    """The least bound over all ways of T knots on the table's grid, by dynamic programming (Watson et al. 2021)."""
    knots = torch.from_numpy(errors.log_snr).double()
    first = torch.stack([bound(errors, k.reshape(1)) for k in knots])  # L₀ + L_T of a single knot
    alone = bound(errors, knots[:1]) * 0
    last = torch.stack(
        [
            alone + 0.5 * errors.dim * (k.sigmoid() * errors.square + (-k).sigmoid() - 1 - (-k).sigmoid().log())
            for k in knots
        ]
    )
    e, _ = errors.at(errors.log_snr)
    m = (-knots).sigmoid() * torch.from_numpy(e)
    rise = (knots.exp()[:, None] - knots.exp()).clamp(min=0)  # from a cleaner to a noisier one
    step = 0.5 * errors.dim * torch.log1p(rise[None] * m[:, None, :]).sum(0)
    step = torch.where(knots[:, None] > knots, step, torch.inf)
    cost = first - last
    for _ in range(T - 1):
        cost = (cost[:, None] + step).min(0).values
    return (cost + last).min().item()


@pytest.mark.parametrize("data", [(ROLL,), (LUMPS,), (COMB,), (LUMPS, COMB)], ids=["roll", "lumps", "comb", "both"])
@pytest.mark.parametrize("T", [1, 2, 3, 5, 10, 20])
def test_no_schedule_on_a_grid_is_better(data, T):
    """Two peaks of g are traps: a search that only goes downhill from one start ends in the wrong one."""
    errors = exact_errors(*data)
    H = sum(d.entropy() for d in data)
    found = bound(errors, torch.from_numpy(best_log_snr(errors, T))).item() - H
    assert found <= shortest_path(errors, T) - H + 1e-6


@pytest.mark.parametrize("data", [ROLL, COMB], ids=["roll", "comb"])
def test_the_price_approaches_the_squared_length_over_T(data):
    limit = length(exact_errors(data))[1][-1] ** 2
    product = [T * exact.price(data, optimal_schedule(data, T)) for T in (50, 200, 1000)]
    assert abs(product[-1] / limit - 1) < 0.01
    assert product[0] < product[1] < product[2]


def test_equal_lengths_are_equal_and_nearly_optimal():
    best = best_log_snr(OF_ROLL, 20)
    knots = equal_lengths(OF_ROLL, 20, best[0], best[-1])
    assert knots[0] == pytest.approx(best[0])
    assert knots[-1] == pytest.approx(best[-1])
    fine, along = length(OF_ROLL)
    steps = np.diff(np.interp(knots, fine, along))
    assert steps.max() < 0
    assert_close(steps, np.full(19, steps.mean()), rtol=1e-3, atol=0)
    price = bound(OF_ROLL, torch.from_numpy(knots)).item() - ROLL.entropy()
    assert price < 1.005 * exact.price(ROLL, optimal_schedule(ROLL, 20))


def test_the_librarys_bound_agrees_at_the_optimal_knots():
    schedule, x = optimal_schedule(ROLL, 10), ROLL.sample(4000, 41)
    sigma2 = sigma2_optimal(schedule, exact.mse(ROLL, schedule))
    chain = ForwardProcess(schedule, exact_denoiser(ROLL, schedule.alpha_bar), per_step(sigma2))
    mean, se = gap(score_chain(x, chain, torch.Generator().manual_seed(7)), ROLL.log_prob(x))
    assert abs(mean - exact.price(ROLL, schedule)) < 4 * se
    assert se < 0.02


def test_separate_schedules_for_separate_scales():
    """A fifth is saved where two scales are far apart; √g of the sum is the shared length."""
    shared = exact_errors(LUMPS, COMB)
    H = LUMPS.entropy() + COMB.entropy()
    one = bound(shared, torch.from_numpy(best_log_snr(shared, 20))).item() - H
    two = sum(exact.price(d, optimal_schedule(d, 20)) for d in (LUMPS, COMB))
    assert two < 0.8 * one
    lengths = [length(exact_errors(d))[1][-1] for d in (LUMPS, COMB)]
    assert length(shared)[1][-1] ** 2 > sum(v**2 for v in lengths)


def test_what_is_refused():
    for T in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="T, the number of steps"):
            optimal_schedule(ROLL, T)
    with pytest.raises(ValueError, match="one dimension"):
        exact_errors(ROLL, LUMPS)


def test_numbers_of_low_discrepancy_are_uniform_and_even():
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([low_discrepancy(8, generator) for _ in range(2000)])
    assert ((draws >= 0) & (draws < 1)).all()
    gaps = draws.sort(dim=1).values.diff(dim=1)
    assert_close(gaps, torch.full_like(gaps, 1 / 8))
    for column in (0, 5):
        assert kstest(draws[:, column].numpy(), "uniform").pvalue > 1e-3
    assert_close(draws.mean(1).std().item(), 1 / 8 / math.sqrt(12), rtol=0.1, atol=0)  # of free ones √8 times as much


def some_bins() -> Bins:
    bins = Bins(-3.0, 5.0, K=4)
    with torch.no_grad():
        bins.logits.copy_(torch.tensor([0.1, 0.2, 0.6, 0.1]).log())
    return bins


def test_bins_are_a_density_and_its_quantiles():
    bins = some_bins()
    fine = torch.linspace(-3, 5, 80_001, dtype=torch.float64)[:-1] + 5e-5
    density = bins.log_density(fine).exp().detach()
    assert_close(density.sum().item() * 1e-4, 1.0, rtol=0, atol=1e-9)
    u = torch.tensor([0.0, 0.05, 0.1, 0.3, 0.6, 0.95], dtype=torch.float64)
    assert_close(bins.quantile(u), torch.tensor([-3.0, -2, -1, 1, 2, 4], dtype=torch.float64))
    assert_close((fine < bins.quantile(u[3:4])).double() @ density * 1e-4, u[3], rtol=0, atol=1e-4)


def test_the_objectives_gradient_is_that_of_the_second_moment():
    """E (f/p)² = ∫ f²/p in closed form for bins."""
    bins, generator = some_bins(), torch.Generator().manual_seed(1)
    log_snr = bins.quantile(torch.rand(400_000, generator=generator, dtype=torch.float64))
    second_moment_loss(1 + log_snr**2, bins.log_density(log_snr)).backward()
    sampled, bins.logits.grad = bins.logits.grad, None
    fine = torch.linspace(-3, 5, 8001, dtype=torch.float64)[:-1] + 5e-4
    ((1 + fine**2) ** 2 / bins.log_density(fine).exp()).mean().mul(8).backward()
    assert_close(sampled, bins.logits.grad, rtol=0.03, atol=0.0)


def test_learned_bins_reach_the_best_density():
    """The best density is ∝ the loss; with it every draw of loss/p is the same."""
    bins, generator = Bins(0.0, 1.0, K=8), torch.Generator().manual_seed(2)
    optimiser = torch.optim.Adam(bins.parameters(), 0.05)
    middles = (torch.arange(8) + 0.5) / 8
    for _ in range(800):
        log_snr = bins.quantile(low_discrepancy(128, generator))
        loss = 0.2 + 3 * ((log_snr * 8).long() + 0.5) / 8  # constant in each bin
        optimiser.zero_grad()
        second_moment_loss(loss, bins.log_density(log_snr)).backward()
        optimiser.step()
    best = (0.2 + 3 * middles) / (0.2 + 3 * middles).sum()
    assert_close(bins.logits.softmax(0).detach(), best.double(), rtol=0.1, atol=0)

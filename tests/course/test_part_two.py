"""What part II starts from: noise levels as numbers, second derivatives, conditionals and pieces of the ruler."""

import math

import pytest
import torch
from shared import assert_mean, generator, randn
from torch.testing import assert_close

from diffusion_edu import exact
from diffusion_edu.data import SwissRoll
from diffusion_edu.diffusion import ForwardProcess, closed_form_terms, per_step, sigma2_optimal
from diffusion_edu.oracles import Mixture, exact_denoiser, gaussian
from diffusion_edu.schedules import cosine, from_log_snr, linear

ROLL = SwissRoll()
THREE = Mixture([0.2, 0.5, 0.3], [[-1.0, 0.5], [0.3, 0.1], [1.0, -2.0]], [[0.3, 0.2], [0.05, 0.4], [0.6, 0.1]])
LEVELS = (0.999, 0.5, 0.02)


def test_from_log_snr_has_the_knots_that_it_was_given():
    knots = torch.tensor([9.0, 2.5, 0.0, -6.0], dtype=torch.float64)
    assert_close(from_log_snr(knots).log_snr[1:], knots)
    assert_close(from_log_snr(cosine(50).log_snr[1:]).beta, cosine(50).beta, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("bad", [[0.0, 1.0], [1.0, 1.0], [math.inf, 0.0], [[1.0, 0.0]], []])
def test_knots_that_do_not_fall_are_refused(bad):
    with pytest.raises(ValueError, match="log_snr must be one-dimensional, finite and strictly falling"):
        from_log_snr(bad)


@pytest.mark.parametrize("alpha_bar", LEVELS)
def test_the_divergence_of_the_score_is_that_of_autograd(alpha_bar):
    x = 1.5 * randn(20, 2)
    score, divergence = THREE.score_divergence(x, alpha_bar)
    assert_close(score, THREE.score(x, alpha_bar))
    hessians = torch.stack([torch.autograd.functional.hessian(lambda z: THREE.log_prob(z, alpha_bar), p) for p in x])
    assert_close(divergence, hessians.diagonal(dim1=1, dim2=2).sum(-1))


@pytest.mark.parametrize("alpha_bar", LEVELS)
def test_the_posterior_covariance_is_tweedies_second_formula(alpha_bar):
    """Cov[x₀|x_t] = (1−ᾱ)/ᾱ (I + (1−ᾱ) ∇² log p(x_t))."""
    x = 1.5 * randn(20, 2)
    hessians = torch.stack([torch.autograd.functional.hessian(lambda z: THREE.log_prob(z, alpha_bar), p) for p in x])
    noise = 1 - alpha_bar
    assert_close(THREE.x0_cov(x, alpha_bar), noise / alpha_bar * (torch.eye(2) + noise * hessians))


def test_the_covariance_of_one_gaussian_is_closed():
    data, alpha_bar = gaussian([0.0, 0.0], [4.0, 0.25]), 0.3
    expected = torch.tensor([1 / (1 / v + 0.3 / 0.7) for v in (4.0, 0.25)], dtype=torch.float64).diag()
    assert_close(data.x0_cov(randn(3, 2), alpha_bar), expected.expand(3, 2, 2))


def test_its_trace_is_the_denoisers_error():
    alpha_bar = 0.9
    x0 = ROLL.sample(2000, seed=3)
    xt = alpha_bar**0.5 * x0 + (1 - alpha_bar) ** 0.5 * randn(2000, 2, seed=4)
    trace = ROLL.x0_cov(xt, alpha_bar).diagonal(dim1=1, dim2=2).sum(-1)
    assert_mean(trace, 2 * ROLL.x0_mse(alpha_bar))


def test_a_conditional_is_the_joint_over_the_marginal():
    x = torch.tensor([0.4, -1.3], dtype=torch.float64)
    marginal = Mixture(THREE.weights, THREE.means[:, :1], THREE.variances[:, :1])
    other = THREE.conditional(torch.tensor([0.4, math.nan]))
    assert_close(other.log_prob(x[1:]), THREE.log_prob(x) - marginal.log_prob(x[:1]))


@pytest.mark.parametrize("bad", [[math.nan, math.nan], [0.0, 1.0], [math.nan]])
def test_what_is_known_must_be_some_of_it(bad):
    with pytest.raises(ValueError, match=r"known must be \(2,\) with some coordinates NaN and some not, got"):
        THREE.conditional(torch.tensor(bad))


@pytest.mark.parametrize("noise", [0.3, 0.5])
def test_the_thirds_of_the_roll_make_the_roll(noise):
    roll = SwissRoll(noise)
    x, u = roll.sample_with_u(300, seed=1)
    parts = torch.stack([third.log_prob(x) for third in roll.thirds()])
    assert_close(parts.logsumexp(0) - math.log(3), roll.log_prob(x), rtol=0, atol=1e-8)
    inside = (u % (1 / 3) - 1 / 6).abs() < 0.1  # where the pieces meet, either may be the likelier
    assert torch.equal(parts.argmax(0)[inside], (3 * u[inside]).long())


def test_the_error_between_the_nodes_of_the_table():
    for log_snr in (-3.3, 0.71, 4.2, 9.93):
        assert exact.error_at(ROLL, log_snr) == pytest.approx(exact.error(ROLL, log_snr), abs=2e-6)
    assert_close(exact.error_at(ROLL, torch.tensor([-12.0, 14.0])), torch.tensor(exact.error_table(ROLL)[[0, -1]]))
    for bad in (-12.1, 14.1, math.nan):
        with pytest.raises(ValueError, match=r"log_snr must lie in \[-12, 14\], got"):
            exact.error_at(ROLL, bad)


@pytest.mark.parametrize("schedule", [cosine(10), linear(50), from_log_snr(torch.linspace(8, 1, 12))])
def test_the_price_is_the_bound_of_the_exact_denoiser(schedule):
    """Sampled term by term on 4,000 points, paired with their exact log density."""
    denoiser, x0 = exact_denoiser(ROLL, schedule.alpha_bar), ROLL.sample(4000, seed=5)
    sigma2 = sigma2_optimal(schedule, exact.mse(ROLL, schedule))
    bound = closed_form_terms(x0, ForwardProcess(schedule, denoiser, per_step(sigma2)), generator(6)).sum(0)
    assert_mean(bound + ROLL.log_prob(x0), exact.price(ROLL, schedule))


def test_the_price_falls_as_one_over_the_number_of_steps():
    """Nothing of it is sampled, so the ratios hold closely."""
    prices = [exact.price(ROLL, cosine(T)) for T in (250, 500, 1000)]
    assert prices[0] / prices[1] == pytest.approx(2, abs=0.05)
    assert prices[1] / prices[2] == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("noise", [0.3, 0.5, 1.0])
def test_a_coarser_roll_is_the_same_where_there_is_noise(noise):
    roll = SwissRoll(noise)
    x0, sizes = roll.sample(200, 3), []
    for log_snr in (12.0, 4.0, 2.0, 0.0, -8.0):
        alpha_bar = 1 / (1 + math.exp(-log_snr))
        xt = math.sqrt(alpha_bar) * x0 + math.sqrt(1 - alpha_bar) * randn(200, 2, seed=4).double()
        coarse = roll.at_noise(alpha_bar)
        sizes.append(len(coarse.u))
        for a, b in zip(coarse.score_divergence(xt, alpha_bar), roll.score_divergence(xt, alpha_bar), strict=True):
            assert (a - b).norm() < 1e-8 * b.norm()
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < len(roll.u) / 4 <= sizes[0] <= len(roll.u)

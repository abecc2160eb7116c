"""oracles.py: the exact density, score and denoiser against their definitions, autograd and brute force."""

import math

import pytest
import torch
from shared import assert_mean, randn
from torch.distributions import Normal
from torch.testing import assert_close

from diffusion_edu.data import SwissRoll
from diffusion_edu.oracles import Mixture, exact_denoiser, gaussian

DATA = {
    "gaussian": gaussian([0.5, -1.0], [0.3, 2.0]),
    "mixture": Mixture([1, 2, 3], [[0.0, 1], [2, -1], [-1, 0]], [[0.2, 0.5], [1.0, 0.1], [0.3, 0.3]]),
    "swiss roll": SwissRoll(noise=1.0),
}
LEVELS = [0.999, 0.7, 0.2, 0.01]

each_data = pytest.mark.parametrize("data", DATA.values(), ids=DATA.keys())
each_level = pytest.mark.parametrize("alpha_bar", LEVELS)


def log_density(data: Mixture, xt, alpha_bar: float):
    """log Σ_k w_k N(x_t; √ᾱ m_k, ᾱ v_k + 1 − ᾱ), written with torch.distributions."""
    components = Normal(alpha_bar**0.5 * data.means, (alpha_bar * data.variances + 1 - alpha_bar).sqrt())
    return (data.weights.log() + components.log_prob(xt.unsqueeze(-2)).sum(-1)).logsumexp(-1)


@each_data
@each_level
def test_log_prob_is_that_of_the_noised_mixture(data, alpha_bar):
    xt = randn(20, 2)
    assert_close(data.log_prob(xt, alpha_bar), log_density(data, xt, alpha_bar))


@each_data
@each_level
def test_score_is_the_gradient_of_log_prob(data, alpha_bar):
    xt = randn(20, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(log_density(data, xt, alpha_bar).sum(), xt)
    assert_close(data.score(xt.detach(), alpha_bar), gradient)


@each_data
@each_level
def test_tweedie(data, alpha_bar):
    """E[x₀|x_t] = (x_t + (1−ᾱ) score)/√ᾱ, and x_t = √ᾱ E[x₀|x_t] + √(1−ᾱ) E[ε|x_t]."""
    xt = randn(20, 2)
    x0_mean, eps_mean = data.x0_mean(xt, alpha_bar), data.eps_mean(xt, alpha_bar)
    assert_close(x0_mean, (xt + (1 - alpha_bar) * data.score(xt, alpha_bar)) / alpha_bar**0.5)
    assert_close(alpha_bar**0.5 * x0_mean + (1 - alpha_bar) ** 0.5 * eps_mean, xt)


@pytest.mark.parametrize("alpha_bar", [0.999, 0.6, 0.4, 1e-4])
def test_x0_mse_of_a_gaussian(alpha_bar):
    """The variance of x₀ given x_t, v (1−ᾱ)/(ᾱv + 1−ᾱ), averaged over the dimensions."""
    v = torch.tensor([0.3, 2.0], dtype=torch.float64)
    expected = (v * (1 - alpha_bar) / (alpha_bar * v + 1 - alpha_bar)).mean().item()
    assert DATA["gaussian"].x0_mse(alpha_bar) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("alpha_bar", [0.9, 0.5, 0.49, 0.05])
def test_x0_mse_by_sampling(alpha_bar):
    data = DATA["mixture"]
    x0 = data.sample(50_000, seed=2)
    xt = alpha_bar**0.5 * x0 + (1 - alpha_bar) ** 0.5 * randn(50_000, 2, seed=3)
    assert_mean((x0 - data.x0_mean(xt, alpha_bar)).square().mean(-1), data.x0_mse(alpha_bar))


def test_x0_mse_needs_a_plane_or_a_line():
    assert gaussian([0.0], [4.0]).x0_mse(0.5) == pytest.approx(0.8, rel=1e-9)
    with pytest.raises(ValueError, match="D = 1 or 2"):
        gaussian([0.0] * 3, [1.0] * 3).x0_mse(0.5)


@each_data
def test_x0_mean_by_brute_force(data):
    """Bayes' rule with true points as the prior's sample: Σ x₀ q(x_t|x₀) / Σ q(x_t|x₀)."""
    alpha_bar, x0 = 0.6, data.sample(50_000, seed=1)
    for xt in randn(4, 2, seed=2):
        likelihood = Normal(alpha_bar**0.5 * x0, (1 - alpha_bar) ** 0.5).log_prob(xt).sum(-1).exp()
        residual = (x0 - data.x0_mean(xt, alpha_bar)) * (likelihood / likelihood.mean()).unsqueeze(-1)
        assert_mean(residual, torch.zeros(2))


@each_data
def test_limits_of_the_denoiser(data):
    """Without noise x_t is x₀; without signal the best guess is the data's mean, wherever x_t is."""
    xt = randn(20, 2)
    assert_close(data.x0_mean(xt, 1.0), xt)
    assert_close(data.x0_mean(xt, 0.0), (data.weights @ data.means).expand(20, 2))
    assert_close(data.eps_mean(xt, 0.0), xt)


@each_data
def test_samples_have_the_mixtures_moments(data):
    x = data.sample(50_000, seed=3)
    mean = data.weights @ data.means
    assert_mean(x, mean)
    assert_mean((x - mean) ** 2, data.weights @ (data.variances + (data.means - mean) ** 2))


@each_data
@pytest.mark.parametrize("alpha_bar", [1.0, 0.5])
def test_density_integrates_to_one(data, alpha_bar):
    """A Riemann sum with steps under half of every standard deviation is exact for Gaussians to 1e-9 or so
    (Poisson summation); the grid reaches 6 standard deviations out."""
    side = torch.arange(-10, 10, 0.06, dtype=torch.float64)
    log_p = data.log_prob(torch.cartesian_prod(side, side), alpha_bar)
    assert_close(log_p.exp().sum().item() * 0.06**2, 1.0, rtol=1e-7, atol=0)


@each_data
def test_entropy_is_the_mean_of_minus_log_prob(data):
    assert_mean(-data.log_prob(data.sample(20_000, seed=4)), data.entropy())


@pytest.mark.parametrize("alpha_bar", [1.0, 0.4])
@pytest.mark.parametrize("variance", [[0.3], [0.3, 2.0]])
def test_entropy_of_a_gaussian(variance, alpha_bar):
    """½ Σ log 2πe(ᾱ v + 1 − ᾱ)."""
    exact = sum(0.5 * math.log(2 * math.pi * math.e * (alpha_bar * v + 1 - alpha_bar)) for v in variance)
    data = gaussian([1.0] * len(variance), variance)
    # a sum with step sd/2 is off by terms of order exp(−2π² · 4); cutting at 8 sd loses about exp(−32)
    assert_close(data.entropy(alpha_bar), exact, rtol=1e-10, atol=0)


def test_entropy_beyond_the_plane_is_refused():
    with pytest.raises(ValueError, match="D = 1 or 2"):
        gaussian([0.0] * 3, [1.0] * 3).entropy()


def test_exact_denoiser_takes_one_time_or_one_per_point():
    data, alpha_bar = DATA["mixture"], torch.tensor([1.0, 0.8, 0.5, 0.1], dtype=torch.float64)
    denoiser, xt, t = exact_denoiser(data, alpha_bar), randn(6, 2), torch.tensor([3, 1, 2, 1, 3, 2])
    expected = torch.stack([data.x0_mean(x, float(alpha_bar[s])) for x, s in zip(xt, t, strict=True)])
    assert_close(denoiser(xt, t), expected)
    assert_close(denoiser(xt, 2), data.x0_mean(xt, 0.5))


def test_many_points_are_worked_off_in_chunks():
    """2,000,000 point-component pairs make a chunk; 5,000 points of 1,000 components need three."""
    data, xt = Mixture(torch.ones(1000), randn(1000, 2), 0.1), randn(5000, 2, seed=1)
    assert_close(data.score(xt, 0.5)[::977], data.score(xt[::977], 0.5))
    assert_close(data.log_prob(xt.reshape(50, 100, 2), 0.5).flatten()[::977], data.log_prob(xt[::977], 0.5))


def test_float32_in_float32_out_but_float64_within():
    data, xt = DATA["swiss roll"], randn(20, 2).float()
    assert data.score(xt, 0.5).dtype == torch.float32
    assert torch.equal(data.score(xt, 0.5), data.score(xt.double(), 0.5).float())


@pytest.mark.parametrize(
    ("weights", "means", "variances"),
    [
        ([1, 1], [[0.0, 0.0]], 1.0),  # two weights, one mean
        ([1], [0.0, 0.0], 1.0),  # means without a component axis
        ([1, 0], [[0.0], [1.0]], 1.0),
        ([1, 1], [[0.0], [1.0]], [[1.0], [0.0]]),
    ],
)
def test_a_mixture_that_is_none_is_refused(weights, means, variances):
    with pytest.raises(ValueError, match=r"must be"):
        Mixture(weights, means, variances)


def test_points_and_levels_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="alpha_bar must lie"):
        DATA["gaussian"].log_prob(randn(4, 2), 1.1)
    with pytest.raises(ValueError, match="xt must have shape"):
        DATA["gaussian"].log_prob(randn(4, 3))

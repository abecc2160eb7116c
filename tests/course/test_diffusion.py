"""diffusion.py: Bayes' identities, both groupings of the bound, and the Gaussian case worked out by hand."""

import math
from itertools import pairwise

import pytest
import torch
from shared import assert_mean, generator, randn
from torch.testing import assert_close

from diffusion_edu.bound import bound
from diffusion_edu.data import SwissRoll
from diffusion_edu.diffusion import (
    ForwardProcess,
    L_term,
    at,
    closed_form_terms,
    denoising_error,
    forward_path,
    per_step,
    posterior_mean,
    q_marginal,
    q_posterior,
    q_step,
    reverse_step,
    sampled_term,
    sigma2_beta,
    sigma2_beta_tilde,
    sigma2_optimal,
)
from diffusion_edu.gaussian import Gaussian, condition
from diffusion_edu.oracles import exact_denoiser, gaussian
from diffusion_edu.schedules import constant, cosine, linear

SCHEDULE = linear(6, 0.05, 0.7)
each_t = pytest.mark.parametrize("t", range(1, 7))
each_later_t = pytest.mark.parametrize("t", range(2, 7))

MEAN, VARIANCE = [0.5, -1.0], [0.3, 2.0]
NORMAL = gaussian(MEAN, VARIANCE)


def wrong_denoiser(xt, t):
    """Any function will do where an identity does not depend on the denoiser."""
    return 0.6 * xt.tanh() + 0.1


def normal_mse(schedule):
    """E|x₀ − E[x₀|x_t]|²/D of NORMAL: the posterior variance v(1 − ᾱ)/(ᾱ v + 1 − ᾱ), averaged over D."""
    v, a = torch.tensor(VARIANCE).double(), schedule.alpha_bar.unsqueeze(1)
    return (v * (1 - a) / (a * v + 1 - a)).mean(1)


@each_later_t
def test_bayes_rule(t):
    """q(x_{t−1}|x_t, x₀) q(x_t|x₀) = q(x_t|x_{t−1}) q(x_{t−1}|x₀), at any three points."""
    x0, x_prev, xt = randn(9, 2, seed=1), randn(9, 2, seed=2), randn(9, 2, seed=3)
    left = q_posterior(SCHEDULE, t, xt, x0).log_prob(x_prev) + q_marginal(SCHEDULE, t, x0).log_prob(xt)
    right = q_step(SCHEDULE, t, x_prev).log_prob(xt) + q_marginal(SCHEDULE, t - 1, x0).log_prob(x_prev)
    assert_close(left, right)


@each_later_t
def test_posterior_is_linear_gaussian_conditioning(t):
    x0, xt = randn(9, 2, seed=1), randn(9, 2, seed=2)
    ours = q_posterior(SCHEDULE, t, xt, x0)
    other = condition(q_marginal(SCHEDULE, t - 1, x0), SCHEDULE.alpha[t].sqrt(), SCHEDULE.beta[t], xt)
    assert_close(ours.mean, other.mean)
    assert_close(ours.var, other.var.expand_as(ours.var))


def test_chained_steps_make_the_marginal():
    """Mean and variance pass through a linear step as m → √α m, v → α v + β."""
    mean, var = randn(9, 2), torch.tensor(0.0).double()
    for t in range(1, 7):
        step = q_step(SCHEDULE, t, mean)
        mean, var = step.mean, (q_step(SCHEDULE, t, torch.ones(1).double()).mean ** 2) * var + step.var
        marginal = q_marginal(SCHEDULE, t, randn(9, 2))
        assert_close(mean, marginal.mean)
        assert_close(var, marginal.var.expand_as(var))


def test_at_the_first_step_the_posterior_is_the_data_point():
    x0, xt = randn(9, 2, seed=1), randn(9, 2, seed=2)
    assert_close(posterior_mean(SCHEDULE, 1, xt, x0), x0)
    with pytest.raises(ValueError, match="var must be positive"):
        q_posterior(SCHEDULE, 1, xt, x0)


def test_one_time_per_point_is_the_same_as_point_by_point():
    x0, xt, t = randn(6, 2, seed=1), randn(6, 2, seed=2), torch.tensor([3, 6, 2, 2, 5, 4])
    together = q_posterior(SCHEDULE, t, xt, x0)
    alone = [q_posterior(SCHEDULE, int(s), x, y) for s, x, y in zip(t, xt, x0, strict=True)]
    assert_close(together.mean, torch.stack([p.mean for p in alone]))
    assert_close(together.var.squeeze(1), torch.stack([p.var for p in alone]))


def test_forward_path_takes_the_schedules_steps():
    """Each increment, standardised, is fresh N(0, 1) noise, uncorrelated with where it started."""
    path = list(forward_path(torch.full((40_000, 1), 1.5).double(), SCHEDULE, generator(0)))
    assert [t for t, _ in path] == list(range(7))
    for (_, x), (t, y) in pairwise(path):
        beta = SCHEDULE.beta[t]
        z = (y - (1 - beta).sqrt() * x) / beta.sqrt()
        assert_mean(torch.cat([z, z**2, z * x], 1), torch.tensor([0.0, 1, 0]))


@pytest.mark.parametrize("t", [-1, 7, 1.0, torch.tensor([1, 7])])
def test_a_time_off_the_schedule_is_refused(t):
    with pytest.raises(ValueError, match="t must be an integer in 0 … 6"):
        at(SCHEDULE.beta, t, randn(2, 2))


def test_sigma2_beta_and_beta_tilde():
    s = SCHEDULE
    assert torch.equal(sigma2_beta(s), s.beta)
    small = sigma2_beta_tilde(s)
    for t in range(2, 7):
        assert_close(small[t], (1 - s.alpha_bar[t - 1]) / (1 - s.alpha_bar[t]) * s.beta[t])
    assert small[1] == small[2] > 0
    assert sigma2_beta_tilde(constant(1, 0.3))[1] == 0.3


def test_denoising_error_of_the_exact_denoiser_is_the_posterior_variance():
    """|x₀ − x̂₀|² is a sum of two independent squares, so its mean over n points has relative error < √(2/n)."""
    n = 20_000
    mse = denoising_error(NORMAL.sample(n, 1), SCHEDULE, exact_denoiser(NORMAL, SCHEDULE.alpha_bar), generator(2))
    assert mse[0] == 0
    assert_close(mse[1:], normal_mse(SCHEDULE)[1:], rtol=4 * math.sqrt(2 / n), atol=0)


def test_sigma2_optimal_is_the_variance_of_the_exact_reverse_step():
    """For x₀ ~ N(m, v), x_{t−1} given x_t has variance 1/(1/(ᾱ_{t−1} v + 1 − ᾱ_{t−1}) + α_t/β_t)."""
    v, s = 0.3, SCHEDULE
    mse = v * (1 - s.alpha_bar) / (s.alpha_bar * v + 1 - s.alpha_bar)
    before = s.alpha_bar[:-1] * v + 1 - s.alpha_bar[:-1]
    assert_close(sigma2_optimal(s, mse)[1:], 1 / (1 / before + s.alpha[1:] / s.beta[1:]))


@pytest.mark.parametrize("denoiser", [wrong_denoiser, exact_denoiser(NORMAL, SCHEDULE.alpha_bar)])
def test_sigma2_optimal_minimises_every_term(denoiser):
    """With the same noise in the error and in the terms, the minimum is exact: any other σ² costs more, each t."""
    x0 = NORMAL.sample(500, 3)
    sigma2 = sigma2_optimal(SCHEDULE, denoising_error(x0, SCHEDULE, denoiser, generator(4)))

    def cost(factor):
        chain = ForwardProcess(SCHEDULE, denoiser, per_step(factor * sigma2))
        return closed_form_terms(x0, chain, generator(4)).mean(1)[:-1]

    for factor in (0.5, 0.98, 1.02, 2.0):
        assert bool((cost(factor) > cost(1.0)).all())


def test_L_terms_are_kl_and_log_density_by_simulation():
    """L_{t−1} = E_q [log q(x_{t−1}|x_t, x₀) − log p(x_{t−1}|x_t)]; L₀ = −log p(x₀|x₁)."""
    x0, xt = randn(2, seed=5), randn(2, seed=6)
    for t in range(2, 7):
        q = q_posterior(SCHEDULE, t, xt, x0)
        p = reverse_step(SCHEDULE, t, xt, wrong_denoiser(xt, t), per_step(SCHEDULE.beta))
        x_prev = q.sample(generator(t), shape=(20_000,))
        term = L_term(SCHEDULE, t, x0, xt, p)
        assert_mean(q.log_prob(x_prev) - p.log_prob(x_prev), term)
    p = reverse_step(SCHEDULE, 1, xt, wrong_denoiser(xt, 1), per_step(SCHEDULE.beta))
    decoder = Gaussian(wrong_denoiser(xt, 1), SCHEDULE.beta[1])
    assert_close(L_term(SCHEDULE, 1, x0, xt, p), -decoder.log_prob(x0))


def test_one_variance_per_step_is_a_function_of_t_and_nothing_else():
    variance, x0_hat = per_step(SCHEDULE.beta), randn(3, 2)
    assert torch.equal(variance(4, x0_hat), SCHEDULE.beta[4])
    assert torch.equal(variance(torch.tensor([1, 2, 6]), x0_hat), SCHEDULE.beta[[1, 2, 6]].unsqueeze(-1))


@pytest.mark.parametrize("sigma2", [sigma2_beta(SCHEDULE), sigma2_beta_tilde(SCHEDULE), SCHEDULE.beta * 0.7 + 0.01])
def test_sampled_term_is_the_term_at_its_time(sigma2):
    x0, eps, t = randn(12, 2, seed=7), randn(12, 2, seed=8), torch.arange(12) % 6 + 1
    chain = ForwardProcess(SCHEDULE, wrong_denoiser, per_step(sigma2))
    terms = sampled_term(x0, t, eps, chain)
    for i in range(12):
        s = int(t[i])
        xt = SCHEDULE.alpha_bar[s].sqrt() * x0[i] + (1 - SCHEDULE.alpha_bar[s]).sqrt() * eps[i]
        assert_close(terms[i], L_term(SCHEDULE, s, x0[i], xt, chain.p(s - 1, xt)))


@pytest.mark.parametrize("data", [NORMAL, SwissRoll(noise=1.0)], ids=["gaussian", "swiss roll"])
@pytest.mark.parametrize("exact", [True, False], ids=["exact denoiser", "wrong denoiser"])
def test_both_groupings_are_one_bound(data, exact):
    """Log ratios level by level through bound.bound, and KLs after Bayes' rule: the same number on average."""
    schedule, x0 = linear(10, 0.05, 0.6), data.sample(8000, 9)
    denoiser = exact_denoiser(data, schedule.alpha_bar) if exact else wrong_denoiser
    sigma2 = 0.8 * schedule.beta
    chain = ForwardProcess(schedule, denoiser, per_step(sigma2))
    regrouped = closed_form_terms(x0, chain, generator(10)).sum(0)
    assert_mean(regrouped + bound(x0, chain, generator(11)).elbo, 0.0)


@pytest.mark.parametrize("T", [1, 6, 50])
def test_the_bound_of_gaussian_data_is_known(T):
    """For x₀ ~ N(m, v) the true reverse step is Gaussian with the exact denoiser's mean and the optimal variance.
    Then only the prior is wrong, and −ELBO = H + KL(N(√ᾱ_T m, ᾱ_T v + 1 − ᾱ_T) ‖ N(0, 1))."""
    m, v = 0.5, 0.3
    data, schedule = gaussian([m], [v]), linear(T, 0.1, 0.4)
    a = float(schedule.alpha_bar[-1])
    end = a * v + 1 - a
    exact = 0.5 * math.log(2 * math.pi * math.e * v) + 0.5 * (end - 1 - math.log(end) + a * m**2)
    mse = v * (1 - schedule.alpha_bar) / (schedule.alpha_bar * v + 1 - schedule.alpha_bar)
    sigma2, denoiser, x0 = sigma2_optimal(schedule, mse), exact_denoiser(data, schedule.alpha_bar), data.sample(20_000)
    chain = ForwardProcess(schedule, denoiser, per_step(sigma2), dim=1)
    assert_mean(-bound(x0, chain, generator(12)).elbo, exact)
    assert_mean(closed_form_terms(x0, chain, generator(13)).sum(0), exact)


def test_more_steps_close_the_gap():
    """σ² = β is right only as β → 0. On N(m, v) the gap to H is the prior's KL plus ½ Σ (r − 1 − log r), with r
    the true reverse variance over β, and it falls with T; the library's bound has it at each T."""
    v, gaps = 0.3, []
    data = gaussian([0.0], [v])
    x0 = data.sample(4000, 14)
    for T in (10, 40, 160):
        schedule = cosine(T)
        noised = schedule.alpha_bar * v + 1 - schedule.alpha_bar  # the variance of x_t
        r = 1 / (schedule.beta[1:] / noised[:-1] + schedule.alpha[1:])
        prior = 0.5 * (noised[-1] - 1 - noised[-1].log())
        gaps.append(float(prior + 0.5 * (r - 1 - r.log()).sum()))
        chain = ForwardProcess(schedule, exact_denoiser(data, schedule.alpha_bar), per_step(schedule.beta), dim=1)
        assert_mean(data.log_prob(x0) - bound(x0, chain, generator(15)).elbo, gaps[-1])
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2] > 0


@pytest.mark.parametrize("shape", [(3,), (3, 1), (1,), (1, 3, 4)])
def test_times_that_do_not_fit_the_points_are_refused(shape):
    """Without the check, silent broadcasting gives every image the times of its rows."""
    x, t = randn(3, 4, 2), torch.ones(shape, dtype=torch.long)
    with pytest.raises(ValueError, match=r"t must be a number or of shape \(3, 4\), got shape"):
        q_marginal(cosine(10), t, x)
    assert q_marginal(cosine(10), torch.ones(3, 4, dtype=torch.long), x).mean.shape == x.shape

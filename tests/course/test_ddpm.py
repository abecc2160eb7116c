"""ddpm.py: round trips of every conversion, and the weighted ε loss as the bound's own terms."""

import pytest
import torch
from shared import assert_mean, randn
from torch import nn
from torch.testing import assert_close

from diffusion_edu import ddpm, nets, samplers
from diffusion_edu.diffusion import (
    ForwardProcess,
    per_step,
    posterior_mean,
    q_marginal,
    sampled_term,
    sigma2_beta,
    sigma2_beta_tilde,
)
from diffusion_edu.images.ddpm import ImageDDPM
from diffusion_edu.oracles import gaussian
from diffusion_edu.schedules import linear

SCHEDULE = linear(6, 0.05, 0.7)
LEVELS = [0.999, 0.6, 0.01]
each_level = pytest.mark.parametrize("alpha_bar", LEVELS)
X0, EPS = randn(9, 2, seed=1), randn(9, 2, seed=2)


def eps_net(xt, t):
    """Some prediction of the noise that depends on the point and on the time."""
    return (xt + 0.1 * torch.as_tensor(t).unsqueeze(-1)).tanh()


class EpsNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, xt, t):
        assert t.shape == xt.shape[:-1]
        return self.scale * eps_net(xt, t)


@each_level
def test_each_prediction_gives_back_the_others(alpha_bar):
    xt = ddpm.noised(X0, EPS, alpha_bar)
    v = ddpm.v_from_eps(xt, EPS, alpha_bar)
    assert_close(ddpm.x0_from_eps(xt, EPS, alpha_bar), X0)
    assert_close(ddpm.eps_from_x0(xt, X0, alpha_bar), EPS)
    assert_close(ddpm.eps_from_v(xt, v, alpha_bar), EPS)
    assert_close(ddpm.x0_from_v(xt, v, alpha_bar), X0)
    assert_close(ddpm.eps_from_score(ddpm.score_from_eps(EPS, alpha_bar), alpha_bar), EPS)


@each_level
def test_v_is_its_definition(alpha_bar):
    """v = √ᾱ ε − √(1−ᾱ) x₀ (Salimans & Ho 2022, §4)."""
    v = ddpm.v_from_eps(ddpm.noised(X0, EPS, alpha_bar), EPS, alpha_bar)
    assert_close(v, alpha_bar**0.5 * EPS - (1 - alpha_bar) ** 0.5 * X0)


@each_level
def test_noised_points_have_the_forward_marginal(alpha_bar):
    """Signal and noise shares are those of variances, so unit-variance data stay at unit variance."""
    x0, eps = randn(50_000, 1, seed=3), randn(50_000, 1, seed=4)
    xt = ddpm.noised(x0, eps, alpha_bar)
    assert_mean(torch.cat([xt**2, xt * x0, xt * eps], 1), torch.tensor([1, alpha_bar**0.5, (1 - alpha_bar) ** 0.5]))


@each_level
def test_conversions_agree_with_the_exact_answers(alpha_bar):
    data, xt = gaussian([0.5, -1.0], [0.3, 2.0]), randn(9, 2)
    eps = data.eps_mean(xt, alpha_bar)
    assert_close(ddpm.x0_from_eps(xt, eps, alpha_bar), data.x0_mean(xt, alpha_bar))
    assert_close(ddpm.score_from_eps(eps, alpha_bar), data.score(xt, alpha_bar))


def test_mean_from_eps_is_the_posterior_mean_at_the_x0_it_implies():
    xt, eps_hat = randn(9, 2, seed=5), randn(9, 2, seed=6)
    for t in range(1, 7):
        x0_hat = ddpm.x0_from_eps(xt, eps_hat, SCHEDULE.alpha_bar[t])
        assert_close(ddpm.mean_from_eps(SCHEDULE, t, xt, eps_hat), posterior_mean(SCHEDULE, t, xt, x0_hat))


def x0_hat(xt, t):
    return ddpm.x0_from_eps(xt, eps_net(xt, t), SCHEDULE.alpha_bar[t].unsqueeze(-1))


@pytest.mark.parametrize(
    "sigma2",
    [sigma2_beta(SCHEDULE), sigma2_beta_tilde(SCHEDULE), 0.6 * SCHEDULE.beta + 0.02],
    ids=["beta", "beta tilde", "any other"],
)
def test_weighted_loss_is_the_bounds_term_at_every_time(sigma2):
    t = torch.arange(9) % 6 + 1
    loss = ddpm.weighted_loss(X0, t, EPS, eps_net, SCHEDULE, sigma2)
    assert_close(loss, sampled_term(X0, t, EPS, ForwardProcess(SCHEDULE, x0_hat, per_step(sigma2))))


def test_weights_and_constants_start_at_t_1():
    sigma2 = sigma2_beta(SCHEDULE)
    assert ddpm.eps_weight(SCHEDULE, sigma2)[0] == 0
    assert ddpm.loss_constant(SCHEDULE, sigma2, 2)[0] == 0
    # with σ² = β̃ the KL vanishes at ε̂ = ε for every t ≥ 2
    assert_close(ddpm.loss_constant(SCHEDULE, sigma2_beta_tilde(SCHEDULE), 2)[2:], torch.zeros(5).double())


def test_squared_error_is_summed_over_dimensions_per_point():
    t = torch.arange(9) % 6 + 1
    xt = torch.stack([q_marginal(SCHEDULE, int(s), x).at(e) for s, x, e in zip(t, X0, EPS, strict=True)])
    expected = [float(((e - eps_net(x, s)) ** 2).sum()) for e, x, s in zip(EPS, xt, t, strict=True)]
    assert_close(ddpm.squared_error(X0, t, EPS, eps_net, SCHEDULE), torch.tensor(expected).double())


@pytest.mark.parametrize("t", range(1, 7))
def test_ancestral_step_is_the_samplers(t):
    """ε-form here, x₀-form there. At t = 1 the step adds no noise, while the sampler's loop hands over none."""
    xt, noise = randn(9, 2, seed=7), randn(9, 2, seed=8)
    here = ddpm.ancestral_step(SCHEDULE, t, xt, eps_net(xt, t), SCHEDULE.beta, noise)
    there = samplers.ancestral()(SCHEDULE, t, xt, x0_hat(xt, t), noise if t > 1 else 0 * noise)
    assert_close(here, there)


def test_ddpm_is_a_denoiser_and_a_chain():
    model, xt = ddpm.DDPM(EpsNet(), SCHEDULE, dim=2), randn(9, 2)
    t = torch.arange(9) % 6 + 1
    assert_close(model.x0_hat(xt, t), x0_hat(xt, t))
    assert_close(model.x0_hat(xt, 3), x0_hat(xt, torch.tensor(3)))
    assert torch.equal(model.sigma2, SCHEDULE.beta)
    chain = model.chain()
    assert_close(chain.p(2, xt).mean, ddpm.mean_from_eps(SCHEDULE, 3, xt, eps_net(xt, 3)))
    assert_close(chain.p(2, xt).var, SCHEDULE.beta[3])
    assert_close(model.chain(0.5 * SCHEDULE.beta).p(2, xt).var, 0.5 * SCHEDULE.beta[3])


def test_x0_hat_in_float32_keeps_the_digits_of_one_minus_alpha_bar():
    """At ᾱ = 1 − 1e-6, 1 − ᾱ in float32 would be 5 % off."""
    model = ddpm.DDPM(EpsNet(), linear(10, 1e-6, 0.1), dim=2)
    xt = randn(50, 2, seed=9)
    error = (model.x0_hat(xt.float(), 1) - model.x0_hat(xt, 1)).abs().max()
    assert error < 1e-6  # rounding of x itself; the noise term is 1e-3


@pytest.mark.parametrize("kind", [ddpm.DDPM, ImageDDPM])
def test_the_chain_lives_where_its_network_does(kind):
    schedule = linear(5, 0.1, 0.5)
    model = kind(nets.EpsNet(2, schedule, width=8), schedule, 2)
    assert model.chain().device.type == model.chain().prior().mean.device.type == "cpu"
    assert model.to("meta").chain().device.type == "meta"

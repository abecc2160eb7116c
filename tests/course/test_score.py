"""Score matching: every loss is the explicit one but for a constant that is known."""

import math

import pytest
import torch
from shared import assert_mean, generator, randn
from torch.testing import assert_close

from diffusion_edu import exact, pretrained, score
from diffusion_edu.data import SwissRoll
from diffusion_edu.ddpm import noised, score_from_eps
from diffusion_edu.oracles import Mixture

ROLL = SwissRoll()
DATA = Mixture([0.2, 0.5, 0.3], [[-1.0, 0.5], [0.3, 0.1], [1.0, -2.0]], [[0.3, 0.2], [0.05, 0.4], [0.6, 0.1]])
WRONG = Mixture([0.6, 0.4], [[-0.7, 0.2], [0.9, -1.0]], [[0.5, 0.3], [0.4, 0.9]])
SIGNS = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)  # their mean v vᵀ is I


def differentiable(x):
    """The wrong score again, one component at a time, as autograd can see it."""
    var, mean = WRONG.variances, WRONG.means
    joint = WRONG.weights.log() - 0.5 * ((x.unsqueeze(1) - mean) ** 2 / var + var.log()).sum(-1)
    return (joint.softmax(-1).unsqueeze(-1) * (mean - x.unsqueeze(1)) / var).sum(1)


def quadrature(data, spacing=0.4):
    points, cell = data._grid(1.0, spacing)
    return points, data.log_prob(points).exp() * cell


def test_the_divergence_is_that_of_the_closed_form():
    x = 1.5 * randn(50, 2)
    value, div = score.divergence(differentiable, x)
    expected = WRONG.score_divergence(x)
    assert_close(value, expected[0])
    assert_close(div, expected[1])
    assert_close(torch.stack([score.along(differentiable, x, v.expand(50, 2))[1] for v in SIGNS]).mean(0), div)


def test_implicit_and_sliced_are_explicit_less_the_scores_energy():
    """Hyvärinen's identity, by quadrature; the four signs stand for all directions."""
    points, p = quadrature(DATA)
    s, s_hat = DATA.score(points), differentiable(points)
    expected = p @ score.explicit_loss(s_hat, s) - p @ s.square().sum(-1)
    assert_close(p @ score.implicit_loss(differentiable, points), expected, rtol=0, atol=1e-9)
    for loss in (score.sliced_loss, score.sliced_loss_vr):
        sliced = torch.stack([loss(differentiable, points, v.expand_as(points)) for v in SIGNS]).mean(0)
        assert_close(p @ sliced, expected, rtol=0, atol=1e-9)


def test_the_losses_of_points_can_be_trained():
    net = torch.nn.Linear(2, 2).double()
    x, v = randn(10, 2), randn(10, 2, seed=1)
    for value in (score.implicit_loss(net, x), score.sliced_loss(net, x, v), score.sliced_loss_vr(net, x, v)):
        assert value.shape == (10,)
        (slope,) = torch.autograd.grad(value.sum(), net.weight)
        assert bool((slope.abs() > 0).all())


@pytest.mark.parametrize("log_snr", [8.0, 4.0, 0.0])
def test_the_floor_is_the_denoisers_error(log_snr):
    alpha_bar = 1 / (1 + math.exp(-log_snr))
    error = exact.error_at(ROLL, log_snr)
    eps = randn(4000, 2, seed=4)
    xt = noised(ROLL.sample(4000, 3), eps, alpha_bar)
    s = ROLL.score(xt, alpha_bar)
    floor = score.denoising_floor(error, log_snr, dim=2)
    assert_mean(score.denoising_loss(s, eps, alpha_bar), floor)
    for s_hat in (0.9 * s, s + 0.3, s.flip(-1)):
        extra = score.denoising_loss(s_hat, eps, alpha_bar) - score.explicit_loss(s_hat, s)
        assert_mean(extra, floor)
    one = score.denoising_floor(torch.tensor([error]), torch.tensor([log_snr]), 2)
    assert_close(one, torch.tensor([floor]))


@pytest.mark.parametrize("log_snr", [8.0, 4.0, 0.0, -4.0])
def test_the_energy_of_the_score_three_ways(log_snr):
    """By quadrature as E|s|² and −E ∇·s, and from the denoiser's error."""
    alpha_bar = 1 / (1 + math.exp(-log_snr))
    points, cell = ROLL._grid(alpha_bar, 0.4)
    p = ROLL.log_prob(points, alpha_bar).exp() * cell
    s, div = ROLL.score_divergence(points, alpha_bar)
    energy = score.score_energy(exact.error_at(ROLL, log_snr), log_snr, dim=2)
    assert (p @ s.square().sum(-1)).item() == pytest.approx(energy, rel=1e-6)
    assert -(p @ div).item() == pytest.approx(energy, rel=1e-6)


@pytest.mark.parametrize("alpha_bar", [0.99, 0.4])
def test_tweedie_once_and_twice(alpha_bar):
    x = 1.5 * randn(20, 2)
    assert_close(score.x0_from_score(x, DATA.score(x, alpha_bar), alpha_bar), DATA.x0_mean(x, alpha_bar))
    hessian = torch.stack([torch.autograd.functional.hessian(lambda z: DATA.log_prob(z, alpha_bar), p) for p in x])
    assert_close(score.x0_cov_from_hessian(hessian, alpha_bar), DATA.x0_cov(x, alpha_bar))


def test_the_published_network_is_a_score_that_loses_little():
    """½ ∫ (1 − ᾱ) E|ŝ − s|² dλ over the net's own range is a hundredth of a nat; a tenth of its score taken away costs
    more than thirty times as much."""
    net = pretrained.load("cosine").eps_net
    nats = torch.zeros(2)
    for log_snr in torch.arange(-10.0, 10.1, 1.0).tolist():
        alpha_bar = 1 / (1 + math.exp(-log_snr))
        xt = noised(ROLL.sample(500, 7), randn(500, 2, seed=8), alpha_bar)
        s = ROLL.score(xt, alpha_bar)
        s_hat = score_from_eps(net.at(xt.float(), log_snr).double(), alpha_bar)
        for i, factor in enumerate((1.0, 0.9)):
            nats[i] += 0.5 * (1 - alpha_bar) * score.explicit_loss(factor * s_hat, s).mean()
    assert 0 < nats[0] < 0.03
    assert nats[1] > 0.1


def test_the_implicit_loss_of_the_exact_score_is_minus_its_energy():
    x = ROLL.sample(3000, 5)
    xt = noised(x, torch.randn(x.shape, generator=generator(6), dtype=x.dtype), 0.9)
    s, div = ROLL.score_divergence(xt, 0.9)
    log_snr = math.log(9)
    assert_mean(s.square().sum(-1) + 2 * div, -score.score_energy(exact.error_at(ROLL, log_snr), log_snr, 2))

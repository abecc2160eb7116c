"""Langevin dynamics: the laws of linear steps in closed form, detailed balance, and the roll left unchanged."""

import pytest
import torch
from shared import assert_mean, generator, randn
from torch.testing import assert_close

from diffusion_edu import langevin
from diffusion_edu.data import SwissRoll
from diffusion_edu.oracles import Mixture, gaussian

ROLL = SwissRoll(nodes=256)
TWO = Mixture([0.4, 0.6], [[-1.0, 0.0], [1.0, 0.5]], [[0.3, 0.5], [0.2, 0.4]])
H = 0.05


def test_a_step_by_hand():
    x, s, eps = randn(5, 2), randn(5, 2, seed=1), randn(5, 2, seed=2)
    assert_close(langevin.ula_step(x, s, 0.02, eps), x + 0.02 * s + 0.2 * eps)


@pytest.mark.parametrize("h", [0.05, 0.4])
def test_the_unadjusted_algorithm_on_a_gaussian(h):
    """x' = (1 − h/v) x + √(2h) ε, so mean and variance after k steps follow from a recursion."""
    v, k, target = 0.3, 7, gaussian([0.0], [0.3])
    mean, var = 2.0, 0.01
    for _ in range(k):
        mean, var = (1 - h / v) * mean, (1 - h / v) ** 2 * var + 2 * h
    x = langevin.ula(2 + 0.1 * randn(40_000, 1), target.score, h, k, generator(1))
    assert_mean(x, torch.tensor([mean]))
    assert_mean((x - mean).square(), torch.tensor([var]))
    rest = langevin.ula_variance(v, h)
    assert rest == pytest.approx((1 - h / v) ** 2 * rest + 2 * h)
    assert_close(langevin.ula_variance(torch.tensor([v, 1.0]), h)[0].item(), rest, rtol=1e-6, atol=0)


def test_the_bias_is_that_of_the_wider_gaussian():
    v, h = 0.3, 0.2
    p = gaussian([0.0], [v])
    x = langevin.ula_variance(v, h) ** 0.5 * randn(40_000, 1)
    assert_mean(p.log_prob(x) + p.entropy(), langevin.ula_bias(v, h))


@pytest.mark.parametrize("h", [0.0, -0.1, 0.6])
def test_steps_that_run_away_are_refused(h):
    with pytest.raises(ValueError, match=r"h must lie in \(0, 2 var\) with var = 0.3, got"):
        langevin.ula_variance(0.3, h)


@pytest.mark.parametrize("c", [0.2, 0.4, 0.8, 1.2])
def test_the_bias_on_the_roll(c):
    """Started on the roll, at rest across it after a few steps: a strand is nearly straight there."""
    var = ROLL.variances[0, 0].item()
    x = langevin.ula(ROLL.sample(3000, 21), ROLL.score, c * var, int(4 / c) + 2, generator(5))
    assert_mean(ROLL.log_prob(x) + ROLL.entropy(), langevin.ula_bias(var, c * var))


def test_the_ratio_is_detailed_balance():
    x, y = TWO.sample(50, 1), TWO.sample(50, 2)
    ratio = langevin.log_ratio(x, y, TWO.log_prob, TWO.score, H)
    assert_close(langevin.log_ratio(y, x, TWO.log_prob, TWO.score, H), -ratio)
    square = lambda to, start: (to - start - H * TWO.score(start)).square().sum(-1) / (4 * H)  # noqa: E731
    assert_close(ratio, TWO.log_prob(y) - TWO.log_prob(x) + square(y, x) - square(x, y))


def test_what_is_refused_stays_where_it_was():
    x, eps = TWO.sample(2000, 1), randn(2000, 2)
    u = torch.rand(2000, generator=generator(3), dtype=torch.float64)
    after, moved = langevin.mala_step(x, TWO.log_prob, TWO.score, 0.5, eps, u)
    y = langevin.ula_step(x, TWO.score(x), 0.5, eps)
    assert torch.equal(after[moved], y[moved])
    assert torch.equal(after[~moved], x[~moved])
    assert torch.equal(moved, u < langevin.log_ratio(x, y, TWO.log_prob, TWO.score, 0.5).exp())
    assert 0.1 < moved.double().mean() < 0.9


@pytest.mark.parametrize("h", [0.05, 0.3])
def test_the_adjusted_algorithm_leaves_the_law_alone(h):
    """Its moments at a step at which the unadjusted one is far off."""
    x, accepted = langevin.mala(TWO.sample(20_000, 4), TWO.log_prob, TWO.score, h, 15, generator(5))
    mean = TWO.weights @ TWO.means
    assert_mean(x, mean)
    assert_mean(x.square(), TWO.weights @ (TWO.means**2 + TWO.variances))
    assert_mean(TWO.log_prob(x), -TWO.entropy())
    assert 0.3 < accepted < 0.999
    plain = langevin.ula(TWO.sample(20_000, 4), TWO.score, h, 15, generator(5))
    assert abs(TWO.log_prob(plain).mean() + TWO.entropy()) > 0.02


def test_annealing_has_the_law_of_its_recursion():
    target, n = gaussian([0.5], [0.2]), 40_000
    log_snr, h = torch.linspace(-3, 1, 9, dtype=torch.float64), torch.linspace(0.3, 0.05, 9, dtype=torch.float64)
    mean, var, before = 0.0, 1.0, log_snr[0].sigmoid()
    for a, step in zip(log_snr.sigmoid(), h, strict=True):
        scale, v = (a / before).sqrt(), a * 0.2 + 1 - a
        mean, var, before = scale * mean, scale**2 * var, a
        mean, var = mean + step * (a.sqrt() * 0.5 - mean) / v, (1 - step / v) ** 2 * var + 2 * step
    x = langevin.annealed(randn(n, 1), target.score, log_snr, h, generator(2))
    mean, var = mean / before.sqrt(), var / before
    assert_mean(x, mean)
    assert_mean((x - mean).square(), var)


def test_levels_and_steps_must_be_as_many():
    with pytest.raises(ValueError, match=r"log_snr and h must both be \(L,\), got \(3,\) and \(2,\)"):
        langevin.annealed(randn(4, 2), ROLL.score, torch.zeros(3), torch.ones(2))

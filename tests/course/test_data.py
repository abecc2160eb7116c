"""data.py: the swiss roll's exact numbers against closed forms and scikit-learn; the digits' arithmetic."""

import math

import numpy as np
import pytest
import torch
from shared import assert_mean, generator, randn
from sklearn.datasets import load_digits, make_swiss_roll
from torch.testing import assert_close

from diffusion_edu.data import Digits, SwissRoll, gauss_legendre, load


def test_mean_and_scale_have_closed_forms():
    """θ ~ U(3π/2, 9π/2): E θ cos θ = 2, E θ sin θ = 2/(3π), E θ² = 39π²/4."""
    roll = SwissRoll()
    mean = np.array([2, 2 / (3 * math.pi)])
    V = (39 * math.pi**2 / 4 - (mean**2).sum()) / 2
    np.testing.assert_allclose(roll.shift, mean, rtol=1e-12)
    assert_close(roll.scale, math.sqrt(V + 0.25), rtol=1e-12, atol=0)
    assert_close(roll.scale, 6.80748, rtol=0, atol=5e-6)


def test_points_are_those_of_scikit_learn_standardised():
    x = SwissRoll().sample(1000, seed=7).numpy()
    raw = make_swiss_roll(1000, noise=0.5, random_state=7)[0]
    np.testing.assert_allclose(x * 6.80748 + [2, 2 / (3 * math.pi)], raw[:, [0, 2]], atol=2e-5)


def test_standardised_points_have_mean_zero_and_mean_variance_one():
    x = SwissRoll().sample(100_000, seed=1)
    assert_mean(x, torch.zeros(2))
    assert_mean(x.square().mean(1), 1.0)


def test_u_says_where_on_the_curve_a_point_was_drawn():
    roll = SwissRoll(noise=0.3)
    x, u = roll.sample_with_u(50_000, seed=2)
    z = (x - roll.curve(u)) * (roll.scale / 0.3)
    assert_mean(torch.cat([z, z**2, u[:, None], u[:, None] ** 2], 1), torch.tensor([0, 0, 1, 1, 1 / 2, 1 / 3]))


def test_log_prob_is_the_integral_along_the_curve():
    """Simpson's rule with 20,000 intervals: s is 140 of them, so its error is of order 140⁻⁴/180 < 1e-10."""
    roll, x = SwissRoll(), torch.cat([SwissRoll().sample(20, seed=3), 1.5 * randn(20, 2)])
    u, s2 = torch.linspace(0, 1, 20_001, dtype=torch.float64), (0.5 / roll.scale) ** 2
    simpson = torch.ones(20_001, dtype=torch.float64)
    simpson[1:-1:2], simpson[2:-1:2] = 4, 2
    square = (x[:, None, :] - roll.curve(u)).square().sum(-1)
    integrand = (simpson / 60_000).log() - square / (2 * s2) - math.log(2 * math.pi * s2)
    assert_close(roll.log_prob(x), integrand.logsumexp(1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("noise", [0.3, 0.5, 1.0])
def test_quadrature_has_converged(noise):
    """The default number of nodes is right to 1e-9 nats wherever the figures look; half of it is not."""
    default, half, fine = (SwissRoll(noise, round(n / noise)) for n in (256, 128, 512))
    assert torch.equal(SwissRoll(noise).means, default.means)
    square = 4.8 * torch.rand(500, 2, generator=generator(5), dtype=torch.float64) - 2.4
    error = lambda roll: (roll.log_prob(square) - fine.log_prob(square)).abs().max().item()  # noqa: E731
    assert error(default) < 1e-9
    assert error(half) > 1e-6


@pytest.mark.parametrize(("noise", "entropy"), [(0.3, 0.8389), (0.5, 1.3509), (1.0, 2.0364)])
def test_entropy_is_the_published_number(noise, entropy):
    assert_close(SwissRoll(noise).entropy(), entropy, rtol=0, atol=5e-5)


def test_entropy_is_minus_the_mean_log_density():
    roll = SwissRoll()
    assert_mean(-roll.log_prob(roll.sample(20_000, seed=6)), 1.3509, floor=5e-5)


@pytest.mark.parametrize("noise", [0.0, -1.0, float("nan")])
def test_a_roll_without_noise_has_no_density(noise):
    with pytest.raises(ValueError, match="noise must be positive"):
        SwissRoll(noise)


def test_a_seed_gives_one_sample():
    for data in (SwissRoll(), Digits()):
        assert torch.equal(data.sample(50, seed=1), data.sample(50, seed=1))
        assert not torch.equal(data.sample(50, seed=1), data.sample(50, seed=2))


def test_digits_are_the_grey_levels_plus_less_than_one():
    """Rounding down undoes the noise, and what is left of the noise is uniform."""
    digits = Digits()
    y = (digits.sample(1437, seed=1) + 1) * 17 / 2
    pixels = torch.from_numpy(load_digits().data)
    assert torch.equal(y.floor(), pixels[:1437])
    noise = (y - y.floor()).flatten()
    assert_mean(torch.stack([noise, noise**2], 1), torch.tensor([1 / 2, 1 / 3]))
    assert torch.equal(((digits.sample_test(360, seed=1) + 1) * 17 / 2).floor(), pixels[1437:])


def test_a_few_digits_are_training_images_in_random_order():
    rows = {tuple(row) for row in load_digits().data[:1437].tolist()}
    drawn = ((Digits().sample(100, seed=4) + 1) * 17 / 2).floor()
    assert {tuple(row) for row in drawn.tolist()} <= rows
    assert not torch.equal(drawn, torch.from_numpy(load_digits().data[:100]))


def test_images_run_from_zero_to_one_and_are_clipped():
    x = torch.linspace(-1.2, 1.2, 64)[None]
    images = Digits().to_images(x)
    assert images.shape == (1, 8, 8)
    assert_close(images.flatten(), ((x[0] + 1) / 2).clip(0, 1))


def test_bits_per_dim_of_the_uniform_density():
    """Uniform over [−1, 1]^64 says that all 17 levels are alike: log₂ 17 bits per pixel."""
    assert_close(Digits().bits_per_dim(64 * math.log(2)), math.log2(17), rtol=1e-12, atol=0)


def test_an_unknown_data_set_is_refused():
    with pytest.raises(ValueError, match="unknown data set 'imagenet'"):
        load("imagenet")


def test_one_point_of_the_roll_and_none():
    assert SwissRoll().sample(1).shape == (1, 2)
    with pytest.raises(ValueError, match="n, the number of points, must be at least 1, got 0"):
        SwissRoll().sample(0)


def test_a_roll_too_thin_for_a_grid_is_refused_at_once():
    for question in (lambda roll: roll.entropy(), lambda roll: roll.x0_mse(0.999999)):
        with pytest.raises(ValueError, match=r"a grid this fine has .* Take the mean of log_prob over many points"):
            question(SwissRoll(0.01))
    thin = SwissRoll(0.01)
    assert thin.log_prob(thin.sample(100, seed=1)).isfinite().all()
    assert thin.weights.sum() == pytest.approx(1, abs=1e-12)


def test_many_nodes_in_panels_integrate_as_one_rule_does():
    for n in (256, 1500, 4000):
        u, weights = gauss_legendre(n)
        assert len(u) == len(weights) >= n
        assert (weights @ np.cos(40 * u)) == pytest.approx(np.sin(40) / 40, abs=1e-12)
    one, several = gauss_legendre(600), gauss_legendre(600, panel=128)
    assert weights_agree(one, several)


def weights_agree(one, other) -> bool:
    return all(abs(one[1] @ one[0] ** k - other[1] @ other[0] ** k) < 1e-14 for k in range(9))

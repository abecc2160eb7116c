"""Observation models: probabilities that add up to 1, the laws they come from, and tails without NaN."""

import math

import pytest
import torch
from shared import assert_mean, generator, randn

from diffusion_edu.bound import bound, generate
from diffusion_edu.gaussian import Gaussian
from diffusion_edu.observations import Bernoulli, DiscretisedGaussian, DiscretisedLogistic

LAWS = {DiscretisedLogistic: lambda u: torch.sigmoid(u), DiscretisedGaussian: lambda u: torch.special.ndtr(u)}
each_law = pytest.mark.parametrize("law", LAWS)
GRID = torch.linspace(-1, 1, 256, dtype=torch.float64).unsqueeze(-1)


def one(value):
    return torch.tensor([value], dtype=torch.float64)


@each_law
@pytest.mark.parametrize("mean", [-3.0, -1.0, -0.2, 0.0, 0.503, 1.0, 2.0])
@pytest.mark.parametrize("scale", [1e-3, 0.02, 0.5, 4.0])
def test_the_probabilities_of_all_grey_levels_add_up_to_one(law, mean, scale):
    log_p = law(one(mean), one(scale)).log_prob(GRID)
    assert log_p.logsumexp(0).item() == pytest.approx(0, abs=1e-10)


@each_law
@pytest.mark.parametrize("levels", [2, 16, 256])
def test_each_is_the_laws_mass_between_its_edges(law, levels):
    grid = torch.linspace(-1, 1, levels, dtype=torch.float64)
    edges = (grid[1:] + grid[:-1]) / 2
    F = torch.cat([one(0.0), LAWS[law]((edges - 0.1) / 0.3), one(1.0)])
    got = law(one(0.1), one(0.3), levels).log_prob(grid.unsqueeze(-1))
    torch.testing.assert_close(got, F.diff().log(), rtol=1e-8, atol=0)


@each_law
def test_pixels_add_up_and_batches_broadcast(law):
    mean, scale = randn(5, 3, seed=1) * 0.3, randn(3, seed=2).exp() * 0.2
    x = law(mean, scale).sample(generator(3))
    by_pixel = [law(mean[:, d : d + 1], scale[d : d + 1]).log_prob(x[:, d : d + 1]) for d in range(3)]
    torch.testing.assert_close(law(mean, scale).log_prob(x), sum(by_pixel))


@each_law
def test_many_levels_approach_the_density(law):
    x, levels = one(0.2), 1_000_001
    F = LAWS[law]
    u = ((x - 0.1) / 0.3).requires_grad_()
    (density,) = torch.autograd.grad(F(u), u)
    expected = (density / 0.3).log() + math.log(2 / (levels - 1))
    torch.testing.assert_close(law(one(0.1), one(0.3), levels).log_prob(x), expected[0], atol=1e-6, rtol=0)


@each_law
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_tails_have_finite_values_and_gradients(law, dtype):
    mean = torch.tensor([[-1.0], [1.0], [0.0], [30.0]], dtype=dtype, requires_grad=True)
    scale = torch.full((4, 1), 0.01, dtype=dtype, requires_grad=True)
    for x in (-1.0, 1.0, 1 / 255):
        log_p = law(mean, scale).log_prob(torch.full((4, 1), x, dtype=dtype))
        assert bool(log_p.isfinite().all())
        assert all(bool(g.isfinite().all()) for g in torch.autograd.grad(log_p.sum(), (mean, scale)))


@each_law
def test_both_tails_are_alike(law):
    """Far out 1 − F has no digits left and F still has all of them."""
    x = torch.tensor([[253 / 255], [63 / 255], [1 / 255], [-1.0]], dtype=torch.float64)
    for scale in (0.01, 0.05, 0.3):
        right, left = law(one(-0.9), one(scale)).log_prob(x), law(one(0.9), one(scale)).log_prob(-x)
        torch.testing.assert_close(right, left, rtol=1e-9, atol=1e-9)
    assert law(one(-0.9), one(0.01)).log_prob(x[:1]) < -150


@each_law
def test_samples_have_the_frequencies_that_log_prob_says(law):
    model = law(one(0.3), one(0.6), levels=8)
    grid = torch.linspace(-1, 1, 8, dtype=torch.float64)
    x = model.sample(generator(0), shape=(20_000,))
    hits = torch.isclose(x, grid).double()
    assert bool((hits.sum(1) == 1).all()), "each sample is one of the levels"
    assert_mean(hits, model.log_prob(grid.unsqueeze(-1)).exp())


def test_bernoulli_is_torchs():
    logits = randn(4, 6)
    x = (randn(4, 6, seed=1) > 0).double()
    expected = torch.distributions.Bernoulli(logits=logits).log_prob(x).sum(-1)
    torch.testing.assert_close(Bernoulli(logits).log_prob(x), expected)
    torch.testing.assert_close(Bernoulli(logits).mean, torch.distributions.Bernoulli(logits=logits).mean)


def test_bernoulli_samples_have_its_mean():
    model = Bernoulli(one(-1.2))
    assert_mean(model.sample(generator(0), shape=(20_000,)), model.mean)


class Pixels:
    """Two binary pixels that share a hidden standard normal: the smallest image model."""

    levels = 1

    def q(self, t, z_prev):
        return Gaussian(z_prev.sum(-1, keepdim=True) - 1, torch.full_like(z_prev[..., :1], 0.8))

    def p(self, t, z_next):
        return Bernoulli(torch.cat([2 * z_next, -z_next], dim=-1))

    def prior(self):
        return Gaussian(one(0.0), one(1.0))


def test_it_stands_in_the_bound_where_a_gaussian_did():
    """Importance weighting by exp(elbo) averages to P(x), which quadrature over z knows; the four P(x) add up to 1."""
    chain, z = Pixels(), torch.linspace(-9, 9, 4001, dtype=torch.float64).unsqueeze(-1)
    prior = chain.prior().log_prob(z).exp() * (z[1] - z[0])
    total = 0.0
    for x in torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 2):
        exact = (prior * chain.p(0, z).log_prob(x).exp()).sum()
        assert_mean(bound(x.expand(20_000, 2), chain, generator(1)).elbo.exp(), exact)
        total += exact.item()
    assert total == pytest.approx(1, abs=1e-9)
    assert set(generate(chain, 50, generator(2)).unique().tolist()) == {0.0, 1.0}


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="x must be 0 or 1"):
        Bernoulli(one(0.0)).log_prob(one(0.5))
    with pytest.raises(ValueError, match="x must be one of 256 equally spaced values"):
        DiscretisedLogistic(one(0.0), one(1.0)).log_prob(one(0.0))
    with pytest.raises(ValueError, match="x must be one of 256 equally spaced values"):
        DiscretisedGaussian(one(0.0), one(1.0)).log_prob(one(1 + 2 / 255))
    with pytest.raises(ValueError, match="scale must be positive"):
        DiscretisedGaussian(one(0.0), one(0.0))
    with pytest.raises(ValueError, match="levels must be at least 2"):
        DiscretisedGaussian(one(0.0), one(1.0), levels=1)

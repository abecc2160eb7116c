"""gaussian.py: every formula against torch.distributions, Bayes' rule or a Monte Carlo mean."""

import pytest
import torch
from shared import assert_mean, generator, randn
from torch.distributions import Independent, Normal, kl_divergence
from torch.testing import assert_close

from diffusion_edu.gaussian import Gaussian, condition, entropy, kl, marginal


def some_gaussian(seed: int, n: int = 5, dim: int = 3) -> Gaussian:
    return Gaussian(randn(n, dim, seed=seed), 0.2 + randn(n, dim, seed=seed + 1).abs())


def reference(p: Gaussian) -> Independent:
    return Independent(Normal(p.mean, p.var.sqrt()), 1)


def test_log_prob_entropy_and_kl_agree_with_torch():
    q, p, x = some_gaussian(0), some_gaussian(2), randn(5, 3, seed=4)
    assert_close(p.log_prob(x), reference(p).log_prob(x))
    assert_close(entropy(p), reference(p).entropy())
    assert_close(kl(q, p), kl_divergence(reference(q), reference(p)))


def test_one_variance_for_all_dimensions_counts_in_each():
    mean, x = randn(5, 3, seed=0), randn(5, 3, seed=1)
    scalar, full = Gaussian(mean, torch.tensor(0.3).double()), Gaussian(mean, torch.full((5, 3), 0.3).double())
    assert_close(scalar.log_prob(x), full.log_prob(x))
    assert_close(entropy(scalar), entropy(full))
    assert_close(kl(scalar, Gaussian(x, scalar.var)), kl(full, Gaussian(x, full.var)))


def test_kl_is_the_mean_log_ratio():
    q, p = some_gaussian(5), some_gaussian(7)
    x = q.sample(generator(0), shape=(20_000,))
    assert_mean(q.log_prob(x) - p.log_prob(x), kl(q, p))


def test_kl_of_a_gaussian_from_itself_is_zero():
    p = some_gaussian(3)
    assert_close(kl(p, p), torch.zeros(5).double())


def test_samples_have_the_mean_and_variance():
    p = some_gaussian(9)
    x = p.sample(generator(1), shape=(50_000,))
    assert_mean(x, p.mean)
    assert_mean((x - p.mean) ** 2, p.var)


def test_a_sample_is_reparameterised():
    """d/dmean (mean + √var ε) = 1 and d/dvar = ε/(2√var)."""
    mean, var = randn(3, seed=0).requires_grad_(), (0.5 + randn(3, seed=1).abs()).requires_grad_()
    eps = randn(3, seed=2)
    Gaussian(mean, var).at(eps).sum().backward()
    assert_close(mean.grad, torch.ones(3).double())
    assert_close(var.grad, eps / (2 * var.detach().sqrt()))


@pytest.mark.parametrize("a", [0.7, -1.3])
def test_bayes_rule(a):
    """prior(x) · lik(y|x) = marginal(y) · posterior(x|y), at arbitrary points."""
    prior, var = some_gaussian(11), torch.tensor([0.1, 0.5, 2.0]).double()
    x, y = randn(5, 3, seed=13), randn(5, 3, seed=14)
    joint = prior.log_prob(x) + Gaussian(a * x, var).log_prob(y)
    assert_close(joint, marginal(prior, a, var).log_prob(y) + condition(prior, a, var, y).log_prob(x))


@pytest.mark.parametrize("var", [0.0, -1.0, float("nan")])
def test_a_variance_that_is_not_positive_is_refused(var):
    with pytest.raises(ValueError, match="var must be positive"):
        Gaussian(torch.zeros(2), torch.tensor([1.0, var]))

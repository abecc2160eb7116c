"""bound.py: scored on chains of linear Gaussians, where every term and log p(x) are known."""

import math
from dataclasses import dataclass

import pytest
import torch
from shared import assert_mean, generator, randn
from torch.testing import assert_close

from diffusion_edu.bound import bound, generate, importance_weighted, log_weights
from diffusion_edu.ddpm import DDPM
from diffusion_edu.gaussian import Gaussian, kl
from diffusion_edu.hvae import HVAE
from diffusion_edu.nets import EpsNet
from diffusion_edu.schedules import cosine
from diffusion_edu.vae import VAE


@dataclass
class LinearChain:
    """q(z_t|z_{t−1}) = N(a z_{t−1}, v) with (a, v) = q_steps[t − 1]; p(z_t|z_{t+1}) likewise; prior N(0, I)."""

    q_steps: list[tuple[float, float]]
    p_steps: list[tuple[float, float]]
    dim: int = 1

    @property
    def levels(self) -> int:
        return len(self.p_steps)

    def q(self, t, z_prev):
        a, v = self.q_steps[t - 1]
        return Gaussian(a * z_prev, torch.tensor(v, dtype=torch.float64))

    def p(self, t, z_next):
        a, v = self.p_steps[t]
        return Gaussian(a * z_next, torch.tensor(v, dtype=torch.float64))

    def prior(self):
        return Gaussian(torch.zeros(self.dim, dtype=torch.float64), torch.ones(self.dim, dtype=torch.float64))

    def variances(self) -> list[float]:
        """The model's variance of z₀, …, z_T, from the prior's 1 downwards."""
        down = [1.0]
        for a, v in reversed(self.p_steps):
            down.append(a**2 * down[-1] + v)
        return down[::-1]

    def log_prob(self, x):
        return Gaussian(torch.zeros_like(x), torch.tensor(self.variances()[0], dtype=torch.float64)).log_prob(x)


def with_exact_posterior(p_steps, dim: int = 1) -> LinearChain:
    """q by Bayes' rule for scalars: z_t|z_{t−1} has precision 1/m_t + a²/v and gain (a/v)/precision."""
    variances = LinearChain([], p_steps).variances()
    precisions = [1 / m + a**2 / v for (a, v), m in zip(p_steps, variances[1:], strict=True)]
    return LinearChain([(a / v / c, 1 / c) for (a, v), c in zip(p_steps, precisions, strict=True)], p_steps, dim)


P_STEPS = [(0.8, 0.3), (-1.2, 0.5), (0.5, 1.5), (1.0, 0.2)]

# The errata's chain: x₀ ~ N(1, ½²), α = 0.7, p(z₁|z₂) = N(0.8 z₂, 0.3).
ALPHA = 0.7
ERRATA = LinearChain([(ALPHA**0.5, 0.3)] * 2, [(0.9, 0.4), (0.8, 0.3)])


def errata_points(n: int) -> torch.Tensor:
    return 1 + 0.5 * randn(n, 1, seed=1)


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_with_the_exact_posterior_the_bound_is_log_p_for_every_draw(levels):
    chain, x = with_exact_posterior(P_STEPS[:levels], dim=3), 2 * randn(7, 3)
    assert_close(bound(x, chain, generator(0)).elbo, chain.log_prob(x))


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_with_a_wrong_posterior_the_bound_lies_below(levels):
    """Below by KL(q(z|x) ‖ p(z|x)) on average, so by many standard errors for a q this wrong."""
    chain, x = LinearChain([(0.5, 0.5)] * levels, P_STEPS[:levels]), randn(4000, 1)
    slack = chain.log_prob(x) - bound(x, chain, generator(1)).elbo
    assert slack.mean() > 10 * slack.std() / math.sqrt(len(slack))


def expected_terms(chain: LinearChain, square: float) -> list[float]:
    """The means of reconstruction, consistency and prior over q, from E z_t² = a² E z_{t−1}² + v alone:
    −E log N(y; b z, w) = ½ log 2πw + E(y − b z)²/2w, where for z = a y + noise E(y − b z)² =
    (1 − ab)² E y² + b² v."""
    log_normal = lambda square, v: -0.5 * (math.log(2 * math.pi * v) + square / v)  # noqa: E731
    log_p, log_q = [], []
    for (a, v), (b, w) in zip(chain.q_steps, chain.p_steps, strict=True):
        log_p.append(log_normal((1 - a * b) ** 2 * square + b**2 * v, w))
        log_q.append(log_normal(v, v))
        square = a**2 * square + v
    log_p.append(log_normal(square, 1.0))
    return [log_p[0], *(p - q for p, q in zip(log_p[1:], log_q, strict=True))]


def test_every_term_has_its_closed_form_mean():
    chain = LinearChain([(0.9, 0.4), (-0.5, 0.8), (0.3, 0.6)], P_STEPS[:3])
    x = 1 + 0.5 * randn(40_000, 1, seed=2)
    b = bound(x, chain, generator(3))
    terms = torch.stack([b.reconstruction, *b.consistency, b.prior], dim=1)
    assert_mean(terms, torch.tensor(expected_terms(chain, square=1.25)))


def test_named_means_add_up_to_the_elbo():
    b = bound(errata_points(50), ERRATA, generator(0))
    assert list(b.mean()) == ["reconstruction", "consistency_1", "prior"]
    assert_close(sum(b.mean().values()), b.elbo.mean().item())
    assert_close(b.mean()["consistency_1"], b.consistency[0].mean().item())


def test_the_errata_chains_consistency_term():
    """True cost E[log q(z₁|x₀) − log p(z₁|z₂)]: 0.034 nats, in closed form and through the bound."""
    gap = (1 - 0.8 * ALPHA**0.5) ** 2 * (ALPHA * 1.25 + 0.3) + 0.8**2 * 0.3  # E(z₁ − 0.8 z₂)²
    exact = 0.5 * (gap / 0.3 - 1)
    assert_close(exact, 0.034, rtol=0, atol=1e-3)
    assert_mean(-bound(errata_points(200_000), ERRATA, generator(4)).consistency[0], exact)


def test_the_kl_that_tutorials_print_is_another_number():
    """E KL(q(z₁|x₀) ‖ p(z₁|z₂)) over q(x₀, z₂): 0.704 nats, in closed form and by simulation. Given x₀, the
    z₁ inside the KL is drawn afresh, though z₂ was made from another."""
    gap = (ALPHA**0.5 - 0.8 * ALPHA) ** 2 * 1.25 + 0.8**2 * (ALPHA * 0.3 + 0.3)  # E(√α x₀ − 0.8 z₂)²
    exact = 0.5 * gap / 0.3
    assert_close(exact, 0.704, rtol=0, atol=1e-3)
    x0, noise = errata_points(200_000), generator(5)
    q1 = ERRATA.q(1, x0)
    z2 = ERRATA.q(2, q1.sample(noise)).sample(noise)
    assert_mean(kl(q1, ERRATA.p(1, z2)), exact)


def test_importance_weighting_is_the_log_of_the_mean_weight():
    w = torch.tensor([[1.0, 2.0], [3.0, 2.0], [5.0, 2.0]], dtype=torch.float64)
    assert_close(importance_weighted(w.log()), torch.tensor([3.0, 2.0], dtype=torch.float64).log())


def test_importance_weighted_bound_rises_to_log_p():
    """Each K gains on the last by over four standard errors, none passes log p(x), and the last is near it."""
    chain, x = LinearChain([(0.6, 0.5)] * 2, P_STEPS[:2]), torch.full((2000, 1), 0.7, dtype=torch.float64)
    log_w = log_weights(x, chain, K=256, generator=generator(6))
    bounds = torch.stack([importance_weighted(log_w[:K]) for K in (1, 4, 16, 64, 256)])
    error = 4 * bounds.diff(dim=0).std(1) / math.sqrt(2000)
    assert bool((bounds.diff(dim=0).mean(1) > error).all())
    slack = (chain.log_prob(x) - bounds).mean(1)
    assert bool((slack > 0).all())
    assert slack[-1] < 0.05 * slack[0]


@pytest.mark.parametrize(("K", "chunk"), [(7, 20), (7, 1), (3, 100)])
def test_log_weights_in_chunks_are_K_independent_draws(K, chunk):
    x = errata_points(10)
    log_w = log_weights(x, ERRATA, K, generator(7), chunk)
    assert log_w.shape == (K, 10)
    assert log_w.unique().numel() == 10 * K
    exact = with_exact_posterior(P_STEPS)
    assert_close(log_weights(x, exact, K, generator(8), chunk), exact.log_prob(x).expand(K, 10))


def test_generated_points_have_the_models_marginal():
    chain = LinearChain([], P_STEPS, dim=2)
    x = generate(chain, 50_000, generator(9))
    assert_mean(x, torch.zeros(2))
    assert_mean(x**2, torch.full((2,), chain.variances()[0]).double())


def test_bad_input_is_refused():
    x = errata_points(3)
    with pytest.raises(ValueError, match="K, the number of importance samples"):
        log_weights(x, ERRATA, 0)
    with pytest.raises(ValueError, match="n, the number of samples"):
        generate(ERRATA, 0)
    with pytest.raises(ValueError, match="NaN"):
        bound(x / 0, ERRATA)
    with pytest.raises(ValueError, match=r"torch\.int64"):
        bound(x.long(), ERRATA)


def test_every_model_has_a_chain_and_generates_down_it():
    schedule = cosine(5)
    models = VAE(width=8), HVAE(levels=3, width=8), DDPM(EpsNet(2, schedule, width=8), schedule, 2)
    for model in models:
        x = model.generate(7, generator(3))
        assert torch.equal(x, generate(model.chain(), 7, generator(3)))
        assert bound(x.detach(), model.chain(), generator(1)).elbo.shape == (7,)
    assert models[0].chain() is models[0]
    assert models[1].chain() is models[1]

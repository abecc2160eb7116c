"""latent.py and scales.py: chains on chains, against exact densities."""

from functools import partial
from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from diffusion_edu import ddpm, nets, schedules
from diffusion_edu.bound import bound, generate, importance_weighted, log_weights
from diffusion_edu.diffusion import ForwardProcess, closed_form_terms, per_step, sigma2_optimal
from diffusion_edu.evaluate import gap, mean_and_error, score_chain
from diffusion_edu.gaussian import Gaussian
from diffusion_edu.latent import Prior, Scaled, Stacked, aggregate, encoded, standardised
from diffusion_edu.oracles import Mixture, exact_denoiser, gaussian
from diffusion_edu.scales import Leaving, haar
from diffusion_edu.vae import VAE


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Half:
    """x ~ N(0, a² v + s²) in two dimensions, through one latent z of its own law: p(x|z) = N(a z, s²), with the exact
    q(z|x) of the prior z ~ N(0, v)."""

    levels, a, s2 = 1, 0.8, 0.36
    v = torch.tensor([1.5, 0.6], dtype=torch.float64)

    def q(self, t, z_prev):
        assert t == 1
        precision = 1 / self.v + self.a**2 / self.s2
        return Gaussian(self.a * z_prev / self.s2 / precision, 1 / precision)

    def p(self, t, z_next):
        assert t == 0
        return Gaussian(self.a * z_next, torch.full_like(z_next, self.s2))

    def prior(self):
        return Gaussian(torch.zeros(2, dtype=torch.float64), 9 * self.v)  # which nothing above asks for


BELOW = Half()
Z, X = (gaussian(torch.zeros(2), v) for v in (BELOW.v, BELOW.a**2 * BELOW.v + BELOW.s2))


def exact_diffusion(data: Mixture, T: int) -> ForwardProcess:
    """Diffusion with the exact denoiser of a Gaussian and the exact variance of each coordinate at each step."""
    s = schedules.cosine(T)
    bar = s.alpha_bar[1:, None]
    mse = data.variances[0] * (1 - bar) / (bar * data.variances[0] + 1 - bar)
    sigma2 = torch.stack([sigma2_optimal(s, torch.cat([m.new_zeros(1), m])) for m in mse.T], 1)
    return ForwardProcess(s, exact_denoiser(data, s.alpha_bar), lambda t, _: sigma2[int(t)], data.dim)


@pytest.mark.parametrize("T", [1, 2, 20])
def test_two_chains_have_the_terms_of_both(T):
    """With the same noise, to 1e-6: the VAE's terms without its prior, and the bound of the diffusion on z."""
    torch.manual_seed(0)
    vae, s = VAE(2, 3, 16), schedules.cosine(T)
    model = ddpm.DDPM(nets.EpsNet(3, s, 16), s, 3)
    x = torch.randn(50, 2, generator=seeded(1))
    together = score_chain(x, Stacked(vae, model.chain()), seeded(2))
    noise = seeded(2)
    q = vae.q(1, x)
    z = q.sample(noise)
    above = score_chain(z, model.chain(), noise)
    assert together.consistency.shape == (T, 50)
    expected = vae.p(0, z).log_prob(x) - q.log_prob(z) + above.elbo
    assert_close(together.elbo, expected, atol=1e-6 * expected.abs().max().item(), rtol=1e-6)
    assert_close(together.reconstruction, vae.p(0, z).log_prob(x))
    assert_close(together.consistency[0], above.reconstruction - q.log_prob(z), atol=1e-5, rtol=1e-5)
    assert_close(together.prior, above.prior)


def test_where_all_is_gaussian_the_bound_is_log_p_but_for_the_schedules_end():
    """q(z|x) is the posterior, the denoiser is exact and one variance per coordinate is enough."""
    x = X.sample(4000, 3)
    chain = Stacked(BELOW, exact_diffusion(Z, 20))
    b = score_chain(x, chain, seeded(1))
    mean, se = gap(b, X.log_prob(x))
    assert abs(mean) < 4 * se + 1e-6
    assert se < 1e-2
    log_w = log_weights(x[:200], chain, 50, seeded(3))
    assert (importance_weighted(log_w) - X.log_prob(x[:200])).abs().max() < 0.2


def test_the_bound_is_valid_with_a_denoiser_that_knows_nothing():
    """It stays below log p(x) = that of the whole model, which importance weights find: a linear-Gaussian chain."""
    x, s = X.sample(2000, 5), schedules.cosine(3)
    none = ForwardProcess(s, lambda xt, t: 0.5 * xt, per_step(s.beta))
    b = score_chain(x, Stacked(BELOW, none), seeded(1))
    var = torch.ones((), dtype=torch.float64)  # of x_T, and down the chain: each step is linear
    for t in (3, 2, 1):
        probe = none.p(t - 1, torch.ones(1, 2, dtype=torch.float64)).mean[0, 0]
        var = probe**2 * var + s.beta[t]
    truth = gaussian(torch.zeros(2), (BELOW.a**2 * var + BELOW.s2).expand(2))
    mean, se = gap(b, truth.log_prob(x))
    assert mean > 4 * se
    drawn = generate(Stacked(BELOW, none), 20_000, seeded(4))
    assert_close(drawn.var(0), truth.variances[0], rtol=0.05, atol=0)


def test_the_latents_come_in_the_order_of_the_two_chains():
    chain = Stacked(BELOW, exact_diffusion(Z, 5))
    z = Z.sample(4, 0)
    assert chain.levels == 6
    assert_close(
        chain.prior().sample(seeded(), (20_000,)).var(0), torch.ones(2, dtype=torch.float64), rtol=0.05, atol=0
    )
    assert_close(chain.q(1, z).mean, BELOW.q(1, z).mean)
    assert_close(chain.q(2, z).mean, chain.above.q(1, z).mean)
    assert_close(chain.q(6, z).mean, chain.above.q(5, z).mean)
    assert_close(chain.p(0, z).mean, BELOW.p(0, z).mean)
    assert_close(chain.p(1, z).mean, chain.above.p(0, z).mean)
    assert_close(chain.p(5, z).mean, chain.above.p(4, z).mean)


def test_a_scaled_latent_changes_the_prior_and_nothing_else():
    torch.manual_seed(0)
    vae, x = VAE(2, 2, 16), torch.randn(3000, 2, generator=seeded(1))
    new = standardised(vae, x, seeded(2))
    z = encoded(new, x, seeded(3))
    assert_close(z.mean(0), torch.zeros(2), atol=0.08, rtol=0)
    assert_close(z.std(0), torch.ones(2), atol=0.05, rtol=0)
    a, b = score_chain(x, vae, seeded(4)), score_chain(x, new, seeded(4))
    assert_close(a.reconstruction, b.reconstruction, atol=1e-4, rtol=1e-4)
    z = encoded(new, x, seeded(4))
    log_q = vae.q(1, x).log_prob(z * new.scale + new.shift) + new.scale.log().sum()
    assert_close(b.prior, new.prior().log_prob(z) - log_q, atol=1e-3, rtol=1e-4)
    assert not torch.allclose(a.prior, b.prior, atol=0.1)


def test_a_known_aggregate_is_found_again():
    """Half's q averages to its own prior's law N(0, v)."""
    found = aggregate(BELOW, X.sample(5000, 1))
    z = Z.sample(3000, 2)
    off, se = mean_and_error(Z.log_prob(z) - found.log_prob(z))
    assert -4 * se < off < 0.02
    assert found.means.shape == (5000, 2)


def test_a_given_std_stays():
    vae = VAE(encode=partial(nets.FixedStd, std=0.25))
    q = vae.q(1, torch.randn(7, 2))
    assert_close(q.var, torch.full((7, 2), 0.0625))
    assert not torch.allclose(q.mean[0], q.mean[1])
    with pytest.raises(ValueError, match="std must be positive, got 0"):
        VAE(encode=partial(nets.FixedStd, std=0))


# --- several scales ---

S = schedules.cosine(40)
BIG, SMALL = torch.tensor([1.4, 1.0], dtype=torch.float64), torch.tensor([0.3, 0.1, 0.05], dtype=torch.float64)
DATA = gaussian(torch.zeros(5), torch.cat([BIG, SMALL]))


def leaving(t_star: int) -> Leaving:
    return Leaving(exact_diffusion(DATA, 40), exact_diffusion(gaussian(torch.zeros(2), BIG), 40), t_star)


@pytest.mark.parametrize("t_star", [1, 8, 20, 39])
def test_what_leaving_costs_is_known_where_the_coordinates_are_independent(t_star):
    """The mean divergence of the leaving ones from N(0, I), less the terms that they would have had above."""
    x = DATA.sample(4000, 1)
    stay = closed_form_terms(x[:, 2:], exact_diffusion(gaussian(torch.zeros(3), SMALL), 40), seeded(5)).mean(1)
    bar = S.alpha_bar[t_star]
    leave = 0.5 * (1 - bar + bar * SMALL - 1 - (1 - bar).log()).sum()
    cost = leave - stay[t_star:].sum()
    b, whole = (score_chain(x, c, seeded(2)).elbo for c in (leaving(t_star), exact_diffusion(DATA, 40)))
    mean, se = mean_and_error(whole - b)
    assert abs(mean - cost) < 4 * se + 0.02
    assert cost > -0.02


def test_a_chain_that_shrinks_generates_what_it_scores():
    x = generate(leaving(30), 20_000, seeded(3))
    assert x.shape == (20_000, 5)
    assert_close(x.var(0), DATA.variances[0], rtol=0.12, atol=0)
    early = generate(leaving(8), 20_000, seeded(3))
    assert (early.var(0)[2:] > 1.3 * SMALL).all()


def test_the_sizes_of_a_chain_that_shrinks():
    chain, x = leaving(8), DATA.sample(6, 0)
    assert [chain.q(t, x).mean.shape[-1] for t in (1, 8, 9)] == [5, 5, 2]
    assert [chain.p(t, x[:, :d]).mean.shape[-1] for t, d in ((7, 5), (8, 2), (9, 2))] == [5, 5, 2]
    step = chain.p(8, x[:, :2])
    assert_close(step.mean[:, 2:], torch.zeros(6, 3, dtype=torch.float64))
    assert_close(step.var[:, 2:], torch.ones(6, 3, dtype=torch.float64))
    assert_close(step.mean[:, :2], chain.few.p(8, x[:, :2]).mean)
    assert chain.prior().mean.shape == (2,)
    assert bound(x, chain, seeded()).consistency.shape == (39, 6)


def test_chains_that_do_not_fit_are_refused():
    full, few = exact_diffusion(DATA, 40), exact_diffusion(gaussian(torch.zeros(2), BIG), 40)
    with pytest.raises(ValueError, match="fewer dimensions than full, got 5 and 5"):
        Leaving(full, full, 8)
    for t_star in (0, 40):
        with pytest.raises(ValueError, match=f"must be in 1 … 39, got {t_star}"):
            Leaving(full, few, t_star)
    with pytest.raises(ValueError, match="same schedule"):
        Leaving(full, exact_diffusion(gaussian(torch.zeros(2), BIG), 20), 8)


def test_the_haar_transform_is_orthonormal_and_its_bands_are_sums_and_differences():
    W, band = haar(8)
    assert_close(W @ W.T, torch.eye(64, dtype=torch.float64))
    assert [(band == k).sum().item() for k in range(4)] == [16] * 4
    assert all(a <= b for a, b in pairwise(band.tolist()))
    x = torch.rand(5, 8, 8, generator=seeded(), dtype=torch.float64)
    y = x.reshape(5, 64) @ W.T
    coarse = x.reshape(5, 4, 2, 4, 2).sum((2, 4)) / 2
    assert_close(y[:, :16], coarse.reshape(5, 16))
    across = (x[:, ::2, ::2] + x[:, 1::2, ::2] - x[:, ::2, 1::2] - x[:, 1::2, 1::2]) / 2
    assert_close(y[:, 16:32], across.reshape(5, 16))
    for n in (0, 7):
        with pytest.raises(ValueError, match=f"even and at least 2, got {n}"):
            haar(n)


def test_scaled_keeps_one_level():
    one = torch.ones(2, dtype=torch.float64)
    chain = Scaled(BELOW, 0 * one, 2 * one)
    assert chain.levels == 1
    assert_close(chain.q(1, one).mean, BELOW.q(1, one).mean / 2)
    assert_close(chain.p(0, one).mean, BELOW.p(0, 2 * one).mean)


def test_a_mixture_is_a_chain_without_levels():
    """Half with its own prior's law in the place of the prior is exact."""
    law = gaussian(torch.zeros(2), BELOW.v)
    chain = Stacked(BELOW, Prior(law))
    x = X.sample(300, 1)
    assert chain.levels == 1
    assert_close(bound(x, chain, seeded()).elbo, X.log_prob(x))
    drawn = generate(chain, 20_000, seeded(2))
    assert_close(drawn.var(0).double(), X.variances[0], rtol=0.05, atol=0)
    assert not torch.equal(drawn, generate(chain, 20_000, seeded(3)))
    lopsided = Mixture(torch.tensor([1.0, 3.0]), torch.tensor([[0.0], [4.0]]), torch.ones(1))
    assert Prior(lopsided).mean.item() == pytest.approx(3)

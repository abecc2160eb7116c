"""nets.py, vae.py, hvae.py: what holds of the networks for any parameters."""

import math

import pytest
import torch
from shared import generator
from torch.testing import assert_close

from diffusion_edu.bound import bound
from diffusion_edu.hvae import HVAE
from diffusion_edu.nets import EpsNet, GaussianNet, StepNet, TimeEmbedding, mlp
from diffusion_edu.schedules import SCHEDULES, linear, make_schedule
from diffusion_edu.vae import VAE


@pytest.mark.parametrize("name", SCHEDULES)
def test_distinct_times_have_distinct_embeddings(name):
    """The last entry is log SNR/10, so two embeddings are at least a tenth of their difference in log SNR apart;
    at 1,000 steps that must stand clear of float32's rounding."""
    schedule = make_schedule(name, 1000)
    embedding = TimeEmbedding(schedule)(torch.arange(1001)).double()
    distance = torch.cdist(embedding, embedding, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(math.inf)
    nearest = -schedule.log_snr[1:].diff().max().item()
    assert distance.min() > 0.1 * nearest - 1e-6
    assert distance.min() > 1e-4


@pytest.mark.parametrize("size", [0, 1, 7, -2])
def test_an_embedding_of_odd_or_no_size_is_refused(size):
    with pytest.raises(ValueError, match="size must be even"):
        TimeEmbedding(linear(30), size)


def test_eps_net_mixes_its_output_as_v():
    """ε̂ = √(1−ᾱ) x_t + √ᾱ v̂, with v̂ the MLP's output; a time per point is the same as one at a time."""
    torch.manual_seed(0)
    schedule = linear(30)
    net, xt, t = (
        EpsNet(2, schedule, width=16),
        torch.randn(5, 2, generator=generator(1)),
        torch.tensor([1, 30, 7, 7, 2]),
    )
    v_hat = net.net(torch.cat([xt, net.embed(t)], 1))
    alpha_bar = schedule.alpha_bar[t].unsqueeze(1).float()
    assert_close(net(xt, t), (1 - alpha_bar).sqrt() * xt + alpha_bar.sqrt() * v_hat, rtol=1e-5, atol=1e-5)
    assert_close(net(xt, t), torch.stack([net(x, s) for x, s in zip(xt, t, strict=True)]))


def test_mlp_ends_without_an_activation():
    """SiLU is nowhere below −0.28 and not affine; one linear layer alone is affine and unbounded."""
    torch.manual_seed(0)
    net, x = mlp([3, 2]), torch.randn(50, 3, generator=generator(1))
    assert_close(net(2 * x) - net(x), net(x) - net(0 * x), rtol=1e-4, atol=1e-5)
    assert mlp([3, 8, 2])(1e3 * x).min() < -1


@pytest.mark.parametrize("net", [GaussianNet(2, 3), StepNet(2)], ids=["GaussianNet", "StepNet"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e6])
def test_variances_stay_positive_and_bounded_whatever_comes_in(net, scale):
    var = net(scale * torch.randn(500, 2, generator=generator(1))).var
    assert var.min() >= math.exp(-12) * (1 - 1e-5)
    assert var.max() <= math.exp(4) * (1 + 1e-5)


def test_a_step_net_starts_from_where_it_stands():
    net, z = StepNet(2), torch.randn(5, 2, generator=generator(1))
    with torch.no_grad():
        net.net[-1].weight.zero_(), net.net[-1].bias.zero_()
    assert torch.equal(net(z).mean, z)
    assert torch.equal(net(z).var, torch.ones(5, 2))


def test_vae_through_the_bound_is_its_two_terms():
    """E log p(x|z) and log N(z; 0, I) − log q(z|x), by hand with the same noise."""
    torch.manual_seed(0)
    model, x = VAE(dim=2, latent=3, width=16), torch.randn(6, 2, generator=generator(1))
    b = bound(x, model, generator(2))
    q = model.encoder(x)
    z = q.mean + q.var.sqrt() * torch.randn(6, 3, generator=generator(2))
    assert_close(b.reconstruction, model.decoder(z).log_prob(x))
    assert_close(b.prior, torch.distributions.Normal(0, 1).log_prob(z).sum(1) - q.log_prob(z))


def test_hvae_through_the_bound_is_its_levels_in_order():
    """log p(x|z₁) + log p(z₁|z₂)/q(z₁|x) + log p(z₂)/q(z₂|z₁), by hand with the same noise."""
    torch.manual_seed(0)
    model, x, noise = HVAE(levels=2, latent=3, width=16), torch.randn(6, 2, generator=generator(1)), generator(2)
    b = bound(x, model, generator(2))
    (e1, e2), (d0, d1) = model.encoders, model.decoders
    z1 = e1(x).at(torch.randn(6, 3, generator=noise))
    z2 = e2(z1).at(torch.randn(6, 3, generator=noise))
    assert_close(b.reconstruction, d0(z1).log_prob(x))
    assert_close(b.consistency, (d1(z2).log_prob(z1) - e1(x).log_prob(z1)).unsqueeze(0))
    assert_close(b.prior, torch.distributions.Normal(0, 1).log_prob(z2).sum(1) - e2(z1).log_prob(z2))


def test_no_levels_are_refused():
    with pytest.raises(ValueError, match="levels must be at least 1"):
        HVAE(levels=0)

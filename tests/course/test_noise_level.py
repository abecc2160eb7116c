"""Networks asked at a noise level that is a number, and closed forms of what is known at any noise level."""

import math

import pytest
import torch
from shared import assert_mean, randn
from torch.testing import assert_close

from diffusion_edu import exact, pretrained
from diffusion_edu.data import SwissRoll
from diffusion_edu.ddpm import DDPM
from diffusion_edu.images.convnets import UNet
from diffusion_edu.images.ddpm import ImageDDPM
from diffusion_edu.nets import EpsNet, TimeEmbedding
from diffusion_edu.oracles import Mixture, gaussian
from diffusion_edu.schedules import cosine, from_log_snr, linear

ROLL, SCHEDULE = SwissRoll(), cosine(60)
SOLID = Mixture(
    [0.2, 0.5, 0.3],
    [[-1.0, 0.5, 2.0], [0.3, 0.1, -0.4], [1.0, -2.0, 0.0]],
    [[0.3, 0.2, 0.5], [0.05, 0.4, 0.1], [0.6, 0.1, 0.9]],
)


def points_net(schedule=SCHEDULE):
    torch.manual_seed(0)
    return EpsNet(2, schedule, width=16, depth=2).requires_grad_(False)


def image_net(schedule=SCHEDULE):
    """No weights at zero, so that all of its parts count."""
    torch.manual_seed(0)
    net = UNet(784, schedule, width=8, mixing=16).requires_grad_(False)
    for p in net.parameters():
        if not p.any():
            torch.nn.init.normal_(p, std=0.05)
    return net


both_nets = pytest.mark.parametrize(("build", "dim"), [(points_net, 2), (image_net, 784)])


@both_nets
def test_at_the_schedules_own_levels_a_net_answers_as_at_their_index(build, dim):
    net, t = build(), torch.tensor([[1, 2, 17], [30, 59, 60]])
    xt = randn(2, 3, dim).float()
    assert_close(net.at(xt, SCHEDULE.log_snr[t]), net(xt, t), rtol=1e-4, atol=1e-5)
    for s in (1, 30, 60):
        assert_close(net.at(xt, SCHEDULE.log_snr[s].item()), net(xt, torch.full((2, 3), s)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("build", "kind", "dim"), [(points_net, DDPM, 2), (image_net, ImageDDPM, 784)])
def test_a_ddpm_denoises_at_any_level_and_at_its_own_as_at_their_index(build, kind, dim):
    model, xt, t = kind(build(), SCHEDULE, dim), randn(3, dim).float(), torch.tensor([1, 30, 60])
    assert_close(model.x0_hat_at(xt, SCHEDULE.log_snr[t]), model.x0_hat(xt, t), rtol=1e-3, atol=1e-3)
    level = 0.7
    a = 1 / (1 + math.exp(-level))
    expected = (xt - math.sqrt(1 - a) * model.eps_net.at(xt, level)) / math.sqrt(a)
    expected = expected.clamp(-1, 1) if kind is ImageDDPM else expected
    assert_close(model.x0_hat_at(xt, level), expected, rtol=1e-4, atol=1e-5)


@both_nets
@pytest.mark.parametrize("log_snr", [4.321, 0.05, -3.3])
def test_between_them_it_answers_as_with_a_schedule_that_has_the_level(build, dim, log_snr):
    ends = SCHEDULE.log_snr[[1, -1]]
    assert (SCHEDULE.log_snr - log_snr).abs().min() > 1e-2
    other = build(from_log_snr(torch.tensor([ends[0], log_snr, ends[1]])))
    net, xt = build(), randn(4, dim).float()
    other.load_state_dict(net.state_dict())
    expected = other(xt, torch.full((4,), 2))
    assert_close(net.at(xt, log_snr), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(net.at(xt, log_snr + 0.3), expected, atol=1e-2)


@both_nets
def test_each_point_may_have_a_level_of_its_own(build, dim):
    net, xt, levels = build(), randn(3, dim).float(), torch.tensor([5.5, 1.25, -4.0])
    alone = torch.cat([net.at(xt[i : i + 1], levels[i].item()) for i in range(3)])
    assert_close(net.at(xt, levels), alone, rtol=1e-4, atol=1e-5)


def test_at_integers_a_net_looks_its_level_up_and_computes_nothing_new():
    """To the last bit, so that trained weights go on to mean what they meant."""
    net, t, xt = points_net(), torch.arange(61), randn(61, 2).float()
    log_snr = torch.cat([SCHEDULE.log_snr[1:2] + 1, SCHEDULE.log_snr[1:]]).float().unsqueeze(1)
    angle = log_snr * net.embed.frequency
    v_hat = net.net(torch.cat([xt, angle.sin(), angle.cos(), log_snr / 10], dim=1))
    noise, signal = ((1 - SCHEDULE.alpha_bar).sqrt().float(), SCHEDULE.alpha_bar.sqrt().float())
    assert torch.equal(net(xt, t), noise.unsqueeze(1) * xt + signal.unsqueeze(1) * v_hat)
    assert torch.equal(net.v_hat(xt, t), v_hat)


@both_nets
def test_a_level_is_not_saved_with_the_weights(build, dim):
    net = build()
    assert set(net.state_dict()) == {name for name, _ in net.named_parameters()}
    assert {name for name, _ in net.named_buffers()} == {"signal", "noise", "embed.log_snr", "embed.frequency"}


@pytest.mark.parametrize("schedule", [SCHEDULE, cosine(1000), linear(1000)])
def test_the_embedding_of_a_level_is_that_of_its_index_and_both_ends_are_allowed(schedule):
    embed, levels = TimeEmbedding(schedule), schedule.log_snr[1:]
    for given in (levels, levels.float()):
        assert torch.equal(embed.at(embed.checked(given).float()), embed(torch.arange(1, schedule.T + 1)))
    assert torch.equal(embed.at(embed.checked(levels[3].item()).float()), embed(torch.tensor(4)))


@pytest.mark.parametrize("off", ["above", "below", "nan"])
def test_no_net_is_asked_beyond_the_ends_of_its_schedule(off):
    high, low = SCHEDULE.log_snr[[1, -1]].tolist()
    bad = {"above": high + 1e-3, "below": low - 1e-3, "nan": math.nan}[off]
    net, xt = points_net(), randn(2, 2).float()
    message = rf"log_snr must lie in \[{low:g}, {high:g}\], got {bad:g}"
    for ask in (net.embed.checked, lambda log_snr: net.at(xt, log_snr)):
        with pytest.raises(ValueError, match=message):
            ask(bad)
        with pytest.raises(ValueError, match=message):
            ask(torch.tensor([0.0, bad], dtype=torch.float64))


@pytest.mark.parametrize("shape", [(2,), (1,), (3, 1)])
def test_there_is_one_level_or_one_for_each_point(shape):
    with pytest.raises(ValueError, match=r"log_snr must be a number or of shape \(3,\), got shape \("):
        points_net().at(randn(3, 2).float(), torch.zeros(shape))


def test_between_the_steps_that_it_was_trained_on_the_published_net_is_as_close_to_the_exact_noise():
    model = pretrained.load("cosine")
    for t in (100, 500, 900):
        before, after = model.schedule.log_snr[t : t + 2].tolist()
        errors = []
        for log_snr in (before, (before + after) / 2, after):
            alpha_bar = 1 / (1 + math.exp(-log_snr))
            xt = alpha_bar**0.5 * ROLL.sample(500, seed=t) + (1 - alpha_bar) ** 0.5 * randn(500, 2, seed=t + 1)
            off = model.eps_net.at(xt.float(), log_snr) - ROLL.eps_mean(xt, alpha_bar)
            errors.append(off.square().mean().item())
        assert max(errors) < 0.02
        assert errors[1] == pytest.approx((errors[0] + errors[2]) / 2, rel=0.05)


# --- what is known without a network ---


@pytest.mark.parametrize(("T", "nats"), [(10, 0.7423), (20, 0.4124), (50, 0.1721), (1000, 0.0087)])
def test_what_the_cosine_schedule_costs(T, nats):
    assert exact.price(ROLL, cosine(T)) == pytest.approx(nats, abs=6e-5)


@pytest.mark.parametrize("knots", [[0.5], [6.0, 1.0], [8.0, 2.0, -1.0, -3.0]])
def test_of_one_gaussian_a_schedule_costs_its_last_mismatch_alone(knots):
    """Its reverse steps are Gaussians, so that exact ones leave KL(q(x_T) ‖ N(0, 1)), in however few steps."""
    mean, var, schedule = 0.8, 0.25, from_log_snr(torch.tensor(knots))
    alpha_bar = schedule.alpha_bar[-1].item()
    m, v = alpha_bar**0.5 * mean, alpha_bar * var + 1 - alpha_bar
    expected = 0.5 * (m**2 + v - 1 - math.log(v))
    assert exact.price(gaussian([mean], [var]), schedule) == pytest.approx(expected, abs=1e-5)


def test_the_error_of_one_gaussian_is_closed():
    """E|x₀ − x̂₀|²/(1−ᾱ) = v/(ᾱv + 1 − ᾱ)."""
    data, levels = gaussian([0.4], [4.0]), torch.tensor([[-7.3, -0.06], [1.19, 9.99]], dtype=torch.float64)
    alpha_bar = levels.sigmoid()
    assert_close(exact.error_at(data, levels), 4 / (4 * alpha_bar + 1 - alpha_bar), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("alpha_bar", [0.98, 0.3])
def test_the_mean_square_of_the_score_is_minus_its_mean_divergence(alpha_bar):
    """Hyvärinen 2005, theorem 1, at the true density, in three dimensions."""
    xt = alpha_bar**0.5 * SOLID.sample(4000, seed=1) + (1 - alpha_bar) ** 0.5 * randn(4000, 3, seed=2)
    score, divergence = SOLID.score_divergence(xt, alpha_bar)
    assert_mean(score.square().sum(-1) + divergence, 0)


def test_the_divergence_of_one_gaussian_is_minus_the_sum_of_its_precisions():
    v, alpha_bar, x = torch.tensor([4.0, 0.25, 1.0], dtype=torch.float64), 0.7, randn(2, 5, 3)
    score, divergence = gaussian([0.0, 0.0, 0.0], v).score_divergence(x, alpha_bar)
    assert_close(score, -x / (alpha_bar * v + 1 - alpha_bar))
    assert_close(divergence, -(1 / (alpha_bar * v + 1 - alpha_bar)).sum().expand(2, 5))


@pytest.mark.parametrize("alpha_bar", [0.98, 0.3])
def test_what_the_posterior_spreads_and_what_its_mean_does_make_the_datas_covariance(alpha_bar):
    """Cov x₀ = E Cov[x₀|x_t] + Cov E[x₀|x_t]."""
    mean = SOLID.weights @ SOLID.means
    centred = SOLID.means - mean
    total = torch.einsum("k,ki,kj->ij", SOLID.weights, centred, centred) + (SOLID.weights @ SOLID.variances).diag()
    xt = alpha_bar**0.5 * SOLID.sample(4000, seed=3) + (1 - alpha_bar) ** 0.5 * randn(4000, 3, seed=4)
    off = SOLID.x0_mean(xt, alpha_bar) - mean
    assert_mean(SOLID.x0_cov(xt, alpha_bar) + off.unsqueeze(-1) * off.unsqueeze(-2), total)


def test_two_of_three_coordinates_given_the_one_between():
    x = torch.tensor([0.4, -1.3, 0.7], dtype=torch.float64)
    middle = Mixture(SOLID.weights, SOLID.means[:, 1:2], SOLID.variances[:, 1:2])
    others = SOLID.conditional(torch.tensor([math.nan, -1.3, math.nan], dtype=torch.float64))
    assert others.dim == 2
    assert_close(others.log_prob(x[[0, 2]]), SOLID.log_prob(x) - middle.log_prob(x[1:2]))


def test_far_from_all_components_the_widest_is_what_remains():
    far = SOLID.conditional(torch.tensor([math.nan, 0.0, 500.0]))
    assert far.weights.argmax() == 2  # variance 0.9 in the last coordinate
    assert far.log_prob(SOLID.means[2, :1]).item() == pytest.approx(-0.5 * math.log(2 * math.pi * 0.6))


def test_each_third_of_the_roll_holds_its_own_points():
    x, u = ROLL.sample_with_u(900, seed=2)
    for i, third in enumerate(ROLL.thirds()):
        own = x[(3 * u).long() == i]
        assert_mean(own, third.weights @ third.means)
        assert_mean(-third.log_prob(own), third.entropy())

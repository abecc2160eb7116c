"""ImageDDPM, `terms_by_t` and `importance_gain`: grey levels through the one bound."""

import math

import pytest
import torch
from shared import assert_mean, generator
from torch import nn
from torch.testing import assert_close

from diffusion_edu import evaluate, training
from diffusion_edu.bound import bound, generate
from diffusion_edu.ddpm import DDPM, eps_from_x0
from diffusion_edu.diffusion import (
    ForwardProcess,
    L_term,
    closed_form_terms,
    per_step,
    posterior_mean_coefficients,
    sigma2_optimal,
)
from diffusion_edu.gaussian import Gaussian
from diffusion_edu.images.ddpm import ImageDDPM
from diffusion_edu.observations import DiscretisedGaussian
from diffusion_edu.schedules import cosine

LEVELS = torch.arange(256) / 127.5 - 1


class Says(nn.Module):
    """A noise network that stands for the denoiser x̂₀ = `answer`, whatever it sees."""

    def __init__(self, answer, schedule):
        super().__init__()
        self.answer, self.schedule = nn.Parameter(torch.tensor(answer)), schedule

    def forward(self, xt, t):
        return eps_from_x0(xt, self.answer.expand_as(xt), self.schedule.alpha_bar[t].unsqueeze(-1).to(xt))


def model(answer, schedule=None):
    schedule = schedule or cosine(20)
    return ImageDDPM(Says(answer, schedule), schedule, dim=len(answer)).requires_grad_(False)


def test_the_last_step_adds_up_to_one_over_the_256_levels():
    m = model([0.3])
    m.sigma2[1], chain = torch.logspace(-6, 0, 14), m.chain()
    for answer in (-1.0, -0.98, 0.3, 1.0):
        m.eps_net.answer[0] = answer
        x1 = torch.randn(5, 1, generator=generator(1)).expand(256, 5, 1)
        total = chain.p(0, x1).log_prob(LEVELS[:, None, None].expand(256, 5, 1)).exp().sum(0)
        assert_close(total, torch.ones(5), rtol=1e-4, atol=0)


def test_x0_hat_stays_in_the_range_of_pixels():
    low, high = model([-3.0, 2.0]), model([-0.5, 0.25])
    xt = torch.randn(4, 2, generator=generator(0))
    assert_close(low.x0_hat(xt, 7), torch.tensor([-1.0, 1.0]).expand(4, 2))
    assert_close(high.x0_hat(xt, 7), torch.tensor([-0.5, 0.25]).expand(4, 2), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(DDPM.x0_hat(low, xt, 7).clamp(-2, 2), low.x0_hat(xt, 7)), "it was outside"


def test_each_pixel_has_the_variance_of_its_time_and_of_its_range():
    m = model([0.0, 0.0])
    m.sigma2.copy_(torch.arange(21 * 14).reshape(21, 14))
    grey = torch.tensor([[0.0, 0.1], [0.5, 2.0], [128.5, 255.0]])  # in levels
    assert m.ranges(grey / 127.5 - 1).tolist() == [[0, 1], [2, 3], [7, 13]]
    assert m.variance(3, grey / 127.5 - 1).tolist() == [[42, 43], [44, 45], [49, 55]]
    by_point = m.variance(torch.tensor([1, 2, 3]), grey / 127.5 - 1)
    assert by_point.tolist() == [[14, 15], [30, 31], [49, 55]]


def test_both_groupings_of_the_bound_agree_on_grey_levels():
    """Log ratios along a path against closed-form KLs (notebook 03): the same mean, with a variance per pixel and a
    discretised last step."""
    schedule = cosine(20)
    m = model([-0.96, 0.3, 0.9], schedule)
    m.sigma2.copy_(m.sigma2 * torch.linspace(0.7, 1.5, 14))
    x0 = LEVELS[torch.tensor([4, 180, 255])].expand(20_000, 3)
    chain = m.chain()
    path = bound(x0, chain, generator(1)).elbo.double()
    closed = closed_form_terms(x0, chain, generator(2)).double()
    assert_mean(path + closed.sum(0), 0.0)
    assert closed[0].min() > 0, "a probability, not a density"


def test_terms_by_t_are_the_closed_form_terms_and_deal_out_the_points():
    seen = []
    schedule = cosine(20)

    def denoiser(xt, t):
        seen.append(len(xt))
        return 0.5 * xt

    chain = ForwardProcess(schedule, denoiser, per_step(schedule.beta), dim=2)
    x = torch.randn(500, 2, generator=generator(0), dtype=torch.float64)
    means, errors = evaluate.terms_by_t(x, chain, 50, generator(1))
    assert seen == [50] * 20
    closed = closed_form_terms(x.repeat(40, 1), chain, generator(2))
    assert_close(means[-1], closed[-1].mean())
    assert bool(((means - closed.mean(1)).abs() < 4.5 * errors + 1e-9)[:-1].all())
    assert_close(errors[:-1], closed.std(1)[:-1] / math.sqrt(50), rtol=0.6, atol=0)
    for per_t in (1, 501):
        with pytest.raises(ValueError, match=r"per_t must be in 2 … 500"):
            evaluate.terms_by_t(x, chain, per_t)


def test_every_point_is_dealt_equally_often(monkeypatch):
    x, seen = torch.arange(30.0).unsqueeze(1), []
    schedule = cosine(12)

    def recorded(schedule, t, x0, *rest):
        seen.extend(x0.flatten().tolist())
        return L_term(schedule, t, x0, *rest)

    monkeypatch.setattr(evaluate, "L_term", recorded)
    chain = ForwardProcess(schedule, lambda xt, t: 0 * xt, per_step(schedule.beta), dim=1)
    evaluate.terms_by_t(x, chain, 5, generator(0))
    assert sorted(seen) == sorted(x.flatten().tolist() * 2)
    assert seen[:30] != x.flatten().tolist()


def test_the_fitted_variance_is_the_optimal_one_range_by_range():
    """The first pixel is always black and x̂₀ says so; the second is 0 or 60 levels off x̂₀: each range gets its own
    error, less what ten pixels of the mean error add."""
    schedule = cosine(6)
    m = model([-1.0, 0.0], schedule)
    level = lambda n: n / 127.5  # noqa: E731
    data = torch.tensor([[-1.0, level(60)], [-1.0, -level(60)]])
    training.fit_image_sigma2(m, data, n=5000)
    mse = level(60) ** 2
    c0 = posterior_mean_coefficients(schedule)[0]
    for t in range(2, 7):
        black = (schedule.beta_tilde[t] + c0[t] ** 2 * 10 * (mse / 2) / 5010).item()
        grey = (schedule.beta_tilde[t] + c0[t] ** 2 * (5000 * mse + 10 * mse / 2) / 5010).item()
        assert m.sigma2[t, 0].item() == pytest.approx(black, rel=1e-4)
        assert m.sigma2[t, m.ranges(torch.tensor(0.0))].item() == pytest.approx(grey, rel=1e-4)
        nowhere = sigma2_optimal(schedule, torch.full((7,), mse / 2, dtype=torch.float64))[t].item()
        assert m.sigma2[t, 9].item() == pytest.approx(nowhere, rel=1e-4)
    assert m.sigma2[1].min().item() >= (1 / 255 / 4) ** 2 - 1e-12


def test_a_sampled_image_is_made_of_grey_levels():
    x = generate(model([-1.0, 0.3, 0.7]).chain(), 50, generator(0))
    assert (x.unsqueeze(-1) - LEVELS).abs().min(-1).values.max() < 1e-5
    assert isinstance(model([0.0]).chain().p(0, torch.zeros(1, 1)), DiscretisedGaussian)
    assert isinstance(model([0.0]).chain().p(1, torch.zeros(1, 1)), Gaussian)


class TwoGaussians:
    """z ~ N(0, 1), x|z ~ N(z, 1), and a q(z|x) that is off: log p(x) = log N(x; 0, 2) is known."""

    levels = 1

    def __init__(self, off):
        self.off = off

    def q(self, t, z_prev):
        return Gaussian(z_prev / 2 + self.off, torch.full_like(z_prev, 0.5))

    def p(self, t, z_next):
        return Gaussian(z_next, torch.ones_like(z_next))

    def prior(self):
        return Gaussian(torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))


def test_the_importance_gain_is_the_gap_of_the_bound():
    """With q exact the weights are all p(x): nothing to gain. With q off by d the gap is KL = d² (variance ½)."""
    x = torch.randn(40, 1, generator=generator(0), dtype=torch.float64)
    gain, error = evaluate.importance_gain(x, TwoGaussians(0.0), 10, generator(1))
    assert abs(gain) < 1e-9
    assert error < 1e-9
    gain, error = evaluate.importance_gain(x, TwoGaussians(0.5), 4000, generator(2), chunk=10_000)
    assert gain == pytest.approx(0.25, abs=4 * error + 0.01)
    assert error < 0.02


def test_the_last_step_is_never_surer_than_an_eighth_of_a_grey_level():
    """The denoiser is right, its errors are 0: what stands at t = 1 is the floor alone, and at t = 2 there is none."""
    sure = model([-1.0, 1.0])
    training.fit_image_sigma2(sure, torch.tensor([[-1.0, 1.0]]), n=4)
    assert_close(sure.sigma2[1], torch.full_like(sure.sigma2[1], (1 / 255 / 4) ** 2))
    assert_close(sure.sigma2[2], sure.schedule.beta_tilde[2].to(sure.sigma2).expand_as(sure.sigma2[2]))

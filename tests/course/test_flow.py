"""Flow matching against closed forms of Gaussian data, against DDIM, and against the exact score of the roll."""

import math

import pytest
import torch
from torch.testing import assert_close

from diffusion_edu import ddpm, flow, sde
from diffusion_edu.data import SwissRoll
from diffusion_edu.nets import EpsNet
from diffusion_edu.oracles import gaussian
from diffusion_edu.samplers import ddim, first_order, reverse_path, sample
from diffusion_edu.schedules import cosine
from diffusion_edu.sde import at_log_snr, euler, exact_x0_hat, heun
from diffusion_edu.training import flow_loss

ROLL = SwissRoll()
EXACT = flow.velocity(exact_x0_hat(ROLL))


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("tau", [0.02, 0.3, 0.5, 0.9])
def test_each_prediction_fixes_the_others(tau):
    """With the true x₀ and ε all conversions are exact, and x_τ/c is x_t of the diffusion of the same SNR."""
    x0, eps = normal(50, 3), normal(50, 3, seed=1)
    x, u, c = flow.interpolate(x0, eps, tau), eps - x0, flow.scale(tau)
    alpha_bar = sde.sigmoid(flow.log_snr_at(tau))
    assert_close(flow.x0_from_u(x, u, tau), x0)
    assert_close(flow.eps_from_u(x, u, tau), eps)
    assert_close(flow.u_from_x0(x, x0, tau), u)
    assert_close(flow.u_from_eps(x, eps, tau), u)
    assert_close(x / c, ddpm.noised(x0, eps, alpha_bar))
    v = ddpm.v_from_eps(x / c, eps, alpha_bar)
    assert_close(u, v / c + (2 * tau - 1) / c**2 * x)
    assert float(flow.tau_at(flow.log_snr_at(tau))) == pytest.approx(tau)


def test_the_ends_of_the_line():
    assert flow.log_snr_at(0.0) == math.inf
    assert flow.log_snr_at(1.0) == -math.inf
    assert flow.log_snr_at(0.5) == pytest.approx(0)
    assert_close(flow.tau_at(torch.tensor([-math.inf, 0.0, math.inf])), torch.tensor([1, 0.5, 0], dtype=torch.float64))


def test_an_even_schedule_has_its_tau():
    s = flow.even_tau(9)
    assert_close(flow.tau_at(s.log_snr[1:]), torch.arange(1, 10, dtype=torch.float64) / 10)
    with pytest.raises(ValueError, match="T must be at least 1, got 0"):
        flow.even_tau(0)


@pytest.mark.parametrize("v", [0.25, 1.0, 3.0])
def test_the_velocity_of_gaussian_data(v):
    """u = Cov(ε − x₀, x_τ)/Var(x_τ) x, with N(0, v) and N(0, 1) independent."""
    u, x = flow.velocity(exact_x0_hat(gaussian(torch.zeros(2), v * torch.ones(2)))), normal(20, 2)
    for tau in (0.1, 0.5, 0.9):
        expected = (tau - (1 - tau) * v) / ((1 - tau) ** 2 * v + tau**2) * x
        assert_close(u(tau, x), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("v", [0.25, 3.0])
def test_a_gaussian_flow_ends_where_its_standard_deviation_says(v):
    """x_τ is proportional to its standard deviation: ε goes to √v ε, with the order of the step."""
    u, eps = flow.velocity(exact_x0_hat(gaussian(torch.zeros(2), v * torch.ones(2)))), normal(50, 2)
    for step, order in ((euler, 1), (heun, 2)):
        off = [(flow.arrive(u, eps, n, step) - v**0.5 * eps).abs().max().item() for n in (200, 400)]
        assert math.log2(off[0] / off[1]) == pytest.approx(order, abs=0.15)
        assert off[1] < 0.03


@pytest.mark.parametrize("steps", [2, 9])
def test_a_step_of_euler_is_a_step_of_ddim(steps):
    """(10.3), at every τ on the way: the same points, but for the scale c."""
    s = flow.even_tau(steps)
    denoiser, x_T = at_log_snr(exact_x0_hat(ROLL), s), normal(200, 2)
    x, tau = flow.scale(steps / (steps + 1)) * x_T, steps / (steps + 1)
    for t, x_t in reverse_path(denoiser, s, x_T, step=first_order(ddim)):
        assert_close(x, flow.scale(t / (steps + 1)) * x_t, rtol=0, atol=1e-10)
        x, tau = (euler(EXACT, tau, -1 / (steps + 1), x), tau - 1 / (steps + 1)) if t else (x, tau)


def test_paths_begin_with_the_noise_and_end_in_the_data():
    eps = normal(30, 2)
    points = list(flow.path(EXACT, eps, 4))
    assert [tau for tau, _ in points] == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert torch.equal(points[0][1], eps)
    assert_close(
        points[1][1], eps + 0.25 * (ROLL.x0_mean(eps, torch.tensor(sde.sigmoid(-20.0))) - eps), atol=1e-4, rtol=0
    )
    assert torch.equal(points[-1][1], flow.arrive(EXACT, eps, 4))
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        flow.arrive(EXACT, eps, 0)


def test_the_linear_path_is_not_the_straight_one():
    """Gaussian data: u − chord by hand, ∫ (σ'(τ) − (1 − √v))² dτ per dimension with σ the standard deviation of x_τ."""
    v, D, eps = 0.09, 2, normal(4000, 2)
    u = flow.velocity(exact_x0_hat(gaussian(torch.zeros(D), v * torch.ones(D))))
    tau = torch.linspace(0, 1, 20_001, dtype=torch.float64)
    sigma = ((1 - tau) ** 2 * v + tau**2).sqrt()
    slope = (tau - (1 - tau) * v) / sigma
    expected = torch.trapezoid((slope - (1 - v**0.5)) ** 2, tau) * eps.square().sum(-1).mean()
    assert flow.straightness(u, eps, 200, heun) == pytest.approx(expected.item(), rel=0.01)
    to_itself = flow.straightness(lambda tau, x: x - x, eps, 3, euler)
    assert to_itself == pytest.approx(0, abs=1e-12)


def test_pairs_are_those_of_least_cost():
    """One dimension: the optimal assignment is the one of equal ranks. Chunks are assigned one by one."""
    x0, eps = normal(12, 1), normal(12, 1, seed=1)
    paired = flow.ot_pairs(x0, eps, chunk=12)
    assert torch.equal(paired[x0[:, 0].argsort()], eps.sort(dim=0).values)
    chunked = flow.ot_pairs(x0, eps, chunk=5)
    for a, b, c in zip(x0.split(5), eps.split(5), chunked.split(5), strict=True):
        assert torch.equal(c[a[:, 0].argsort()], b.sort(dim=0).values)


class Kept(EpsNet):
    """Answers with the ε of the pairs it was made with, and keeps what it was asked."""

    def __init__(self, eps_hat, schedule):
        super().__init__(2, schedule, width=8)
        self.eps_hat = eps_hat

    def at(self, xt, log_snr):
        self.asked = xt, log_snr
        return self.eps_hat


def test_the_loss_is_that_of_the_velocity():
    """û from ε̂ by (10.2), at τ uniform: with pairs given, and a network that says ε̂ = 0, û = −x_τ/(1−τ)."""
    n, s = 40_000, flow.even_tau(1000)
    pairs = torch.cat([normal(n, 2).float(), normal(n, 2, seed=1).float()], dim=1)
    x0, eps = pairs.chunk(2, dim=1)
    perfect = ddpm.DDPM(Kept(eps, s), s, 2)
    loss = flow_loss()(perfect, pairs, torch.Generator().manual_seed(2))["loss"]
    assert loss.item() == pytest.approx(0, abs=1e-6)
    x_t, log_snr = perfect.eps_net.asked
    tau = flow.tau_at(log_snr)
    assert (tau.mean().item(), tau.var().item()) == (pytest.approx(0.5, abs=0.01), pytest.approx(1 / 12, abs=0.003))
    x = flow.interpolate(x0, eps, tau[:, None].float())
    assert_close(x_t * flow.scale(tau)[:, None].float(), x, rtol=1e-5, atol=1e-5)
    ignorant = ddpm.DDPM(Kept(torch.zeros(n, 2), s), s, 2)
    some = flow_loss()(ignorant, pairs, torch.Generator().manual_seed(2))["loss"]
    expected = (-x / (1 - tau[:, None]) - (eps - x0)).square().sum(-1).mean()
    assert_close(some, expected.float(), rtol=1e-3, atol=0)


def test_pairing_changes_the_noise_and_a_batch_without_pairs_draws_it():
    s = flow.even_tau(100)
    seen = []

    def pair(x0, eps):
        seen.append((x0, eps))
        return eps.flip(0)

    x0 = normal(64, 2).float()
    model = ddpm.DDPM(EpsNet(2, s, width=8), s, 2)
    flow_loss(pair)(model, x0, torch.Generator().manual_seed(1))
    (got, eps) = seen[0]
    assert torch.equal(got, x0)
    assert eps.std() == pytest.approx(1, abs=0.2)


def test_a_ddpm_is_a_flow_and_is_not_asked_outside_its_levels():
    """The velocity of a network is that of its x̂₀, at any τ from 1 to 0."""
    torch.manual_seed(0)
    s = cosine(100)
    model, x = ddpm.DDPM(EpsNet(2, s, width=8), s, 2), normal(10, 2).float()
    u = flow.velocity_of(model)
    for tau in (0.2, 0.7):
        x0_hat = model.x0_hat_at(x / flow.scale(tau), flow.log_snr_at(tau))
        assert_close(u(tau, x), (x - x0_hat) / tau)
    assert bool(u(1.0, x).isfinite().all())
    assert bool(u(1e-6, x).isfinite().all())
    assert_close(
        sample(model.x0_hat, s, x, step=first_order(ddim), steps=1), flow.arrive(u, x, 1), rtol=1e-3, atol=1e-3
    )

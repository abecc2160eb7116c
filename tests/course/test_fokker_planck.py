"""The Fokker–Planck equation on a grid: what holds at any spacing, and how fast the rest becomes true."""

import itertools
import math

import numpy as np
import pytest
import torch

from diffusion_edu import exact, fokker_planck
from diffusion_edu.data import SwissRoll
from diffusion_edu.oracles import Mixture

ROLL = SwissRoll()
TWO = Mixture([0.4, 0.6], [[-1.0, 0.0], [1.0, 0.5]], [[0.3, 0.5], [0.2, 0.4]])


def square(n, half=4.5):
    axis = np.linspace(-half, half, n)
    return axis, torch.cartesian_prod(torch.from_numpy(axis), torch.from_numpy(axis)), axis[1] - axis[0]


def density(data, points, alpha_bar=1.0):
    n = math.isqrt(len(points))
    return data.log_prob(points, alpha_bar).exp().numpy().reshape(n, n)


@pytest.mark.parametrize("shape", [(30,), (12, 9), (4, 5, 3)])
def test_detailed_balance_at_any_spacing(shape):
    log_pi = np.random.default_rng(0).normal(size=shape)
    a = fokker_planck.generator(log_pi, 0.7).toarray()
    pi = np.exp(log_pi).ravel()
    np.testing.assert_allclose(a.sum(0), 0, atol=1e-12)
    np.testing.assert_allclose(a @ pi, 0, atol=1e-12)
    np.testing.assert_allclose(a * pi, (a * pi).T, atol=1e-12)
    assert (a - np.diag(a.diagonal()) >= 0).all()
    assert ((a != 0).sum(0) - 1 <= 2 * len(shape)).all()


def test_the_equation_itself_comes_out_at_second_order():
    """A p against −(p (log π)')' + p'', for π = N(0, 1) and a smooth p: the error falls with the spacing squared."""
    errors = []
    for n in (101, 201, 401):
        x = np.linspace(-6, 6, n)
        p = np.exp(-((x - 0.7) ** 2))
        slope, second = -2 * (x - 0.7) * p, (4 * (x - 0.7) ** 2 - 2) * p
        a = fokker_planck.generator(-0.5 * x**2, x[1] - x[0])
        errors.append(np.abs(a @ p - (p + x * slope + second))[5:-5].max())
    assert [math.log2(a / b) for a, b in itertools.pairwise(errors)] == pytest.approx([2, 2], abs=0.05)


def test_the_forward_process_of_a_mixture_is_reached_at_second_order():
    errors = []
    for n in (61, 121, 241):
        axis, points, h = square(n, 6)
        p = fokker_planck.forward(density(TWO, points), axis, 0.2)
        errors.append(np.abs(p - density(TWO, points, math.exp(-0.4))).sum() * h * h)
    assert [math.log2(a / b) for a, b in itertools.pairwise(errors)] == pytest.approx([2, 2], abs=0.1)


def test_the_forward_process_keeps_mass_and_sign_and_forgets():
    axis, points, _h = square(60)
    p = density(TWO, points)
    after = fokker_planck.forward(p, axis, 0.3)
    assert after.sum() == pytest.approx(p.sum())
    assert after.min() > 0
    rest = np.exp(-0.5 * (axis[:, None] ** 2 + axis**2))
    end = fokker_planck.forward(p, axis, 40.0)
    np.testing.assert_allclose(end / end.sum(), rest / rest.sum(), atol=1e-12)
    halves = fokker_planck.forward(fokker_planck.forward(p, axis, 0.1), axis, 0.2)
    np.testing.assert_allclose(halves, after, atol=1e-12)


def test_the_roll_to_a_thousandth():
    axis, points, h = square(340, 3.8)
    p = fokker_planck.forward(density(ROLL, points), axis, 0.02)
    assert np.abs(p - density(ROLL, points, math.exp(-0.04))).sum() * h * h < 1e-3


def test_relaxation_times_of_a_gaussian():
    """N(0, v) relaxes in v, v/2, v/3, …; two independent directions have their own."""
    x = np.linspace(-7, 7, 281)
    times = fokker_planck.relaxation_times(-0.5 * x**2, x[1] - x[0], 3)
    np.testing.assert_allclose(times, [1, 1 / 2, 1 / 3], rtol=2e-3)
    wide = np.linspace(-14, 14, 141)
    both = -0.5 * (wide[:, None] ** 2 / 4 + wide**2)
    np.testing.assert_allclose(fokker_planck.relaxation_times(both, 0.2, 2), [4, 2], rtol=0.01)


def test_the_rolls_time_does_not_hang_on_the_grid():
    found = []
    for share in (2, 3):
        h = ROLL.variances[0, 0].item() ** 0.5 / share
        axis = np.arange(-2.4, 2.4, h)
        log_pi = ROLL.log_prob(torch.cartesian_prod(torch.from_numpy(axis), torch.from_numpy(axis))).numpy()
        found += list(fokker_planck.relaxation_times(log_pi.reshape(len(axis), -1), h))
    u = torch.linspace(0, 1, 20_001, dtype=torch.float64)
    length = ROLL.curve(u).diff(dim=0).norm(dim=1).sum().item()
    assert found[0] == pytest.approx(found[1], rel=0.02)
    assert found[1] == pytest.approx(length**2 / math.pi**2, rel=0.1)  # a strand without width


def test_implicit_steps_keep_mass_and_sign_and_are_of_first_order():
    axis, points, h = square(41, 5)
    a = fokker_planck.generator(-0.5 * (axis[:, None] ** 2 + axis**2), h)
    p = density(TWO, points).ravel()
    exact_p = fokker_planck.forward(p.reshape(41, 41), axis, 0.4).ravel()
    errors = []
    for steps in (20, 40, 80):
        q = fokker_planck.implicit_steps(p, a, 0.4 / steps, steps)
        assert q.sum() == pytest.approx(p.sum())
        assert q.min() > 0
        errors.append(np.abs(q - exact_p).sum())
    assert [math.log2(a / b) for a, b in itertools.pairwise(errors)] == pytest.approx([1, 1], abs=0.05)
    assert fokker_planck.implicit_steps(p, a, 100.0, 3).min() > 0


@pytest.mark.parametrize("log_snr", [8.0, 4.0, 0.0, -3.0])
def test_de_bruijn(log_snr):
    """dKL/dλ = ½(1−ᾱ) I by a difference quotient of the exact KL, and I = E|s + x|² by quadrature."""
    alpha_bar = lambda l: 1 / (1 + math.exp(-l))  # noqa: E731
    information = fokker_planck.relative_fisher(exact.error_at(ROLL, log_snr), log_snr, 2)
    points, cell = ROLL._grid(alpha_bar(log_snr), 0.4)
    p = ROLL.log_prob(points, alpha_bar(log_snr)).exp() * cell
    square = (ROLL.score(points, alpha_bar(log_snr)) + points).square().sum(-1)
    assert (p @ square).item() == pytest.approx(information, rel=1e-5)
    kl = [-ROLL.entropy(alpha_bar(log_snr + d)) for d in (-0.02, 0.02)]  # E|x|² = D at every λ: the rest is constant
    assert (kl[1] - kl[0]) / 0.04 == pytest.approx(0.5 * (1 - alpha_bar(log_snr)) * information, rel=2e-4, abs=1e-8)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="log_pi must be finite and spacing positive"):
        fokker_planck.generator(np.array([0.0, -np.inf]), 0.1)
    with pytest.raises(ValueError, match="log_pi must be finite and spacing positive"):
        fokker_planck.generator(np.zeros(3), 0.0)

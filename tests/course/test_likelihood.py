"""likelihood.py: divergences, exact log densities by the ODE, and round trips."""

import itertools
import math

import pytest
import torch
from shared import randn
from torch.testing import assert_close

from diffusion_edu.data import SwissRoll
from diffusion_edu.likelihood import (
    exact_flow,
    log_prob_ode,
    round_trip,
    solve,
    with_divergence,
    with_estimated_divergence,
)
from diffusion_edu.oracles import Mixture, gaussian
from diffusion_edu.sde import exact_score, probability_flow, sigmoid

ROLL = SwissRoll()
THREE = Mixture([0.2, 0.5, 0.3], [[-1.0, 0.5], [0.3, 0.1], [1.0, -0.9]], [[0.3, 0.2], [0.05, 0.4], [0.6, 0.1]])


@pytest.mark.parametrize("log_snr", [-4.0, 1.0, 7.0])
def test_the_exact_flow_and_its_divergence_are_those_by_differentiation(log_snr):
    x = math.sqrt(sigmoid(log_snr)) * ROLL.sample(20, 3) + math.sqrt(sigmoid(-log_snr)) * randn(20, 2).double()
    velocity, spread = exact_flow(ROLL)(log_snr, x)
    expected, by_autograd = with_divergence(probability_flow(exact_score(ROLL)))(log_snr, x)
    assert_close(velocity, expected)
    assert_close(spread, by_autograd, rtol=1e-6, atol=1e-8)


def test_the_estimated_divergence_over_all_signs_is_the_divergence():
    x, field = ROLL.sample(20, 3), probability_flow(exact_score(ROLL))
    signs = (torch.tensor(s).double().expand(20, 2) for s in itertools.product((-1.0, 1.0), repeat=2))
    estimates = torch.stack([with_estimated_divergence(field, lambda x, v=v: v)(3.0, x)[1] for v in signs])
    velocity, exact = with_divergence(field)(3.0, x)
    assert_close(estimates.mean(0), exact)
    assert estimates.std(0).max() > 0.1, "one of them is not"
    assert_close(with_estimated_divergence(field, torch.ones_like)(3.0, x)[0], velocity)


@pytest.mark.parametrize(
    ("data", "noise"),
    [(ROLL, -8.0), (SwissRoll(0.3), -8.0), (SwissRoll(1.0), -8.0), (THREE, -14.0)],
    ids=["roll", "noise 0.3", "noise 1.0", "mixture"],
)
def test_the_ode_has_the_exact_log_density(data, noise):
    x = data.sample(400, 11)
    found = log_prob_ode(exact_flow(data), x, clean=14.0, noise=noise)
    error = found.log_p - data.log_prob(x)
    assert abs(error.mean()) < 1e-4
    assert error.square().mean().sqrt() < 1e-3
    assert found.calls < 250
    assert_close(found.z.square().mean().item(), 1.0, rtol=0, atol=4 * math.sqrt(2 / 800))


def test_the_density_is_that_of_the_point_and_not_of_its_shrunken_copy():
    """At λ = 2 the clean end is far: what comes out is the density of x₀ + e^{−λ/2} ε."""
    data, x = gaussian([0.5, 0.0], [0.3, 1.2]), randn(50, 2).double()
    found = log_prob_ode(exact_flow(data), x, clean=2.0, noise=-16.0, rtol=1e-7)
    blurred = gaussian([0.5, 0.0], [0.3 + math.exp(-2), 1.2 + math.exp(-2)])
    assert_close(found.log_p, blurred.log_prob(x), rtol=0, atol=1e-3)


def test_a_round_trip_comes_home():
    x = ROLL.sample(300, 11)
    back, calls = round_trip(probability_flow(exact_score(ROLL)), x, 10.0, -8.0)
    assert (back - x).square().mean().sqrt() < 1e-4
    assert calls <= 400
    there, _ = solve(probability_flow(exact_score(ROLL)), x, 10.0, -8.0)
    assert (there - x).square().mean().sqrt() > 0.2


def test_what_is_no_likelihood_is_refused():
    with pytest.raises(ValueError, match="clean must be a larger log SNR than noise, got -8 and 13"):
        log_prob_ode(exact_flow(ROLL), ROLL.sample(3), clean=-8.0, noise=13.0)
    with pytest.raises(ValueError, match="x must be finite"):
        log_prob_ode(exact_flow(ROLL), torch.full((2, 2), float("nan")), clean=13.0, noise=-8.0)

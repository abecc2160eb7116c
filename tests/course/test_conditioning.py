"""Known coordinates and noisy points, against laws in closed form."""

import math

import pytest
import torch
from torch.testing import assert_close

from diffusion_edu import conditioning, diffusion, evaluate, guidance, samplers, schedules
from diffusion_edu.oracles import exact_denoiser, gaussian

S = schedules.cosine(1000)
BAR = S.alpha_bar
RHO = 0.8
COV = torch.tensor([[1.0, RHO], [RHO, 1.0]], dtype=torch.float64)
NAN = math.nan


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*size, seed=0):
    return torch.randn(*size, dtype=torch.float64, generator=seeded(seed))


def tied(xt, t):
    """E[x₀|x_t] of two tied coordinates, N(0, COV)."""
    bar = float(BAR[t])
    gain = bar**0.5 * COV @ torch.linalg.inv(bar * COV + (1 - bar) * torch.eye(2, dtype=torch.float64))
    return xt @ gain.T


def posterior_var(xt, t):
    """Var[x₀₁|x_t] of the same, a number."""
    bar = float(BAR[t])
    gain = bar * COV @ torch.linalg.inv(bar * COV + (1 - bar) * torch.eye(2, dtype=torch.float64))
    return (COV - gain @ COV)[0, 0].item()


KNOWN = torch.tensor([1.5, NAN], dtype=torch.float64)


def test_what_is_known_is_noised_as_the_chain_noises_it():
    """Mean √ᾱ x and variance 1 − ᾱ, not (1 − ᾱ)²: Algorithm 1 of RePaint prints the latter."""
    bar, x = 0.4, normal(50_000, 2)
    new = conditioning.replaced(x, KNOWN, bar, normal(50_000, 2, seed=1))
    assert torch.equal(new[:, 1], x[:, 1])
    assert new[:, 0].mean().item() == pytest.approx(bar**0.5 * 1.5, abs=4 * math.sqrt(0.6 / 50_000))
    assert new[:, 0].var().item() == pytest.approx(1 - bar, rel=4 * math.sqrt(2 / 50_000))


def end(step, n=3000, steps=100, seed=1):
    return samplers.sample(tied, S, normal(n, 2, seed=seed), step=step, steps=steps, generator=seeded(seed))


def test_repainting_comes_to_the_conditional_and_replacement_does_not():
    """p(x₂|x₁) = N(ρ x₁, 1 − ρ²)."""
    found = {}
    for rounds in (1, 20):
        x = end(conditioning.repaint(KNOWN, rounds, seeded(5)))
        assert torch.equal(x[:, 0], torch.full_like(x[:, 0], 1.5))
        found[rounds] = evaluate.mean_and_error(x[:, 1])
    assert abs(found[1][0] - RHO * 1.5) > 20 * found[1][1]
    assert abs(found[20][0] - RHO * 1.5) < 0.05
    assert x[:, 1].var().item() == pytest.approx(1 - RHO**2, rel=0.1)


def test_one_round_is_an_ancestral_step_with_the_known_put_in():
    x, eps, sub = normal(5, 2), normal(5, 2, seed=1), S.respaced(10)[0]
    ask = lambda x, i: 0.3 * x  # noqa: E731
    new, _ = conditioning.repaint(KNOWN, 1, seeded(9))(sub, 4, x, ask, eps, None)
    plain, _ = samplers.ANCESTRAL(sub, 4, x, ask, eps, None)
    assert_close(new[:, 1], plain[:, 1])
    bar = sub.alpha_bar[3]
    assert_close(new[:, 0], bar.sqrt() * 1.5 + (1 - bar).sqrt() * normal(5, 2, seed=9)[:, 0])


@pytest.mark.parametrize("t", [50, 400, 800])
def test_for_gaussian_data_the_right_variance_makes_reconstruction_guidance_exact(t):
    """Then log N(known; x̂₀, Var[x₀₁|x_t]) is log p(known|x_t), and the guided x̂₀ is E[x₀|x_t, known]."""
    x, bar = normal(20, 2), float(BAR[t])
    guess = conditioning.guess(tied, KNOWN, posterior_var)
    found = guidance.classifier_guided(tied, guess, BAR, 1.0)(x, t)
    inner = 1 - RHO**2
    mean, gain = RHO * 1.5, bar**0.5 * inner / (bar * inner + 1 - bar)
    assert_close(found[:, 1], mean + gain * (x[:, 1] - bar**0.5 * mean))
    assert_close(found[:, 0], torch.full((20,), 1.5, dtype=torch.float64))


def test_a_guess_is_a_log_density_of_what_is_known_alone():
    x, known = normal(4, 3), torch.tensor([0.5, NAN, -1.0], dtype=torch.float64)
    identity = lambda x, t: x  # noqa: E731
    found = conditioning.guess(identity, known, lambda x, t: 0.3)(x, 7)
    expected = torch.distributions.Normal(x[:, [0, 2]], 0.3**0.5).log_prob(known[[0, 2]]).sum(-1)
    assert_close(found, expected)
    assert_close(conditioning.guess(lambda x, t: 1 / 0, known, lambda x, t: 0.3)(x, 0), expected)  # x₀ is its own guess


def test_a_step_of_dps_is_ancestral_less_the_scaled_gradient():
    """For x̂₀ = a x and r = known − a x₁: −ζ ∇r²/|r| = 2 a ζ sign(r) on x₁."""
    a, zeta, x, eps = 0.6, 0.3, normal(50, 2), normal(50, 2, seed=1)
    ask = lambda x, t: a * x  # noqa: E731
    new, _ = conditioning.dps(KNOWN, zeta)(S, 500, x, ask, eps, None)
    plain, _ = samplers.ANCESTRAL(S, 500, x, ask, eps, None)
    assert_close(new[:, 0] - plain[:, 0], 2 * a * zeta * (1.5 - a * x[:, 0]).sign())
    assert_close(new[:, 1], plain[:, 1])


def test_resampling_draws_each_particle_as_its_weight_says():
    log_w = normal(40, 50, seed=3)
    expected = 50 * log_w.softmax(-1)
    counts = torch.stack([row.bincount(minlength=50) for row in conditioning.resample(log_w, seeded())]).double()
    assert bool(((counts - expected).abs() < 1).all())
    many = torch.stack([conditioning.resample(log_w[:1], seeded(i))[0].bincount(minlength=50) for i in range(4000)])
    assert_close(many.double().mean(0), expected[0], rtol=0, atol=4 * 0.5 / math.sqrt(4000))


def run(log_p, m=20, N=200, steps=100, data=tied, dim=2):
    path = conditioning.particles(data, log_p, S, normal(m, N, dim, seed=2), seeded(3), steps)
    *_, (t, x) = path
    assert t == 0
    return x


def test_without_a_condition_particles_go_the_plain_chain():
    x = run(lambda x, t: 0 * x.sum(-1))
    assert len(x.flatten(0, 1).unique(dim=0)) == 4000  # nothing was worth drawing anew
    assert_close(x.flatten(0, 1).T.cov(), COV, rtol=0, atol=0.12)


def test_particles_correct_a_wrong_guess():
    """The guess with 1 − ᾱ is wrong; weighed particles come to N(ρ x₁, 1 − ρ²) all the same."""
    delta = 0.05
    guess = conditioning.guess(tied, KNOWN, lambda x, t: 1 - float(BAR[t]) + delta**2)
    x = run(guess)
    means = x[..., 1].mean(-1)
    mean, error = evaluate.mean_and_error(means)
    assert abs(mean - RHO * 1.5) < 4 * error < 0.1
    assert x[..., 1].var(-1).mean().item() == pytest.approx(1 - RHO**2, rel=0.12)
    guided = guidance.classifier_guided(tied, guess, BAR, 1.0)
    alone = samplers.sample(guided, S, normal(4000, 2), steps=100, generator=seeded(1))[:, 1]
    assert abs(alone.mean().item() - RHO * 1.5) > abs(mean - RHO * 1.5)


def test_particles_reach_a_tilted_law_where_guidance_does_not():
    """p(x₀) = N(0, 1) tilted by exp(−½ w x²/v)¹ is N(0, 1/(1 + w/v)); the potentials at t > 0 are only a guess."""
    w, v = 4.0, 2.0
    data = exact_denoiser(gaussian([0.0], [1.0]), BAR)
    potential = lambda x, t: -0.5 * w * x[..., 0] ** 2 / v * float(BAR[t])  # noqa: E731
    x = run(potential, m=20, N=300, steps=200, data=data, dim=1)
    assert x.var(dim=1).mean().item() == pytest.approx(1 / (1 + w / v), rel=0.06)
    guided = guidance.classifier_guided(data, potential, BAR, 1.0)
    alone = samplers.sample(guided, S, normal(6000, 1), steps=200, generator=seeded(1))
    assert abs(alone.var().item() * (1 + w / v) - 1) > 0.1


@pytest.mark.parametrize("sigma", [0.1, 0.3, 1.0, 3.0])
def test_a_noisy_point_scaled_is_a_point_of_the_chain(sigma):
    t, scale = conditioning.denoise_from(S, sigma)
    x0 = torch.full((1, 2), 0.7, dtype=torch.float64)
    p = diffusion.q_marginal(S, t, x0)
    assert scale * 0.7 == pytest.approx(p.mean[0, 0].item())
    assert scale**2 * sigma**2 == pytest.approx(p.var.item(), rel=0.02)
    with pytest.raises(ValueError, match="sigma must be positive, got 0"):
        conditioning.denoise_from(S, 0)


def test_bad_conditions_are_refused():
    assert torch.equal(conditioning.checked_known(KNOWN, 2)[:1], KNOWN[:1])
    for known, message in (
        (torch.tensor([1.0, NAN, NAN]), "must have 2 columns"),
        (torch.tensor([math.inf, NAN]), "finite or NaN"),
        (torch.tensor([1.0, 2.0]), "both numbers and NaN"),
        (torch.tensor([[1.0, NAN], [NAN, NAN]]), "both numbers and NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            conditioning.checked_known(known, 2)

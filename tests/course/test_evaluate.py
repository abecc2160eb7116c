"""evaluate.py: every distance against loops written out, its floor against theory, the gap against its parts."""

import math
from types import SimpleNamespace

import pytest
import scipy.stats
import torch
from shared import assert_mean, generator, randn
from torch.testing import assert_close

from diffusion_edu import evaluate
from diffusion_edu.bound import Bound, bound
from diffusion_edu.data import Digits, SwissRoll
from diffusion_edu.ddpm import DDPM
from diffusion_edu.diffusion import ForwardProcess, per_step
from diffusion_edu.evaluate import METRICS, energy_distance, mmd2, noise_floor, sliced_wasserstein2
from diffusion_edu.gaussian import Gaussian
from diffusion_edu.images.ddpm import ImageDDPM
from diffusion_edu.nets import EpsNet
from diffusion_edu.observations import DiscretisedGaussian
from diffusion_edu.oracles import exact_denoiser, gaussian
from diffusion_edu.schedules import cosine, linear

NORMAL = gaussian([0.0, 0.0], [1.0, 0.5])


def mean_over_pairs(x, y, kernel) -> float:
    return sum(kernel(math.dist(a, b)) for a in x.tolist() for b in y.tolist()) / (len(x) * len(y))


def two_sample(x, y, kernel) -> float:
    return mean_over_pairs(x, x, kernel) + mean_over_pairs(y, y, kernel) - 2 * mean_over_pairs(x, y, kernel)


def test_energy_distance_and_mmd_are_their_double_sums():
    x, y = randn(31, 2, seed=1), 0.5 + randn(40, 2, seed=2)
    assert_close(energy_distance(x, y), two_sample(x, y, lambda d: -d), rtol=0, atol=1e-4)  # float32 distances
    kernel = lambda d: sum(math.exp(-(d**2) / (2 * h**2)) for h in (0.1, 0.3, 1.0)) / 3  # noqa: E731
    assert_close(mmd2(x, y), two_sample(x, y, kernel), rtol=0, atol=1e-5)


def test_pairs_are_the_same_in_blocks():
    """4,000,000 pairs are a block, so 2,500 × 2,500 are two."""
    x, y = randn(2500, 2, seed=1), 0.5 + randn(2500, 2, seed=2)
    distance = torch.cdist(x, y).mean() * 2 - torch.cdist(x, x).mean() - torch.cdist(y, y).mean()
    assert_close(energy_distance(x, y), distance.item(), rtol=0, atol=1e-5)


def test_energy_distance_of_two_shifted_normals():
    """In one dimension it is 2 E|N(δ, 2)| − 2 E|N(0, 2)|; the V-statistic adds (1/n + 1/m) E|N(0, 2)|, exactly."""
    delta, n = 1.0, 300
    away = math.sqrt(4 / math.pi) * math.exp(-(delta**2) / 4) + delta * math.erf(delta / 2)
    home = 2 / math.sqrt(math.pi)
    values = [energy_distance(randn(n, 1, seed=2 * i), delta + randn(n, 1, seed=2 * i + 1)) for i in range(100)]
    assert_mean(torch.tensor(values), 2 * away - 2 * home + 2 / n * home, floor=1e-5)


def test_the_energy_distances_floor_is_its_bias():
    """Two sets of n from one law: (2/n) E|x − x'|, which for N(0, 1) is 4/(n√π)."""
    data, n = gaussian([0.0], [1.0]), 100
    floors = [noise_floor(energy_distance, data, n, repeats=2, seed=4 * i) for i in range(200)]
    assert_mean(torch.tensor(floors), 4 / (n * math.sqrt(math.pi)), floor=1e-5)


def test_a_floor_is_the_mean_over_fresh_pairs():
    one = [noise_floor(mmd2, NORMAL, 50, repeats=1, seed=seed) for seed in (7, 9, 11)]
    assert_close(noise_floor(mmd2, NORMAL, 50, repeats=3, seed=7), sum(one) / 3)
    assert len(set(one)) == 3


def test_sliced_wasserstein_of_a_shift():
    """Every projection moves by w·s, and E (w·s)² = |s|²/D over directions; Var = |s|⁴/8 in the plane."""
    x, s, directions = randn(50, 2), torch.tensor([0.6, -0.8]).double(), 5000
    squared = sliced_wasserstein2(x, x + s, directions) ** 2
    assert_close(squared, 1 / 2, rtol=0, atol=4 * math.sqrt(1 / 8 / directions))
    assert sliced_wasserstein2(x, x[torch.randperm(50, generator=generator(1))]) == 0


def test_sliced_wasserstein_in_one_dimension_sorts():
    x, y = torch.tensor([[3.0], [1.0], [2.0]]), torch.tensor([[1.5], [2.0], [5.0]])
    assert_close(sliced_wasserstein2(x, y), math.sqrt((0.5**2 + 0**2 + 2**2) / 3), rtol=1e-6, atol=0)


def test_true_points_lie_at_the_floor_and_at_minus_the_entropy():
    report = evaluate.compare_samples(NORMAL.sample(1000, seed=5), NORMAL)
    assert all(0.3 < report[name] < 3 for name in METRICS)
    assert report["share off"] < 0.005
    far = evaluate.compare_samples(NORMAL.sample(1000, seed=5) + 1, NORMAL)
    assert all(far[name] > 5 for name in METRICS)
    log_p = NORMAL.log_prob(NORMAL.sample(20_000, seed=6))
    assert_mean(log_p, -NORMAL.entropy())
    assert_close(evaluate.mean_log_prob(NORMAL.sample(20_000, seed=6), NORMAL), log_p.mean().item())


def test_outlier_share_is_the_quantile_for_true_points():
    """Binomial error of the points and of the threshold's: √(q/n + q/n')."""
    n, q = 100_000, 0.001
    share = evaluate.outlier_share(NORMAL.sample(n, seed=7), NORMAL)
    assert_close(share, q, rtol=0, atol=4 * math.sqrt(q / n + q / 100_000))
    half_far = torch.cat([NORMAL.sample(n, seed=7), NORMAL.sample(n, seed=8) + 100])
    assert_close(evaluate.outlier_share(half_far, NORMAL), (1 + share) / 2)


def test_mean_and_error():
    mean, error = evaluate.mean_and_error(torch.tensor([1.0, 2.0, 4.0, 5.0]))
    assert_close((mean, error), (3.0, math.sqrt(10 / 3) / 2))  # s² = 10/3, over √4


def test_gap_is_the_paired_difference():
    log_p, noise = randn(500, seed=1), 0.01 * randn(500, seed=2)
    b = Bound(log_p - 0.3 + noise, torch.zeros(0, 500), torch.zeros(500))
    gap, error = evaluate.gap(b, log_p)
    assert_close(gap, 0.3 - noise.mean().item())
    assert_close(error, noise.std().item() / math.sqrt(500))


def exact_chain(data, T: int, dim: int = 2) -> ForwardProcess:
    schedule = linear(T, 0.02, 0.7)
    return ForwardProcess(schedule, exact_denoiser(data, schedule.alpha_bar), per_step(schedule.beta), dim)


def test_score_chain_has_every_term_of_every_point():
    chain, x = exact_chain(NORMAL, 5), NORMAL.sample(11)
    b = evaluate.score_chain(x, chain, generator(1), block=4)
    noise = generator(1)
    parts = [bound(part, chain, noise) for part in (x[:4], x[4:8], x[8:])]
    assert_close(b.elbo, torch.cat([part.elbo for part in parts]))
    assert_close(b.consistency, torch.cat([part.consistency for part in parts], 1))


def test_report_on_the_swiss_roll():
    roll = SwissRoll(noise=1.0)
    report = evaluate.report(exact_chain(roll, 12), roll, n=1500, seed=3)
    parts = report["reconstruction"] + report["consistency"] + report["prior"]
    assert_close(report["neg_elbo"], -parts)
    assert_close(report["entropy"], roll.entropy())
    assert report["n"] == 1500
    # the gap is −ELBO − H up to the sampling error of the points, and its own error is smaller
    unpaired = report["neg_elbo"] - report["entropy"]
    assert abs(report["gap"] - unpaired) < 4 * (report["neg_elbo_se"] + report["gap_se"])
    assert 0 < report["gap_se"] < report["neg_elbo_se"]
    assert report["gap"] > 4 * report["gap_se"]


class Uniformish:
    """A chain whose single latent says nothing: every digit is N(0, ⅓ I)."""

    levels = 1

    def q(self, t, z_prev):
        return Gaussian(torch.zeros(*z_prev.shape[:-1], 1).double(), torch.ones(1).double())

    def p(self, t, z_next):
        return Gaussian(torch.zeros(*z_next.shape[:-1], 64).double(), torch.full((1,), 1 / 3).double())

    def prior(self):
        return Gaussian(torch.zeros(1).double(), torch.ones(1).double())


def test_report_on_the_digits():
    digits = Digits()
    report = evaluate.report(Uniformish(), digits, n=360, seed=3)
    x = digits.sample_test(360, 3)
    nats = 0.5 * (64 * math.log(2 * math.pi / 3) + 3 * x.square().sum(1).mean().item())
    assert_close(report["neg_elbo"], nats)
    assert_close(report["bits_per_dim"], nats / 64 / math.log(2) + math.log2(17 / 2))
    assert "gap" not in report


@pytest.mark.parametrize("metric", METRICS.values())
def test_points_that_do_not_fit_are_refused(metric):
    with pytest.raises(ValueError, match="x and y must"):
        metric(randn(5, 2), randn(5, 3))
    with pytest.raises(ValueError, match="x and y must"):
        metric(randn(5), randn(5))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("score", [*evaluate.METRICS.values(), evaluate.mean_log_prob, evaluate.outlier_share])
def test_broken_samples_have_no_score(score, bad):
    """A NaN is below no threshold: it would have counted as on the data."""
    x = randn(50, 2)
    x[3:5, 1] = bad
    other = SwissRoll() if score in (evaluate.mean_log_prob, evaluate.outlier_share) else randn(50, 2, seed=1)
    with pytest.raises(ValueError, match="x must be finite, got a NaN or an infinity in 2 of 50 points"):
        score(x, other)
    with pytest.raises(ValueError, match="x must hold at least one point, got none"):
        score(x[:0], other[:0] if isinstance(other, torch.Tensor) else other)


def test_the_ode_report_of_points_is_the_paired_distance_to_the_truth():
    """A network that knows nothing but N(0, I), v̂ = 0: the flow stands still, and −log p is that of N(0, I)."""
    roll, schedule = SwissRoll(), cosine(50)
    model = DDPM(EpsNet(2, schedule, width=8), schedule, 2).requires_grad_(False)
    for p in model.parameters():
        p.zero_()
    found, x = evaluate.ode_report(model, roll, n=60, seed=3), roll.sample_test(60, 3)
    nll = 0.5 * (x.square() + math.log(2 * math.pi)).sum(-1)
    assert_close(found["nll_ode"], nll.mean().item(), rtol=1e-2, atol=0)
    assert_close(found["ode_gap"], (roll.log_prob(x) + nll).mean().item(), rtol=2e-2, atol=0)
    assert found["nll_ode_se"] == pytest.approx(nll.std().item() / math.sqrt(60), rel=0.02)
    assert found["ode_gap_se"] == pytest.approx((roll.log_prob(x) + nll).std().item() / math.sqrt(60), rel=0.02)


def test_the_ode_report_of_grey_levels_is_a_bound():
    """The same for pixels: with v̂ = 0 all is one-dimensional, so E_q and −log P can be had by quadrature."""
    schedule = cosine(50)
    model = ImageDDPM(EpsNet(5, schedule, width=8), schedule, 5).requires_grad_(False)
    for p in model.parameters():
        p.zero_()
    x = torch.arange(255).reshape(51, 5)[:40] / 127.5 - 1
    levels = SimpleNamespace(sample_test=lambda n, seed: x, shape=(1, 5), dim=5, bits_per_dim=lambda nats: nats / 5)
    found = evaluate.ode_report(model, levels, n=4000, seed=3)

    alpha_bar, noise = schedule.alpha_bar[1], 1 - schedule.alpha_bar[1]
    u = torch.linspace(-8, 8, 4001, dtype=torch.float64)[:, None, None]
    x_1 = alpha_bar.sqrt() * x + noise.sqrt() * u  # q(x₁|x₀)
    observed = DiscretisedGaussian((alpha_bar.sqrt() * x_1).clamp(-1, 1)[..., None], torch.tensor(noise.sqrt().item()))
    log_p = observed.log_prob(x.double()[..., None])  # pixel by pixel; β₁ = 1 − ᾱ₁
    log_q = torch.distributions.Normal(alpha_bar.sqrt() * x, noise.sqrt()).log_prob(x_1)
    log_prior = torch.distributions.Normal(0.0, 1.0).log_prob(x_1)  # the flow stands still
    mean_over_q = torch.trapezoid((log_q - log_p - log_prior) * (log_q + 0.5 * noise.log()).exp(), u, dim=0)
    exact = -torch.trapezoid((log_p + log_prior + 0.5 * noise.log()).exp(), u, dim=0).log()
    assert_close(found["nll_ode"], mean_over_q.sum(-1).mean().item(), rtol=3e-3, atol=0)
    assert bool((mean_over_q >= exact).all())
    assert found["ode_bits_per_dim"] == found["nll_ode"] / 5


def test_wasserstein1_is_the_distance_that_probability_is_moved():
    x = torch.randn(500, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.rand(300, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert evaluate.wasserstein1(x, x + 0.7) == pytest.approx(0.7)
    assert evaluate.wasserstein1(x, y) == pytest.approx(scipy.stats.wasserstein_distance(x, y))
    assert evaluate.wasserstein1(y, x) == pytest.approx(evaluate.wasserstein1(x, y))
    assert evaluate.wasserstein1(x, x.flip(0)) == 0
    equal = (x.sort().values[:300] - y.sort().values).abs().mean().item()
    assert evaluate.wasserstein1(x.sort().values[:300], y) == pytest.approx(equal)


@pytest.mark.parametrize("x", [torch.zeros(0), torch.zeros(2, 2), torch.tensor([0.0, math.nan])])
def test_wasserstein1_wants_numbers(x):
    with pytest.raises(ValueError, match="must be"):
        evaluate.wasserstein1(x, torch.zeros(3))

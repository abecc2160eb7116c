"""training.py: runs are functions of their seed, times have the distribution they claim, averages their formula."""

import copy
import io
import itertools

import pytest
import torch
from shared import assert_mean, generator, randn
from torch import nn
from torch.testing import assert_close

from diffusion_edu.bound import bound
from diffusion_edu.data import SwissRoll
from diffusion_edu.ddpm import DDPM, eps_weight
from diffusion_edu.hvae import HVAE
from diffusion_edu.nets import BernoulliNet, EpsNet, GaussianNet
from diffusion_edu.oracles import gaussian
from diffusion_edu.schedules import cosine, linear
from diffusion_edu.training import (
    Trainer,
    elbo_loss,
    eps_loss,
    fit_sigma2,
    learning_rate,
    log_snr_t,
    min_snr,
    mixed_t,
    optimisers,
    step_generator,
    uniform_t,
)
from diffusion_edu.training.optimisers import MUON_LR
from diffusion_edu.vae import VAE

DATA = SwissRoll().sample(2000, seed=1).float()


def small_trainer(seed: int = 0, model_seed: int = 0, steps: int = 60, optimiser=optimisers.adam) -> Trainer:
    torch.manual_seed(model_seed)
    return Trainer(VAE(width=8), elbo_loss(), DATA, steps, batch=16, seed=seed, make_optimisers=optimiser)


def run_to(trainer: Trainer, step: int) -> None:
    while trainer.step < step:
        trainer.one_step()


def parameters(trainer: Trainer) -> list[torch.Tensor]:
    return [p.detach().clone() for p in itertools.chain(trainer.model.parameters(), trainer.ema.parameters())]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_step_has_one_generator():
    draw = lambda seed, step: torch.rand(4, generator=step_generator(seed, step))  # noqa: E731
    assert torch.equal(draw(3, 5), draw(3, 5))
    assert not torch.equal(draw(3, 5), draw(3, 6))
    assert not torch.equal(draw(3, 5), draw(4, 5))


def test_a_run_is_a_function_of_its_seed():
    a, b, c = small_trainer(1), small_trainer(1), small_trainer(2)
    for trainer in (a, b, c):
        torch.rand(3)  # whatever else draws numbers in between
        run_to(trainer, 5)
    assert same(parameters(a), parameters(b))
    assert not same(parameters(a), parameters(c))


@pytest.mark.parametrize("optimiser", [optimisers.adam, optimisers.muon])
def test_a_resumed_run_ends_bit_for_bit_where_a_straight_one_does(optimiser):
    straight, first, second = (small_trainer(model_seed=seed, optimiser=optimiser) for seed in (0, 0, 99))
    run_to(straight, 60)
    run_to(first, 30)
    torch.save(first.state_dict(), saved := io.BytesIO())
    saved.seek(0)
    second.load_state_dict(torch.load(saved, weights_only=True))
    assert second.step == 30
    run_to(second, 60)
    assert same(parameters(second), parameters(straight))


def test_run_takes_the_steps_that_are_left():
    trainer = small_trainer(steps=5)
    run_to(trainer, 2)
    assert [step for step, _ in trainer.run(progress=False)] == [3, 4, 5]


def test_ema_is_its_formula():
    """ema ← d ema + (1 − d) θ, with d = min(0.999, (1 + k)/(10 + k)) at step k = 0, 1, …: the start counts less."""
    trainer = small_trainer()
    expected = [p.detach().double() for p in trainer.model.parameters()]
    for k in range(20):
        trainer.one_step()
        d = min(0.999, (1 + k) / (10 + k))
        expected = [
            d * e + (1 - d) * p.detach().double() for e, p in zip(expected, trainer.model.parameters(), strict=True)
        ]
    assert_close([p.detach().double() for p in trainer.ema.parameters()], expected, rtol=1e-4, atol=1e-6)


def test_learning_rate_rises_peaks_and_ends_at_zero():
    rate = [learning_rate(step, 1000, peak=2.0) for step in range(1001)]
    assert_close(rate[0], 2.0 / 100)
    assert_close(rate[500], 1.0)
    assert rate[1000] == 0.0
    top = rate.index(max(rate))
    assert top == 99
    assert all(a < b for a, b in itertools.pairwise(rate[: top + 1]))
    assert all(a > b for a, b in itertools.pairwise(rate[top:]))


def test_the_optimiser_runs_at_that_rate():
    """Adam's first step is the rate itself in every parameter with a gradient, whatever the gradient's size."""
    trainer = small_trainer()
    before = parameters(trainer)
    trainer.one_step()
    moved = torch.cat(
        [(a - b).abs().flatten() for a, b in zip(parameters(trainer), before, strict=True)][: len(before) // 2]
    )
    assert_close(moved.max().item(), learning_rate(0, 60, trainer.peak_lr), rtol=1e-2, atol=0)  # float32


def test_muon_runs_at_its_own_rate_and_adam_beside_it_at_the_given_one():
    trainer = small_trainer(steps=60, optimiser=optimisers.muon)
    run_to(trainer, 40)
    rates = [o.param_groups[0]["lr"] for o, _ in trainer.optimisers]
    assert rates == [learning_rate(39, 60, peak) for peak in (trainer.peak_lr, MUON_LR)]


def test_a_shard_has_a_generator_of_its_own():
    """Also where PyTorch keeps the lower 32 bits of a seed only."""
    draw = lambda *at: torch.rand(4, generator=step_generator(*at)).tolist()  # noqa: E731
    assert draw(3, 5, 0) == draw(3, 5)
    drawn = [draw(seed, step, shard) for seed in (3, 4) for step in range(5) for shard in range(20)]
    assert len({tuple(d) for d in drawn}) == len(drawn)


def test_no_two_shards_of_a_run_share_their_seed():
    seeds = sorted(shard * 2_654_435_761 % 2**32 for shard in range(1024))
    assert min(b - a for a, b in itertools.pairwise([*seeds, seeds[0] + 2**32])) > 1_900_000


def test_the_gradient_is_the_mean_over_the_shards():
    """Each shard is a batch of its own with its own noise; the terms are averaged too."""
    trainer = small_trainer()
    sharded = Trainer(copy.deepcopy(trainer.model), elbo_loss(), DATA, 60, batch=48, shards=3)
    losses = []
    for shard in range(3):
        g = step_generator(0, 0, shard)
        x = DATA[torch.randint(len(DATA), (16,), generator=g)]
        losses.append(elbo_loss()(trainer.model, x, g))
    (sum(terms["loss"] for terms in losses) / 3).backward()
    terms = sharded.one_step()
    for a, b in zip(sharded.model.parameters(), trainer.model.parameters(), strict=True):
        assert_close(a.grad, b.grad)
    for name in terms:
        assert_close(terms[name], sum(t[name] for t in losses) / 3)


@pytest.mark.parametrize("shards", [0, -1, 5, 32])
def test_shards_that_do_not_divide_the_batch_are_refused(shards):
    with pytest.raises(ValueError, match=f"a batch of 16 cannot be made of {shards} equal shards"):
        Trainer(VAE(width=8), elbo_loss(), DATA, 10, 16, shards=shards)


@pytest.mark.parametrize(("steps", "batch"), [(0, 16), (10, 0)])
def test_no_steps_or_no_batch_is_refused(steps, batch):
    with pytest.raises(ValueError, match="steps and batch must be at least 1"):
        Trainer(VAE(width=8), elbo_loss(), DATA, steps, batch)


@pytest.mark.parametrize("kl_weight", [1.0, 0.25])
def test_elbo_loss_is_the_weighted_sum_of_its_terms(kl_weight):
    model, x = VAE(width=8), DATA[:50]
    terms, b = elbo_loss(kl_weight)(model, x, generator(1)), bound(x, model, generator(1))
    assert_close(terms["loss"], -(terms["reconstruction"] + kl_weight * (terms["consistency"] + terms["prior"])))
    assert_close(terms["reconstruction"] + terms["consistency"] + terms["prior"], b.elbo.mean())
    assert_close(terms["reconstruction"], b.reconstruction.mean())


def test_uniform_t_is_uniform_over_1_to_T():
    t = uniform_t(linear(8, 0.1, 0.2), 40_000, generator(1))
    assert_mean(nn.functional.one_hot(t, 9).double(), torch.tensor([0.0] + [1 / 8] * 8).double())


def test_even_in_log_snr_is_as_the_bound_weighs_a_small_step():
    """With σ² = β̃ the weight of |ε − ε̂|² is w_t = (e^δ − 1)/2, where δ is how far log SNR falls in the step: half of δ
    when that is small."""
    schedule = cosine(2000)
    fall = -schedule.log_snr[1:].diff()
    weight = eps_weight(schedule, schedule.beta_tilde)[2:]
    assert_close(weight, fall.expm1() / 2)
    small = fall < 0.015
    assert small.sum() > 1000
    assert_close(weight[small], fall[small] / 2, rtol=0.01, atol=0)


@pytest.mark.parametrize("schedule", [cosine(8), linear(8, 0.01, 0.7)], ids=["cosine", "linear"])
@pytest.mark.parametrize(("draw", "share"), [(log_snr_t, 1.0), (mixed_t, 0.5)])
def test_times_are_uniform_in_log_snr_or_half_of_them_in_t(schedule, draw, share):
    """A level drawn uniformly from −2 (or log SNR(T) if that is more) to log SNR(1) falls to the t whose interval
    [log SNR(t + 1), log SNR(t)] holds it; T itself has none."""
    level = schedule.log_snr[1:].clamp(min=-2)
    by_snr = torch.cat([torch.zeros(1), -level.diff(), torch.zeros(1)]) / (level[0] - level[-1])
    expected = share * by_snr + (1 - share) * torch.tensor([0.0] + [1 / 8] * 8)
    t = draw(schedule, 80_000, generator(2))
    assert_mean(nn.functional.one_hot(t, 9).double(), expected)


def bfloat16():
    """What a GPU would do, on the CPU."""
    return torch.autocast("cpu", torch.bfloat16)


LOSSES = {
    "vae": (lambda: VAE(width=32), elbo_loss(), DATA[:500]),
    "hvae": (lambda: HVAE(3, width=32), elbo_loss(), DATA[:500]),
    "binary": (lambda: VAE(300, observe=BernoulliNet, width=32), elbo_loss(), (randn(50, 300) > 0).float()),
    "ddpm": (lambda: DDPM(EpsNet(2, cosine(50), width=32), cosine(50), 2), eps_loss(), DATA[:500]),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_bfloat16_stays_inside_the_networks(kind):
    """The noise is the same, and the terms differ by what the networks' answers do, some tenths of a percent."""
    torch.manual_seed(0)
    make, loss, x = LOSSES[kind]
    model = make()
    exact = loss(model, x, generator(1))
    with bfloat16():
        rounded = loss(model, x, generator(1))
    rounded["loss"].backward()
    assert all(value.dtype == torch.float32 for value in rounded.values())
    assert all(p.grad.dtype == torch.float32 for p in model.parameters())
    assert rounded["loss"] != exact["loss"]
    assert_close(rounded, exact, rtol=5e-3, atol=5e-3)


def test_a_sharp_density_is_not_rounded():
    """With σ = 0.0025 a latent near 1 and its mean differ by less than bfloat16 can tell."""
    torch.manual_seed(0)
    net, x = GaussianNet(2, 3, width=16, log_var=-12.0), 5 * DATA[:200]
    with bfloat16():
        q = net(x)
        eps = torch.randn(200, 3, generator=generator(1))
        log_q = q.log_prob(q.sample(generator(1)))
    exact = -0.5 * (torch.log(2 * torch.pi * q.var.double()) + eps.double() ** 2).sum(-1)
    assert_close(log_q.double(), exact, rtol=0, atol=1e-2)


def test_a_run_in_bfloat16_keeps_its_parameters_in_float32_and_learns_the_same():
    def trained(precision):
        torch.manual_seed(0)
        trainer = Trainer(VAE(width=16), elbo_loss(), DATA, 150, batch=64, precision=precision)
        return trainer, torch.stack([terms["loss"] for _, terms in trainer.run(progress=False)])

    (a, full), (b, half) = trained(torch.float32), trained(torch.bfloat16)
    assert all(p.dtype == torch.float32 for p in parameters(b))
    assert not same(parameters(a), parameters(b))
    assert_close(half[-20:].mean(), full[-20:].mean(), rtol=0, atol=0.05)
    assert full[-20:].mean() < full[:20].mean() - 1


def test_mixed_t_with_a_single_step_or_an_odd_number():
    assert mixed_t(linear(1, 0.3, 0.3), 5, generator(1)).tolist() == [1] * 5


class ExactEps(nn.Module):
    """E[ε|x_t] of a data set, in the place of a network."""

    def __init__(self, data, alpha_bar):
        super().__init__()
        self.data, self.alpha_bar = data, alpha_bar

    def forward(self, xt, t):
        eps = torch.empty_like(xt)
        for s in t.unique():
            eps[t == s] = self.data.eps_mean(xt[t == s], float(self.alpha_bar[s]))
        return eps


def test_eps_loss_is_the_mean_squared_error_in_the_noise():
    """Given x_t each ε has variance ᾱv/(ᾱv + 1 − ᾱ), so with the exact ε̂ two dimensions cost twice that."""
    v, schedule = 0.3, linear(5, 0.1, 0.5)
    data = gaussian([0.0, 0.0], [v, v])
    loss, x0 = eps_loss(lambda s, n, g: torch.full((n,), 3)), data.sample(50_000, seed=1)
    a = float(schedule.alpha_bar[3])
    model = DDPM(ExactEps(data, schedule.alpha_bar), schedule, 2)
    exact = 2 * a * v / (a * v + 1 - a)
    measured = loss(model, x0, generator(1))["loss"].item()
    assert_close(measured, exact, rtol=4 * (1 / 50_000) ** 0.5, atol=0)


def test_min_snr_weighs_noise_where_there_is_much_and_the_image_where_there_is_little():
    """min(SNR, γ)/SNR of the error in ε is min(SNR, γ) of that in x₀, since |ε − ε̂|² = SNR |x₀ − x̂₀|²."""
    schedule, t = cosine(1000), torch.arange(1, 1001)
    weight, alpha_bar = min_snr(schedule, t), schedule.alpha_bar[1:]
    noisy = alpha_bar < 5 / 6  # SNR below 5
    assert 100 < int(noisy.sum()) < 900
    assert torch.equal(weight[noisy], torch.ones(int(noisy.sum()), dtype=torch.float64))
    assert_close(weight[~noisy], 5 * (1 / alpha_bar - 1)[~noisy], rtol=1e-12, atol=0)
    assert_close(min_snr(schedule, t, gamma=float("inf")), torch.ones_like(weight), rtol=0, atol=0)


def test_a_weight_multiplies_the_error_of_each_time():
    """With the exact ε̂ the error at t is known; at two times, half of the batch each, the mean of the weighted two."""
    v, schedule = 0.3, linear(5, 0.1, 0.5)
    data = gaussian([0.0, 0.0], [v, v])
    times = torch.tensor([1, 4])
    loss = eps_loss(lambda s, n, g: times.repeat(n // 2), lambda s, t: min_snr(s, t, gamma=0.5))
    model = DDPM(ExactEps(data, schedule.alpha_bar), schedule, 2)
    a = schedule.alpha_bar[times]
    exact = ((0.5 * (1 - a) / a).clamp(max=1) * 2 * a * v / (a * v + 1 - a)).mean().item()
    measured = loss(model, data.sample(50_000, seed=1), generator(1))["loss"].item()
    assert_close(measured, exact, rtol=4 * (2 / 50_000) ** 0.5, atol=0)


def test_fit_sigma2_finds_the_true_reverse_variance():
    """For x₀ ~ N(m, v) and the exact denoiser it is 1/(1/(ᾱ_{t−1} v + 1 − ᾱ_{t−1}) + α_t/β_t)."""
    v, schedule, n = 0.3, linear(6, 0.05, 0.7), 20_000
    data = gaussian([0.5, -1.0], [v, v])
    model = DDPM(ExactEps(data, schedule.alpha_bar), schedule, 2)
    fit_sigma2(model, data.sample(n, seed=1), n)
    before = schedule.alpha_bar[:-1] * v + 1 - schedule.alpha_bar[:-1]
    exact = 1 / (1 / before + schedule.alpha[1:] / schedule.beta[1:])
    # an estimated variance of 2n normals has relative error √(1/n)
    assert_close(model.sigma2[1:], exact, rtol=4 * n**-0.5, atol=0)


def test_fit_sigma2_leaves_the_network_alone_and_is_seeded():
    torch.manual_seed(0)
    schedule = linear(6, 0.05, 0.7)
    model = DDPM(EpsNet(2, schedule, width=8), schedule, 2)
    before = copy.deepcopy(model.eps_net.state_dict())
    fitted = []
    for seed in (1, 1, 2):
        fit_sigma2(model, DATA, 100, seed)
        fitted.append(model.sigma2.clone())
    assert torch.equal(fitted[0], fitted[1])
    assert not torch.equal(fitted[0], fitted[2])
    assert all(torch.equal(v, before[k]) for k, v in model.eps_net.state_dict().items())


def test_training_learns_the_noise():
    """ε̂ = 0 costs D = 2. On N(0, I) the exact ε̂ is √(1−ᾱ) x_t, which costs 2 E ᾱ: 300 steps come near it."""
    torch.manual_seed(0)
    schedule = linear(10, 0.1, 0.5)
    trainer = Trainer(
        DDPM(EpsNet(2, schedule, width=32), schedule, 2), eps_loss(uniform_t), randn(5000, 2).float(), 300
    )
    losses = torch.tensor([terms["loss"] for _, terms in trainer.run(progress=False)])
    assert_close(losses[-50:].mean().item(), 2 * schedule.alpha_bar[1:].mean().item(), rtol=0.05, atol=0)

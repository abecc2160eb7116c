"""training/noise.py: the error that is learned along λ, the knots that follow, and runs with --schedule learned."""

import json

import numpy as np
import pytest
import torch
from shared import assert_mean, generator
from test_cli import fails, same_run, succeeds
from torch.testing import assert_close

from diffusion_edu import exact, schedules
from diffusion_edu.config import Config
from diffusion_edu.data import SwissRoll
from diffusion_edu.ddpm import noised
from diffusion_edu.learned_noise import optimal_schedule
from diffusion_edu.schedules import CLEAN, NOISE, before_learning
from diffusion_edu.training import build, runs
from diffusion_edu.training.build import trainer
from diffusion_edu.training.noise import LearnedNoise, error_ratio, fit_schedule, noise_of

ROLL = SwissRoll()
LEVELS = torch.linspace(NOISE, CLEAN, 37, dtype=torch.float64)


@pytest.mark.parametrize("log_snr", [-6.0, 0.0, 3.0, 9.0])
def test_the_ratio_is_an_unbiased_and_quiet_estimate_of_the_error(log_snr):
    level = torch.full((4000, 1), log_snr, dtype=torch.float64)
    x0, eps = ROLL.sample(4000, 3), torch.randn(4000, 2, generator=generator(1), dtype=torch.float64)
    bar = level[0].sigmoid().item()
    eps_hat = ROLL.eps_mean(noised(x0, eps, bar), bar)
    ratio = error_ratio(x0, eps, eps_hat, level, 1.0)
    assert_mean(ratio, exact.error_at(ROLL, log_snr))
    plain = (eps - eps_hat).square().mean(-1) / bar
    assert_mean(plain, exact.error_at(ROLL, log_snr))
    assert ratio.std() < (0.3 if abs(log_snr) > 5 else 1.5) * plain.std()


def test_the_ratio_judges_the_guess_and_not_the_exact_one():
    """A guess that is wrong by a constant c adds |c|²/(Dᾱ)."""
    level, bar = torch.full((4000, 1), 2.0, dtype=torch.float64), torch.tensor(2.0).sigmoid().item()
    x0, eps = ROLL.sample(4000, 3), torch.randn(4000, 2, generator=generator(1), dtype=torch.float64)
    eps_hat = ROLL.eps_mean(noised(x0, eps, bar), bar) + 0.3
    assert_mean(error_ratio(x0, eps, eps_hat, level, 1.0), exact.error_at(ROLL, 2.0) + 0.09 / bar)


def test_the_bins_are_linear_between_their_middles_and_flat_beyond():
    noise = LearnedNoise(T=3)
    with torch.no_grad():
        noise.error.copy_(torch.arange(37).float())
    found = noise(torch.tensor([NOISE - 1, NOISE, NOISE + 0.5, NOISE + 0.7, CLEAN, CLEAN + 1], dtype=torch.float64))
    assert_close(found, torch.tensor([0.0, 0.0, 1.0, 1.4, 36.0, 36.0]))


@pytest.mark.parametrize("T", [10, 50, 1000])
def test_from_the_exact_error_come_the_best_knots(T):
    model = build.build(Config("ddpm", "swiss-roll", schedule="learned", T=T))
    with torch.no_grad():
        noise_of(model).error.copy_(exact.error_at(ROLL, LEVELS))
    fit_schedule(model)
    assert NOISE <= model.schedule.log_snr[-1] < model.schedule.log_snr[1] <= CLEAN
    best = exact.price(ROLL, optimal_schedule(ROLL, T))
    assert exact.price(ROLL, model.schedule) < 1.02 * best + 1e-4


def test_a_network_finds_good_knots_while_it_learns():
    """A short training halves the price of the cosine; one that has learned no error does not."""
    t = trainer(Config("ddpm", "swiss-roll", schedule="learned", T=20, steps=1000, width=64))
    untrained, cosine = build.build(Config("ddpm", "swiss-roll", schedule="learned", T=20)), schedules.cosine(20)
    for _ in t.run(progress=False):
        pass
    fit_schedule(t.ema)
    assert exact.price(ROLL, t.ema.schedule) < 0.5 * exact.price(ROLL, cosine)
    assert abs(noise_of(t.ema)(LEVELS) - exact.error_at(ROLL, LEVELS))[12:].max() < 0.3
    assert exact.price(ROLL, untrained.schedule) > 0.5 * exact.price(ROLL, cosine)


def test_a_network_takes_another_schedule_of_as_many_steps():
    model = build.build(Config("ddpm", "swiss-roll", T=10))
    x, other = torch.randn(5, 2, generator=generator(0)), schedules.from_log_snr(torch.linspace(7, -1, 10))
    model.set_schedule(other)
    for t in (1, 4, 10):
        assert_close(model.eps_hat(x, t), model.eps_net.at(x, other.log_snr[t].item()), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="T = 10 steps, got 9"):
        model.set_schedule(schedules.cosine(9))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("learned") / "run"
    succeeds(*command(out))
    return out


def command(out, *more):
    run = ["train", "ddpm", "--data", "swiss-roll", "--schedule", "learned", "--T", 8, "--steps", 12, "--batch", 32]
    return [*run, "--device", "cpu", "--out", out, *more]


def test_the_schedule_is_kept_in_the_checkpoint(trained):
    model, config = runs.load(trained)
    state = runs.read_checkpoint(trained / "checkpoint.pt")
    assert config.schedule == "learned"
    assert_close(model.schedule.log_snr[1:], state["ema"]["noise.log_snr"])
    assert not torch.allclose(model.schedule.log_snr[1:], before_learning(8).log_snr[1:])
    assert_close(model.eps_net.embed.log_snr[1:].double(), model.schedule.log_snr[1:], rtol=1e-5, atol=1e-5)


def test_a_run_that_was_stopped_ends_bit_for_bit_where_a_straight_one_does(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "SAVE_EVERY", 5)

    class Stop(Exception):
        pass

    def stop(log, t, *rest):
        write(log, t, *rest)
        if t.step == 7:
            raise Stop

    write = runs._write
    with monkeypatch.context() as patch:
        patch.setattr(runs, "_write", stop)
        with pytest.raises(Stop):
            succeeds(*command(tmp_path / "run"))
    assert runs.read_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"] == 5
    succeeds(*command(tmp_path / "run", "--resume"))
    assert same_run(tmp_path / "run", trained)


@pytest.mark.parametrize("sampler", ["ancestral", "ddim-2m", "heun", "euler-maruyama"])
def test_every_sampler_takes_it(trained, tmp_path, sampler):
    out = tmp_path / "x.npy"
    succeeds("sample", trained, "--n", 6, "--sampler", sampler, "--sample-steps", 4, "--out", out)
    x = np.load(out)
    assert x.shape == (6, 2)
    assert np.isfinite(x).all()


def test_evaluate_takes_it(trained, capsys):
    succeeds("evaluate", trained, "--json", "--n", 20, "--ode")
    found = json.loads(capsys.readouterr().out)
    assert found["neg_elbo"] > 0
    assert np.isfinite(found["nll_ode"])


def test_what_it_does_not_go_with_is_refused(tmp_path, capsys):
    train = ["train", "ddpm", "--data", "swiss-roll", "--schedule", "learned", "--out", tmp_path / "run"]
    assert "loss min-snr is not for the schedule learned" in fails(capsys, *train, "--loss", "min-snr")
    assert "T must be at least 2 for the schedule learned, got 1" in fails(capsys, *train, "--T", 1)
    assert "for the schedules linear and sigmoid, not learned" in fails(capsys, *train, "--beta-1", 0.1)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="a fixed schedule, not a learned one"):
        noise_of(build.build(Config("ddpm", "swiss-roll", T=10)))


@pytest.mark.parametrize("data", ["digits", "mnist"])
def test_images_have_it_too(data):
    """A few steps on images of noise: the error is learned, and the knots lie where the network was trained."""
    config = Config("ddpm", data, schedule="learned", T=5, width=8)
    model, x = build.build(config), torch.rand(16, 64 if data == "digits" else 784, generator=generator(1)) * 2 - 1
    noise_of(model).square.copy_(x.square().mean())
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for step in range(3):
        optimiser.zero_grad()
        terms = build.LEARNED_LOSSES["bound"](model, x, generator(step))
        terms["loss"].backward()
        optimiser.step()
    assert terms["loss"].isfinite()
    assert (noise_of(model).error != 1).any()
    fit_schedule(model)
    log_snr = model.schedule.log_snr[1:]
    assert ((log_snr >= NOISE) & (log_snr <= CLEAN) & (log_snr.diff(prepend=log_snr[:1] + 1) < 0)).all()
    assert model.x0_hat(x, 3).isfinite().all()

"""The published weights: each model is what its card says, scored on fresh points against the exact log p."""

import json
import math
import re

import pytest
import roll_losses
import torch

from diffusion_edu import cli, data, diffusion, evaluate, guidance, oracles, pretrained, samplers, sampling, weights
from diffusion_edu.data import Digits, SwissRoll
from diffusion_edu.pretrained import publish
from diffusion_edu.training import build, runs

ROLL = pretrained.NAMES + pretrained.FLOWS
each_model = pytest.mark.parametrize("name", ROLL)


@pytest.fixture(scope="module")
def models():
    return {name: pretrained.load(name) for name in ROLL}


@pytest.fixture(scope="module")
def roll():
    return data.SwissRoll()


@each_model
def test_the_gap_on_fresh_points_is_the_cards(models, roll, name):
    card, x = pretrained.card(name), roll.sample(400, seed=77)
    b = evaluate.score_chain(x.float(), models[name].chain(), torch.Generator().manual_seed(5))
    gap, se = evaluate.gap(b, roll.log_prob(x))
    assert se < 0.05
    assert abs(gap - card["gap"]) < 4 * math.hypot(se, card["gap_se"])


@each_model
def test_the_card_is_consistent(models, roll, name):
    card, model = pretrained.card(name), models[name]
    assert card["entropy"] == pytest.approx(roll.entropy(), abs=1e-5)
    assert card["neg_elbo"] - card["entropy"] == pytest.approx(card["gap"], abs=5 * card["neg_elbo_se"])
    assert card["alpha_bar_T"] == pytest.approx(model.schedule.alpha_bar[-1].item(), rel=1e-4, abs=1e-9)
    assert card["parameters"] == sum(p.numel() for p in model.parameters())
    assert 0 < card["gap_se"] < 0.02


def test_what_the_three_models_show(models, roll):
    """The ruler's order. The short schedule leaves L_T = 0.9 nats, but only the part of them that the cloud of all
    x_T is from N(0, I) is lost to the bound's gap (3.8); the rest is information about x₀, which the chain uses."""
    gaps = {name: pretrained.card(name)["gap"] for name in pretrained.NAMES}
    assert 0 < gaps["cosine"] < gaps["linear"] < gaps["short"] < 0.1
    schedule = models["short"].schedule
    alpha_bar = schedule.alpha_bar[-1].item()
    assert 0.59 < alpha_bar < 0.62
    marginal = math.log(2 * math.pi) + 1 - roll.entropy(alpha_bar)
    L_T = schedule.L_T(roll.sample(5000, seed=3)).mean().item()
    assert L_T > 10 * gaps["short"] > 10 * marginal > 0.1


@each_model
def test_sigma2_is_the_fitted_one(models, roll, name):
    """Close to what the exact denoiser's error gives at the noise levels that the bound weighs."""
    model = models[name]
    S, T = model.schedule, model.schedule.T
    x0, generator = roll.sample(2000, seed=4), torch.Generator().manual_seed(6)
    exact = oracles.exact_denoiser(roll, S.alpha_bar)
    c0, _ = diffusion.posterior_mean_coefficients(S)
    for t in (1, T // 20, T // 4):
        xt = diffusion.q_marginal(S, t, x0).sample(generator)
        best = S.beta_tilde[t] + c0[t] ** 2 * (x0 - exact(xt, t)).square().mean()
        assert model.sigma2[t].item() == pytest.approx(best.item(), rel=0.1)


@each_model
def test_a_reverse_run_can_be_replayed(models, name):
    """Bit for bit by one machine, and by any machine up to its rounding."""
    settings = pretrained.card(name)["replay"]
    x0 = torch.tensor(settings.pop("x0"))
    again = pretrained.replay(pretrained.load(name), **settings)
    assert torch.equal(again, pretrained.replay(models[name], **settings))
    torch.testing.assert_close(again, x0, rtol=0, atol=0.02)
    assert not torch.allclose(again, pretrained.replay(models[name], **settings | {"seed": 1}), atol=0.1)


@each_model
def test_the_samples_lie_on_the_roll(models, roll, name):
    x_T = torch.randn(1000, 2, generator=torch.Generator().manual_seed(1))
    S = models[name].schedule
    x = samplers.sample(models[name].x0_hat, S, x_T, steps=100, generator=torch.Generator().manual_seed(2))
    assert evaluate.outlier_share(x, roll) < 0.02
    assert evaluate.mean_log_prob(x, roll) == pytest.approx(-roll.entropy(), abs=0.2)


@each_model
def test_the_commands_are_the_command_lines_and_remake_the_configuration(name, tmp_path, monkeypatch):
    card = pretrained.card(name)
    train, made_by = card["commands"]
    assert made_by == f"python -m diffusion_edu.pretrained.publish runs/{name} {name}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "run", lambda *_, **__: None)
    assert cli.main(train.split()[1:]) == 0
    assert runs.read_config(tmp_path / "runs" / name) == runs.Config(**card["config"])


def test_publishing_writes_what_load_reads(tmp_path, monkeypatch, models):
    monkeypatch.setattr(build, "TRAIN_POINTS", 2000)
    monkeypatch.setattr(
        publish, "report", lambda *_: dict.fromkeys(["n", "neg_elbo", "neg_elbo_se", "gap", "gap_se", "entropy"], 1)
    )
    out = tmp_path / "run"
    assert cli.main(f"train ddpm --data swiss-roll --T 50 --steps 3 --out {out}".split()) == 0
    publish.publish(out, "cosine", tmp_path)
    monkeypatch.setattr(weights, "HOME", tmp_path)
    model, trained = pretrained.load("cosine"), runs.load(out)[0]
    assert {k for k in model.state_dict()} == {k for k in trained.state_dict()}
    for key, value in trained.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)
    assert not any(p.requires_grad for p in model.parameters())
    raw = bytearray((tmp_path / "cosine.safetensors").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "cosine.safetensors").write_bytes(raw)
    with pytest.raises(ValueError, match=r"cosine\.safetensors is damaged: its sha256"):
        pretrained.load("cosine")


def test_only_ddpms_of_the_roll_are_published(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "TRAIN_POINTS", 2000)
    assert cli.main(f"train vae --data swiss-roll --steps 2 --out {tmp_path / 'run'}".split()) == 0
    with pytest.raises(ValueError, match="ddpm on swiss-roll"):
        publish.publish(tmp_path / "run", "cosine", tmp_path)


@pytest.mark.parametrize("name", ["quadratic", "../runs", "", "Cosine", None])
def test_an_unknown_name_is_refused_with_the_known_ones(name):
    for function in (pretrained.load, pretrained.card):
        with pytest.raises(ValueError, match=re.escape(f"unknown model {name!r}; known: cosine, linear, short")):
            function(name)


def test_loading_leaves_the_random_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    pretrained.load("short")
    assert torch.equal(torch.rand(1), expected)


@each_model
def test_the_files_are_small_and_name_no_machine(name):
    folder = weights.HOME
    assert len(folder.joinpath(f"{name}.safetensors").read_bytes()) < 250_000
    text = folder.joinpath(f"{name}.json").read_text(encoding="utf-8")
    assert not re.search(r"/(home|tmp|work|root)/", text)
    assert json.loads(text)["name"] == name


def test_the_chains_of_the_roll_are_nine_trainings_and_nearer_to_the_truth_with_two_levels(roll):
    """One point set, three seeds: two and three levels are at least a tenth of a nat nearer to H than one."""
    x, distance = roll.sample(2000, seed=78), {}
    for levels in pretrained.CHAIN_LEVELS:
        for seed in pretrained.CHAIN_SEEDS:
            model = pretrained.roll_chain(levels, seed)
            assert model.levels == levels
            assert not any(p.requires_grad for p in model.parameters())
            b = evaluate.score_chain(x.float(), model, torch.Generator().manual_seed(5))
            distance[levels, seed] = evaluate.gap(b, roll.log_prob(x))[0]
    assert len(set(distance.values())) == 9
    worst = {levels: max(distance[levels, seed] for seed in pretrained.CHAIN_SEEDS) for levels in (2, 3)}
    assert max(worst.values()) < min(distance[1, seed] for seed in pretrained.CHAIN_SEEDS) - 0.1


@pytest.mark.parametrize(("levels", "seed"), [(4, 0), (1, 3)])
def test_a_chain_that_is_not_kept_is_refused(levels, seed):
    with pytest.raises(ValueError, match=f"no chain of {levels} levels and seed {seed}"):
        pretrained.roll_chain(levels, seed)


def test_the_networks_of_the_losses_are_twelve_trainings_and_one_trained_again_is_as_good(roll):
    """The weighted loss learns nothing: v̂ stays 0. A network that is trained again differs by rounding alone."""
    points = roll.sample(roll_losses.POINTS, seed=1).float()
    t = torch.arange(10, 1000, 10).repeat(20)
    xt, noise = points[: len(t)], torch.randn(len(t), 2, generator=torch.Generator().manual_seed(6))
    xt = diffusion.q_marginal(roll_losses.SCHEDULE, t, xt).at(noise)

    def error(model):
        return (model.eps_hat(xt, t) - noise).square().sum(1).mean().item()

    kept = {
        (n, seed): error(pretrained.roll_loss(n, seed)) for n in pretrained.LOSSES for seed in pretrained.CHAIN_SEEDS
    }
    seeds = pretrained.CHAIN_SEEDS
    assert len(set(kept.values())) == 12
    assert tuple(roll_losses.LOSSES) == pretrained.LOSSES
    again = error(roll_losses.train("mixed", 0, points))
    assert again == pytest.approx(kept["mixed", 0], rel=0.02)
    nothing = (roll_losses.SCHEDULE.alpha_bar[t].neg().add(1).sqrt().float().unsqueeze(1) * xt - noise).square().sum(1)
    for seed in seeds:
        assert kept["weighted", seed] == pytest.approx(nothing.mean().item(), rel=0.02)
        assert max(kept[n, seed] for n in ("simple", "log SNR", "mixed")) < 0.9 * kept["weighted", seed]


@pytest.mark.parametrize(("name", "seed"), [("bound", 0), ("mixed", 3)])
def test_a_network_that_is_not_kept_is_refused(name, seed):
    with pytest.raises(ValueError, match=f"no network by the loss '{name}' and seed {seed}"):
        pretrained.roll_loss(name, seed)


def test_models_that_know_labels_are_near_the_entropy_of_each():
    card = pretrained.card("roll-labels")
    for name, (distance, error) in card["gaps"].items():
        assert -4 * error < distance < 0.06, name
    x = SwissRoll().thirds()[1].sample(300, 5)
    model = guidance.guided_model(pretrained.load("roll-labels"), 1)
    bound = evaluate.score_chain(x.float(), model.chain(), torch.Generator().manual_seed(0))
    distance, error = evaluate.gap(bound, SwissRoll().thirds()[1].log_prob(x))
    assert abs(distance - card["gaps"]["middle"][0]) < 4 * error


def test_digits_of_a_label_are_that_digit():
    """By the nearest of the real digits' means, of which chance would have one in ten right."""
    digits, model = Digits(), pretrained.load("digits-labels")
    means = torch.stack([digits.train_pixels[digits.train_labels == k].double().mean(0) for k in range(10)])
    means = (means + 0.5) * (2 / 17) - 1
    right = 0
    for k in range(10):
        guided = guidance.guided_model(model, k)
        x = sampling.draw(guided, 20, torch.Generator().manual_seed(k), steps=50)
        right += (torch.cdist(x.double(), means).argmin(1) == k).sum().item()
    assert right > 150

"""training/latent.py and `train latent`: two stages in one directory, killed between them, and their one bound."""

import copy
import json

import numpy as np
import pytest
import torch
from shared import assert_mean, generator
from test_cli import fails, same_run, succeeds
from torch.testing import assert_close

from diffusion_edu.bound import generate
from diffusion_edu.config import Config
from diffusion_edu.data import Digits
from diffusion_edu.evaluate import score_chain
from diffusion_edu.latent import standardised
from diffusion_edu.training import build, elbo_loss, eps_loss, fit_sigma2, runs
from diffusion_edu.training.latent import LatentDDPM, drawn, of_codes, put_first_stage
from diffusion_edu.training.trainer import Trainer, step_generator
from diffusion_edu.vae import VAE


def command(out, *more, data="digits"):
    few = ["--vae-steps", 12, "--steps", 11, "--T", 6, "--width", 8, "--batch", 16]
    return ["train", "latent", "--data", data, *few, "--device", "cpu", "--out", out, *more]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("latent") / "run"
    succeeds(*command(out))
    return out


@pytest.fixture(scope="module")
def model(run) -> LatentDDPM:
    model, _ = runs.load(run)
    assert isinstance(model, LatentDDPM)
    return model


@pytest.fixture(scope="module")
def x():
    return Digits().sample_test(200, 3).float()


# --- the model ----------------------------------------------------------------------------------------------------


def test_the_bound_of_the_two_stages_is_the_sum_of_their_terms(model, x):
    """(11.3) by hand, over z: log p(x|z) − log q(z|x), and the bound of the DDPM at (z − shift)/scale, whose density
    is that of z times the scales."""
    noise = generator(1)
    with torch.no_grad():
        q = model.vae.q(1, x)
        z = q.sample(noise)
        above = score_chain((z - model.shift) / model.scale, model.ddpm.chain(), noise).elbo
        by_hand = model.vae.p(0, z).log_prob(x) - q.log_prob(z) + above - model.scale.log().sum()
    assert model.scale.log().sum().abs() > 0.1
    assert_close(score_chain(x, model.chain(), generator(1)).elbo, by_hand, rtol=1e-4, atol=1e-3)


def test_what_the_second_stage_sees_has_mean_0_and_variance_1(model):
    z = drawn(model.codes(Digits().train_points(2000, 0)), generator(0))
    assert_close(z.mean(0), torch.zeros_like(model.shift), rtol=0, atol=0.1)
    assert_close(z.var(0), torch.ones_like(model.shift), rtol=0, atol=0.15)
    assert (model.scale - 1).abs().max() > 0.02


def test_codes_are_the_encoders_answer_and_z_is_drawn_from_them(model, x):
    codes = model.codes(x, block=70)
    q = model.below().q(1, x)
    assert_close(codes, torch.cat([q.mean, q.var.sqrt()], 1), rtol=1e-4, atol=1e-5)
    many = drawn(codes[:1].expand(4000, -1), generator(2))
    assert_mean(many, q.mean[0])
    assert_mean((many - q.mean[0]).square(), q.var[0])


def test_its_loss_is_the_simple_loss_at_such_a_z(model, x):
    codes, noise = model.codes(x), generator(4)
    z = drawn(codes, noise)
    assert_close(of_codes(eps_loss())(model, codes, generator(4)), eps_loss()(model.ddpm, z, noise))


def test_only_the_second_stage_is_trained(run, model):
    state = runs.read_checkpoint(run / "checkpoint.pt")
    first, config = runs.load(run / "vae")
    for kind in ("model", "ema"):
        for name, value in first.state_dict().items():
            assert torch.equal(state[kind][f"vae.{name}"], value)
    assert not any(p.requires_grad for p in model.vae.parameters())
    assert all(p.requires_grad for p in model.ddpm.parameters())
    assert config == Config(
        "vae", "digits", steps=12, width=8, batch=16, kl_weight=runs.read_config(run).kl_weight, precision="float32"
    )


def test_the_variances_of_the_steps_are_those_at_z_of_q(model):
    z = drawn(model.codes(Digits().train_points(2000, 0)), step_generator(0, -2))
    again = copy.deepcopy(model.ddpm)
    again.sigma2.fill_(1)
    fit_sigma2(again, z)
    assert_close(again.sigma2, model.ddpm.sigma2)


def test_the_first_stage_is_a_vae_with_the_weight_that_was_asked_for(x):
    for weight in (0.0, 0.25, 1.0):
        config = Config("latent", "digits", kl_weight=weight).first_stage()
        vae = build.build(config)
        expected = elbo_loss(weight)(vae, x, generator(1))
        assert_close(build.loss_of(config)(vae, x, generator(1)), expected)


def test_samples_are_decoded_means_of_the_diffusions_z(model):
    z = generate(model.ddpm.chain(), 5, generator(7)) * model.scale + model.shift
    assert_close(model.generate(5, generator(7)), model.vae.p(0, z).mean, rtol=1e-4, atol=1e-5)


def test_two_stages_end_below_the_vae_alone():
    """With a small weight on the KL the latent is not N(0, I), and a short second stage gains nats; one that has
    learned nothing gains none."""
    first = build.trainer(Config("vae", "digits", steps=300, width=64, kl_weight=0.2))
    for _ in first.run(progress=False):
        pass
    vae, x, test = first.ema, first.data, Digits().sample_test(360, 3).float()
    assert isinstance(vae, VAE)
    t, elbo = build.trainer(Config("latent", "digits", steps=400, T=50, width=64)), []
    assert isinstance(t.model, LatentDDPM)
    assert isinstance(t.ema, LatentDDPM)
    put_first_stage(t, vae)
    t.data = t.model.codes(x)
    chains = [standardised(vae, x), t.ema.chain()]
    for step, _ in t.run(progress=False):
        if step in (1, 400):
            fit_sigma2(t.ema.ddpm, drawn(t.data, generator(0)))
            elbo = [*elbo, *(score_chain(test, c, generator(1)).elbo.mean().item() for c in chains)]
    alone, untrained, _, both = elbo
    assert both > alone + 2
    assert untrained < alone + 0.5


# --- its directory ------------------------------------------------------------------------------------------------


class Stop(Exception):
    pass


@pytest.mark.parametrize(("stage", "step", "kept"), [("vae", 7, 5), ("vae", 12, 12), ("run", 1, None), ("run", 9, 5)])
def test_cut_in_either_stage_it_ends_bit_for_bit_where_a_straight_run_does(
    run, tmp_path, monkeypatch, stage, step, kept
):
    """Also between the two: after the last step of the first, and before the second has a checkpoint."""
    monkeypatch.setattr(runs, "SAVE_EVERY", 5)

    def stop(log, t, *rest):
        write(log, t, *rest)
        if (log.out.name, t.step) == (stage, step):
            raise Stop

    write, out = runs._write, tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(runs, "_write", stop)
        with pytest.raises(Stop):
            succeeds(*command(out))
    cut = runs.read_checkpoint((out / "vae" if stage == "vae" else out) / "checkpoint.pt")
    assert (cut and cut["step"]) == kept
    succeeds(*command(out, "--resume"))
    assert same_run(out, run)
    assert same_run(out / "vae", run / "vae")


def test_the_directory_of_the_first_stage_is_a_run_of_its_own(run, tmp_path, capsys):
    capsys.readouterr()
    succeeds("evaluate", run / "vae", "--json", "--n", 20)
    assert json.loads(capsys.readouterr().out)["model"] == "vae"
    assert len(list((run / "vae").glob("samples-*.png"))) == 12 == len(list(run.glob("samples-*.png"))) + 1


def test_the_whole_model_is_in_one_checkpoint(run, tmp_path, capsys):
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("config.json", "checkpoint.pt"):
        (alone / name).write_bytes((run / name).read_bytes())
    for where in (run, alone):
        succeeds("sample", where, "--n", 6, "--out", tmp_path / f"{where.name}.npy", "--seed", 2)
    images = np.load(tmp_path / "alone.npy")
    assert images.shape == (6, 8, 8)
    assert np.array_equal(images, np.load(tmp_path / "run.npy"))
    capsys.readouterr()
    succeeds("evaluate", alone, "--json", "--n", 20)
    found = json.loads(capsys.readouterr().out)
    x = Digits().sample_test(20, 1_000_000).float()
    expected = -score_chain(x, runs.load(run)[0].chain(), generator(1_000_000)).elbo.mean()
    assert found["neg_elbo"] == pytest.approx(expected.item(), rel=1e-4)


def test_a_run_that_goes_on_from_another_has_its_first_stage(run, tmp_path):
    succeeds(*command(tmp_path / "more", "--start", run))
    assert not (tmp_path / "more" / "vae").exists()
    before, after = (runs.load(where)[0].state_dict() for where in (run, tmp_path / "more"))
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith("ddpm.") for name in moved)


def test_the_points_of_the_roll_have_it_too(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "TRAIN_POINTS", 500)
    succeeds(*command(tmp_path / "run", data="swiss-roll"))
    model, _ = runs.load(tmp_path / "run")
    assert model.generate(3, generator(0)).shape == (3, 2)


def test_a_latent_of_images_of_mnist_learns():
    """A gradient reaches every parameter of the second stage, and none of the first."""
    config = Config("latent", "mnist", width=8, T=6)
    model = build.build(config)
    codes = model.codes(torch.rand(12, 784, generator=generator(1)) * 2 - 1)
    t = Trainer(model, build.loss_of(config), codes, steps=2, batch=4)
    before = {name: p.clone() for name, p in model.named_parameters()}
    for _ in t.run(progress=False):
        pass
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if name.startswith("ddpm.")}
    assert model.generate(2, generator(0)).shape == (2, 784)


@pytest.mark.parametrize(
    ("data", "option", "message"),
    [
        ("digits", ["--labels"], "labels is not for a latent on digits"),
        ("digits", ["--schedule", "learned"], "schedule is not for a latent on digits"),
        ("digits", ["--loss", "bound"], "loss is not for a latent on digits"),
        ("digits", ["--kl-weight", "-1"], "kl_weight must be at least 0, got -1"),
        ("digits", ["--kl-weight", "nan"], "kl_weight must be at least 0, got nan"),
        ("digits", ["--kl-weight", "1e309"], "kl_weight must be finite, got inf"),
        ("digits", ["--vae-steps", "0"], "vae_steps must be at least 1, got 0"),
        ("digits", ["--T", "0"], "T, the number of steps, must be an integer of at least 1"),
        ("digits", ["--start", "digits-labels"], "start digits-labels does not fit this latent on digits"),
        ("mnist-binary", [], "mnist-binary has vae, hvae, not latent"),
    ],
)
def test_what_it_does_not_go_with_is_refused(tmp_path, capsys, data, option, message):
    line = fails(capsys, "train", "latent", "--data", data, *option, "--out", tmp_path / "run")
    assert message in line
    assert not list(tmp_path.iterdir())


def test_what_other_models_do_not_have_is_refused(tmp_path, capsys):
    for option in ("--kl-weight", "--vae-steps"):
        line = fails(capsys, "train", "ddpm", "--data", "digits", option, "2", "--out", tmp_path / "run")
        assert f"{option[2:].replace('-', '_')} is not for a ddpm on digits" in line
    with pytest.raises(ValueError, match="a ddpm has one stage"):
        Config("ddpm", "digits").first_stage()


def test_what_asks_for_a_diffusion_of_the_data_is_refused(run, tmp_path, capsys):
    assert "are for ddpm and flow" in fails(
        capsys, "sample", run, "--n", 3, "--out", tmp_path / "x.npy", "--sampler", "ddim"
    )
    assert "--ode is for a ddpm or a flow" in fails(capsys, "evaluate", run, "--ode")
    assert "holds a latent" in fails(capsys, "film", run, "--out", tmp_path / "x.gif")
    np.save(tmp_path / "k.npy", np.full((8, 8), np.nan, dtype=np.float32))
    known = ["--n", 3, "--out", tmp_path / "x.npy", "--known", tmp_path / "k.npy"]
    assert "--known is for a ddpm or a flow" in fails(capsys, "sample", run, *known)
    assert "--K must be 0 or more, for vae and hvae" in fails(capsys, "evaluate", run, "--K", 5)

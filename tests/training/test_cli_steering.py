"""train --labels, sample --label, --guidance, --known and --method, as their users run them."""

import numpy as np
import pytest
import torch
from test_cli import fails, succeeds

from diffusion_edu import conditioning, data, guidance, sampling
from diffusion_edu.images import mnist
from diffusion_edu.images.digits import MNIST
from diffusion_edu.training import build, runs


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Runs of two steps that know labels, and one that does not."""
    root, dirs = tmp_path_factory.mktemp("runs"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "fit_sigma2", lambda model, data, seed, progress: None)  # its own tests: test_trainer.py
        for name in ("swiss-roll", "digits", "plain"):
            source, more = ("swiss-roll", []) if name == "plain" else (name, ["--labels"])
            dirs[name] = root / name
            succeeds("train", "ddpm", "--data", source, "--out", dirs[name], "--steps", 2, "--grid-every", 0, *more)
    return dirs


def draw(run, out, *more):
    succeeds("sample", run, "--n", 5, "--sample-steps", 5, "--out", out, *more)
    return np.load(out)


def test_labels_are_part_of_the_run(trained):
    assert runs.read_config(trained["digits"]).labels is True
    assert runs.read_config(trained["plain"]).labels is False
    model, config = runs.load(trained["digits"])
    assert model.eps_net.labels == 10
    assert "--labels" in config.command("x").split()
    assert "--labels" not in runs.read_config(trained["plain"]).command("x")


def test_a_run_of_the_first_version_has_no_labels(trained, tmp_path):
    out = tmp_path / "old"
    out.mkdir()
    text = (trained["plain"] / "config.json").read_text()
    (out / "config.json").write_text(text.replace('  "labels": false,\n', ""))
    assert "labels" not in (out / "config.json").read_text()
    assert runs.read_config(out).labels is False


@pytest.mark.parametrize("run", ["swiss-roll", "digits"])
def test_samples_depend_on_label_and_weight(trained, tmp_path, run):
    plain = draw(trained[run], tmp_path / "a.npy")
    zero = draw(trained[run], tmp_path / "b.npy", "--label", 1, "--guidance", 0)
    one = draw(trained[run], tmp_path / "c.npy", "--label", 1)
    explicit = draw(trained[run], tmp_path / "d.npy", "--label", 1, "--guidance", 1)
    other = draw(trained[run], tmp_path / "e.npy", "--label", 2, "--sampler", "heun")
    assert np.allclose(plain, zero, atol=1e-5)
    assert (one == explicit).all()
    assert not np.allclose(one, plain, atol=1e-6)
    assert other.shape == one.shape


@pytest.mark.parametrize("method", sampling.METHODS)
@pytest.mark.parametrize("run", ["swiss-roll", "digits"])
def test_what_is_known_is_kept(trained, tmp_path, run, method):
    known = np.full((2,) if run == "swiss-roll" else (8, 8), np.nan, dtype=np.float32)
    known[:1] = 0.25
    np.save(tmp_path / "known.npy", known)
    settings = ("--known", tmp_path / "known.npy", "--method", method)
    x = draw(trained[run], tmp_path / "a.npy", *settings)
    again = draw(trained[run], tmp_path / "b.npy", *settings, "--label", 2)
    assert x.shape == (5, *known.shape)
    for found in (x, again):
        assert np.isfinite(found).all()
        assert np.allclose(found[:, :1], 0.25, atol=1e-6)
        assert found[:, 1:].std() > 0
    assert not np.allclose(x, again)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--guidance", "2"], "--guidance is for a --label, got 2 and no label"),
        (["--label", "3"], "label must be one that the network knows, 0 … 2; got 3"),
        (["--label", "-1"], "label must be one"),
        (["--label", "1", "--guidance", "nan"], "--guidance must be a finite number"),
        (["--method", "repaint"], "--method is for a --known point"),
        (["--known", "nowhere.npy"], "--known must be a .npy file"),
        (["--known", "KNOWN", "--method", "magic"], "unknown method 'magic'; known, with the calls of a step:"),
        (["--known", "KNOWN", "--sampler", "ddim"], "has a --method in the place of a --sampler"),
        (["--known", "FULL"], "both numbers and NaN"),
        (["--known", "SHAPE"], "--known must hold (2,) numbers for swiss-roll, got (3,)"),
        (["--known", "TEXT"], "--known must be a .npy file"),
        (["--known", "INFINITE"], "finite or NaN"),
    ],
)
def test_bad_steering_is_refused_in_one_line(trained, tmp_path, capsys, arguments, message):
    for name, values in (
        ("KNOWN", [0.5, np.nan]), ("FULL", [0.5, 0.1]), ("SHAPE", [0.5, np.nan, 1.0]), ("INFINITE", [np.inf, np.nan])
    ):  # fmt: skip
        np.save(tmp_path / f"{name}.npy", np.array(values))
    (tmp_path / "TEXT.npy").write_text("not numbers")
    given = [str(tmp_path / f"{a}.npy") if a.isupper() else a for a in arguments]
    assert message in fails(capsys, "sample", trained["swiss-roll"], "--n", 2, "--out", tmp_path / "x.npy", *given)
    assert not (tmp_path / "x.npy").exists()


def test_a_run_without_labels_has_none(trained, tmp_path, capsys):
    line = fails(capsys, "sample", trained["plain"], "--n", 2, "--out", tmp_path / "x.npy", "--label", 1)
    assert "--label is for a ddpm that was trained with --labels" in line


def test_known_grey_levels_are_those_of_samples(trained, tmp_path, capsys):
    known = np.full((8, 8), np.nan)
    known[0] = 1.5
    np.save(tmp_path / "known.npy", known)
    line = fails(
        capsys, "sample", trained["digits"], "--n", 2, "--out", tmp_path / "x.npy", "--known", tmp_path / "known.npy"
    )
    assert "grey levels from 0 to 1" in line


@pytest.mark.parametrize(
    "arguments", [["vae", "--data", "digits", "--labels"], ["ddpm", "--data", "digits", "--labels", "x"]]
)
def test_labels_are_for_a_ddpm_and_take_no_value(tmp_path, capsys, arguments):
    fails(capsys, "train", *arguments, "--data", "digits", "--out", tmp_path / "run")


def test_labels_belong_to_their_points():
    roll = data.SwissRoll()
    points = roll.labelled_points(600, seed=4).double()
    assert torch.equal(points[:, :2].float(), roll.train_points(600, seed=4))
    found = guidance.exact_labels(roll.thirds(), torch.ones(1))(points[:, :2], 0).argmax(-1)
    assert (found == points[:, 2]).double().mean() > 0.97
    digits = data.load("digits")
    points = digits.labelled_points(3000, seed=2)
    assert torch.equal(points[:, :64], digits.train_points(3000, seed=2))
    means = torch.stack([digits.train_pixels[digits.train_labels == k].double().mean(0) for k in range(10)])
    near = torch.cdist((points[:, :64].double() + 1) * 8.5 - 0.5, means).argmin(1)
    assert (near == points[:, 64]).double().mean() > 0.85


def test_mnist_s_labels_stand_beside_its_images(monkeypatch):
    images, labels = torch.arange(3, dtype=torch.uint8)[:, None, None].expand(3, 28, 28), torch.tensor([7, 8, 9])
    monkeypatch.setattr(mnist, "load", lambda train=True: (images, labels))
    points = MNIST().labelled_points()
    assert points.shape == (3, 785)
    assert points[:, 784].tolist() == [7, 8, 9]
    assert torch.equal(points[:, :784], MNIST.to_points(images))
    config = build.Config("ddpm", "mnist", labels=True, width=8, mixing=8, T=10, steps=1, batch=2)
    trainer = build.trainer(config)
    assert trainer.model.eps_net.labels == 10
    assert trainer.one_step()["loss"].isfinite()
    label = guidance.guided_model(trainer.model, 3, 2.0)
    x = sampling.draw(label, 2, torch.Generator().manual_seed(0), steps=2)
    assert x.shape == (2, 784)
    known = torch.full((784,), torch.nan)
    known[:392] = -1
    drawn = sampling.draw_known(trainer.model, known, 2, torch.Generator().manual_seed(0), "particles", 2)
    assert torch.equal(drawn[:, :392], known[:392].expand(2, -1))
    assert conditioning.checked_known(known, 784) is known

"""MNIST, binary and with its grey levels, from files of the right format and few images: drawing, training, scoring."""

import gzip
import hashlib
import json
import math
import struct
from dataclasses import asdict

import numpy as np
import pytest
import safetensors.torch
import torch
from shared import assert_mean, generator
from torch.testing import assert_close

from diffusion_edu import cli, training
from diffusion_edu.bound import bound, generate
from diffusion_edu.data import MNIST, BinaryMNIST, load
from diffusion_edu.evaluate import report, score_chain
from diffusion_edu.images import mnist
from diffusion_edu.observations import Bernoulli, DiscretisedLogistic
from diffusion_edu.pretrained import publish
from diffusion_edu.training import build, runs

N = {"train": 300, "t10k": 50}


@pytest.fixture(autouse=True)
def small_mnist(monkeypatch, tmp_path):
    """A folder with MNIST's four files, holding bars instead of digits, whose hashes are taken for right."""
    monkeypatch.setenv("DIFFUSION_EDU_DATA", str(tmp_path))
    for start, n in N.items():
        images = torch.zeros(n, 28, 28, dtype=torch.uint8)
        labels = torch.arange(n) % 10
        for image, label in zip(images, labels, strict=True):
            image[:, 2 * int(label) + 4] = 255
            image[14] = 51  # one fifth
        for kind, array in (("images-idx3", images), ("labels-idx1", labels.byte())):
            header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape)
            content = gzip.compress(header + array.numpy().tobytes(), mtime=0)
            name = f"{start}-{kind}-ubyte.gz"
            (tmp_path / name).write_bytes(content)
            monkeypatch.setitem(mnist.SHA256, name, hashlib.sha256(content).hexdigest())


def test_a_pixel_is_one_with_the_probability_of_its_grey_level():
    data = BinaryMNIST()
    x = data.sample(300 * 40, seed=1)
    assert set(x.unique().tolist()) == {0.0, 1.0}
    by_image = x.reshape(40, 300, 784)  # all of them over and over
    assert_mean(by_image.double().mean(1), data.train_pixels.double().mean(0), floor=1e-6)
    assert data.train_pixels.max() == 1
    assert data.train_pixels.reshape(-1, 28, 28)[7, 14, 0].item() == pytest.approx(0.2)


def test_training_draws_anew_and_the_test_set_is_one_draw():
    data = BinaryMNIST()
    assert not torch.equal(data.sample(300, seed=1), data.sample(300, seed=2))
    assert torch.equal(data.sample_test(50, seed=1), data.sample_test(50, seed=2))
    rows = lambda x: {tuple(row) for row in x.tolist()}  # noqa: E731
    assert rows(data.sample_test(20, seed=3)) <= rows(data.sample_test(50))
    assert len(data.sample_test(20, seed=3)) == 20


def test_binarised_loss_sees_ones_with_the_probability_it_was_given():
    seen = []

    def loss(model, x, generator):
        seen.append(x)
        return {"loss": x.sum()}

    probability = torch.tensor([0.0, 0.2, 0.7, 1.0]).expand(20_000, 4)
    for seed in (0, 0, 1):
        training.binarised(loss)(None, probability, generator(seed))
    assert_mean(seen[0].double(), probability[0].double(), floor=1e-6)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


def test_grey_levels_are_points_that_the_discretised_laws_take():
    data, raw = MNIST(), mnist.load(False)[0]
    assert torch.equal((MNIST.to_images(data.test_pixels) * 255).round().byte(), raw)
    assert data.train_pixels.shape == (300, 784)
    assert (data.train_pixels.min(), data.train_pixels.max()) == (-1, 1)
    law = DiscretisedLogistic(torch.zeros(784), torch.ones(784))
    assert bool(torch.isfinite(law.log_prob(data.test_pixels)).all()), "a value off the grid is refused"
    assert MNIST.bits_per_dim(784 * 8 * math.log(2)) == pytest.approx(8)
    rows = lambda x: {tuple(row) for row in x.tolist()}  # noqa: E731
    assert rows(data.sample(20, seed=1)) <= rows(data.train_pixels)
    assert rows(data.sample_test(20, seed=1)) <= rows(data.test_pixels)
    assert not torch.equal(data.sample(20, seed=1), data.sample(20, seed=2))


@pytest.mark.parametrize(
    ("model", "data", "gain"),
    [("vae", "mnist-binary", 100), ("hvae", "mnist-binary", 100), ("vae", "mnist", 1000), ("hvae", "mnist", 1000)],
)
def test_it_trains_and_is_scored_by_the_one_bound(model, data, gain, tmp_path):
    config = runs.Config(model, data, steps=40, batch=32)
    x = load(data).sample_test(50)
    with torch.no_grad():
        before = bound(x, build.build(config), generator(0)).elbo.mean().item()
    runs.create(tmp_path / "run", config)
    runs.run(tmp_path / "run", progress=False)
    trained, _ = runs.load(tmp_path / "run")
    result = report(trained, load(data), n=50, K=10)
    assert -result["neg_elbo"] > before + gain, "nats after 40 steps"
    assert result["bits_per_dim"] == pytest.approx(result["neg_elbo"] / 784 / math.log(2))
    assert result["iw_nll"] < result["neg_elbo"]
    law = trained.p(0, trained.prior().mean[None])
    assert isinstance(law, Bernoulli if data == "mnist-binary" else DiscretisedLogistic)
    with torch.no_grad():
        images = load(data).to_images(generate(trained, 5, generator(1)))
    assert images.shape == (5, 28, 28)
    assert_close(images * 255, (images * 255).round(), rtol=0, atol=1e-4)
    assert data != "mnist-binary" or set(images.unique().tolist()) <= {0.0, 1.0}


def test_a_ddpm_trains_on_grey_levels_and_gets_bits_per_dim(tmp_path):
    """Its σ² is fitted at the end, and every term of the bound is there: L₀ a probability of grey levels."""
    runs.create(tmp_path / "run", runs.Config("ddpm", "mnist", steps=60, batch=32, T=20, width=8))
    runs.run(tmp_path / "run", progress=False)
    trained, _ = runs.load(tmp_path / "run")
    assert not torch.equal(trained.sigma2, build.build(runs.read_config(tmp_path / "run")).sigma2)
    result = report(trained.chain(), load("mnist"), n=50)
    assert 0 < result["bits_per_dim"] < 8, "fewer than the bits of the file"
    parts = -result["reconstruction"] - result["consistency"] - result["prior"]
    assert parts == pytest.approx(result["neg_elbo"])
    torch.manual_seed(0)
    path = score_chain(load("mnist").sample_test(50), trained.chain(), generator(5)).elbo
    assert -path.mean().item() == pytest.approx(result["neg_elbo"], rel=0.1), "the other grouping, few draws"


def test_the_command_line_trains_samples_and_evaluates(tmp_path, capsys):
    out = str(tmp_path / "run")
    assert cli.main(["train", "vae", "--data", "mnist-binary", "--out", out, "--steps", "2", "--device", "cpu"]) == 0
    assert cli.main(["sample", out, "--n", "3", "--out", str(tmp_path / "x.npy"), "--device", "cpu"]) == 0
    x = np.load(tmp_path / "x.npy")
    assert x.shape == (3, 28, 28)
    assert set(np.unique(x)) <= {0.0, 1.0}
    assert cli.main(["evaluate", out, "--n", "50", "--device", "cpu"]) == 0
    assert "bits_per_dim" in capsys.readouterr().out


def test_samples_are_scored_that_the_asked_for_sampler_drew(tmp_path, capsys):
    out = str(tmp_path / "run")
    train = ["train", "ddpm", "--data", "mnist", "--out", out, "--steps", "2", "--T", "50", "--width", "8"]
    assert cli.main([*train, "--device", "cpu", "--grid-every", "0"]) == 0
    capsys.readouterr()

    def found(*arguments):
        assert cli.main(["evaluate", out, "--n", "2", "--samples", "100", "--json", "--device", "cpu", *arguments]) == 0
        return json.loads(capsys.readouterr().out)["scores"]

    assert found() == found("--sampler", "ancestral") != found("--sampler", "ancestral-small")
    assert found() == found("--sample-steps", "50") != found("--sample-steps", "20")
    assert cli.main(["evaluate", out, "--n", "2", "--sampler", "ddim", "--device", "cpu"]) == 2
    assert "--sampler is for the --samples of a ddpm; got 0 of a ddpm" in capsys.readouterr().err
    assert cli.main(["evaluate", out, "--n", "2", "--sample-steps", "9", "--device", "cpu"]) == 2
    assert "--sample-steps is for the --samples of a ddpm; got 0 of a ddpm" in capsys.readouterr().err
    assert cli.main(["evaluate", out, "--samples", "100", "--sample-steps", "51", "--device", "cpu"]) == 2
    assert "--sample-steps must lie in 1 … 50, got 51" in capsys.readouterr().err
    assert cli.main(["evaluate", out, "--samples", "100", "--sampler", "leapfrog", "--device", "cpu"]) == 2
    assert (
        "unknown sampler 'leapfrog'; known, with the calls of a step: ancestral (1), ancestral-small (1)"
        in capsys.readouterr().err
    )


def test_two_stages_are_trained_in_one_directory_and_scored_as_one_model(tmp_path, capsys):
    out = tmp_path / "run"
    train = ["train", "latent", "--data", "mnist", "--vae-steps", "3", "--steps", "2", "--T", "6", "--width", "8"]
    assert cli.main([*train, "--batch", "8", "--out", str(out), "--device", "cpu"]) == 0
    capsys.readouterr()
    assert cli.main(["evaluate", str(out), "--n", "20", "--samples", "100", "--json", "--device", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)
    model, config = runs.load(out)
    assert config.first_stage() == runs.read_config(out / "vae")
    elbo = score_chain(load("mnist").sample_test(20, 1_000_000), model.chain(), generator(1_000_000)).elbo
    assert found["neg_elbo"] == pytest.approx(-elbo.mean().item(), rel=1e-4)
    assert found["bits_per_dim"] == pytest.approx(found["neg_elbo"] / 784 / np.log(2), rel=1e-6)
    assert found["scores"]["n"] == 100


@pytest.mark.parametrize("kind", ["vae", "ddpm"])
def test_a_published_model_has_a_card_that_says_how_it_was_made_and_scored(tmp_path, monkeypatch, kind):
    first, out, home = tmp_path / "first", tmp_path / "run", tmp_path / "home"
    train = f"train {kind} --data mnist --steps 2 --width 8 --device cpu --grid-every 0".split()
    train += [] if kind == "vae" else ["--T", "200", "--loss", "bound"]
    assert cli.main([*train, "--out", str(first)]) == 0
    assert cli.main([*train, "--out", str(out), "--start", str(first), "--precision", "bfloat16"]) == 0
    home.mkdir()
    monkeypatch.setattr(publish.measured_on_mnist, "__defaults__", (100, 10))
    publish.publish(out, "name", home, 7)
    card = json.loads((home / "name.json").read_text())
    model, config = runs.load(out)
    raw = (home / "name.safetensors").read_bytes()
    assert card["sha256"] == hashlib.sha256(raw).hexdigest()
    assert safetensors.torch.load(raw).keys() == model.state_dict().keys()
    assert card["config"] == asdict(config)
    assert f"--precision bfloat16 --start {first}" in card["commands"][0]
    assert ("--loss bound" in card["commands"][0]) == (kind == "ddpm")
    assert (home / "name.csv").read_bytes() == (out / "metrics.csv").read_bytes()
    with np.load(home / "name-samples.npz") as kept:
        assert kept["samples"].shape == kept["nearest"].shape == (publish.SHOWN, 28, 28)
    ways = {"vae": {"chain"}, "ddpm": {"ancestral-50", "ancestral-2m-50", "ancestral-2m-200"}}
    assert card["scores"].keys() == ways[kind]
    assert len({scored["frechet"] for scored in card["scores"].values()}) == len(ways[kind])
    assert all(scored["n"] == 100 for scored in card["scores"].values())


def test_without_files_or_network_the_command_line_says_what_to_put_where(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DIFFUSION_EDU_DATA", str(tmp_path / "empty"))
    monkeypatch.setattr(mnist.fetch, "__defaults__", ((), 30, True))
    out = tmp_path / "run"
    assert cli.main(["train", "vae", "--data", "mnist-binary", "--out", str(out), "--device", "cpu"]) == 2
    message = capsys.readouterr().err
    assert "train-images-idx3-ubyte.gz" in message
    assert str(tmp_path / "empty") in message


def test_a_start_that_does_not_fit_is_refused_before_anything_is_fetched(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DIFFUSION_EDU_DATA", str(tmp_path / "empty"))
    monkeypatch.setattr(mnist.fetch, "__defaults__", ((), 30, True))
    out = tmp_path / "run"
    train = ["train", "vae", "--data", "mnist", "--out", str(out), "--device", "cpu", "--start", "mnist-vae"]
    assert cli.main([*train, "--width", "8"]) == 2
    assert "start mnist-vae does not fit this vae on mnist (width 8)" in capsys.readouterr().err
    assert not out.exists()


def test_a_ddpm_has_no_binary_pixels():
    with pytest.raises(ValueError, match="mnist-binary has vae, hvae, not ddpm"):
        runs.Config("ddpm", "mnist-binary")

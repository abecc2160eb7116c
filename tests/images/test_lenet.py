"""The LeNet: its weights are those of the card, it reads digits that it never saw, and its training is a function of
the seed. Real digits without a network: the 1,000 unseen MNIST images that come with the course."""

import hashlib
import json
import re

import pytest
import torch
from shared import generator

from diffusion_edu import data, weights
from diffusion_edu.images import digits as digit_images
from diffusion_edu.images import lenet, mnist, quality
from diffusion_edu.training import namer


@pytest.fixture(scope="module")
def net():
    return lenet.load()


@pytest.fixture(scope="module")
def digits():
    """scikit-learn's digits, enlarged to 28 × 28, as points, with their labels."""
    x = data.Digits.to_images(torch.from_numpy(digit_images.load_digits().data) / 8 - 1).unsqueeze(1).float()
    x = torch.nn.functional.interpolate(x, size=(20, 20), mode="bilinear")
    x = torch.nn.functional.pad(x, (4,) * 4).flatten(1) * 2 - 1
    return x, torch.from_numpy(digit_images.load_digits().target)


def test_the_card_is_true_of_the_weights(net):
    card, raw = weights.card("lenet"), (weights.HOME / "lenet.safetensors").read_bytes()
    assert hashlib.sha256(raw).hexdigest() == card["sha256"]
    assert lenet.name_of(net) == card["sha256"][:12]
    assert card["parameters"] == sum(p.numel() for p in net.parameters())
    assert len(raw) <= 2**20
    assert card["test_accuracy"] >= 0.99
    assert not any(p.requires_grad for p in net.parameters())
    assert not re.search(r"/(home|tmp|work|root)/", json.dumps(card))
    settings = {"steps": namer.STEPS, "batch": namer.BATCH, "shift": namer.SHIFT, "peak_learning_rate": namer.PEAK_LR}
    assert {k: card[k] for k in settings} == settings


def test_it_reads_unseen_digits_even_moved(net):
    """At least 98 % of 1,000: the card says 99 % of 10,000, and 0.98 is three standard errors below."""
    images, labels = quality.unseen()
    x = lenet.to_points(images)
    assert lenet.accuracy(net, x, labels) >= 0.98
    moved = lenet.shifted(x, torch.full((1000,), 2), torch.full((1000,), -2))
    assert lenet.accuracy(net, moved, labels) >= 0.97


@pytest.mark.skipif(not (mnist.folder() / "t10k-images-idx3-ubyte.gz").is_file(), reason="MNIST is not cached here")
def test_the_test_accuracy_is_the_cards(net):
    images, labels = mnist.load(train=False)
    assert lenet.accuracy(net, lenet.to_points(images), labels) == pytest.approx(
        weights.card("lenet")["test_accuracy"], abs=5e-4
    )


def test_features_are_the_layer_before_the_logits(net):
    x = torch.rand(5, 784, generator=generator(0)) * 2 - 1
    features, probabilities = lenet.apply(net, x, block=2)
    assert features.shape == (5, 64)
    torch.testing.assert_close(net.head(features), net(x))
    torch.testing.assert_close(probabilities, torch.softmax(net(x), 1))


def test_points_are_the_grey_levels():
    pixels = torch.arange(256, dtype=torch.uint8).repeat(4)[:784].reshape(1, 28, 28)
    x = lenet.to_points(pixels)
    assert (x.min(), x.max()) == (-1, 1)
    assert torch.equal(((x + 1) * 127.5).round().to(torch.uint8).reshape(1, 28, 28), pixels)


def test_shifting_moves_each_image_by_its_own_pixels():
    x = torch.rand(3, 784, generator=generator(1)) * 2 - 1
    down, right = torch.tensor([2, 0, -1]), torch.tensor([-1, 0, 2])
    images, moved = x.reshape(3, 28, 28), lenet.shifted(x, down, right).reshape(3, 28, 28)
    assert torch.equal(moved[1], images[1])
    assert torch.equal(moved[0, 2:, :27], images[0, :26, 1:])
    assert torch.equal(moved[2, :27, 2:], images[2, 1:, :26])
    assert (moved[0, :2] == -1).all()
    assert (moved[0, :, 27] == -1).all()
    assert (moved[2, 27] == -1).all()
    assert (moved[2, :, :2] == -1).all()


def test_the_loss_is_the_cross_entropy_of_moved_images(net, digits, monkeypatch):
    x, labels = digits[0][:50], digits[1][:50]
    batch = torch.cat([x, labels.unsqueeze(1).float()], dim=1)
    monkeypatch.setattr(namer, "SHIFT", 0)
    plain = namer.name_loss(net, batch, generator(0))["loss"]
    probability = lenet.apply(net, x)[1][torch.arange(50), labels]
    torch.testing.assert_close(plain, -probability.log().mean(), rtol=1e-4, atol=1e-6)
    monkeypatch.setattr(namer, "SHIFT", 2)
    assert namer.name_loss(net, batch, generator(0))["loss"] != plain


def test_training_learns_and_is_a_function_of_the_seed(digits, monkeypatch):
    monkeypatch.setattr(namer, "BATCH", 64)
    x, labels = digits
    trained = namer.train(x[:1400], labels[:1400], steps=200, seed=1)
    assert lenet.accuracy(trained, x[1400:], labels[1400:]) > 0.8
    few = [namer.train(x, labels, steps=3, seed=seed) for seed in (1, 1, 2)]
    assert lenet.name_of(few[0]) == lenet.name_of(few[1]) != lenet.name_of(few[2])


def test_publishing_writes_what_load_reads(digits, tmp_path, monkeypatch):
    images = ((digits[0] + 1) * 127.5).round().to(torch.uint8).reshape(-1, 28, 28)
    sets = {True: (images[:1400], digits[1][:1400]), False: (images[1400:], digits[1][1400:])}
    monkeypatch.setattr(mnist, "load", lambda train=True, progress=True: sets[train])
    monkeypatch.setattr(lenet, "SEEN", 1300)
    monkeypatch.setattr(weights, "HOME", tmp_path)
    made = namer.publish(tmp_path, steps=3, progress=False)
    assert made == weights.card("lenet")
    net = lenet.load()
    expected = namer.train(lenet.to_points(images[:1300]), digits[1][:1300], steps=3)
    assert lenet.name_of(net) == lenet.name_of(expected)
    assert made["test_accuracy"] == pytest.approx(
        lenet.accuracy(net, lenet.to_points(images[1400:]), digits[1][1400:]), abs=1e-4
    )
    raw = bytearray((tmp_path / "lenet.safetensors").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "lenet.safetensors").write_bytes(raw)
    with pytest.raises(ValueError, match=r"lenet\.safetensors is damaged: its sha256"):
        lenet.load()


def test_loading_leaves_the_random_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    lenet.load()
    assert torch.equal(torch.rand(1), expected)

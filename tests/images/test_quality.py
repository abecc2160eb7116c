"""Scores against closed forms, and on real digits: what each catches. The 1,000 unseen MNIST images that come with the
course are the real ones; what needs all of MNIST is skipped where its files are not kept."""

import dataclasses
import hashlib
import json
import math
import re
import shutil

import numpy as np
import pytest
import scipy.linalg
import torch
from shared import assert_mean, generator, randn

from diffusion_edu import weights
from diffusion_edu.images import lenet, mnist, quality

needs_mnist = pytest.mark.skipif(
    not all((mnist.folder() / name).is_file() for name in mnist.SHA256), reason="MNIST's files are not cached here"
)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder of its own with copies of the files, which are read from there."""
    for path in weights.HOME.iterdir():
        if path.name.startswith(("lenet.", "mnist_")):
            shutil.copy(path, tmp_path)
    monkeypatch.setattr(weights, "HOME", tmp_path)
    quality.reference.cache_clear()
    yield tmp_path
    quality.reference.cache_clear()


@pytest.fixture(scope="module")
def unseen():
    images, labels = quality.unseen()
    return lenet.to_points(images), labels.long()


@pytest.fixture(scope="module")
def found(unseen):
    """The scores of each corruption of the 1,000 unseen images; among `train`, the first half of them."""
    return {name: quality.score_images(f(*unseen), train=unseen[0][:500]) for name, f in quality.CORRUPTIONS.items()}


def covariance(seed: int, d: int = 4) -> torch.Tensor:
    a = randn(d, d, seed=seed)
    return a @ a.T


# Fréchet distance


def test_frechet_of_gaussians_that_commute_is_the_distance_of_means_and_standard_deviations():
    mean, mean_2 = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.0, 1.0, 0.5])
    std, std_2 = torch.tensor([2.0, 0.3, 1.0]), torch.tensor([1.0, 0.6, 1.0])
    expected = (mean - mean_2).square().sum() + (std - std_2).square().sum()
    rotation = torch.linalg.qr(randn(3, 3))[0].float()
    got = quality.frechet_gaussians(
        rotation @ mean, rotation * std.square() @ rotation.T, rotation @ mean_2, rotation * std_2.square() @ rotation.T
    )
    assert got == pytest.approx(expected.item(), rel=1e-5)


def test_frechet_of_gaussians_is_what_scipys_root_of_the_product_gives():
    mean, mean_2, C, C_2 = randn(4, seed=3), randn(4, seed=4), covariance(1), covariance(2)
    root = torch.from_numpy(np.real(scipy.linalg.sqrtm((C @ C_2).numpy())))
    expected = (mean - mean_2).square().sum() + torch.trace(C + C_2 - 2 * root)
    assert quality.frechet_gaussians(mean, C, mean_2, C_2) == pytest.approx(expected.item(), rel=1e-8)
    assert quality.frechet_gaussians(mean_2, C_2, mean, C) == pytest.approx(expected.item(), rel=1e-8)


def test_frechet_of_flat_gaussians_needs_no_inverse():
    """N(0, diag(1, 0)) and N(0, diag(0, 4)): tr C + tr C₂ = 5."""
    zero = torch.zeros(2)
    C, C_2 = torch.diag(torch.tensor([1.0, 0])), torch.diag(torch.tensor([0, 4.0]))
    assert quality.frechet_gaussians(zero, C, zero, C_2) == pytest.approx(5)


def test_frechet_of_samples_finds_the_gaussians_and_is_zero_for_the_same_set():
    C = covariance(5)
    L, error = torch.linalg.cholesky(C), 2 * 3 * math.sqrt(2 * C[0, 0] / 20_000)
    x = randn(20_000, 4, seed=6) @ L.T + torch.tensor([3.0, 0, 0, 0])
    y = randn(20_000, 4, seed=7) @ L.T
    assert quality.frechet_distance(x, y) == pytest.approx(9, abs=4 * error)
    assert quality.frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert quality.frechet_distance(x, x.flip(0)) == pytest.approx(0, abs=1e-9)


def test_frechet_does_not_change_under_rotation_and_shift_and_goes_with_the_square_of_the_scale():
    x, y = randn(200, 5, seed=1), randn(300, 5, seed=2) * 2 + 1
    rotation, base = torch.linalg.qr(randn(5, 5, seed=3))[0], quality.frechet_distance(x, y)
    assert quality.frechet_distance(y, x) == pytest.approx(base)
    assert quality.frechet_distance(x @ rotation + 7, y @ rotation + 7) == pytest.approx(base)
    assert quality.frechet_distance(3 * x, 3 * y) == pytest.approx(9 * base)


def test_frechet_is_biased_upwards_as_one_over_n():
    """For sets of one law in one dimension E[(m − m₂)²] = 2/n and the standard deviations differ by var 1/n."""
    for n in (50, 200):
        values = [
            quality.frechet_distance(randn(n, 1, seed=2 * i), randn(n, 1, seed=2 * i + 1)) * n for i in range(400)
        ]
        assert_mean(torch.tensor(values), 3.0, floor=0.1)


# Coverage


def test_coverage_of_itself_is_one_and_of_a_far_set_zero():
    x = randn(300, 3)
    assert quality.coverage(x, x, block=70) == 1
    assert quality.coverage(x, x + 100) == 0
    fifth = quality.coverage(x, torch.cat([x[:60], x + 100]))
    assert fifth == pytest.approx(1 - 0.8**6, abs=0.08), "each ball holds six of them, and a fifth of all is there"


def test_coverage_counts_balls_that_hold_a_sample():
    """On the line at 0, 1, 2, 10: the balls of the second neighbour reach 2, 1, 2 and 9."""
    real = torch.tensor([[0.0], [1], [2], [10]])
    assert quality.knn_radii(real, k=2).tolist() == [2, 1, 2, 9]
    assert quality.knn_radii(real, k=1).tolist() == [1, 1, 1, 8]
    for fake, met in ((-2, 1), (-1.5, 1), (0.5, 3), (3.5, 2), (19.1, 0), (100, 0)):
        assert quality.coverage(real, torch.tensor([[float(fake)]]), k=2) == met / 4, fake


def test_repeated_real_points_have_a_ball_of_no_size():
    real = torch.tensor([[0.0], [0], [0], [5]])
    assert quality.knn_radii(real, k=2).tolist() == [0, 0, 0, 5]


def test_two_sets_of_one_law_cover_each_other_as_expected():
    for n, m, k in ((100, 100, 5), (100, 300, 5), (60, 20, 2)):
        values = [quality.coverage(randn(n, 2, seed=2 * i), randn(m, 2, seed=2 * i + 1), k) for i in range(100)]
        assert_mean(torch.tensor(values), quality.expected_coverage(n, m, k))


def test_expected_coverage_is_the_hypergeometric_one():
    assert quality.expected_coverage(10_000, 10_000) == pytest.approx(1 - 2**-5, abs=2e-4)
    assert quality.expected_coverage(2, 1, 1) == pytest.approx(1 / 2)
    chosen = 1 - math.comb(39, 5) / math.comb(39 + 60, 5)
    assert quality.expected_coverage(40, 60) == pytest.approx(chosen)


# Labels and neighbours


def test_label_shares_count_the_most_probable_digit():
    probabilities = torch.eye(10)[[3, 3, 0, 9]] * 0.5 + 0.05
    expected = torch.zeros(10, dtype=torch.float64)
    expected[[0, 3, 9]] = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
    assert torch.equal(quality.label_shares(probabilities), expected)


def test_label_distance_is_the_share_to_be_changed():
    """All read as threes where each digit has a tenth: nine tenths must change. The confidence is that of a three."""
    probabilities = (torch.eye(10)[[3]] * 0.5 + 0.05).expand(100, 10)
    measured = quality.compare_features(randn(100, 2), probabilities, randn(100, 2, seed=1), [0.1] * 10)
    assert measured["label_distance"] == pytest.approx(0.9)
    assert measured["confidence"] == pytest.approx(0.55)


def test_the_nearest_are_those_that_all_distances_say():
    x, train = randn(70, 8, seed=1).float(), randn(230, 8, seed=2).float()
    every = torch.cdist(x.double(), train.double())
    distance, index = quality.nearest(x, train, block=50)
    assert torch.equal(index, every.argmin(1))
    torch.testing.assert_close(distance, every.amin(1))


def test_a_planted_copy_is_found_at_distance_zero(unseen):
    x = unseen[0]
    planted = torch.cat([x[500:700], x[[123, 7]], (x[[450]] + 0.01).clamp(max=1)])
    distance, index = quality.nearest(planted, x[:500], block=64)
    assert index[-3:].tolist() == [123, 7, 450]
    assert distance[-3:-1].tolist() == [0, 0]
    expected = (planted[-1].double() - x[450]).norm().item()
    assert distance[-1].item() == pytest.approx(expected, rel=1e-6)
    assert distance[:-3].min() > 1


# Real digits


def test_unseen_digits_get_the_floor(found):
    """The 1,000 are one of the choices that the floor is the mean over: within four standard deviations of it."""
    s, floors = found["unseen, as they are"], quality.reference().card["floors"]
    spread = floors["frechet_sd"][floors["n"].index(1000)]
    assert s.n == 1000
    assert abs(s.frechet - s.frechet_floor) < 4 * spread
    assert s.coverage == pytest.approx(s.coverage_floor, abs=0.02)
    assert s.coverage_floor == pytest.approx(quality.expected_coverage(1000, 1000), abs=0.02)
    assert s.label_distance < 2 * s.label_distance_floor
    assert s.confidence == pytest.approx(s.confidence_floor, abs=0.005)
    assert sum(s.labels) == pytest.approx(1)
    assert s.frechet_ratio == s.frechet / s.frechet_floor


def test_a_shift_by_one_pixel_is_caught_by_the_features_and_not_by_the_labels(found):
    base, s = found["unseen, as they are"], found["one pixel to the right"]
    assert s.frechet > base.frechet + 3
    assert s.coverage < base.coverage - 0.05
    assert s.label_distance == pytest.approx(base.label_distance, abs=0.01)
    assert s.confidence == pytest.approx(base.confidence, abs=0.005)


def test_a_blur_is_caught_by_the_features_and_lowers_the_confidence(found):
    base, s = found["unseen, as they are"], found["blurred"]
    assert s.frechet > 4 * base.frechet
    assert s.coverage < base.coverage - 0.1
    assert s.confidence < base.confidence - 0.003


def test_a_missing_digit_is_caught_by_the_labels(found):
    base, s = found["unseen, as they are"], found["without eights"]
    assert s.labels[8] < 0.005
    assert s.label_distance > base.label_distance + 0.05
    assert s.frechet > 3 * base.frechet
    assert s.coverage < base.coverage - 0.05


def test_repeated_images_are_caught_by_coverage(found, unseen):
    base, s = found["unseen, as they are"], found["a tenth, ten times each"]
    assert s.n == base.n
    assert s.coverage < 0.5
    assert s.confidence == pytest.approx(base.confidence, abs=0.02)
    distinct = quality.a_tenth_ten_times(*unseen).unique(dim=0)
    assert len(distinct) == 100


def test_copies_of_training_images_are_caught_by_nothing_but_the_nearest_neighbours(found, unseen):
    s, base = quality.score_images(unseen[0], train=unseen[0]), found["unseen, as they are"]
    assert (s.nearest, s.too_close) == (0, 1)
    assert (s.frechet, s.coverage, s.confidence) == (base.frechet, base.coverage, base.confidence)
    assert quality.score_images(unseen[0]).nearest is None
    fresh = quality.score_images(unseen[0], train=unseen[0][500:], neighbours=500)
    assert fresh.nearest > 1  # 500 images are farther than the 60,000 that the reference was measured with
    assert fresh.too_close < 0.02


def test_blurring_keeps_the_mean_and_spreads_a_dot():
    x = torch.full((1, 28, 28), -1.0)
    x[0, 10, 10] = 1
    y = quality.blurred(x.flatten(1), torch.zeros(1)).reshape(28, 28)
    torch.testing.assert_close((y + 1).sum(), torch.tensor(2.0))
    assert y[10, 10] == pytest.approx(-1 + 2 / 4)
    assert y[9, 10] == pytest.approx(-1 + 2 / 8)
    assert y[11, 11] == pytest.approx(-1 + 2 / 16)


def test_the_corruptions_on_the_card_tell_the_same_story():
    """At n = 10,000, measured by the card's command."""
    card = quality.reference().card
    rows = card["corruptions"]
    assert set(rows) == {*quality.CORRUPTIONS, "copies of training images"}
    base = rows["unseen, as they are"]
    assert base["n"] == 10_000
    assert base["frechet_ratio"] == pytest.approx(1, abs=1e-6)
    assert min(rows[name]["frechet_ratio"] for name in list(quality.CORRUPTIONS)[1:]) > 3
    assert rows["a tenth, ten times each"]["coverage"] < 0.5 < rows["without eights"]["coverage"] < base["coverage"]
    assert rows["without eights"]["labels"][8] < 0.005
    copied = rows["copies of training images"]
    assert (copied["nearest"], copied["too_close"]) == (0, 1)
    assert copied["frechet_ratio"] < 1.5
    assert base["nearest"] == pytest.approx(1, abs=0.05)
    assert base["too_close"] == pytest.approx(0.01, abs=4 * math.sqrt(0.01 / 1000))


# The floor


def test_the_floor_is_the_tables_at_its_n_and_between_linear_in_one_over_n():
    floors = {"n": [100, 200, 400], "frechet": [9, 5, 3], "coverage": [0.9, 0.8, 0.8]}
    floors |= {"label_distance": [0.1] * 3, "confidence": [1.0] * 3}
    assert quality.floor(200, floors) == {"frechet": 5, "coverage": 0.8, "label_distance": 0.1, "confidence": 1}
    for n in (100, 160, 333, 400):
        assert quality.floor(n, floors)["frechet"] == pytest.approx(1 + 800 / n)
    for n in (99, 401):
        with pytest.raises(ValueError, match=f"n must lie in 100 … 400, where the floor is known, got {n}"):
            quality.floor(n, floors)


def test_the_floors_on_the_card_fall_and_end_where_coverage_is_nearly_as_expected():
    floors = quality.reference().card["floors"]
    assert floors["n"] == list(quality.TABLE)
    assert floors["frechet"] == sorted(floors["frechet"], reverse=True)
    expected = [quality.expected_coverage(n, n) for n in floors["n"]]
    assert floors["coverage"] == pytest.approx(expected, abs=0.03)
    assert (quality.TABLE[0], quality.TABLE[-1]) == (quality.LEAST, quality.MOST)


def test_measured_floors_are_means_over_choices(monkeypatch):
    """With one law for all images: coverage as expected, labels off by chance alone."""
    monkeypatch.setattr(quality, "TABLE", (100, 400, 100_000))
    features, real = randn(400, 3, seed=1), randn(400, 3, seed=2)
    probabilities = torch.eye(10)[torch.arange(400) % 10] * 0.5 + 0.05
    floors = quality.measure_floors(features, probabilities, real, [0.1] * 10)
    assert floors["n"] == [100, 400]
    assert floors["choices"] == [256, 1]
    assert floors["frechet"][1] == pytest.approx(quality.frechet_distance(features, real), abs=1e-5)
    assert floors["frechet"][0] > floors["frechet"][1]
    assert floors["coverage"][0] == pytest.approx(quality.expected_coverage(100, 100), abs=0.06)
    assert floors["label_distance"][1] == 0 < floors["label_distance"][0]
    assert floors["confidence"] == pytest.approx([0.55, 0.55])
    assert floors["frechet_sd"][0] > 0
    assert floors["frechet_sd"][1] is None


# The record and the files


def test_the_record_says_which_lenet_and_goes_into_json(found):
    s = found["unseen, as they are"]
    assert s.lenet == weights.card("lenet")["sha256"][:12] == quality.reference().card["lenet"]
    again = json.loads(json.dumps(s.as_dict()))
    assert again == s.as_dict()
    assert quality.Scores(**{k: v for k, v in again.items() if k != "frechet_ratio"}).frechet == s.frechet
    text = str(s)
    assert s.lenet in text
    assert f"{s.frechet:.3f} ({s.frechet_floor:.3f})" in text
    assert "nearest neighbour" in text
    assert "nearest neighbour" not in str(dataclasses.replace(s, nearest=None, too_close=None))


def test_the_reference_is_small_and_true_of_its_card():
    card = quality.reference().card
    raw = (weights.HOME / "mnist_reference.safetensors").read_bytes()
    assert hashlib.sha256(raw).hexdigest() == card["sha256"]
    assert len(raw) <= 1.5 * 2**20
    assert len((weights.HOME / "mnist_unseen.npz").read_bytes()) <= 200_000
    assert not re.search(r"/(home|tmp|work|root)/", json.dumps(card))


def test_the_pictures_in_the_reference_are_those_its_labels_say():
    known = quality.reference()
    assert torch.bincount(known.labels.long()).tolist() == [10] * 10
    assert lenet.accuracy(lenet.load(), lenet.to_points(known.images), known.labels) >= 0.97
    assert known.features.shape == (10_000, 64)
    assert sum(known.card["labels"]) == pytest.approx(1)


def test_a_damaged_file_and_another_lenet_are_refused(elsewhere):
    for name in ("mnist_reference.safetensors", "mnist_unseen.npz"):
        good = (elsewhere / name).read_bytes()
        (elsewhere / name).write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        quality.reference.cache_clear()
        with pytest.raises(ValueError, match=f"{name} is damaged: its sha256"):
            quality.unseen()
        (elsewhere / name).write_bytes(good)
    card = json.loads((elsewhere / "mnist_reference.json").read_text(encoding="utf-8"))
    (elsewhere / "mnist_reference.json").write_text(json.dumps(card | {"lenet": "0" * 12}), encoding="utf-8")
    quality.reference.cache_clear()
    with pytest.raises(ValueError, match="features of the LeNet 000000000000, here is"):
        quality.reference()


def test_publishing_writes_what_is_read_back(elsewhere, monkeypatch, unseen):
    """With the 1,000 unseen images as all there is: 300 to test, 700 to train on, of which the LeNet saw 400."""
    images, labels = quality.unseen()
    sets = {True: (images[300:], labels[300:]), False: (images[:300], labels[:300])}
    monkeypatch.setattr(mnist, "load", lambda train=True, progress=True: sets[train])
    monkeypatch.setattr(lenet, "SEEN", 400)
    monkeypatch.setattr(quality, "TABLE", (100, 200, 300))
    made = quality.publish_corruptions(elsewhere, quality.publish(elsewhere))
    known = quality.reference()
    assert known.card == made
    order = torch.randperm(300, generator=generator(0))
    x, train = unseen[0][:300][order], unseen[0][300:]
    torch.testing.assert_close(known.features, lenet.apply(lenet.load(), x)[0].double(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(known.nearest, quality.nearest(x, train)[0], rtol=1e-5, atol=1e-5)
    kept, names = quality.unseen()
    assert torch.equal(kept.flatten(1).long().sum(0), images[700:].flatten(1).long().sum(0)), "the unseen, reordered"
    assert torch.equal(names.sort().values, labels[700:].sort().values)
    assert not torch.equal(names, labels[700:]), "in MNIST's order the first thousand would be no random choice"
    assert made["corruptions"]["unseen, as they are"]["frechet_ratio"] == pytest.approx(1, abs=1e-3)
    assert made["corruptions"]["copies of training images"]["too_close"] == 1


@needs_mnist
def test_the_reference_is_mnists(unseen):
    known, (images, _) = quality.reference(), mnist.load(train=False)
    order = torch.randperm(len(images), generator=generator(0))[:500]
    features = lenet.apply(lenet.load(), lenet.to_points(images[order]))[0]
    torch.testing.assert_close(known.features[:500], features.double(), rtol=2e-3, atol=2e-3)
    train = lenet.to_points(mnist.load()[0])
    expected = quality.nearest(lenet.to_points(images[order[:20]]), train)[0]
    torch.testing.assert_close(known.nearest[:20], expected, rtol=1e-5, atol=1e-4)
    distance, index = quality.nearest(unseen[0][:20], train)
    assert not distance.any()
    assert (index >= lenet.SEEN).all()


# Bad input


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (
            torch.zeros(200, 783),
            r"x must be a float tensor of shape \(n, 784\), got torch.float32 of shape \(200, 783\)",
        ),
        (torch.zeros(200, 28, 28), r"shape \(n, 784\), got torch.float32 of shape \(200, 28, 28\)"),
        (torch.zeros(200, 784, dtype=torch.uint8), "x must be a float tensor .* got torch.uint8"),
        (np.zeros((200, 784)), "x must be a float tensor .* got ndarray"),
        (torch.zeros(99, 784), "x must have 100 to 10,000 images, got 99"),
        (torch.zeros(10_001, 784), "x must have 100 to 10,000 images, got 10,001"),
        (torch.full((100, 784), math.nan), "x must be finite, got 78400 values that are not"),
        (torch.full((100, 784), -math.inf), "x must be finite"),
        (torch.full((100, 784), 1.5), r"x must lie in \[−1, 1\], got values from 1.5 to 1.5; clamp them"),
    ],
)
def test_images_that_are_none_are_refused(x, words):
    with pytest.raises(ValueError, match=words):
        quality.score_images(x)


def test_bad_training_images_and_numbers_are_refused(unseen):
    x = unseen[0][:100]
    with pytest.raises(ValueError, match=r"train must be a float tensor of shape \(n, 784\)"):
        quality.score_images(x, train=torch.zeros(5, 28, 28))
    with pytest.raises(ValueError, match="train must have at least 1 images, got 0"):
        quality.score_images(x, train=x[:0])
    with pytest.raises(ValueError, match="neighbours must be at least 1, got 0"):
        quality.score_images(x, train=x, neighbours=0)
    with pytest.raises(ValueError, match="x has 5 points in 5 dimensions; their covariance needs at least 6"):
        quality.frechet_distance(randn(5, 5), randn(50, 5))
    with pytest.raises(ValueError, match="y has 5 points"):
        quality.frechet_distance(randn(50, 5), randn(5, 5))
    with pytest.raises(ValueError, match=r"real and fake must be \(n, d\) and \(m, d\) .* got \(5, 2\) and \(5, 3\)"):
        quality.coverage(randn(5, 2), randn(5, 3))
    with pytest.raises(ValueError, match=r"k must lie in 1 … 4 for 5 points, got 5"):
        quality.coverage(randn(5, 2), randn(5, 2))
    with pytest.raises(ValueError, match="n must be above k, k and m at least 1; got n = 5, k = 5, m = 1"):
        quality.expected_coverage(5, 1)
    with pytest.raises(ValueError, match="x and train must be"):
        quality.nearest(randn(5, 2), randn(0, 2))

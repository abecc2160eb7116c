"""How good are samples of digits? Scores on a LeNet's features, each beside what unseen real images get.

    from diffusion_edu.images import quality
    print(scores.score_images(x))                # x: (n, 784) in [−1, 1], n from 100 to 10,000
    scores.score_images(x, train=points)         # with the training images: does it copy?

    python -m diffusion_edu.images.quality    # makes the reference files again from MNIST, minutes on one core

Four questions, because each score is blind to something:

- Fréchet distance (Heusel et al. 2017): are the features' mean and covariance those of the test images?
- Coverage (Naeem et al. 2020): is each test image met by some sample?
- Labels and confidence: are the ten digits there, each as often as it should, and can they be read?
- Nearest training neighbours in pixels: are samples closer to the training images than new digits are?

The *floor* of a score is what unseen real images get at the same n: zero, or full marks, are out of reach even for
them. The unseen images are the last 10,000 of MNIST's training images, which the LeNet was not trained on; the
reference are the 10,000 test images. So the floor holds the finite n (a Fréchet distance falls as 1/n) and also that
MNIST's test images were not written by the same people as the training images: a model that knew the law of the
training images exactly would score the floor. Nearest neighbours are compared with those of the test images, since a
generative model may have been trained on all 60,000.

All that is needed of MNIST lies in mnist_reference.safetensors beside the weights: the features of the test images
(float16, in random order, so that the first n are a random choice), their distances from the training images, and
100 of them as pictures. mnist_unseen.npz holds 1,000 unseen images to try the scores on.
"""

import functools
import hashlib
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import weights
from . import lenet, mnist

K = 5  # neighbours that a test image's ball reaches
LEAST, MOST = 100, 10_000  # images that can be scored: the floor is known for these
TABLE = (100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000, 7000, 10_000)  # the floor is measured at these n
CLOSE = 0.01  # the share of test images that count as too close to a training image


@dataclass(frozen=True)
class Scores:
    """What `score_images` found. Each `_floor` is what unseen real images get at the same n, on average.

    - n: images scored; lenet: the first 12 digits of the hash of the LeNet's weights;
    - frechet: squared Fréchet distance of the features from the test images', lower is better;
    - coverage: share of n test images that some image comes as near to as their 5th neighbour, higher is better;
    - labels: shares of the digits 0 … 9 as the LeNet reads them; label_distance: half the sum of their absolute
      differences from the test images', so the share of images that would have to change their digit;
    - confidence: the mean probability of the digit read;
    - nearest: the median distance of the nearest training image, Euclidean in [−1, 1]⁷⁸⁴, over that of test images;
      too_close: the share that is nearer than all but 1 % of test images. None without the training images.
    """

    n: int
    lenet: str
    frechet: float
    frechet_floor: float
    coverage: float
    coverage_floor: float
    labels: tuple[float, ...]
    label_distance: float
    label_distance_floor: float
    confidence: float
    confidence_floor: float
    nearest: float | None = None
    too_close: float | None = None

    @property
    def frechet_ratio(self) -> float:
        """The Fréchet distance as a multiple of its floor: 1 for unseen real images."""
        return self.frechet / self.frechet_floor

    def as_dict(self) -> dict:
        """Every number under its name, ready for JSON."""
        return {**asdict(self), "labels": list(self.labels), "frechet_ratio": self.frechet_ratio}

    def __str__(self) -> str:
        lines = [
            f"{self.n:,} images, read by the LeNet {self.lenet}; in brackets unseen real images at the same n",
            f"Fréchet distance  {self.frechet:.3f} ({self.frechet_floor:.3f}), {self.frechet_ratio:.2f} × the floor",
            f"coverage          {self.coverage:.3f} ({self.coverage_floor:.3f})",
            f"labels            {' '.join(f'{i}:{share:.1%}' for i, share in enumerate(self.labels))}",
            f"  to be changed   {self.label_distance:.1%} ({self.label_distance_floor:.1%})",
            f"confidence        {self.confidence:.3f} ({self.confidence_floor:.3f})",
        ]
        if self.nearest is not None:
            lines.append(f"nearest neighbour {self.nearest:.2f} × as far from the training images as test images are")
            lines.append(f"  too close       {self.too_close:.1%} ({CLOSE:.0%})")
        return "\n".join(lines)


@dataclass(frozen=True)
class Reference:
    """What is kept of MNIST: features of the test images (10,000, 64), their distances from the nearest training
    image (10,000,), ten pictures of each digit (100, 28, 28), uint8, with their labels (100,), and the card: `lenet`
    (the name of the LeNet that gave the features), `labels` (the test images' shares), `floors`, `corruptions`."""

    features: Tensor
    nearest: Tensor
    images: Tensor
    labels: Tensor
    card: dict


def frechet_gaussians(mean: Tensor, cov: Tensor, mean_2: Tensor, cov_2: Tensor) -> float:
    """The squared Fréchet distance of two Gaussians, |m − m₂|² + tr(C + C₂ − 2 (C^½ C₂ C^½)^½), Heusel et al. 2017,
    whose (C C₂)^½ has the same trace. Means (d,), covariances (d, d); computed in float64."""
    mean, cov, mean_2, cov_2 = (v.double() for v in (mean, cov, mean_2, cov_2))
    values, vectors = torch.linalg.eigh(cov)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    inner = torch.linalg.eigvalsh(root @ cov_2 @ root).clamp(min=0).sqrt().sum()
    return ((mean - mean_2).square().sum() + cov.trace() + cov_2.trace() - 2 * inner).item()


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """The squared Fréchet distance of the Gaussians with the means and covariances of x (n, d) and y (m, d).

    It is biased upwards, in proportion to 1/n + 1/m: compare at equal n only, or with the floor. Raises ValueError on
    shapes that do not fit, and unless n and m are above d: below that a covariance has not its full rank.
    """
    _check_pair(x, y, "x", "y")
    for name, points in (("x", x), ("y", y)):
        if len(points) <= x.shape[1]:
            raise ValueError(
                f"{name} has {len(points)} points in {x.shape[1]} dimensions; "
                f"their covariance needs at least {x.shape[1] + 1}"
            )
    x, y = x.double(), y.double()
    cov, cov_2 = (torch.atleast_2d(points.T.cov()) for points in (x, y))
    return frechet_gaussians(x.mean(0), cov, y.mean(0), cov_2)


def knn_radii(real: Tensor, k: int = K, block: int = 1000) -> Tensor:
    """The distance of each point of real (n, d) from its k-th nearest other point, (n,), in blocks that fit memory.
    Raises ValueError unless 1 ≤ k < n."""
    if not 1 <= k < len(real):
        raise ValueError(f"k must lie in 1 … {len(real) - 1} for {len(real)} points, got {k}")
    # the point itself is the nearest of k + 1
    return torch.cat([torch.cdist(part, real).topk(k + 1, largest=False).values[:, -1] for part in real.split(block)])


def coverage(real: Tensor, fake: Tensor, k: int = K, block: int = 1000) -> float:
    """The share of points of real (n, d) whose k nearest others reach as far as the nearest point of fake (m, d), or
    farther (Naeem et al. 2020). Raises ValueError on shapes that do not fit and unless 1 ≤ k < n.

    Two sets of one law do not get 1 but `expected_coverage`.
    """
    _check_pair(real, fake, "real", "fake")
    reached = torch.cat([torch.cdist(part, fake).amin(1) for part in real.split(block)])
    return (reached <= knn_radii(real, k, block)).double().mean().item()


def expected_coverage(n: int, m: int, k: int = K) -> float:
    """The mean coverage of n points by m of the same law, 1 − (n−1)…(n−k) / (m+n−1)…(m+n−k) (Naeem et al.
    2020): a point is missed if its k nearest, of n − 1 + m that could be them in any order, are all real.
    Raises ValueError unless 1 ≤ k < n and m ≥ 1."""
    if not 1 <= k < n or m < 1:
        raise ValueError(f"n must be above k, k and m at least 1; got n = {n}, k = {k}, m = {m}")
    missed = 1.0
    for i in range(1, k + 1):
        missed *= (n - i) / (m + n - i)
    return 1 - missed


def label_shares(probabilities: Tensor) -> Tensor:
    """The share of images whose most probable digit is 0 … 9, from probabilities (n, 10): (10,), float64."""
    return torch.bincount(probabilities.argmax(1), minlength=lenet.CLASSES).double() / len(probabilities)


def nearest(x: Tensor, train: Tensor, block: int = 5000) -> tuple[Tensor, Tensor]:
    """The Euclidean distance (n,), float64, of each x (n, d) from the nearest of train (m, d), and its index (n,).

    It is found by |x − y|² = |x|² + |y|² − 2 xy in float32, in blocks, and then computed without that cancellation,
    so that a copy has distance 0. Raises ValueError on shapes that do not fit.
    """
    _check_pair(x, train, "x", "train")
    x, train = x.float(), train.float()
    best = torch.full((len(x),), torch.inf)
    index = torch.zeros(len(x), dtype=torch.long)
    for start in range(0, len(train), block):
        part = train[start : start + block]
        for at in range(0, len(x), 1000):
            rows = slice(at, at + 1000)
            found, where = torch.addmm(part.square().sum(1), x[rows], part.T, alpha=-2).min(1)
            index[rows] = torch.where(found < best[rows], start + where, index[rows])
            best[rows] = torch.minimum(found, best[rows])
    blocks = [slice(at, at + 1000) for at in range(0, len(x), 1000)]
    return torch.cat([(x[rows].double() - train[index[rows]]).norm(dim=1) for rows in blocks]), index


def score_images(x: Tensor, train: Tensor | None = None, neighbours: int = 1000) -> Scores:
    """All scores of the images x (n, 784) in [−1, 1], n from 100 to 10,000, against MNIST's test images.

    `train` (m, 784): the images that the model was trained on; nearest neighbours of the first `neighbours` images
    are looked for among them. Raises ValueError on anything else, and if the LeNet is not the reference's.
    """
    _check_images(x, "x", LEAST, MOST)
    if neighbours < 1:
        raise ValueError(f"neighbours must be at least 1, got {neighbours}")
    net, known = lenet.load(), reference()
    features, probabilities = lenet.apply(net, x.detach().float().cpu())
    measured = compare_features(features, probabilities, known.features, known.card["labels"])
    closeness = {}
    if train is not None:
        _check_images(train, "train", 1, None)
        distance = nearest(x[:neighbours].detach().cpu(), train.cpu())[0]
        closeness["nearest"] = (distance.median() / known.nearest.median()).item()
        closeness["too_close"] = (distance < known.nearest.quantile(CLOSE)).double().mean().item()
    floors = {f"{name}_floor": value for name, value in floor(len(x), known.card["floors"]).items()}
    labels = tuple(label_shares(probabilities).tolist())
    by = weights.card("lenet")["sha256"][:12]
    return Scores(n=len(x), lenet=by, labels=labels, **measured, **floors, **closeness)


def compare_features(features: Tensor, probabilities: Tensor, real: Tensor, labels: list[float]) -> dict[str, float]:
    """The scores that have a floor, of n images by their features (n, 64) and digits' probabilities (n, 10), against
    the features of real images (m, 64), m ≥ n, and the shares of their digits (10). Coverage takes the first n of
    them: with more images than balls it would tell nothing apart."""
    shares = label_shares(probabilities)
    return {
        "frechet": frechet_distance(features, real),
        "coverage": coverage(real[: len(features)].double(), features.double()),
        "label_distance": (shares - torch.tensor(labels, dtype=torch.float64)).abs().sum().item() / 2,
        "confidence": probabilities.max(1).values.double().mean().item(),
    }


def floor(n: int, floors: dict[str, list[float]]) -> dict[str, float]:
    """What n unseen real images get: between the n of the table linear in 1/n, as a Fréchet distance goes.
    Raises ValueError outside the table."""
    at = floors["n"]
    if not at[0] <= n <= at[-1]:
        raise ValueError(f"n must lie in {at[0]} … {at[-1]}, where the floor is known, got {n}")
    by = [-1 / m for m in at]
    names = ("frechet", "coverage", "label_distance", "confidence")
    return {name: float(np.interp(-1 / n, by, floors[name])) for name in names}


@functools.cache
def reference() -> Reference:
    """What is kept of MNIST's test images, read once. Raises ValueError if the file is not the one of its card, or
    if its features are another LeNet's than the one that comes with the course."""
    card = weights.card("mnist_reference")
    if card["lenet"] != (here := weights.card("lenet")["sha256"][:12]):
        raise ValueError(f"mnist_reference.safetensors has features of the LeNet {card['lenet']}, here is {here}")
    kept = weights.tensors("mnist_reference")
    return Reference(kept["features"].double(), kept["nearest"].double(), kept["images"], kept["labels"], card)


def unseen() -> tuple[Tensor, Tensor]:
    """1,000 real images that neither the LeNet was trained on nor the reference holds: (1000, 28, 28) and labels
    (1000,), uint8. Raises ValueError if the file is not the one of the reference's card."""
    raw = weights.read("mnist_unseen.npz", reference().card["unseen_sha256"])
    with np.load(io.BytesIO(raw), allow_pickle=False) as kept:
        return torch.from_numpy(kept["images"]), torch.from_numpy(kept["labels"])


def one_pixel_right(x: Tensor, labels: Tensor) -> Tensor:
    """Each image x (n, 784) moved by one pixel; labels (n,) are ignored."""
    return lenet.shifted(x, torch.zeros_like(labels, dtype=torch.long), torch.ones_like(labels, dtype=torch.long))


def blurred(x: Tensor, labels: Tensor) -> Tensor:
    """Each image x (n, 784) smoothed by (1, 2, 1)/4 in both directions; labels (n,) are ignored."""
    weights = torch.tensor([0.25, 0.5, 0.25])
    padded = torch.nn.functional.pad(x.reshape(-1, 1, 28, 28), (1,) * 4, value=-1.0)
    return torch.nn.functional.conv2d(padded, torch.outer(weights, weights)[None, None].to(x)).flatten(1)


def without_eights(x: Tensor, labels: Tensor) -> Tensor:
    """The images x (n, 784) whose label (n,) is not 8: fewer."""
    return x[labels != 8]


def a_tenth_ten_times(x: Tensor, labels: Tensor) -> Tensor:
    """The first tenth of the images x (n, 784), each ten times; labels (n,) are ignored."""
    return x[: len(x) // 10].repeat_interleave(10, dim=0)


def as_they_are(x: Tensor, labels: Tensor) -> Tensor:
    """The images x (n, 784) untouched."""
    return x


CORRUPTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "unseen, as they are": as_they_are,
    "one pixel to the right": one_pixel_right,
    "blurred": blurred,
    "without eights": without_eights,
    "a tenth, ten times each": a_tenth_ten_times,
}


def measure_floors(features: Tensor, probabilities: Tensor, real: Tensor, labels: list[float]) -> dict[str, list]:
    """The scores of n unseen real images for each n of the TABLE, against the features of the test images `real`
    (10,000, 64): means over random choices of n from all that are unseen, 256 of them, fewer above 250, one of all;
    and the standard deviation of the Fréchet distance between such choices."""
    generator = torch.Generator().manual_seed(0)
    floors: dict[str, list] = {"n": [], "choices": [], "frechet_sd": []}
    for n in (n for n in TABLE if n <= len(features)):
        choices = min(256, 64_000 // n) if n < len(features) else 1
        picks = [torch.randperm(len(features), generator=generator)[:n] for _ in range(choices)]
        found = [compare_features(features[i], probabilities[i], real, labels) for i in picks]
        for name in found[0]:
            floors.setdefault(name, []).append(round(sum(f[name] for f in found) / choices, 5))
        spread = torch.tensor([f["frechet"] for f in found]).std().item() if choices > 1 else None
        floors["frechet_sd"].append(spread and round(spread, 5))
        floors["n"].append(n)
        floors["choices"].append(choices)
    return floors


def publish(folder: Path) -> dict:
    """Writes mnist_reference.safetensors, mnist_unseen.npz and their card into `folder` from MNIST's files, measures
    floors and corruptions, returns the card. Raises OSError if MNIST cannot be obtained."""
    net = lenet.load()
    (train, train_labels), (test, test_labels) = mnist.load(), mnist.load(train=False)
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))
    test, test_labels = test[order], test_labels[order]
    pictures = torch.cat([(test_labels == digit).nonzero()[:10, 0] for digit in range(10)])
    later = _unseen_order(len(train))
    features, probabilities = lenet.apply(net, lenet.to_points(test))
    kept = {
        "features": features.half(),
        "nearest": nearest(lenet.to_points(test), lenet.to_points(train))[0].float(),
        "images": test[pictures].contiguous(),
        "labels": test_labels[pictures].contiguous(),
    }
    np.savez_compressed(folder / "mnist_unseen.npz", images=train[later[:1000]], labels=train_labels[later[:1000]])
    shares = label_shares(probabilities).tolist()
    known = {
        "unseen_sha256": hashlib.sha256((folder / "mnist_unseen.npz").read_bytes()).hexdigest(),
        "lenet": lenet.name_of(net),
        "command": "python -m diffusion_edu.images.quality",
        "images": "MNIST, copyright Y. LeCun and C. Cortes, CC BY-SA 3.0",
        "torch": torch.__version__,
        "labels": shares,
        "floors": measure_floors(*lenet.apply(net, lenet.to_points(train[later])), kept["features"].double(), shares),
    }
    reference.cache_clear()
    return weights.write(folder, "mnist_reference", kept, known)


def publish_corruptions(folder: Path, card: dict) -> dict:
    """Adds to the card what the scores say of all unseen images, of each corruption of them, and of as many copies
    of training images; writes it into `folder`, where `publish` has been, and returns it."""
    images, labels = mnist.load()
    points, later = lenet.to_points(images), _unseen_order(len(images))
    x, names = points[later], labels[later]
    rows = {name: corrupt(x, names) for name, corrupt in CORRUPTIONS.items()}
    rows["copies of training images"] = points[: len(x)]
    # the unseen images are training images themselves, so theirs are looked for only among those that LeNet saw
    among = {name: points if name.startswith("copies") else points[: lenet.SEEN] for name in rows}
    card["corruptions"] = {name: _rounded(score_images(y, train=among[name])) for name, y in rows.items()}
    weights.write_card(folder, card)
    reference.cache_clear()
    return card


def _unseen_order(n: int) -> Tensor:
    """The indices of the unseen ones of n training images, in random order: in MNIST's own, neighbours were written
    by the same person, and the first thousand would be no random choice."""
    return lenet.SEEN + torch.randperm(n - lenet.SEEN, generator=torch.Generator().manual_seed(1))


def _rounded(found: Scores) -> dict:
    numbers = {k: round(v, 5) if isinstance(v, float) else v for k, v in found.as_dict().items()}
    return {**numbers, "labels": [round(share, 5) for share in found.labels]}


def _check_pair(x: Tensor, y: Tensor, name: str, other: str) -> None:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not len(x) or not len(y):
        got = f"{tuple(x.shape)} and {tuple(y.shape)}"
        raise ValueError(f"{name} and {other} must be (n, d) and (m, d) with n, m at least 1, got {got}")


def _check_images(x: Tensor, name: str, least: int, most: int | None) -> None:
    """ValueError unless x is a tensor of images (n, 784) in [−1, 1] with n allowed."""
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim != 2 or x.shape[1] != 784:
        got = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"{name} must be a float tensor of shape (n, 784), got {got}")
    if len(x) < least or (most and len(x) > most):
        allowed = f"{least} to {most:,}" if most else f"at least {least}"
        raise ValueError(f"{name} must have {allowed} images, got {len(x):,}")
    if not x.isfinite().all():
        raise ValueError(f"{name} must be finite, got {int((~x.isfinite()).sum())} values that are not")
    if x.min() < -1 or x.max() > 1:
        raise ValueError(f"{name} must lie in [−1, 1], got values from {x.min():.4g} to {x.max():.4g}; clamp them")


if __name__ == "__main__":
    torch.set_num_threads(1)
    home = Path(str(weights.HOME))
    made = publish_corruptions(home, publish(home))
    print(f"LeNet {made['lenet']}")
    for title, row in made["corruptions"].items():
        print(f"{title}: {row}")

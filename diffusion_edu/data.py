"""The data sets: the swiss roll, whose density is known exactly, and by name those of `images.digits` too."""

import functools
import math
from typing import Protocol

import numpy as np
import torch
from sklearn.datasets import make_swiss_roll
from torch import Tensor

from .images.digits import MNIST, BinaryMNIST, Digits
from .oracles import Mixture


class Images(Protocol):
    """A data set of images. The swiss roll has the first three methods too; its `shape` is None. n points are
    (n, dim)."""

    dim: int
    shape: tuple[int, int]  # (height, width)

    def train_points(self, n: int, seed: int) -> Tensor:
        """What training chooses its batches from, float32: n points, or all that there are if they are finite."""
        ...

    def labelled_points(self, n: int, seed: int) -> Tensor:
        """The same with the label, 0 … labels − 1, as one more column; BinaryMNIST has none."""
        ...

    def sample(self, n: int, seed: int) -> Tensor:
        """n points of those a model is trained on."""
        ...

    def sample_test(self, n: int, seed: int) -> Tensor:
        """n points that no model is trained on."""
        ...

    def to_images(self, x: Tensor) -> Tensor:
        """Points as images (n, height, width) in [0, 1]."""
        ...

    def bits_per_dim(self, nats: float) -> float:
        """−log p in nats → bits per pixel."""
        ...


def gauss_legendre(n: int, panel: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """About n nodes in [0, 1] and their weights, whose sum is 1: one Gauss–Legendre rule, or above `panel` nodes equal
    panels with a rule each, since one of n nodes costs n³."""
    panels = math.ceil(n / panel)
    u, weights = np.polynomial.legendre.leggauss(math.ceil(n / panels))
    starts = np.arange(panels)[:, None]
    return ((starts + (u + 1) / 2) / panels).ravel(), np.tile(weights / 2 / panels, panels)


class SwissRoll(Mixture):
    """The 2-D swiss roll, standardised, with its exact density at every noise level.

    scikit-learn draws θ = 3π/2 (1 + 2u), u ~ U(0, 1), and puts a point at (θ cos θ, θ sin θ)
    plus N(0, noise²). The mean (2, 2/(3π)) is subtracted and both axes are divided by
    S = √(V + noise²), V the mean of the curve's two variances. So with c(u) the scaled curve

        log p(x) = log ∫₀¹ N(x; c(u), s² I) du,   s = noise/S,

    which Gauss–Legendre quadrature with 256/noise nodes gives to about 1e-10 nats on the roll.
    Points are (n, 2), float64. Raises ValueError if noise is not positive.
    """

    shape: None = None
    labels = 3  # the thirds of the roll

    def __init__(self, noise: float = 0.5, nodes: int | None = None):
        if not noise > 0:
            raise ValueError(f"noise must be positive, got {noise}: without it the roll has no density")
        self.noise = noise
        self.u, weights = gauss_legendre(nodes or max(256, round(256 / noise)))
        curve = self._raw_curve(self.u)
        self.shift = weights @ curve
        V = (weights @ (curve - self.shift) ** 2).mean()
        self.scale = math.sqrt(V + noise**2)
        super().__init__(weights, (curve - self.shift) / self.scale, (noise / self.scale) ** 2)

    @staticmethod
    def _raw_curve(u):
        theta = 1.5 * np.pi * (1 + 2 * np.asarray(u))
        return np.stack([theta * np.cos(theta), theta * np.sin(theta)], axis=-1)

    def curve(self, u) -> Tensor:
        """c(u), the noiseless roll at u in [0, 1], shape (..., 2)."""
        return torch.from_numpy((self._raw_curve(u) - self.shift) / self.scale)

    def at_noise(self, alpha_bar: float) -> "SwissRoll":
        """The roll with as many nodes as x_t at this ᾱ needs, 2.25 to a standard deviation along the curve, and never
        more than its own. The score and its divergence change by less than 1e-8 of their size."""
        length = np.pi**2 * (4.5**2 - 1.5**2) / 2 / self.scale  # ∫ θ dθ, 1 % below the curve's length
        sd = math.sqrt(float(self.variances[0, 0]) + (1 - alpha_bar) / max(alpha_bar, 1e-12))
        nodes = 16 * math.ceil(max(48, 2.25 * length / sd) / 16)
        return self if nodes >= len(self.u) else _roll(self.noise, nodes)

    def thirds(self) -> tuple[Mixture, Mixture, Mixture]:
        """The roll in three pieces of equal probability, u in [0, 1/3], [1/3, 2/3], [2/3, 1], each a law of its own
        with its own quadrature nodes; their mean is the roll."""
        nodes, weights = gauss_legendre(len(self.u) // 2)
        first, second, third = (self.curve((i + nodes) / 3) for i in range(3))
        piece = lambda curve: Mixture(weights, curve, self.variances[0])  # noqa: E731
        return piece(first), piece(second), piece(third)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """n points of scikit-learn's generator, standardised, (n, 2), float64."""
        return self.sample_with_u(n, seed)[0]

    def sample_test(self, n: int, seed: int = 1_000_000) -> Tensor:
        """The same, by default from a seed that no training uses."""
        return self.sample(n, seed)

    def train_points(self, n: int, seed: int = 0) -> Tensor:
        """n points to train on, (n, 2), float32."""
        return self.sample(n, seed + 1).float()

    def labelled_points(self, n: int, seed: int = 0) -> Tensor:
        """The same with the third of the roll, 0, 1 or 2, that each was drawn from, (n, 3), float32."""
        x, u = self.sample_with_u(n, seed + 1)
        return torch.cat([x, (3 * u).floor().clamp(0, 2).unsqueeze(1)], dim=1).float()

    def sample_with_u(self, n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """n points (n, 2) and where along the roll each was drawn, u in [0, 1], (n,)."""
        if n < 1:
            raise ValueError(f"n, the number of points, must be at least 1, got {n}")
        # scikit-learn squeezes a single point, so two are drawn and one is kept
        points, theta = (part[:n] for part in make_swiss_roll(max(n, 2), noise=self.noise, random_state=seed))
        x = (points[:, [0, 2]] - self.shift) / self.scale
        return torch.from_numpy(x), torch.from_numpy((theta / (1.5 * np.pi) - 1) / 2)


@functools.cache
def _roll(noise: float, nodes: int) -> SwissRoll:
    return SwissRoll(noise, nodes)


Data = SwissRoll | Images  # points whose density is known, `shape` None, or images
DATA_SETS = {"swiss-roll": SwissRoll, "digits": Digits, "mnist": MNIST, "mnist-binary": BinaryMNIST}


def load(name: str) -> Data:
    """The data set called `name`. Raises ValueError for an unknown name."""
    if name not in DATA_SETS:
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(DATA_SETS)}")
    return DATA_SETS[name]()

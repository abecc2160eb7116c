"""The data sets: the swiss roll, whose density is known exactly, scikit-learn's small digits, and MNIST."""

import math

import numpy as np
import torch
from sklearn.datasets import load_digits, make_swiss_roll
from torch import Tensor

from .images import mnist
from .oracles import Mixture


class SwissRoll(Mixture):
    """The 2-D swiss roll, standardised, with its exact density at every noise level.

    scikit-learn draws θ = 3π/2 (1 + 2u), u ~ U(0, 1), and puts a point at (θ cos θ, θ sin θ)
    plus N(0, noise²). The mean (2, 2/(3π)) is subtracted and both axes are divided by
    S = √(V + noise²), V the mean of the curve's two variances. So with c(u) the scaled curve

        log p(x) = log ∫₀¹ N(x; c(u), s² I) du,   s = noise/S,

    which Gauss–Legendre quadrature with 256/noise nodes gives to about 1e-10 nats on the roll.
    Points are (n, 2), float64. Raises ValueError if noise is not positive.
    """

    def __init__(self, noise: float = 0.5, nodes: int | None = None):
        if not noise > 0:
            raise ValueError(f"noise must be positive, got {noise}: without it the roll has no density")
        u, weights = np.polynomial.legendre.leggauss(nodes or max(256, round(256 / noise)))
        self.noise = noise
        self.u = (u + 1) / 2
        curve, weights = self._raw_curve(self.u), weights / 2
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

    def thirds(self) -> tuple[Mixture, Mixture, Mixture]:
        """The roll in three pieces of equal probability, u in [0, 1/3], [1/3, 2/3], [2/3, 1], each a law of its own
        with its own quadrature nodes; their mean is the roll."""
        nodes, weights = np.polynomial.legendre.leggauss(len(self.u) // 2)
        parts = (self.curve((i + (nodes + 1) / 2) / 3) for i in range(3))
        return tuple(Mixture(weights, part, self.variances[0]) for part in parts)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """n points of scikit-learn's generator, standardised, (n, 2), float64."""
        return self.sample_with_u(n, seed)[0]

    def sample_with_u(self, n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """n points (n, 2) and where along the roll each was drawn, u in [0, 1], (n,)."""
        if n < 1:
            raise ValueError(f"n, the number of points, must be at least 1, got {n}")
        # scikit-learn squeezes a single point, so two are drawn and one is kept
        points, theta = (part[:n] for part in make_swiss_roll(max(n, 2), noise=self.noise, random_state=seed))
        x = (points[:, [0, 2]] - self.shift) / self.scale
        return torch.from_numpy(x), torch.from_numpy((theta / (1.5 * np.pi) - 1) / 2)


class Digits:
    """scikit-learn's 1,797 digits, 8 × 8 pixels of 17 grey levels, as vectors of D = 64.

    The grey levels are discrete, so a density on them could be made arbitrarily large. Uniform noise of
    one grey level is added (Theis et al. 2016, eq. 2); −log p of the result bounds the discrete
    −log P(pixels) from above after adding D log(17/2), as `bits_per_dim` does.
    Points are (n, 64) in [−1, 1]; the last 360 images are the test set.
    """

    dim, levels, shape = 64, 17, (8, 8)

    def __init__(self):
        pixels = torch.from_numpy(load_digits().data)
        self.train_pixels, self.test_pixels = pixels[:-360], pixels[-360:]

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """n training images with fresh uniform noise, (n, 64) in [−1, 1]: a random choice without repetition if
        n is below their number, else all of them over and over."""
        return self._draw(self.train_pixels, n, seed)

    def sample_test(self, n: int, seed: int = 0) -> Tensor:
        """The same from the 360 test images, which no model is trained on."""
        return self._draw(self.test_pixels, n, seed)

    def _draw(self, pixels: Tensor, n: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        i = _choose(len(pixels), n, generator)
        noise = torch.rand(n, self.dim, dtype=torch.float64, generator=generator)
        return (pixels[i] + noise) * (2 / self.levels) - 1

    @staticmethod
    def to_images(x: Tensor) -> Tensor:
        """Points (n, 64) in [−1, 1] as images (n, 8, 8) in [0, 1], clipped."""
        return ((x + 1) / 2).clamp(0, 1).reshape(-1, *Digits.shape)

    def bits_per_dim(self, nats: float) -> float:
        """−log p in nats of the scaled points → bits per pixel of the 17 grey levels (an upper bound)."""
        return (nats + self.dim * math.log(self.levels / 2)) / (self.dim * math.log(2))


class MNIST:
    """MNIST with its 256 grey levels, at 256 equally spaced values of [−1, 1], as the discretised laws of
    observations.py have them: −log P in nats of such a point is a code length, and bits per dimension need no noise.

    Points are (n, 784), float32. The files are fetched when first needed, see mnist.py, which also says what is
    raised if they are not to be had.
    """

    dim, levels, shape, source = 784, 256, (28, 28), "mnist"

    def __init__(self):
        both = (mnist.load(train, of=self.source)[0] for train in (True, False))
        self.train_pixels, self.test_pixels = (self.to_points(images) for images in both)

    @staticmethod
    def to_points(images: Tensor) -> Tensor:
        """Grey levels 0 … 255, (n, 28, 28), as points (n, 784) in [−1, 1]."""
        return images.flatten(1).float() / 127.5 - 1

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """n training images: a random choice without repetition if n is below their number, else all of them over
        and over."""
        return self.train_pixels[_choose(len(self.train_pixels), n, torch.Generator().manual_seed(seed))]

    def sample_test(self, n: int = 10_000, seed: int = 0) -> Tensor:
        """The same from the 10,000 test images."""
        return self.test_pixels[_choose(len(self.test_pixels), n, torch.Generator().manual_seed(seed))]

    @staticmethod
    def to_images(x: Tensor) -> Tensor:
        """Points (n, 784) in [−1, 1] as images (n, 28, 28) in [0, 1], clipped."""
        return ((x + 1) / 2).clamp(0, 1).reshape(-1, *MNIST.shape)

    @staticmethod
    def bits_per_dim(nats: float) -> float:
        """−log P in nats → bits per pixel."""
        return nats / (MNIST.dim * math.log(2))


class FashionMNIST(MNIST):
    """Pictures of clothes in MNIST's format (Xiao et al. 2017): the same shapes, levels and methods."""

    source = "fashion-mnist"


class BinaryMNIST:
    """MNIST with binary pixels: 1 with the probability grey level/255 (Salakhutdinov & Murray 2008, §4.1). Training
    draws anew each time it looks (dynamic binarisation); the test set is one draw, the same for everyone.

    Points are (n, 784), zeros and ones, float32. The files are fetched when first needed, see mnist.py, which also
    says what is raised if they are not to be had.
    """

    dim, shape = 784, (28, 28)

    def __init__(self):
        self.train_pixels, self.test_pixels = (self._probabilities(train) for train in (True, False))

    @staticmethod
    def _probabilities(train: bool) -> Tensor:
        return mnist.load(train)[0].flatten(1).float() / 255

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """n training images, freshly binarised: a random choice without repetition if n is below their number, else
        all of them over and over."""
        generator = torch.Generator().manual_seed(seed)
        return torch.bernoulli(self.train_pixels[_choose(len(self.train_pixels), n, generator)], generator=generator)

    def sample_test(self, n: int = 10_000, seed: int = 0) -> Tensor:
        """n of the 10,000 test images, chosen by the seed; their pixels do not depend on it."""
        drawn = torch.bernoulli(self.test_pixels, generator=torch.Generator().manual_seed(0))
        return drawn[_choose(len(drawn), n, torch.Generator().manual_seed(seed))]

    @staticmethod
    def to_images(x: Tensor) -> Tensor:
        """Points (n, 784) as images (n, 28, 28)."""
        return x.reshape(-1, *BinaryMNIST.shape)

    @staticmethod
    def bits_per_dim(nats: float) -> float:
        """−log P in nats → bits per binary pixel."""
        return nats / (BinaryMNIST.dim * math.log(2))


def _choose(size: int, n: int, generator: torch.Generator) -> Tensor:
    """n of `size` indices: a random choice without repetition if there are fewer, else all of them over and over."""
    return torch.arange(n) % size if n >= size else torch.randperm(size, generator=generator)[:n]


DATA_SETS = {
    "swiss-roll": SwissRoll,
    "digits": Digits,
    "mnist": MNIST,
    "mnist-binary": BinaryMNIST,
    "fashion-mnist": FashionMNIST,
}


def check_name(name: str) -> None:
    """ValueError unless `name` is a data set's."""
    if name not in DATA_SETS:
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(DATA_SETS)}")


def load(name: str) -> SwissRoll | Digits | MNIST | BinaryMNIST:
    """The data set called `name`. Raises ValueError for an unknown name."""
    check_name(name)
    return DATA_SETS[name]()

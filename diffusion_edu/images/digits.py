"""Images of digits: scikit-learn's small ones, MNIST, and MNIST with binary pixels. `data.Data` is what they share."""

import math

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from . import mnist


class Digits:
    """scikit-learn's 1,797 digits, 8 × 8 pixels of 17 grey levels, as vectors of D = 64.

    The grey levels are discrete, so a density on them could be made arbitrarily large. Uniform noise of
    one grey level is added (Theis et al. 2016, eq. 2); −log p of the result bounds the discrete
    −log P(pixels) from above after adding D log(17/2), as `bits_per_dim` does.
    Points are (n, 64) in [−1, 1]; the last 360 images are the test set.
    """

    dim, levels, shape, labels = 64, 17, (8, 8), 10

    def __init__(self):
        pixels, labels = map(torch.from_numpy, load_digits(return_X_y=True))
        self.train_pixels, self.test_pixels = pixels[:-360], pixels[-360:]
        self.train_labels, self.test_labels = labels[:-360], labels[-360:]

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """n training images with fresh uniform noise, (n, 64) in [−1, 1]: a random choice without repetition if
        n is below their number, else all of them over and over."""
        return self._draw(self.train_pixels, n, seed)

    def sample_test(self, n: int, seed: int = 0) -> Tensor:
        """The same from the 360 test images, which no model is trained on."""
        return self._draw(self.test_pixels, n, seed)

    def train_points(self, n: int, seed: int = 0) -> Tensor:
        """n points to train on, (n, 64), float32: the images over and over, each time with fresh noise."""
        return self.sample(n, seed + 1).float()

    def labelled_points(self, n: int, seed: int = 0) -> Tensor:
        """The same with the digit that each shows, (n, 65), float32."""
        i = _choose(len(self.train_labels), n, torch.Generator().manual_seed(seed + 1))
        return torch.cat([self.train_points(n, seed), self.train_labels[i].unsqueeze(1)], dim=1).float()

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
    raised if they cannot be obtained.
    """

    dim, levels, shape, labels = 784, 256, (28, 28), 10

    def __init__(self):
        both = (mnist.load(train)[0] for train in (True, False))
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

    def train_points(self, n: int = 60_000, seed: int = 0) -> Tensor:
        """The 60,000 training images, (60000, 784), whatever n and the seed are."""
        return self.train_pixels

    def labelled_points(self, n: int = 60_000, seed: int = 0) -> Tensor:
        """The same with the digit that each shows, (60000, 785)."""
        return torch.cat([self.train_pixels, mnist.load()[1].unsqueeze(1).float()], dim=1)

    @staticmethod
    def to_images(x: Tensor) -> Tensor:
        """Points (n, 784) in [−1, 1] as images (n, 28, 28) in [0, 1], clipped."""
        return ((x + 1) / 2).clamp(0, 1).reshape(-1, *MNIST.shape)

    @staticmethod
    def bits_per_dim(nats: float) -> float:
        """−log P in nats → bits per pixel."""
        return nats / (MNIST.dim * math.log(2))


class BinaryMNIST:
    """MNIST with binary pixels: 1 with the probability grey level/255 (Salakhutdinov & Murray 2008, §4.1). Training
    draws anew each time it looks (dynamic binarisation); the test set is one draw, the same for everyone.

    Points are (n, 784), zeros and ones, float32. The files are fetched when first needed, see mnist.py, which also
    says what is raised if they cannot be obtained.
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

    def train_points(self, n: int = 60_000, seed: int = 0) -> Tensor:
        """The probabilities of the 60,000 training images, (60000, 784), from which `training.binarised` draws."""
        return self.train_pixels

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

"""The course's own LeNet: it names digits, and the scores compare images by its features.

    from diffusion_edu.images import lenet
    net = lenet.load()                  # the trained weights that come with the course
    net.features(x)                     # (n, 784) in [−1, 1] → (n, 64)
    lenet.name_of(net)                  # the first 12 digits of its hash, printed with every score

A score that rests on a network means nothing without that network's weights: the same images get another Fréchet
distance from another LeNet. So the weights are part of the score, and their hash is printed with it.

It was trained (training/namer.py) on the first 50,000 training images. The last 10,000 it never saw: they are the
*unseen real images* that every score takes its floor from (see quality.py).

Source: LeCun et al. 1998 (LeNet-5: two convolutions, two halvings, three linear layers); SiLU and cross-entropy
instead of tanh and radial basis functions, 64 features instead of 84.
"""

import hashlib

import torch
from torch import Tensor, nn

from .. import weights
from ..nets import in_float32, like_weights

SEEN = 50_000  # of the 60,000 training images; the others it never sees
FEATURES, CLASSES = 64, 10


class LeNet(nn.Module):
    """Images x (n, 784) in [−1, 1] → logits of the ten digits (n, 10), by 64 features: 117,762 parameters."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Unflatten(1, (1, 28, 28)),
            *(nn.Conv2d(1, 16, 5, padding=2), nn.AvgPool2d(2), nn.SiLU()),  # 16 × 14 × 14
            *(nn.Conv2d(16, 32, 5), nn.AvgPool2d(2), nn.SiLU()),  # 32 × 5 × 5
            *(nn.Flatten(), nn.Linear(800, 120), nn.SiLU(), nn.Linear(120, FEATURES), nn.SiLU()),
        )
        self.head = nn.Linear(FEATURES, CLASSES)

    def features(self, x: Tensor) -> Tensor:
        """The last layer before the logits, (n, 64)."""
        return self.body(like_weights(x, self.body))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def to_points(pixels: Tensor) -> Tensor:
    """Grey levels 0 … 255, (n, 28, 28), as points (n, 784) in [−1, 1], float32."""
    return pixels.flatten(1).float() / 127.5 - 1


def shifted(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Each image of x (n, 784) moved by its own whole numbers of pixels, down (n,) and right (n,); what moves in
    is background, −1."""
    size = 28
    reach = int(torch.stack([down, right]).abs().max())
    padded = nn.functional.pad(x.reshape(-1, size, size), (reach,) * 4, value=-1.0)
    rows = reach - down.unsqueeze(1) + torch.arange(size)
    columns = reach - right.unsqueeze(1) + torch.arange(size)
    return padded[torch.arange(len(x))[:, None, None], rows[:, :, None], columns[:, None, :]].flatten(1)


@torch.no_grad()
def apply(net: LeNet, x: Tensor, block: int = 1000) -> tuple[Tensor, Tensor]:
    """The features (n, 64) and the probabilities of the ten digits (n, 10) of x (n, 784), in blocks."""
    parts = [net.features(part) for part in x.split(block)]
    return torch.cat(parts), torch.cat([net.head(part).softmax(1) for part in parts])


def accuracy(net: LeNet, x: Tensor, labels: Tensor) -> float:
    """The share of x (n, 784) whose most probable digit is its label."""
    return (apply(net, x)[1].argmax(1) == labels).double().mean().item()


def load() -> LeNet:
    """The trained LeNet, on the CPU, in evaluation mode, its parameters without gradients.

    Raises ValueError if the weights are not those of the card.
    """
    with torch.random.fork_rng():
        net = in_float32(LeNet)()
    net.load_state_dict(weights.tensors("lenet"))
    return net.eval().requires_grad_(False)


def name_of(net: LeNet) -> str:
    """The first 12 digits of the SHA-256 of its weights: the name that every score carries."""
    return hashlib.sha256(weights.as_bytes(net.state_dict())).hexdigest()[:12]

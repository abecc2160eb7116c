"""How the LeNet that names the digits (images/lenet.py) was trained, and how its weights are made again:

python -m diffusion_edu.training.namer       # writes the weights and their card, a few minutes on one core
"""

import time
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import weights
from ..images import lenet, mnist
from .trainer import Trainer

STEPS, BATCH, PEAK_LR = 5_000, 128, 2e-3
SHIFT = 2  # pixels, of the training images, in both directions


def name_loss(net: lenet.LeNet, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """−log P(label), nats, of images moved at random by up to SHIFT pixels. batch: (n, 785), pixels and label."""
    x, labels = batch[:, :-1], batch[:, -1].long()
    down, right = torch.randint(-SHIFT, SHIFT + 1, (2, len(x)), generator=generator)
    return {"loss": nn.functional.cross_entropy(net(lenet.shifted(x, down, right)), labels)}


def train(x: Tensor, labels: Tensor, steps: int = STEPS, seed: int = 0, progress: bool = False) -> lenet.LeNet:
    """A LeNet trained on x (n, 784) and labels (n,): the moving average of its parameters, a function of the seed."""
    torch.manual_seed(seed)
    data = torch.cat([x, labels.unsqueeze(1).to(x)], dim=1)
    trainer = Trainer(lenet.LeNet(), name_loss, data, steps, batch=BATCH, peak_lr=PEAK_LR, seed=seed)
    for _ in trainer.run(progress):
        pass
    return trainer.ema.eval().requires_grad_(False)


def publish(folder: Path, steps: int = STEPS, seed: int = 0, progress: bool = True) -> dict:
    """Trains on MNIST, writes lenet.safetensors and its card lenet.json into `folder`, returns the card.

    Raises OSError if MNIST cannot be obtained.
    """
    (x, labels), (x_test, labels_test) = mnist.load(), mnist.load(train=False)
    x, x_test = lenet.to_points(x), lenet.to_points(x_test)
    start = time.perf_counter()
    net = train(x[: lenet.SEEN], labels[: lenet.SEEN], steps, seed, progress)
    seconds = time.perf_counter() - start
    known = {
        "command": "python -m diffusion_edu.training.namer",
        "seed": seed,
        "steps": steps,
        "batch": BATCH,
        "peak_learning_rate": PEAK_LR,
        "shift": SHIFT,
        "training_images": f"the first {min(lenet.SEEN, len(x)):,} of MNIST's {len(x):,}",
        "parameters": sum(p.numel() for p in net.parameters()),
        "features": lenet.FEATURES,
        "test_accuracy": round(lenet.accuracy(net, x_test, labels_test), 4),
        "unseen_accuracy": round(lenet.accuracy(net, x[lenet.SEEN :], labels[lenet.SEEN :]), 4)
        if len(x) > lenet.SEEN
        else None,
        "wall_seconds": round(seconds),
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    return weights.write(folder, "lenet", net.state_dict(), known)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for key, value in publish(Path(str(weights.HOME))).items():
        print(f"{key}: {value}")

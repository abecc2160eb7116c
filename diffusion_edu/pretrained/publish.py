"""How a finished run is published: its weights, its training log, a card, and some samples with their neighbours.

python -m diffusion_edu.pretrained.publish RUN NAME [SECONDS]      # beside this file; SECONDS of training, of MNIST
"""

import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .. import data, sampling, weights
from ..bound import Model
from ..config import Config
from ..ddpm import DDPM
from ..evaluate import gap, report, score_chain
from ..guidance import guided_model
from ..images import quality
from ..training.build import trainer
from ..training.runs import load
from . import replay

REPLAY = {"n": 4, "steps": 50, "seed": 0}  # a reverse run of the roll whose end is on the card
STEPS = 50  # of the sampler, where nothing else is said
SCORED = (("ancestral", STEPS), ("ancestral-2m", STEPS), ("ancestral-2m", 200))  # how a DDPM's samples are drawn
SHOWN = 20  # samples kept beside their nearest training images
PROBE = {"mnist": data.MNIST.to_points, "mnist-binary": lambda images: (images.flatten(1) > 127).float()}


def publish(out: Path, name: str, folder: Path, seconds: int = 0) -> dict:
    """Writes NAME.safetensors and NAME.json into `folder` from the finished run in `out`, and of MNIST NAME.csv and
    NAME-samples.npz; returns the card. Measuring takes most of the time. Raises ValueError unless the run is of MNIST
    or of a ddpm on the swiss roll or the digits."""
    model, config = load(out)
    known = {**training(config, name), "parameters": sum(p.numel() for p in model.parameters())}
    if isinstance(model, DDPM) and config.data == "swiss-roll":
        known |= measured_on_roll(model) | ({"gaps": gaps_by_label(model)} if config.labels else {})
    elif isinstance(model, DDPM) and config.data == "digits":
        known |= {"test": _rounded(report(model.chain(), data.Digits(), 360))}
    elif config.data in PROBE:
        known |= {"seconds": seconds, **measured_on_mnist(model, config, folder / f"{name}-samples.npz")}
        shutil.copyfile(out / "metrics.csv", folder / f"{name}.csv")
    else:
        wanted = "not on MNIST, nor a ddpm on swiss-roll or digits"
        raise ValueError(f"{out} holds a {config.model} on {config.data}: {wanted}")
    return weights.write(folder, name, model.state_dict(), known)


def training(config: Config, name: str, device: str = "cpu") -> dict:
    """What the training depended on, and the commands that do it again."""
    settings = trainer(config)
    return {
        "config": asdict(config),
        "training_points": len(settings.data),
        "batch": settings.batch,
        "peak_learning_rate": settings.peak_lr,
        "ema_decay": settings.ema_decay,
        "torch": torch.__version__,
        "device": device,
        "threads": torch.get_num_threads(),
        "commands": [
            config.command(f"runs/{name}") + f" --device {'cpu' if device == 'cpu' else 'cuda'}",
            f"python -m diffusion_edu.pretrained.publish runs/{name} {name}",
        ],
    }


def measured_on_roll(model: DDPM) -> dict:
    """The bound on fresh points, the paired gap, and the end of a short reverse run."""
    found = report(model.chain(), data.SwissRoll())
    return {
        "alpha_bar_T": round(model.schedule.alpha_bar[-1].item(), 10),
        "points": found["n"],
        **{key: round(found[key], 5) for key in ("neg_elbo", "neg_elbo_se", "entropy", "gap", "gap_se")},
        "replay": {**REPLAY, "x0": [[round(v, 4) for v in row] for row in replay(model, **REPLAY).tolist()]},
    }


def gaps_by_label(model: DDPM, n: int = 2000) -> dict[str, list[float]]:
    """E[log p(x|y) − ELBO] of each third of the roll, and of the roll by the model without a label, in nats, with
    standard errors. The σ_t² are those of all points together."""
    roll, found = data.SwissRoll(), {}
    laws = {"inner": roll.thirds()[0], "middle": roll.thirds()[1], "outer": roll.thirds()[2], "no label": roll}
    for label, (name, law) in enumerate(laws.items()):
        x = law.sample(n, 90 + label)
        chain = guided_model(model, label).chain() if label < 3 else model.chain()
        bound = score_chain(x.float(), chain, torch.Generator().manual_seed(label))
        found[name] = [round(v, 5) for v in gap(bound, law.log_prob(x))]
    return found


def measured_on_mnist(model: Model, config: Config, samples: Path, n: int = 10_000, K: int = 1000) -> dict:
    """The bound on n test images, with K importance samples if they are binary; of grey levels also what n samples
    score, the first of which go into the file `samples`, drawn in each of the ways of SCORED if it is a DDPM."""
    start = time.time()
    test = report(model.chain(), data.load(config.data), n, K=K if config.data == "mnist-binary" else 0)
    known = {"test": _rounded(test), "probe": round(probe(model, config), 5)}
    if config.data == "mnist":
        ways = SCORED if isinstance(model, DDPM) else (("chain", 0),)
        drawn = {name_of(*way): draw(model, n, 0, *way) for way in ways}
        keep_samples(drawn[name_of(*ways[-1])], samples)
        known["scores"] = {way: scores(x) for way, x in drawn.items()}
    return known | {"evaluation_seconds": round(time.time() - start)}


def name_of(sampler: str, steps: int) -> str:
    """What a card calls samples that were drawn in this way."""
    return f"{sampler}-{steps}" if steps else sampler


def draw(
    model: Model,
    n: int,
    seed: int = 0,
    sampler: str = "ancestral",
    steps: int = STEPS,
    block: int = 500,
    progress: bool = False,
) -> Tensor:
    """n samples of a model of MNIST, (n, 784), on the CPU: of a DDPM by a sampler (sampling.SAMPLERS) in `steps` steps
    whose last is x̂₀, of a VAE or HVAE down its chain, pixel noise included."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [min(block, n - done) for done in range(0, n, block)]
    blocks = tqdm(sizes, desc=f"drawing {n:,} samples", disable=not progress)
    return torch.cat([sampling.draw(model, size, generator, sampler, steps or None) for size in blocks]).clamp(-1, 1)


def probe(model: Model, config: Config) -> float:
    """−ELBO in nats of the hundred reference images (quality.py), one seeded draw of the latents: whoever has the
    weights can compute it again without MNIST's files. Of a DDPM, the mean squared error of x̂₀ at t = T/2 instead."""
    x, generator = PROBE[config.data](quality.reference().images), torch.Generator().manual_seed(0)
    if not isinstance(model, DDPM):
        return -score_chain(x, model.chain(), generator).elbo.mean().item()
    t = model.schedule.T // 2
    alpha_bar = model.schedule.alpha_bar[t].item()
    noise = torch.randn(x.shape, generator=generator, dtype=torch.float32)
    with torch.no_grad():
        return (model.x0_hat(alpha_bar**0.5 * x + (1 - alpha_bar) ** 0.5 * noise, t) - x).square().mean().item()


def keep_samples(x: Tensor, file: Path) -> None:
    """Writes the first of the samples x (n, 784) with the training images nearest to them."""
    train = data.MNIST().train_pixels
    distance, index = quality.nearest(x[:SHOWN], train)
    samples, near = (((v + 1) * 127.5).round().byte().reshape(-1, 28, 28) for v in (x[:SHOWN], train[index]))
    np.savez_compressed(file, samples=samples, nearest=near, index=index, distance=distance)


def scores(x: Tensor) -> dict:
    """What quality.py says of samples x (n, 784), rounded."""
    found = quality.score_images(x, train=data.MNIST().train_pixels).as_dict()
    return _rounded(found) | {"labels": [round(v, 5) for v in found["labels"]]}


def _rounded(found: dict) -> dict:
    return {k: round(v, 5) if isinstance(v, float) else v for k, v in found.items()}


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    publish(Path(sys.argv[1]), sys.argv[2], Path(__file__).parent, *map(int, sys.argv[3:]))

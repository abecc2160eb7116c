"""How the models of MNIST are published: weights, training log, card, and some samples with their neighbours."""

import hashlib
import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from .. import data, sampling
from ..ddpm import DDPM
from ..evaluate import report, score_chain
from ..images import quality
from ..training.runs import MIXING, Config, load, trainer

STEPS = 50  # of the sampler, where nothing else is said
# Of a DDPM's samples, how each of the card's scores had them drawn: by this sampler in so many steps. One that was
# trained by the loss "bound", for bits, has the first alone.
SCORED = {
    "scores": ("ancestral", STEPS),
    "scores_small": ("ancestral-small", STEPS),
    "scores_fine": ("ancestral-small", 200),
    "scores_2m": ("ancestral-2m", STEPS),
    "scores_2m_fine": ("ancestral-2m", 200),
}
SHOWN = 20  # samples kept beside their nearest training images
PROBE = {"mnist": data.MNIST.to_points, "mnist-binary": lambda images: (images.flatten(1) > 127).float()}


def draw(
    model: nn.Module, n: int, seed: int = 0, steps: int = STEPS, block: int = 500, sampler: str = "ancestral"
) -> Tensor:
    """n samples of a model of MNIST, (n, 784), on the CPU: of a DDPM by a sampler (sampling.SAMPLERS) in `steps` steps
    whose last is x̂₀, of a VAE or HVAE down its chain, pixel noise included."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [min(block, n - at) for at in range(0, n, block)]
    steps = steps if isinstance(model, DDPM) else None
    return torch.cat([sampling.draw(model, size, generator, sampler, steps) for size in sizes]).clamp(-1, 1)


def probe(model: nn.Module, config: Config) -> float:
    """−ELBO in nats of the hundred reference images (quality.py), one seeded draw of the latents: whoever has the
    weights can compute it again without MNIST's files. Of a DDPM, the mean squared error of x̂₀ at t = T/2 instead."""
    x, generator = PROBE[config.data](quality.reference().images), torch.Generator().manual_seed(0)
    if not isinstance(model, DDPM):
        return -score_chain(x, model, generator).elbo.mean().item()
    t = model.schedule.T // 2
    alpha_bar = model.schedule.alpha_bar[t].item()
    xt = alpha_bar**0.5 * x + (1 - alpha_bar) ** 0.5 * torch.randn(x.shape, generator=generator)
    with torch.no_grad():
        return (model.x0_hat(xt, t) - x).square().mean().item()


def publish(out: Path, name: str, folder: Path, seconds: int, n: int = 10_000, K: int = 1000) -> None:
    """Writes NAME.safetensors, NAME.csv, NAME.json and, of grey levels, NAME-samples.npz into `folder` from the
    finished run in `out`, whose training took so many `seconds`. Scores it on n test images, binary ones with K
    importance samples, and on n samples, a DDPM five times, as SCORED says: that takes most of the time. Raises
    ValueError if the run is none of MNIST."""
    model, config = load(out)
    if config.data not in PROBE:
        raise ValueError(f"{out} holds a run on {config.data}, not on {' or '.join(PROBE)}")
    start = time.time()
    chain = model.chain() if isinstance(model, DDPM) else model
    raw = safetensors.torch.save({key: value.contiguous() for key, value in model.state_dict().items()})
    test = report(chain, data.load(config.data), n, K=K if config.data == "mnist-binary" else 0)
    card = {
        "name": name,
        "sha256": hashlib.sha256(raw).hexdigest(),
        **_training(config, name),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "test": {key: round(value, 5) for key, value in test.items()},
        "probe": round(probe(model, config), 5),
    }
    if config.data == "mnist":
        for key, (sampler, steps) in _scored(config).items():
            file = folder / f"{name}-samples.npz" if key == "scores" else None
            steps = steps and min(steps, model.schedule.T)
            card[key] = _score(draw(model, n, steps=steps, sampler=sampler), file)
            card[key] |= {"steps": steps} if steps else {}
    card["evaluation_seconds"] = round(time.time() - start)
    (folder / f"{name}.safetensors").write_bytes(raw)
    shutil.copyfile(out / "metrics.csv", folder / f"{name}.csv")
    (folder / f"{name}.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _scored(config: Config) -> dict[str, tuple[str, int | None]]:
    if config.model != "ddpm":
        return {"scores": ("ancestral", None)}
    return {"scores": SCORED["scores"]} if config.loss == "bound" else SCORED


def _training(config: Config, name: str) -> dict:
    """What the training depended on, and the commands that do it again."""
    settings = trainer(config)
    its_own = f"--loss {config.loss} " if config.model == "ddpm" else ""
    its_own += f"--mixing {config.mixing} " if config.model in MIXING[config.data] else ""
    its_own += "--filters " if config.filters else ""
    its_own += f"--start {config.start} " if config.start is not None else ""
    its_own += f"--precision {config.precision} " if config.precision != "float32" else ""
    size = f"--steps {config.steps} --width {config.width} --batch {settings.batch}"
    options = f"{its_own}--optimiser {config.optimiser} {size} --seed {config.seed} --device cpu"
    return {
        "config": asdict(config),
        "batch": settings.batch,
        "peak_learning_rate": settings.peak_lr,
        "ema_decay": settings.ema_decay,
        "torch": torch.__version__,
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "commands": [
            f"diffusion-edu train {config.model} --data {config.data} {options} --out runs/{name}",
            f"python -m diffusion_edu.pretrained runs/{name} {name}",
        ],
    }


def _score(x: Tensor, file: Path | None = None) -> dict:
    """The scores of samples x; the first of them go into `file` with the training images nearest to them."""
    train = data.MNIST().train_pixels
    found = quality.score_images(x, train=train).as_dict()
    if file:
        distance, index = quality.nearest(x[:SHOWN], train)
        grey = lambda x: ((x + 1) * 127.5).round().byte().reshape(-1, 28, 28).numpy()  # noqa: E731
        np.savez_compressed(file, samples=grey(x[:SHOWN]), nearest=grey(train[index]), index=index, distance=distance)
    rounded = {k: round(v, 5) if isinstance(v, float) else v for k, v in found.items()}
    rounded["labels"] = [round(v, 5) for v in found["labels"]]
    return rounded

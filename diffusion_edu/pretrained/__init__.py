"""Published weights: DDPMs of the swiss roll, one per β schedule, and the models of MNIST, trained by the command line.

    from diffusion_edu import pretrained
    model = pretrained.load("cosine")        # a DDPM: ε̂, its schedule and its fitted σ_t²
    pretrained.card("cosine")["gap"]         # E[log p(x) − ELBO] in nats, measured after training

- cosine: T = 1000, the course's own (Nichol & Dhariwal 2021);
- linear: T = 1000, β from 1e-4 to 0.02 (Ho et al. 2020);
- short: sigmoid, T = 100, β from 1e-5 to 1e-2, as many public toy models have it: ᾱ_T = 0.6, so x_T is not yet noise.

The models of MNIST are called after their data and kind, from mnist-vae to mnist-binary-hvae, see IMAGES. There are
six DDPMs: mnist-ddpm for the bound; mnist-ddpm-filters, which goes on from it with filters that compare shades;
mnist-ddpm-min-snr, trained with another weight of the same loss, for pictures; mnist-ddpm-min-snr-mixing, the same with
a layer that sees the whole picture; -long, that for more steps; and -longer, which goes on from -long. There are three
hierarchies of binary digits: without such layers, with them, and -long, which goes on from there.

Beside each NAME.safetensors lies its card NAME.json: everything the training depended on, what was measured,
and the commands that make it again. No code is run by loading.
"""

import csv
import hashlib
import json
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from ..data import SwissRoll
from ..ddpm import DDPM
from ..evaluate import report
from ..hvae import HVAE
from ..samplers import sample
from ..training.runs import DDPM_FIELDS, TRAIN_POINTS, Config, build, trainer
from ..training.runs import load as load_run
from ..vae import VAE

NAMES = ("cosine", "linear", "short")
GREY = (
    "mnist-vae",
    "mnist-hvae",
    "mnist-ddpm",
    "mnist-ddpm-filters",
    "mnist-ddpm-min-snr",
    "mnist-ddpm-min-snr-mixing",
    "mnist-ddpm-min-snr-mixing-long",
    "mnist-ddpm-min-snr-mixing-longer",
)
BINARY = ("mnist-binary-vae", "mnist-binary-hvae", "mnist-binary-hvae-mixing", "mnist-binary-hvae-mixing-long")
IMAGES = (*GREY, *BINARY)
LOGS = (*IMAGES, "mnist-ddpm-adam")  # of this one the log alone: mnist-ddpm's training with --optimiser adam
REPLAY = {"n": 4, "steps": 50, "seed": 0}  # a reverse run whose end is on the card


def load(name: str) -> DDPM | VAE | HVAE:
    """The model called `name` (NAMES, IMAGES), on the CPU, in evaluation mode, its parameters without gradients.

    Raises ValueError for an unknown name and for weights that are not those of the card.
    """
    stated = card(name)
    raw = files(__name__).joinpath(f"{name}.safetensors").read_bytes()
    found = hashlib.sha256(raw).hexdigest()
    if found != stated["sha256"]:
        raise ValueError(f"{name}.safetensors is damaged: its sha256 is {found}, its card says {stated['sha256']}")
    with torch.random.fork_rng():
        model = build(Config(**stated["config"]))
    model.load_state_dict(safetensors.torch.load(raw))
    return model.eval().requires_grad_(False)


def card(name: str) -> dict:
    """What is known of the model called `name`. Raises ValueError for an unknown name.

    Of the roll's, `gap` is E[log p(x) − ELBO] in nats with the standard error `gap_se`, and `neg_elbo` and `entropy`
    are its two sides, over `points` fresh points. Of the images', `test` is what `evaluate.report` says of the test
    set, `scores` what quality.py says of samples (of the later DDPMs' more than once, see images.SCORED), `seconds` the
    wall time on `device`. `config` is the run's configuration, `commands` make the files again.
    """
    if name not in NAMES + IMAGES:
        raise ValueError(f"unknown model {name!r}; known: {', '.join(NAMES + IMAGES)}")
    return json.loads(files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8"))


def log(name: str) -> dict[str, list[float]]:
    """The training log called `name` (LOGS): the columns of the run's metrics.csv. Raises ValueError for an unknown
    name."""
    if name not in LOGS:
        raise ValueError(f"unknown log {name!r}; known: {', '.join(LOGS)}")
    rows = list(csv.reader(files(__name__).joinpath(f"{name}.csv").read_text(encoding="utf-8").splitlines()))
    return {column: [float(v) for v in values] for column, *values in zip(*rows, strict=True)}


def neighbours(name: str) -> dict[str, torch.Tensor]:
    """Of a grey-level model of MNIST: `samples` and the training images `nearest` to them, (20, 28, 28), uint8, their
    `index` among the training images and Euclidean `distance` in [−1, 1]⁷⁸⁴. Raises ValueError for another name."""
    if name not in GREY:
        raise ValueError(f"no samples are kept of {name!r}, only of {', '.join(GREY)}")
    with files(__name__).joinpath(f"{name}-samples.npz").open("rb") as file, np.load(file) as kept:
        return {key: torch.from_numpy(kept[key]) for key in kept.files}


def replay(model: DDPM, n: int = 4, steps: int = 50, seed: int = 0) -> torch.Tensor:
    """The end x₀ (n, 2) of the reverse run of `steps` steps that starts and goes on with the noise of `seed`."""
    generator = torch.Generator().manual_seed(seed)
    x_T = torch.randn(n, model.dim, generator=generator)
    return sample(model.x0_hat, model.schedule, x_T, steps=steps, generator=generator)


def publish(out: Path, name: str, folder: Path, device: str = "cpu") -> None:
    """Writes NAME.safetensors and NAME.json into `folder` from the finished run in `out`, and measures the gap.

    Raises ValueError if there is no finished run of a ddpm on the swiss roll.
    """
    model, config = load_run(out)
    if (config.model, config.data) != ("ddpm", "swiss-roll"):
        raise ValueError(f"published models are ddpm on swiss-roll, {out} holds {config.model} on {config.data}")
    raw = safetensors.torch.save({key: value.contiguous() for key, value in model.state_dict().items()})
    measured = report(model.chain(), SwissRoll())
    settings = trainer(config)
    options = "".join(f" --{k.replace('_', '-')} {v}" for k in DDPM_FIELDS if (v := getattr(config, k)) is not None)
    train = f"diffusion-edu train ddpm --data swiss-roll{options} --steps {config.steps} --seed {config.seed}"
    made = {
        "name": name,
        "sha256": hashlib.sha256(raw).hexdigest(),
        "config": asdict(config),
        "alpha_bar_T": round(model.schedule.alpha_bar[-1].item(), 10),
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_points": TRAIN_POINTS,
        "batch": settings.batch,
        "peak_learning_rate": settings.peak_lr,
        "ema_decay": settings.ema_decay,
        "torch": torch.__version__,
        "device": device,
        "threads": torch.get_num_threads(),
        "points": measured["n"],
        **{key: round(measured[key], 5) for key in ("neg_elbo", "neg_elbo_se", "entropy", "gap", "gap_se")},
        "replay": {**REPLAY, "x0": [[round(v, 4) for v in row] for row in replay(model, **REPLAY).tolist()]},
        "commands": [f"{train} --out runs/{name}", f"python -m diffusion_edu.pretrained runs/{name} {name}"],
    }
    (folder / f"{name}.safetensors").write_bytes(raw)
    (folder / f"{name}.json").write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

"""Published models: DDPMs of the swiss roll, one per β schedule, and the models of MNIST.

    from diffusion_edu import pretrained
    model = pretrained.load("cosine")        # a DDPM: ε̂, its schedule and its fitted σ_t²
    pretrained.card("cosine")["gap"]         # E[log p(x) − ELBO] in nats, measured after training

- cosine: T = 1000, the course's own (Nichol & Dhariwal 2021);
- linear: T = 1000, β from 1e-4 to 0.02 (Ho et al. 2020);
- roll-labels: as cosine, and it knows the thirds of the roll as labels; digits-labels: of scikit-learn's digits, and
  it knows which digit (notebook 09);
- flow: trained by flow matching, on the schedule that is even in τ (notebook 10);
- short: sigmoid, T = 100, β from 1e-5 to 1e-2, as many public toy models have it: ᾱ_T = 0.6, so x_T is not yet noise.

Of MNIST with its grey levels, mnist-vae, mnist-hvae and mnist-ddpm; mnist-ddpm-min-snr, the same network trained by a
loss for pictures; and a pair of small DDPMs, mnist-ddpm-local, whose layers all see a few pixels, and
mnist-ddpm-global, which has one layer that sees the whole picture. Of binary pixels, mnist-binary-vae and
mnist-binary-hvae.
"""

import contextlib
import csv
from importlib.resources import files

import numpy as np
import torch

from .. import weights
from ..config import Config
from ..ddpm import DDPM
from ..evaluate import mean_and_error
from ..hvae import HVAE
from ..nets import EpsNet
from ..samplers import sample
from ..schedules import cosine
from ..training.build import build
from ..vae import VAE

NAMES = ("cosine", "linear", "short")
FLOWS = ("flow",)
LABELLED = ("roll-labels", "digits-labels")
GREY = (
    "mnist-vae",
    "mnist-hvae",
    "mnist-ddpm",
    "mnist-ddpm-min-snr",
    "mnist-ddpm-local",
    "mnist-ddpm-global",
)
CHAIN_LEVELS, CHAIN_SEEDS = (1, 2, 3), (0, 1, 2)
LOSSES = ("simple", "weighted", "log SNR", "mixed")
BINARY = ("mnist-binary-vae", "mnist-binary-hvae")
IMAGES = (*GREY, *BINARY)


def load(name: str) -> DDPM | VAE | HVAE:
    """The model called `name` (NAMES, FLOWS, LABELLED, IMAGES), on the CPU, in evaluation mode, its parameters without
    gradients.

    Raises ValueError for an unknown name and for weights that are not those of the card.
    """
    config = Config(**card(name)["config"])
    with torch.random.fork_rng():
        model = build(config)
    model.load_state_dict(weights.tensors(name))
    return model.eval().requires_grad_(False)


def measured(name: str, *keys: str) -> dict[tuple[str, ...], dict[str, tuple[float, float]]]:
    """The means and standard errors over sets of noise of a table of tools/bench/steering.py, "guidance" or
    "inpainting", for each value of the columns `keys`. What was not measured is left out."""
    sets: dict = {}
    for row in table(name):
        found = sets.setdefault(tuple(row[key] for key in keys), {})
        for column, value in row.items():
            if value and column not in (*keys, "seed") and _is_number(value):
                found.setdefault(column, []).append(float(value))
    mean = lambda values: mean_and_error(torch.tensor(values, dtype=torch.float64))  # noqa: E731
    return {key: {column: mean(values) for column, values in found.items()} for key, found in sets.items()}


def _is_number(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return float(text) == float(text)
    return False


def roll_chain(levels: int, seed: int = 0) -> HVAE:
    """The HVAE of the swiss roll with `levels` levels (CHAIN_LEVELS), trained for 12,000 steps with `seed` (one of
    CHAIN_SEEDS), on the CPU, its parameters without gradients. Raises ValueError for one that is not kept."""
    if levels not in CHAIN_LEVELS or seed not in CHAIN_SEEDS:
        raise ValueError(f"no chain of {levels} levels and seed {seed}; levels {CHAIN_LEVELS}, seeds {CHAIN_SEEDS}")
    start = f"{levels}.{seed}."
    own = {k.removeprefix(start): v for k, v in weights.tensors("roll-chains").items() if k.startswith(start)}
    with torch.random.fork_rng():
        model = HVAE(levels)
    model.load_state_dict(own)
    return model.eval().requires_grad_(False)


def roll_loss(name: str, seed: int = 0) -> DDPM:
    """The DDPM of the swiss roll, cosine, T = 1000, trained for 2,000 steps by the loss called `name` (LOSSES) with
    `seed` (one of CHAIN_SEEDS), on the CPU, its parameters without gradients. Raises ValueError for one that is not
    kept."""
    if name not in LOSSES or seed not in CHAIN_SEEDS:
        raise ValueError(f"no network by the loss {name!r} and seed {seed}; losses {LOSSES}, seeds {CHAIN_SEEDS}")
    start, schedule = f"{name}.{seed}.", cosine(1000)
    own = {k.removeprefix(start): v for k, v in weights.tensors("roll-losses").items() if k.startswith(start)}
    with torch.random.fork_rng():
        model = DDPM(EpsNet(2, schedule), schedule, dim=2)
    model.eps_net.load_state_dict(own)
    return model.eval().requires_grad_(False)


def table(name: str) -> list[dict[str, str]]:
    """The rows of a table that was measured beforehand, as written."""
    text = files("diffusion_edu.pretrained").joinpath(f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def card(name: str) -> dict:
    """What is known of the model called `name`. Raises ValueError for an unknown name.

    Of the roll's, `gap` is E[log p(x) − ELBO] in nats with the standard error `gap_se`, and `neg_elbo` and `entropy`
    are its two sides, over `points` fresh points. Of the images', `test` is what `evaluate.report` says of the test
    set, `scores` what quality.py says of samples, for each sampler, `seconds` the wall time on `device`. `config` is
    the run's configuration, `commands` make the files again.
    """
    if name not in NAMES + FLOWS + LABELLED + IMAGES:
        raise ValueError(f"unknown model {name!r}; known: {', '.join(NAMES + FLOWS + LABELLED + IMAGES)}")
    return weights.card(name)


def log(name: str) -> dict[str, list[float]]:
    """The training log of a model of MNIST (IMAGES): the columns of the run's metrics.csv. Raises ValueError for an
    unknown name."""
    if name not in IMAGES:
        raise ValueError(f"unknown log {name!r}; known: {', '.join(IMAGES)}")
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
    x_T = torch.randn(n, model.dim, generator=generator, dtype=torch.float32)
    return sample(model.x0_hat, model.schedule, x_T, steps=steps, generator=generator)

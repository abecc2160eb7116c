"""From a configuration to the untrained model, and to the trainer at step 0."""

from functools import partial
from typing import cast

import torch

from .. import data as datasets
from ..bound import Model
from ..config import DIFFUSIONS, Config
from ..ddpm import DDPM
from ..hvae import HVAE
from ..images.convnets import ConvBernoulliNet, ConvGaussianNet, ConvLogisticNet, ConvStepNet, UNet
from ..images.ddpm import ImageDDPM
from ..nets import EpsNet, in_float32
from ..vae import VAE
from . import noise as learned_noise
from . import optimisers
from .captured import CapturedTrainer
from .latent import LatentDDPM, of_codes
from .losses import Loss, binarised, elbo_loss, eps_loss, flow_loss, label_loss, log_snr_t, min_snr, mixed_t, uniform_t
from .parallel import ALONE, Processes
from .trainer import Trainer

LOSSES = {  # of a ddpm, how t is drawn and weighed: "bound" for bits, "min-snr" for pictures, "simple" between them
    "simple": (mixed_t, None),
    "bound": (log_snr_t, None),
    "min-snr": (uniform_t, min_snr),
}
LEARNED_LOSSES = {"simple": learned_noise.learned_loss(0.5), "bound": learned_noise.learned_loss(0.0)}
TRAIN_POINTS = 200_000  # of data that can be drawn without end
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@in_float32
def build(config: Config) -> Model:
    """The untrained model of a configuration, its parameters in float32 and a function of the seed."""
    torch.manual_seed(config.seed)
    if config.model == "latent":
        return _latent(config)
    if "mnist" in config.data:
        return _convolutional(config)
    images = config.data == "digits"
    dim, latent = (64, 16) if images else (2, 2)
    if config.model == "vae":
        return VAE(dim, latent, config.width)
    if config.model == "hvae":
        return HVAE(levels=3 if images else 5, dim=dim, latent=latent, width=config.width)
    schedule = config.noise_schedule()
    labels = datasets.DATA_SETS[config.data].labels if config.labels else 0
    return _with_noise(config, DDPM(EpsNet(dim, schedule, width=config.width, labels=labels), schedule, dim))


def _with_noise(config: Config, model: DDPM) -> DDPM:
    """The model, its noise to be learned if the configuration says so."""
    return learned_noise.learned(model) if config.schedule == "learned" else model


def _latent(config: Config) -> LatentDDPM:
    """A VAE and a DDPM of its latents, an MLP: on MNIST with sixteen features for each channel of the VAE."""
    vae, schedule = cast(VAE, build(config.first_stage())), config.noise_schedule()
    latent, width = len(vae.zero), config.width * (16 if config.data == "mnist" else 1)
    return LatentDDPM(vae, DDPM(EpsNet(latent, schedule, width=width), schedule, latent))


def _convolutional(config: Config) -> Model:
    """The models of 28 × 28 images."""
    if config.model in DIFFUSIONS:
        schedule = config.noise_schedule()
        labels = datasets.MNIST.labels if config.labels else 0
        net = UNet(784, schedule, config.width, mixing=config.mixing or 0, labels=labels)
        return _with_noise(config, ImageDDPM(net, schedule, 784))
    nets = {
        "encode": ConvGaussianNet,
        "step": ConvStepNet,
        "observe": ConvBernoulliNet if config.data == "mnist-binary" else ConvLogisticNet,
    }
    nets = {name: partial(net, mixing=config.mixing or 0) for name, net in nets.items()}
    if config.model == "vae":
        return VAE(784, 50, config.width, depth=1, encode=nets["encode"], observe=nets["observe"])
    return HVAE(3, 784, 4 * 49, config.width, depth=1, **nets)


def trainer_class(device: str, processes: Processes) -> type[Trainer]:
    """On one GPU a step is captured; on several, and on CPUs, Python starts it."""
    return CapturedTrainer if device.startswith("cuda") and processes.size == 1 else Trainer


def loss_of(config: Config) -> Loss:
    """What the run minimises."""
    if config.schedule == "learned":
        return LEARNED_LOSSES[config.loss or "simple"]
    if config.model == "latent":
        return of_codes(eps_loss())
    if config.loss:
        return (label_loss if config.labels else eps_loss)(*LOSSES[config.loss])
    if config.model == "flow":
        return flow_loss()
    loss = elbo_loss(config.kl_weight)
    return binarised(loss) if config.data == "mnist-binary" else loss


def trainer(config: Config, device: str = "cpu", processes: Processes = ALONE) -> Trainer[Model]:
    """The run's trainer at step 0."""
    model, data = build(config).to(device), datasets.load(config.data)
    points = (data.labelled_points if config.labels else data.train_points)(TRAIN_POINTS, config.seed).to(device)
    if config.schedule == "learned":
        learned_noise.noise_of(model).square.copy_(points.square().mean())
    convolutional = "mnist" in config.data and config.model != "latent"
    return trainer_class(device, processes)(
        model,
        loss_of(config),
        points,
        config.steps,
        batch=config.batch,
        peak_lr=2e-3 if convolutional or config.model == "latent" else 5e-3,
        seed=config.seed,
        shards=config.shards,
        processes=processes,
        precision=PRECISIONS[config.precision],
        make_optimisers=optimisers.muon if convolutional else optimisers.adam,
    )

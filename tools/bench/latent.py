"""python tools/bench/latent.py [roll|start|digits|mnist] [FOLDER]: what a prior that is learned afterwards is worth.

On the roll a VAE is trained, with a weight on the KL, and then three priors for its latent: N(0, I), a mixture of 50
Gaussians, and a diffusion model. Each row of latent_roll.csv has the bound above the exact entropy, the share of
samples off the roll, their energy distance over its floor, and the seconds of processor time that training took. In
latent_start.csv the diffusion of the published VAEs starts fresh, as a network that has learned two blobs or a
chessboard, and as notebook 04's. On the
digits the same in bits, with energy distances to test images over those of training images, the aggregate posterior of
training codes at test codes, and, in leaving.csv, what it costs in nats if the details of the images leave at t*. On
MNIST `train latent` beside `train ddpm`, both small and for the same seconds of processor time: latent_mnist.csv has
bits per dimension of test images, those of p(x|z) among them, nats gained over N(0, I), what the LeNet says of
samples, and how many seconds of processor time the training and 1,000 samples take. Rows are written as soon as they
are known; they are kept in diffusion_edu/pretrained/. About ten minutes of one core, and half an hour more for MNIST,
whose files are fetched.
"""

import csv
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

from diffusion_edu import pretrained, sampling
from diffusion_edu.bound import Chain, generate
from diffusion_edu.config import Config
from diffusion_edu.data import MNIST, Digits, SwissRoll
from diffusion_edu.ddpm import DDPM
from diffusion_edu.diffusion import L_term, q_marginal
from diffusion_edu.evaluate import compare_samples, energy_distance, gap, mean_and_error, report, score_chain
from diffusion_edu.gaussian import Gaussian
from diffusion_edu.images.quality import score_images
from diffusion_edu.latent import Prior, Stacked, aggregate, encoded, standardised
from diffusion_edu.nets import EpsNet, FixedStd
from diffusion_edu.oracles import Mixture
from diffusion_edu.scales import haar
from diffusion_edu.schedules import cosine
from diffusion_edu.training import Trainer, elbo_loss, eps_loss, fit_image_sigma2, fit_sigma2
from diffusion_edu.training.build import trainer
from diffusion_edu.training.latent import LatentDDPM, drawn, put_first_stage
from diffusion_edu.vae import VAE

FOLDER = Path(pretrained.__file__).parent
SEEDS, T = 3, 1000
# the encoder: the weight of the KL term, q's standard deviation (None: learned) and the gradient steps of the VAE
ENCODERS = {
    "weight 1": (1.0, None, 12_000),
    "weight 0.25": (0.25, None, 4000),
    "fixed std": (1.0, 0.01, 4000),
}
STEPS, FIRST_STEPS, POINTS, N = 6000, 2000, 100_000, 2000
PEAK, TOO_HIGH = 2e-3, 5e-3  # learning rates of the diffusion: at the second, that of notebook 04, some learn nothing


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fit(model, loss, data: Tensor, steps: int, seed: int, **settings):
    """The model after training, and the seconds of processor time."""
    start = time.process_time()
    trainer = Trainer(model, loss, data, steps, seed=seed, **settings)
    for _ in trainer.run(progress=False):
        pass
    return trainer.model.eval().requires_grad_(False), time.process_time() - start


def fresh(dim: int, seed: int) -> DDPM:
    torch.manual_seed(seed)
    return DDPM(EpsNet(dim, cosine(T)), cosine(T), dim)


def latent_ddpm(
    z: Tensor, seed: int, peak_lr: float = PEAK, start: DDPM | None = None, steps: int = STEPS
) -> tuple[DDPM, float]:
    model = start or fresh(z.shape[1], seed)
    model, seconds = fit(model, eps_loss(), z, steps, seed, peak_lr=peak_lr)
    fit_sigma2(model, z)
    return model, seconds


def blobs(n: int, seed: int) -> Tensor:
    """n points of two Gaussians far apart, of mean 0 and variance 1."""
    x = torch.randn(n, 2, generator=seeded(seed))
    x[:, 0] = 0.3 * x[:, 0] + (-1.0) ** torch.arange(n)
    return (x - x.mean(0)) / x.std(0)


def chessboard(n: int, seed: int) -> Tensor:
    """About n/2 points of the black squares of four by four, of mean 0 and variance 1."""
    u = 4 * torch.rand(n, 2, generator=seeded(seed))
    black = u[u.floor().sum(1) % 2 == 0]
    return (black - black.mean(0)) / black.std(0)


def mixture(z: Tensor, seed: int, components: int = 50) -> tuple[Mixture, float]:
    """A mixture with diagonal covariances, by EM."""
    start = time.process_time()
    found = GaussianMixture(components, covariance_type="diag", random_state=seed, max_iter=200).fit(z.numpy())
    return Mixture(found.weights_, found.means_, torch.from_numpy(found.covariances_)), time.process_time() - start


def train_vae(encoder: str, seed: int) -> tuple[VAE, float]:
    torch.manual_seed(seed)
    weight, std, steps = ENCODERS[encoder]
    model = VAE() if std is None else VAE(encode=partial(FixedStd, std=std))
    points = SwissRoll().sample(POINTS, seed=seed + 1).float()
    return fit(model, elbo_loss(weight), points, steps, seed, peak_lr=5e-3 if encoder == "weight 1" else 3e-3)


def judge(chain: Chain, n: int = N) -> dict[str, float]:
    """The bound above the entropy on n points, and what `compare_samples` says of 3,000 samples."""
    roll = SwissRoll()
    x = roll.sample_test(n)
    mean, se = gap(score_chain(x.float(), chain, seeded(0)), roll.log_prob(x))
    with torch.no_grad():
        found = compare_samples(generate(chain, 3000, seeded(1)), roll)
    return {"gap": mean, "gap_se": se, "off": found["share off"], "energy": found["energy distance"]}


def writer(file: Path, columns: list[str]) -> csv.DictWriter:
    f = open(file, "w", newline="", encoding="utf-8", buffering=1)
    out = csv.DictWriter(f, columns, lineterminator="\n")
    out.writeheader()
    return out


def roll(folder: Path) -> None:
    columns = ["seed", "encoder", "prior", "seconds", "gap", "gap_se", "off", "energy"]
    out = writer(folder / "latent_roll.csv", columns)
    for seed in range(SEEDS):
        points = SwissRoll().sample(POINTS, seed=seed + 1).float()
        for encoder in ENCODERS:
            vae, first = train_vae(encoder, seed)
            chain = standardised(vae, points[:20_000], seeded(2)) if encoder != "weight 1" else vae
            z = encoded(chain, points, seeded(3))
            law, second = mixture(z[:20_000], seed)
            fast, _ = latent_ddpm(z, seed, TOO_HIGH)
            model, third = latent_ddpm(z, seed)
            priors = {
                "N(0, I)": (chain, 0.0),
                "mixture": (Stacked(chain, Prior(law)), second),
                "diffusion, rate too high": (Stacked(chain, fast.chain()), third),
                "diffusion": (Stacked(chain, model.chain()), third),
            }
            for prior, (whole, more) in priors.items():
                row = {"seed": seed, "encoder": encoder, "prior": prior, "seconds": f"{first + more:.0f}"}
                out.writerow(row | {key: f"{value:.4f}" for key, value in judge(whole).items()})


def start(folder: Path) -> None:
    """The same diffusion of the latents of the published VAEs, from several starts, and once four times as long."""
    out = writer(folder / "latent_start.csv", ["seed", "prior", "seconds", "gap", "gap_se", "off", "energy"])
    for seed in range(SEEDS):
        vae, points = pretrained.roll_chain(1, seed), SwissRoll().sample(POINTS, seed=seed + 1).float()
        z = encoded(vae, points, seeded(3))
        law, quick = mixture(z[:20_000], seed)
        priors: dict[str, tuple[Chain, float]] = {"N(0, I)": (vae, 0.0), "mixture": (Stacked(vae, Prior(law)), quick)}
        known = pretrained.load("cosine").train().requires_grad_(True)
        first = {
            name: fit(fresh(2, seed), eps_loss(), data, FIRST_STEPS, seed, peak_lr=PEAK)[0].train().requires_grad_(True)
            for name, data in {"two blobs": blobs(POINTS, seed), "chessboard": chessboard(POINTS, seed)}.items()
        }
        starts = {
            "fresh network": (fresh(2, seed), STEPS),
            "fresh, four times as long": (fresh(2, seed), 4 * STEPS),
            "first two blobs": (first["two blobs"], STEPS),
            "first a chessboard": (first["chessboard"], STEPS),
            "network of 04": (known, STEPS),
        }
        for name, (network, steps) in starts.items():
            model, slow = latent_ddpm(z, seed, start=network, steps=steps)
            priors[name] = (Stacked(vae, model.chain()), slow)
        for prior, (chain, seconds) in priors.items():
            row = {"seed": seed, "prior": prior, "seconds": f"{seconds:.0f}"}
            out.writerow(row | {key: f"{value:.4f}" for key, value in judge(chain).items()})


# --- digits -------------------------------------------------------------------------------------------------------


def to_test(x: Tensor) -> float:
    """The energy distance of samples (1437, 64) from the test images over that of the training images."""
    data = Digits()
    train, test = data.sample(1437, 77).float(), data.sample_test(360, 78).float()
    return energy_distance(x, test) / energy_distance(train, test)


def test_images() -> Tensor:
    """The 360 test images, six times, each time with other noise: (2160, 64)."""
    return torch.cat([Digits().sample_test(360, 5 + k) for k in range(6)]).float()


def by_image(values: Tensor) -> tuple[float, float]:
    """The mean over (2160,) values of the 360 images, and its standard error over images."""
    return mean_and_error(values.double().reshape(6, 360).mean(0))


@torch.no_grad()
def bits(chain: Chain) -> tuple[float, float]:
    mean, se = by_image(-score_chain(test_images(), chain, seeded(0), block=720).elbo)
    data = Digits()
    return data.bits_per_dim(mean), data.bits_per_dim(mean + se) - data.bits_per_dim(mean)


def digits(folder: Path, seed: int = 0) -> None:
    data = Digits()
    points, test = data.sample(100_000, seed + 1).float(), test_images()
    out = writer(folder / "latent_digits.csv", ["quantity", "value", "se", "seconds"])

    def row(quantity: str, value: float, se: float = 0.0, seconds: float = 0.0) -> None:
        shown = {"value": f"{value:.4f}", "se": f"{se:.4f}", "seconds": f"{seconds:.0f}"}
        out.writerow({"quantity": quantity} | shown)

    torch.manual_seed(seed)
    vae, first = fit(VAE(64, 8), elbo_loss(), points, 8000, seed, batch=256, peak_lr=2e-3)
    row("bits, VAE", *bits(vae), first)
    with torch.no_grad():
        row("samples, VAE", to_test(generate(vae, 1437, seeded(1))))
        codes = aggregate(vae, data.sample(1437, 3).float())
        row("samples, aggregate", to_test(vae.p(0, codes.sample(1437, 3).float()).sample(seeded(4))))
        for name, x in {"training": data.sample(2160, 4).float(), "test": test}.items():
            z = encoded(vae, x, seeded(5))
            row(f"aggregate, {name} codes", *mean_and_error(codes.log_prob(z.double()) - vae.prior().log_prob(z)))
    z = encoded(vae, points, seeded(2))
    model, second = latent_ddpm(z, seed)
    whole = Stacked(vae, model.chain())
    row("bits, VAE and diffusion", *bits(whole), first + second)
    b, plain = (score_chain(test, c, seeded(0), block=720).elbo for c in (whole, vae))
    row("nats gained by diffusion, test", *by_image(b - plain))
    train = data.sample(2160, 4).float()
    b, plain = (score_chain(train, c, seeded(0), block=720).elbo for c in (whole, vae))
    row("nats gained by diffusion, training", *mean_and_error((b - plain).double()))
    with torch.no_grad():
        row("samples, VAE and diffusion", to_test(generate(whole, 1437, seeded(1))))
    leaving(folder, points, test, seed, row)


def ddpm_of(y: Tensor, width: int, seed: int) -> tuple[DDPM, float]:
    torch.manual_seed(seed)
    schedule, dim = cosine(T), y.shape[1]
    model = DDPM(EpsNet(dim, schedule, width=width), schedule, dim)
    model, seconds = fit(model, eps_loss(), y, 8000, seed, batch=256, peak_lr=2e-3)
    fit_sigma2(model, y)
    return model, seconds


@torch.no_grad()
def terms(model: DDPM, y: Tensor, parts: list[slice]) -> Tensor:
    """L₀ … L_{T−1} and, of each part of the coordinates alone, its share, (parts, T, n), one noise for each t."""
    chain, noise, rows = model.chain(), seeded(6), []
    for t in range(1, T + 1):
        yt = q_marginal(model.schedule, t, y).sample(noise)
        p = chain.p(t - 1, yt)
        rows.append(torch.stack([_share(model, t, y[:, s], yt[:, s], p, s) for s in parts]))
    return torch.stack(rows, 1)


def _share(model: DDPM, t: int, y: Tensor, yt: Tensor, p, s: slice) -> Tensor:
    return L_term(model.schedule, t, y, yt, Gaussian(p.mean[:, s], p.var.expand(p.mean.shape)[:, s])).double()


def leaving(folder: Path, points: Tensor, test: Tensor, seed: int, row) -> None:
    """What it costs if the 48 details leave at t*: their mean KL from N(0, I) there, less their own terms above, plus
    what the coarse image's terms above grow, as its network no longer sees the details."""
    W = haar(8)[0].float()
    y, y_test = points @ W.T, test @ W.T
    full, first = ddpm_of(y, 192, seed)
    few, second = ddpm_of(y[:, :16].contiguous(), 128, seed)
    details, coarse = terms(full, y_test, [slice(16, 64), slice(0, 16)])
    (alone,) = terms(few, y_test[:, :16].contiguous(), [slice(0, 16)])
    schedule = full.schedule
    end = schedule.L_T(y_test)
    data = Digits()
    mean, se = by_image(details.sum(0) + coarse.sum(0) + end)
    row("bits, DDPM", data.bits_per_dim(mean), data.bits_per_dim(mean + se) - data.bits_per_dim(mean), first)
    row("samples, DDPM", to_test(generate(full.chain(), 1437, seeded(1)) @ W))
    bar, square = schedule.alpha_bar, y_test[:, 16:].double().square().sum(1)
    columns = ["t_star", "log_snr", "leave", "terms_above", "coarse_more", "cost", "cost_se"]
    out = writer(folder / "leaving.csv", columns)
    for t in range(100, T, 20):
        leave = 0.5 * (bar[t] * square - 48 * bar[t] - 48 * (1 - bar[t]).log())
        above = details[t:].sum(0) + 0.5 * (bar[-1] * square - 48 * bar[-1] - 48 * (1 - bar[-1]).log())
        more = alone[t:].sum(0) - coarse[t:].sum(0)
        cost, se = by_image(leave - above + more)
        values = [schedule.log_snr[t].item(), *(by_image(v)[0] for v in (leave, above, more)), cost, se]
        out.writerow({"t_star": t} | dict(zip(columns[1:], (f"{v:.4f}" for v in values), strict=True)))
    row("seconds of the small network", second, 0.0, second)


# --- MNIST --------------------------------------------------------------------------------------------------------


SIZE = {"width": 16, "batch": 64}  # of all networks; the steps below take about the same seconds
PIXELS, STAGES = {"steps": 2600}, {"vae_steps": 2600, "steps": 18_000}
WEIGHTS, MNIST_SEEDS, IMAGES, SAMPLES = (1.0, 0.25), 2, 2000, 2000


def timed(t: Trainer):
    """The averaged model at the end of its training, and the seconds of processor time."""
    start = time.process_time()
    for _ in t.run(progress=False):
        pass
    return t.ema.eval().requires_grad_(False), time.process_time() - start


def two_stages(weight: float, seed: int) -> tuple[LatentDDPM, Tensor, float, float]:
    """What `train latent` makes on MNIST, the codes of the training images, and the seconds of each stage."""
    config = Config("latent", "mnist", seed=seed, kl_weight=weight, **SIZE, **STAGES)
    vae, first = timed(trainer(config.first_stage()))
    second = trainer(config)
    put_first_stage(second, vae)
    second.data = codes = second.model.codes(second.data)
    model, more = timed(second)
    fit_sigma2(model.ddpm, drawn(codes, seeded(seed)), seed=seed)
    return model, codes, first, more


def judged(draw: Callable[[int, torch.Generator], Tensor], seed: int) -> dict[str, str]:
    """What the LeNet says of samples, and the seconds that 1,000 take."""
    start = time.process_time()
    with torch.no_grad():
        x = torch.cat([draw(500, seeded(seed * 100 + k)) for k in range(SAMPLES // 500)])
    seconds, found = (time.process_time() - start) * 1000 / SAMPLES, score_images(x.clamp(-1, 1))
    return {"frechet": f"{found.frechet_ratio:.2f}", "coverage": f"{found.coverage:.3f}", "draw": f"{seconds:.1f}"}


def in_bits(**nats: float) -> dict[str, str]:
    return {name: f"{MNIST.bits_per_dim(value):.4f}" for name, value in nats.items()}


def pixels(seed: int) -> dict:
    """The row of `train ddpm`."""
    model, seconds = timed(trainer(Config("ddpm", "mnist", seed=seed, **SIZE, **PIXELS)))
    fit_image_sigma2(model, MNIST().train_points(0, 0), seed=seed)
    found = report(model.chain(), MNIST(), 9000)
    row = {"seed": seed, "model": "ddpm", "seconds": f"{seconds:.0f}"}
    in_50 = partial(sampling.draw, model, sampler="ancestral-2m", steps=50)
    return row | in_bits(bits=found["neg_elbo"], bits_se=found["neg_elbo_se"]) | judged(in_50, seed)


def latents(weight: float, seed: int) -> Iterator[dict]:
    """The rows of `train latent`: its VAE with three priors, and with codes of training images in the place of one."""
    model, codes, first, more = two_stages(weight, seed)
    law, quick = mixture(drawn(codes, seeded(seed))[:20_000], seed)
    below, x, alone = model.below(), MNIST().sample_test(IMAGES, 5), None
    mix = Prior(law)
    priors = {  # the chain, how z is drawn, the seconds
        "N(0, I)": (below, lambda n, g: below.prior().sample(g, (n,)), first),
        "mixture": (Stacked(below, mix), partial(generate, mix), first + quick),
        "diffusion": (model.chain(), model.ddpm.generate, first + more),
        "training codes": (None, lambda n, g: drawn(codes[torch.randint(len(codes), (n,), generator=g)], g), first),
    }
    for prior, (chain, draw, seconds) in priors.items():
        row = {"seed": seed, "model": f"vae, weight {weight:g}", "prior": prior, "seconds": f"{seconds:.0f}"}
        if chain is not None:
            b = score_chain(x, chain, seeded(0), block=1000)
            (nats, nats_se), elbo = mean_and_error(-b.elbo.double()), b.elbo.double()
            alone = elbo if alone is None else alone
            gain, error = mean_and_error(elbo - alone)
            row |= in_bits(bits=nats, bits_se=nats_se, decoder=-b.reconstruction.mean().item())
            row |= {"gain": f"{gain:.2f}", "gain_se": f"{error:.2f}"}
        yield row | judged(lambda n, g, draw=draw: below.p(0, draw(n, g)).mean, seed)


def mnist(folder: Path) -> None:
    bits, samples = ["bits", "bits_se", "decoder", "gain", "gain_se"], ["frechet", "coverage", "draw"]
    out = writer(folder / "latent_mnist.csv", ["seed", "model", "prior", "seconds", *bits, *samples])
    for seed in range(MNIST_SEEDS):
        out.writerow(pixels(seed))
        for weight in WEIGHTS:
            out.writerows(latents(weight, seed))


PARTS = {"roll": roll, "start": start, "digits": digits, "mnist": mnist}

if __name__ == "__main__":
    torch.set_num_threads(1)
    chosen = [name for name in PARTS if name in sys.argv[1:]] or list(PARTS)
    folder = next((Path(a) for a in sys.argv[1:] if a not in PARTS), FOLDER)
    for name in chosen:
        PARTS[name](folder)

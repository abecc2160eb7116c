"""Measures what docs/measured.md states.

python tools/bench/library.py [--only models|cards|speed|precision|notebooks] [--quick]

Trains each model for a fixed number of steps, chosen to take about a minute on two CPU cores, and reports
the seconds it took beside what it reached. Writes tools/bench/results.json, and puts the table
between the page's bench markers; with --only it keeps the other rows as they were. --quick takes a
hundredth of the steps and writes nothing: a smoke test.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch

from diffusion_edu import evaluate, pretrained, samplers
from diffusion_edu.config import Config
from diffusion_edu.data import SwissRoll
from diffusion_edu.ddpm import DDPM
from diffusion_edu.diffusion import ForwardProcess
from diffusion_edu.gaussian import randn
from diffusion_edu.hvae import HVAE
from diffusion_edu.images.convnets import UNet
from diffusion_edu.likelihood import exact_flow, log_prob_ode
from diffusion_edu.nets import EpsNet
from diffusion_edu.oracles import exact_denoiser
from diffusion_edu.schedules import cosine
from diffusion_edu.training import Trainer, binarised, build, elbo_loss, eps_loss, fit_sigma2, muon
from diffusion_edu.vae import VAE

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "tools" / "bench" / "results.json"
EVALUATION_POINTS = 20_000
ROLL = SwissRoll()
SCORES = {"neg_elbo": "−ELBO, nats", "iw_nll": "−log P with K = {}, nats", "bits_per_dim": "bits per pixel, at most"}
NBVAL = {"05": 60, "08": 75, "09": 100}  # aims, seconds
PARTS = ("models", "cards", "speed", "precision", "notebooks")
STEPS = {"VAE, latent 2": 16_000, "HVAE, 3 levels": 5_500, "DDPM, 60 s": 16_000, "DDPM, 120 s": 32_000}


def trained(model, loss, steps: int, seed: int) -> tuple[torch.nn.Module, float]:
    """The model after `steps`, and the seconds that took (for a DDPM, those of fitting σ² too)."""
    data = ROLL.sample(200_000, seed=seed + 1).float()
    start = time.perf_counter()
    trainer = Trainer(model, loss, data, steps, seed=seed)
    for _ in trainer.run(progress=sys.stderr.isatty()):
        pass
    if isinstance(model, DDPM):
        fit_sigma2(model, data)
    return model, time.perf_counter() - start


def gap(chain, n: int = EVALUATION_POINTS) -> tuple[float, float]:
    """−ELBO − H of a chain and its standard error, by paired differences on n fresh points."""
    x = ROLL.sample(n, seed=4_000_000)
    b = evaluate.score_chain(x.to(chain.prior().mean), chain, torch.Generator().manual_seed(7))
    return evaluate.gap(b, ROLL.log_prob(x))


def bench_vaes(shorten: int, seed: int) -> list[dict]:
    rows = []
    for name, make, aim in (("VAE, latent 2", VAE, 0.40), ("HVAE, 3 levels", lambda: HVAE(3), 0.25)):
        torch.manual_seed(seed)
        steps = STEPS[name] // shorten
        model, seconds = trained(make(), elbo_loss(), steps, seed)
        value, error = gap(model)
        what = f"{name}: −ELBO − H after {steps:,} steps, nats"
        rows.append({"what": what, "aim": f"≤ {aim}", "value": value, "error": error, "seconds": seconds})
    return rows


def new_ddpm(seed: int) -> DDPM:
    torch.manual_seed(seed)
    schedule = cosine(1000)
    return DDPM(EpsNet(2, schedule), schedule, 2)


def bench_ddpm(shorten: int, seed: int) -> tuple[list[dict], DDPM]:
    rows, models = [], {}
    for name, aim in (("DDPM, 60 s", 0.02), ("DDPM, 120 s", 0.012)):
        steps = STEPS[name] // shorten
        models[name], seconds = trained(new_ddpm(seed), eps_loss(), steps, seed)
        for sigma, sigma2 in (("optimal σ", None), ("σ² = β", models[name].schedule.beta)):
            value, error = gap(models[name].chain(sigma2), EVALUATION_POINTS // (1 if sigma2 is None else 4))
            what = f"DDPM, T = 1000, {sigma}: −ELBO − H after {steps:,} steps, nats"
            aimed = f"≤ {aim}" if sigma2 is None else ""
            rows.append({"what": what, "aim": aimed, "value": value, "error": error, "seconds": seconds})
    return rows, models["DDPM, 60 s"]


def bench_exact() -> list[dict]:
    schedule = cosine(1000)
    model = new_ddpm(0)
    model.x0_hat = exact_denoiser(ROLL, schedule.alpha_bar)
    fit_sigma2(model, ROLL.sample(2000, seed=1))
    x = ROLL.sample(2000, seed=4_000_001)
    chain = ForwardProcess(schedule, model.x0_hat, model.variance)
    value, error = evaluate.gap(evaluate.score_chain(x, chain, torch.Generator().manual_seed(7)), ROLL.log_prob(x))
    return [{"what": "the exact denoiser, no network: −ELBO − H, nats", "aim": "", "value": value, "error": error}]


def bench_likelihood(repeats: int = 5) -> list[dict]:
    """The probability flow's exact log p against the truth, and how long a thousand points take one core."""
    x, seconds, rtol = ROLL.sample(1000, seed=4_000_003), [], 5e-6
    for _ in range(repeats):
        start = time.process_time()
        found = log_prob_ode(exact_flow(ROLL), x, clean=13.0, noise=-8.0, rtol=rtol)
        seconds.append(time.process_time() - start)
    error = found.log_p - ROLL.log_prob(x)
    what = f"exact log p by the ODE, rtol {rtol:g}, {found.calls} calls, 1,000 points"
    rows = {"mean error, nats": ("1e-4", error.mean().abs().item())}
    rows |= {"root mean square error, nats": ("1e-3", error.square().mean().sqrt().item())}
    rows |= {"seconds of a core, median": ("1", statistics.median(seconds))}
    return [{"what": f"{what}: {name}", "aim": f"≤ {aim}", "value": value} for name, (aim, value) in rows.items()]


def bench_samples(model: DDPM, n: int, steps: int = 200, sets: int = 3) -> list[dict]:
    """Sample quality over `sets` independent sets of n, each against its own true set."""
    seen = []
    for k in range(sets):
        generator = torch.Generator().manual_seed(100 + k)
        x = samplers.sample(
            model.x0_hat, model.schedule, randn((n, 2), generator, torch.zeros(1)), steps=steps, generator=generator
        )
        seen.append(evaluate.compare_samples(x, ROLL, seed=30_000 + k))
    rows = []
    aims = {"energy distance": "≤ 1.3", "MMD²": "≤ 1.2", "sliced W₂": "", "mean log p": "", "share off": "≤ 0.006"}
    for name, aim in aims.items():
        values = [s[name] for s in seen]
        unit = " / noise floor" if name in evaluate.METRICS else ""
        what = f"{n:,} DDPM samples, {steps} steps: {name}{unit}"
        mean, spread = statistics.mean(values), statistics.stdev(values)
        rows.append({"what": what, "aim": aim, "value": mean, "error": spread, "spread of": sets})
    return rows


def bench_sampling_time(model: DDPM, repeats: int = 7) -> list[dict]:
    x_T = torch.randn(10_000, 2, generator=torch.Generator().manual_seed(0))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        samplers.sample(model.x0_hat, model.schedule, x_T, steps=100, generator=torch.Generator().manual_seed(1))
        times.append(time.perf_counter() - start)
    what = "ancestral sampling of 10,000 points, 100 steps, s (median)"
    spread = (max(times) - min(times)) / 2
    return [{"what": what, "aim": "≤ 1.5", "value": statistics.median(times), "error": spread, "spread of": repeats}]


HEADLINES = (
    "DDPM, T = 1000, optimal σ: −ELBO − H after 16,000",
    "VAE, latent 2",
    "HVAE, 3 levels",
    "10,000 DDPM samples, 200 steps: energy",
    "mnist-ddpm: bits",
    "mnist-binary-hvae: −log P",
    "mnist-ddpm-min-snr, 10,000 samples by ancestral-2m-200",
)


def from_the_cards() -> list[dict]:
    """What the published models of MNIST reached on 10,000 test images and 10,000 samples, as their cards say."""
    rows = []
    for name, score, aim in (
        ("mnist-binary-vae", "neg_elbo", ""),
        ("mnist-binary-vae", "iw_nll", "≤ 85.5"),
        ("mnist-binary-hvae", "neg_elbo", "≤ 82.0"),
        ("mnist-binary-hvae", "iw_nll", "≤ 79.3"),
        ("mnist-vae", "bits_per_dim", ""),
        ("mnist-hvae", "bits_per_dim", ""),
        ("mnist-ddpm", "bits_per_dim", "≤ 0.92"),
        ("mnist-ddpm-min-snr", "bits_per_dim", ""),
        ("mnist-ddpm-local", "bits_per_dim", ""),
        ("mnist-ddpm-global", "bits_per_dim", ""),
    ):
        card = pretrained.card(name)
        what = f"{name}: {SCORES[score].format(card['test'].get('K'))}"
        error = {"error": card["test"][f"{score}_se"]} if f"{score}_se" in card["test"] else {}
        rows.append({"what": what, "aim": aim, "value": card["test"][score], "seconds": card["seconds"], **error})
    for name in (name for name in pretrained.GREY if "ddpm" in name):
        best = name == "mnist-ddpm-min-snr"
        for way, found in pretrained.card(name)["scores"].items():
            model = f"{name}, 10,000 samples by {way}"
            aims = ("≤ 1.25", "≥ 0.945") if best else ("", "")
            rows.append({"what": f"{model}: Fréchet distance / floor", "aim": aims[0], "value": found["frechet_ratio"]})
            rows.append({"what": f"{model}: coverage", "aim": aims[1], "value": found["coverage"]})
    return rows


def latent_on_mnist() -> list[dict]:
    """What two stages reach on MNIST beside small DDPMs of the pixels that were trained as long, as the table of
    tools/bench/latent.py says; ± is half the range of two seeds."""
    rows, table = [], pretrained.table("latent_mnist")
    for model, prior, name in (
        ("ddpm", "", "MNIST, small DDPM"),
        ("vae, weight 1", "N(0, I)", "MNIST, small VAE"),
        ("vae, weight 1", "diffusion", "MNIST, the same VAE and a diffusion of its latents"),
        ("vae, weight 0.25", "diffusion", "MNIST, the same with KL weight 0.25"),
    ):
        found = [row for row in table if (row["model"], row["prior"]) == (model, prior)]
        seconds = statistics.mean(float(row["seconds"]) for row in found)
        for column, what in (
            ("bits", "bits per pixel, at most"),
            ("frechet", "2,000 samples: Fréchet distance / floor"),
        ):
            values = [float(row[column]) for row in found]
            error = (max(values) - min(values)) / 2
            value = {"value": statistics.mean(values), "error": error, "seconds": seconds}
            rows.append({"what": f"{name}: {what}", "aim": "", **value})
    return rows


def peers(width: int) -> dict[str, torch.nn.Module]:
    """Our U-Net of a width, without its mixing layer, and, if it is installed, diffusers' with about as many
    parameters: both take images of 28 × 28 pixels and a t for each."""
    nets = {"the course's UNet": UNet(784, cosine(1000), width, mixing=0)}
    try:
        from diffusers import UNet2DModel
    except ImportError:
        print("diffusers is not installed: pip install -e '.[peers]'", file=sys.stderr)
        return nets
    nets["diffusers' UNet2DModel"] = UNet2DModel(
        sample_size=28,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(width, width),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
    )
    return nets


def training_step(net: torch.nn.Module, optimiser: torch.optim.Optimizer, batch: int) -> float:
    """Seconds of one gradient step on a batch of noise."""
    device = next(net.parameters()).device
    x, t = torch.randn(batch, 784, device=device), torch.randint(1, 1001, (batch,), device=device)
    start = time.perf_counter()
    out = net(x, t) if isinstance(net, UNet) else net(x.reshape(-1, 1, 28, 28), t).sample
    optimiser.zero_grad()
    (out.flatten(1) - x).square().mean().backward()
    optimiser.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def bench_training_speed(repeats: int = 9, batch: int = 128) -> list[dict]:
    """Images per second of training in float32, the nets taking turns; medians, and the ratio."""
    rows, device = [], "cuda" if torch.cuda.is_available() else "cpu"
    for width in (32, 64):
        nets = {name: net.to(device) for name, net in peers(width).items()}
        optimisers = {name: torch.optim.Adam(net.parameters(), 1e-3, fused=True) for name, net in nets.items()}
        times = {name: [] for name in nets}
        for _ in range(repeats + 1):
            for name, net in nets.items():
                times[name].append(training_step(net, optimisers[name], batch))
        speed = {name: batch / statistics.median(seconds[1:]) for name, seconds in times.items()}
        for name, net in nets.items():
            parameters = sum(p.numel() for p in net.parameters()) / 1e6
            what = f"training, {name} of {parameters:.2f} M parameters, images/s on {device} (median)"
            rows.append({"what": what, "aim": "", "value": speed[name]})
        if len(nets) == 2:
            ours, theirs = speed.values()
            rows.append({"what": f"ratio of the two at width {width}", "aim": "≥ 1.5", "value": ours / theirs})
    return rows


def bench_precision(repeats: int = 21) -> list[dict]:
    """Seconds of a whole training step of the models of MNIST, on noise, in bfloat16 over those in float32, the two
    taking turns; the ratio of the medians, on one thread."""
    rows, threads, device = [], torch.get_num_threads(), "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    for name, points, loss in (
        ("hvae", torch.rand(2000, 784), binarised(elbo_loss())),
        ("ddpm", torch.randint(256, (2000, 784)) / 127.5 - 1, eps_loss()),
    ):
        config = Config(name, "mnist-binary" if name == "hvae" else "mnist")
        settings = {"steps": repeats + 1, "batch": config.batch, "peak_lr": 1e-4, "make_optimisers": muon}
        trainers = {
            key: Trainer(build.build(config).to(device), loss, points.to(device), precision=precision, **settings)
            for key, precision in build.PRECISIONS.items()
        }
        times = {key: [] for key in trainers}
        for _ in range(repeats + 1):
            for key, trainer in trainers.items():
                start = time.perf_counter()
                trainer.one_step()["loss"].item()  # on CUDA this waits for the step
                times[key].append(time.perf_counter() - start)
        medians = {key: statistics.median(seconds[1:]) for key, seconds in times.items()}
        what = f"a training step of the {name} of {config.data}, bfloat16 over float32, {device} (ratio of medians)"
        rows.append({"what": what, "aim": "", "value": medians["bfloat16"] / medians["float32"]})
    torch.set_num_threads(threads)
    return rows


def bench_notebooks() -> list[dict]:
    """Seconds of `pytest --nbval` for each notebook and for the five of the course's first part."""
    rows = []
    for path in sorted((ROOT / "notebooks").glob("[0-9]*_*.ipynb")):
        command = f"-m pytest --nbval --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg {path}"
        start = time.perf_counter()
        code = subprocess.run([sys.executable, *command.split()], cwd=ROOT, stdout=subprocess.DEVNULL).returncode
        state = "" if code == 0 else " (FAILED)"
        seconds = time.perf_counter() - start
        aim = f"≤ {NBVAL.get(path.stem[:2], 90 if path.stem > '06' else 150)}"
        rows.append({"what": f"nbval {path.stem}, s{state}", "aim": aim, "value": seconds})
    total = sum(row["value"] for row in rows[:5])
    return [*rows, {"what": "nbval, notebooks 00–04, s", "aim": "≤ 360", "value": total}]


def table(rows: list[dict]) -> str:
    lines = ["| what | aim | measured | training, s |", "| --- | --- | --- | --- |"]
    for row in rows:
        value = f"{row['value']:.4g}" if row["value"] >= 100 else f"{row['value']:.3g}"
        error = f" ± {row['error']:.2g}" if "error" in row else ""
        seconds = f"{row['seconds']:.0f}" if "seconds" in row else ""
        lines.append(f"| {row['what']} | {row['aim']} | {value}{error} | {seconds} |")
    return "\n".join(lines)


def machine() -> dict[str, str | int]:
    packages = {name: version(name) for name in ("torch", "numpy", "scikit-learn")}
    return {
        "python": platform.python_version(),
        **packages,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def models_part(quick: bool, seed: int) -> list[dict]:
    shorten, n = (100, 1000) if quick else (1, 10_000)
    rows = bench_vaes(shorten, seed)
    ddpm_rows, model = bench_ddpm(shorten, seed)
    return rows + ddpm_rows + bench_exact() + bench_likelihood() + bench_samples(model, n) + bench_sampling_time(model)


def write(parts: dict[str, list[dict]], about: dict) -> None:
    """tools/bench/results.json, the table of docs/measured.md and that of the README, parts not measured now kept."""
    kept = json.loads(RESULTS.read_text())["parts"] if RESULTS.exists() else {}
    parts = {name: parts.get(name) or kept.get(name, []) for name in PARTS}
    RESULTS.write_text(json.dumps({"machine": about, "parts": parts}, indent=2, ensure_ascii=False) + "\n")
    note = ", ".join(f"{name} {value}" for name, value in about.items())
    rows = [row for rows in parts.values() for row in rows]
    replace(ROOT / "docs" / "measured.md", "bench", f"{table(rows)}\n\nMeasured on a shared machine: {note}.\n")
    replace(ROOT / "README.md", "headline", headline(rows))


def replace(page: Path, name: str, text: str) -> None:
    """Puts the text between the two marks of this name on a page."""
    old, block = page.read_text(encoding="utf-8"), f"<!-- {name} -->\n{text}<!-- /{name} -->"
    page.write_text(re.sub(rf"<!-- {name} -->.*<!-- /{name} -->", lambda _: block, old, flags=re.S), encoding="utf-8")


def headline(rows: list[dict]) -> str:
    """The README's table: a few rows, those that miss their aim marked."""
    lines = ["| what | aim | measured |", "| --- | --- | --- |"]
    for row in (row for start in HEADLINES for row in rows if row["what"].startswith(start)):
        aim, value = row["aim"], row["value"]
        missed = aim and (value > float(aim[2:]) if aim.startswith("≤") else value < float(aim[2:]))
        error = f" ± {row['error']:.1g}" if "error" in row else ""
        lines.append(f"| {row['what']} | {aim} | {value:.3g}{error}{', **missed**' if missed else ''} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    parts = {}
    if args.only in (None, "models"):
        parts["models"] = models_part(args.quick, args.seed)
    if args.only in (None, "cards"):
        parts["cards"] = from_the_cards() + latent_on_mnist()
    if args.only in (None, "speed"):
        parts["speed"] = bench_training_speed(repeats=1 if args.quick else 9)
    if args.only in (None, "precision"):
        parts["precision"] = bench_precision(repeats=1 if args.quick else 21)
    if args.only in (None, "notebooks") and not args.quick:
        parts["notebooks"] = bench_notebooks()
    print(table([row for rows in parts.values() for row in rows]), json.dumps(machine()), sep="\n\n")
    if not args.quick:
        write(parts, machine())


if __name__ == "__main__":
    main()

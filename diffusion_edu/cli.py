"""The command line: diffusion-edu train | sample | evaluate | film. Torch is imported only when work begins."""

import argparse
import io
import os
import sys
from pathlib import Path

from .config import DATA, DIFFUSIONS, MODELS, MOST, Config, flag, options

THE_SAMPLERS = "how the chain is run backwards, see docs/cli.md; default ancestral"


MEMORY_ENDS = ("out of memory", "allocate memory", "not enough memory")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        """One line, exit code 2; of several processes only the first prints it."""
        self.exit(2, f"{self.prog}: {message}\n" if os.environ.get("RANK", "0") == "0" else None)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32 - 1:
        raise argparse.ArgumentTypeError(f"a seed is an integer in 0 … {2**32 - 2}, got {text}")
    return int(text)


def _int(text: str) -> int:
    if abs(int(text)) > MOST:
        raise argparse.ArgumentTypeError(f"must be at most {MOST:,}, got {text}")
    return int(text)


_int.__name__ = "int"  # as argparse names it in «invalid int value»


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="diffusion-edu", description="Train, sample, score and film the course's models.")
    sub = parser.add_subparsers(dest="command", required=True)

    train = sub.add_parser("train", help="train a model into a directory")
    _train_options(train)

    sample = sub.add_parser("sample", help="draw samples from a trained model")
    _sample_options(sample)

    evaluate = sub.add_parser("evaluate", help="the bound's terms on fresh data, in nats")
    evaluate.add_argument("dir", type=Path, metavar="DIR", help="the directory of a run")
    evaluate.add_argument("--json", action="store_true", help="print JSON")
    evaluate.add_argument("--n", type=_int, default=10_000, help="number of fresh data points")
    evaluate.add_argument("--seed", type=_seed, default=1_000_000)
    evaluate.add_argument("--ode", action="store_true", help="ddpm, flow: −log p by the ODE too; takes longer")
    evaluate.add_argument("--K", type=_int, default=0, help="images, vae and hvae: importance samples for −log P")
    evaluate.add_argument("--samples", type=_int, default=0, metavar="N", help="mnist: score N samples, 100 to 10,000")
    evaluate.add_argument("--sampler", help=f"ddpm, with --samples: {THE_SAMPLERS}")
    evaluate.add_argument("--sample-steps", type=_int, metavar="S", help="ddpm, with --samples: its steps; default 50")

    film = sub.add_parser("film", help="film a ddpm's process, from noise to data or back")
    _film_options(film)
    for command in (train, sample, evaluate, film):
        command.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    return parser


def _train_options(train: argparse.ArgumentParser) -> None:
    train.add_argument("model", metavar="MODEL", help=", ".join(MODELS))
    train.add_argument("--data", required=True, help=", ".join(DATA))
    train.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new directory for the run")
    for option in options():
        kind, name = option.metadata["kind"], option.name
        text = option.metadata["help"]
        if kind is bool:
            train.add_argument(flag(name), dest=name, action="store_true", default=None, help=text)
            continue
        train.add_argument(
            flag(name), dest=name, type=_int if kind is int else kind, metavar=kind.__name__.upper(), help=text
        )
    train.add_argument(
        "--grid-every", type=_int, metavar="N", help="images: draw samples every N steps; default ten times, 0 never"
    )
    train.add_argument("--tensorboard", action="store_true", help="log to DIR/tensorboard too")
    train.add_argument("--resume", action="store_true", help="go on with the run in DIR")


def _sample_options(sample: argparse.ArgumentParser) -> None:
    sample.add_argument("dir", type=Path, metavar="DIR", help="the directory of a run")
    sample.add_argument("--n", type=_int, required=True, help="number of samples")
    sample.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help=".npy: float32 (n, 2), or images (n, height, width); .png: a picture of the images",
    )
    sample.add_argument("--seed", type=_seed, default=0)
    sample.add_argument("--sampler", help=f"ddpm: {THE_SAMPLERS}")
    sample.add_argument("--sample-steps", type=_int, metavar="S", help="ddpm: steps of the reverse process")
    sample.add_argument("--label", type=_int, metavar="K", help="ddpm trained with --labels: samples of one label")
    sample.add_argument("--guidance", type=float, metavar="W", help="with --label: weight, 1 is p(x|label); default 1")
    sample.add_argument("--known", type=Path, metavar="FILE", help="ddpm: .npy of one point, NaN where it is drawn")
    sample.add_argument("--method", help="with --known: replacement, repaint (default), reconstruction or particles")


def _film_options(film: argparse.ArgumentParser) -> None:
    film.add_argument("dir", type=Path, metavar="DIR", help="the directory of a run")
    film.add_argument("--out", type=Path, required=True, metavar="FILE", help=".mp4, .webm or .gif")
    film.add_argument("--forward", action="store_true", help="from data to noise")
    film.add_argument("--n", type=_int, help="number of points; default 500, of images 36")
    film.add_argument("--frames", type=_int, default=80, help="default 80")
    film.add_argument("--seed", type=_seed, default=0)
    film.add_argument("--sampler", help=THE_SAMPLERS)
    film.add_argument("--sample-steps", type=_int, metavar="S", help="steps of the reverse process")
    film.add_argument("--kib", type=_int, default=290, help="what the file may take at most; default 290")


def _device(name: str) -> str:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: no CUDA device was found")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def _train(args: argparse.Namespace) -> None:
    from .training import parallel, runs

    processes = parallel.from_environment()
    with parallel.connected(processes, _device(args.device)) as device:
        processes.on_rank_zero(lambda: _prepare(args, device, processes.size))
        settings = {"grid_every": args.grid_every, "tensorboard": args.tensorboard}
        runs.run(args.out, device, processes=processes, **settings)


def _prepare(args: argparse.Namespace, device: str, processes: int) -> None:
    """Makes the directory of a new run, or sees that the one to be resumed is what was asked for."""
    from .training import logs, runs
    from .training.parallel import Processes

    if args.tensorboard:
        logs.check_tensorboard()
    given = {o.name: value for o in options() if (value := getattr(args, o.name)) is not None}
    if args.resume:
        asked = runs.read_config(args.out)
        for name, value in {"model": args.model, "data": args.data, **given}.items():
            if value != (stored := getattr(asked, name)):
                hint = "; to train a finished run further, start a new one with --start" if name == "steps" else ""
                raise ValueError(f"{args.out} was started with {name} {stored}, cannot resume it with {value}{hint}")
    else:
        default = {"shards": processes, "precision": "float32" if device == "cpu" else "bfloat16"}
        asked = Config(args.model, args.data, **default | given)
    Processes(size=processes).share(asked.shards)
    runs.draw_every(asked, args.grid_every)
    if not args.resume:
        runs.create(args.out, asked, _start(args.start))


def _start(name: str | None):
    """The trained model that a run goes on from: that in a run's directory, or the published one of that name."""
    from . import pretrained
    from .training import runs

    if name is None:
        return None
    return runs.load(Path(name))[0] if Path(name).is_dir() else pretrained.load(name)


def _sample(args: argparse.Namespace) -> None:
    import numpy as np
    import torch

    from . import data
    from .ddpm import DDPM
    from .files import replacing
    from .sampling import draw, draw_known
    from .training import logs, runs

    if args.n < 1:
        raise ValueError(f"--n must be at least 1, got {args.n}")
    _check_sampler(args.sampler)
    if args.out.suffix not in (".npy", ".png") or not args.out.parent.is_dir() or args.out.is_dir():
        raise ValueError(f"--out must name a .npy or .png file in an existing directory, got {args.out}")
    model, config = runs.load(args.dir, _device(args.device))
    if config.model not in DIFFUSIONS and (args.sampler is not None or args.sample_steps is not None):
        raise ValueError(f"--sampler and --sample-steps are for ddpm and flow; {args.dir} holds a {config.model}")
    source = data.DATA_SETS[config.data]
    model, known = _steered(args, model, config), _known(args, config, source)
    if args.out.suffix == ".png" and not source.shape:
        raise ValueError(f"a .png is of images, and {config.data} has none: give a .npy file")
    generator = torch.Generator().manual_seed(args.seed)
    if known is not None and isinstance(model, DDPM):  # _known has refused the others
        x = draw_known(model, known, args.n, generator, args.method or "repaint", args.sample_steps)
    else:
        x = draw(model, args.n, generator, args.sampler or _usual(config), args.sample_steps)
    x = source.to_images(x) if source.shape else x
    if args.out.suffix == ".png":
        logs.save_png(args.out, logs.picture(x))
        return
    with replacing(args.out) as new:
        np.save(new, x.numpy())


def _steered(args: argparse.Namespace, model, config):
    """The model, or with --label that of p(x|label) by guidance."""
    import math

    from .guidance import guided_model

    if args.label is None:
        if args.guidance is not None:
            raise ValueError(f"--guidance is for a --label, got {args.guidance:g} and no label")
        return model
    if not config.labels:
        raise ValueError(f"--label is for a ddpm that was trained with --labels; {args.dir} was not")
    if args.guidance is not None and not math.isfinite(args.guidance):
        raise ValueError(f"--guidance must be a finite number, got {args.guidance}")
    return guided_model(model, args.label, 1.0 if args.guidance is None else args.guidance)


def _known(args: argparse.Namespace, config, source):
    """The point of --known as the model has it, (D,), NaN where it is to be drawn; None without that option."""
    import numpy as np
    import torch

    from .conditioning import checked_known
    from .sampling import check_method

    if args.known is None:
        if args.method is not None:
            raise ValueError(f"--method is for a --known point, got {args.method} and none")
        return None
    if config.model not in DIFFUSIONS or args.sampler is not None:
        raise ValueError("--known is for a ddpm or a flow, and has a --method in the place of a --sampler")
    check_method(args.method or "repaint")
    shape = source.shape or (2,)
    try:
        found = np.load(args.known, allow_pickle=False)
        point = torch.from_numpy(np.asarray(found, dtype=np.float32))
    except (OSError, ValueError, EOFError, TypeError) as e:
        raise ValueError(f"--known must be a .npy file of {shape} numbers, got {args.known}: {e}") from e
    if tuple(point.shape) != tuple(shape):
        raise ValueError(f"--known must hold {shape} numbers for {config.data}, got {tuple(point.shape)}")
    if source.shape and bool(((point < 0) | (point > 1)).any()):
        raise ValueError("--known must hold grey levels from 0 to 1, as samples are written, and NaN")
    return checked_known(point.flatten() * 2 - 1 if source.shape else point, point.numel())


def _usual(config) -> str:
    """The sampler where none is named. Of a flow it is DDIM, which on its schedule is Euler's method."""
    return "ddim" if config.model == "flow" else "ancestral"


def _check_sampler(name: str | None) -> None:
    from .sampling import sampler_of

    sampler_of(name or "ancestral")


def _evaluate(args: argparse.Namespace) -> None:
    import json

    from . import data
    from .ddpm import DDPM
    from .evaluate import ode_report, report
    from .training import runs

    if args.n < 2:
        raise ValueError(f"--n must be at least 2, got {args.n}")
    model, config = runs.load(args.dir, _device(args.device))
    _check_scores(args, config)
    result = report(model.chain(), data.load(config.data), args.n, args.seed, args.K, progress=True)
    if args.ode and isinstance(model, DDPM):  # _check_scores has refused the others
        result |= ode_report(model, data.load(config.data), args.n, args.seed)
    found = _scores(model, config, args) if args.samples else None
    if args.json:
        scored = {"scores": found.as_dict()} if found else {}
        print(json.dumps({"model": config.model, "data": config.data, **result, **scored}, indent=2))
        return
    print(f"{config.model} on {config.data}, {result.pop('n')} fresh points, nats per data point")
    for name, value in result.items():
        if not name.endswith("_se"):
            error = f" ± {result[name + '_se']:.4f}" if f"{name}_se" in result else ""
            print(f"{name:>16} {value:9.4f}{error}")
    if found:
        print(found)


def _check_scores(args: argparse.Namespace, config) -> None:
    if args.K < 0 or (args.K and (config.model not in ("vae", "hvae") or config.data == "swiss-roll")):
        raise ValueError(
            f"--K must be 0 or more, for vae and hvae on images; got {args.K} for {config.model} on {config.data}"
        )
    if args.samples and (config.data != "mnist" or not 100 <= args.samples <= 10_000):
        raise ValueError(f"--samples must be 100 to 10,000, for mnist; got {args.samples} for {config.data}")
    if args.ode and config.model not in DIFFUSIONS:
        raise ValueError(f"--ode is for a ddpm or a flow, whose score has a probability flow; got a {config.model}")
    _check_sampler(args.sampler)
    for name in ("sampler", "sample_steps"):
        if getattr(args, name) is not None and (config.model not in DIFFUSIONS or not args.samples):
            option = name.replace("_", "-")
            raise ValueError(f"--{option} is for the --samples of a ddpm; got {args.samples} of a {config.model}")
    if args.sample_steps is not None and not 1 <= args.sample_steps <= config.T:
        raise ValueError(f"--sample-steps must lie in 1 … {config.T}, got {args.sample_steps}")


def _scores(model, config, args: argparse.Namespace):
    from . import data
    from .images import quality
    from .pretrained import publish

    steps = args.sample_steps or min(publish.STEPS, config.T or publish.STEPS)
    x = publish.draw(model, args.samples, args.seed, args.sampler or _usual(config), steps, progress=True)
    return quality.score_images(x, train=data.MNIST().train_pixels)


def _film(args: argparse.Namespace) -> None:
    import torch

    from . import data, films
    from .ddpm import DDPM
    from .sampling import backwards
    from .training import runs

    films.checked_out(args.out)
    if args.n is not None and args.n < 1:
        raise ValueError(f"--n must be at least 1, got {args.n}")
    if args.forward and (args.sampler is not None or args.sample_steps is not None):
        raise ValueError("--sampler and --sample-steps are for the reverse process, not for --forward")
    _check_sampler(args.sampler)
    device = _device(args.device)
    model, config = runs.load(args.dir, device)
    if not isinstance(model, DDPM):
        raise ValueError(f"films are of a ddpm's process; {args.dir} holds a {config.model}")
    source, n = data.load(config.data), args.n or (500 if config.data == "swiss-roll" else 36)
    generator = torch.Generator().manual_seed(args.seed)
    settings = {"frames": args.frames, "generator": generator, "fps": 16, "kib": args.kib}
    draw = films.drawing_of(source, n)
    if args.forward:
        films.forward(source.sample(n, args.seed), model.schedule, draw, args.out, **settings)
    else:
        x_T = model.chain().prior().sample(generator, shape=(n,)).to(device)
        denoiser, schedule, step, steps = backwards(model, args.sampler or _usual(config), args.sample_steps)
        films.reverse(denoiser, schedule, x_T, draw, args.out, step=step, steps=steps, **settings)


def main(argv: list[str] | None = None) -> int:
    """Runs a command; returns 0, or 2 after one line on standard error if something given was wrong."""
    for stream in (sys.stdout, sys.stderr):  # what a console cannot show is replaced: β, ±
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    args = _parser().parse_args(argv)
    try:
        {"train": _train, "sample": _sample, "evaluate": _evaluate, "film": _film}[args.command](args)
    except (ValueError, OSError) as e:
        print(f"diffusion-edu: {e}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as e:
        if not isinstance(e, MemoryError) and not any(words in str(e) for words in MEMORY_ENDS):
            raise
        said = str(e) if "--shards" in str(e) else "out of memory: ask for fewer points or smaller sizes"
        print(f"diffusion-edu: {said}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        hint = "; go on with the same command and --resume" if args.command == "train" else ""
        print(f"diffusion-edu: interrupted{hint}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A training run as a directory: config.json, metrics.csv, checkpoint.pt.

A run is a function of its configuration alone, or of that and the model it starts from, whose parameters are then
its first checkpoint. Files are replaced whole or not at all, so a run that is killed at any moment resumes from its
last checkpoint and ends with the same parameters, bit for bit on CPU.
"""

import csv
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import nn

from .. import data as datasets
from ..bound import Model
from ..config import Config
from ..ddpm import DDPM
from ..files import replacing
from ..images.ddpm import ImageDDPM
from ..sampling import draw
from . import logs
from .build import build, trainer
from .latent import LatentDDPM, drawn, put_first_stage
from .noise import fit_schedule
from .parallel import ALONE, Processes
from .trainer import Trainer, fit_image_sigma2, fit_sigma2, step_generator

LOG_EVERY, SAVE_EVERY = 100, 500


def create(out: Path, config: Config, start: nn.Module | None = None) -> None:
    """Makes the run's directory in one step: its configuration and, if it goes on from a trained model `start`, the
    checkpoint of step 0 with the parameters of that. The data are loaded first, so that a run that cannot
    begin leaves nothing behind. ValueError if `out` exists, if `start` does not fit the
    configuration, or if that names a start and none is given."""
    if out.exists():
        raise ValueError(f"{out} exists already; give another --out, or --resume to go on with it")
    if (start is None) != (config.start is None):
        raise ValueError(
            f"start must be the model that the configuration names, {config.start}, got {type(start).__name__}"
        )
    state = None if start is None else _started(config, start)
    datasets.load(config.data)
    out.parent.mkdir(parents=True, exist_ok=True)
    new = out.with_name(f".{out.name}.{os.getpid()}.new")
    new.mkdir()
    try:
        (new / "config.json").write_text(json.dumps(asdict(config), indent=2) + "\n")
        if state is not None:
            save(new / "checkpoint.pt", state)
        new.rename(out)
    except OSError as e:
        shutil.rmtree(new)
        raise ValueError(f"cannot create {out}: {e}") from e


def _started(config: Config, start: nn.Module) -> dict:
    """The checkpoint at step 0 of a run that goes on from `start`."""
    parameters = start.state_dict()
    try:
        build(config).load_state_dict(parameters)  # before any data are fetched
    except RuntimeError as e:
        its_own = f"width {config.width}" + (f", T {config.T}" if config.T else "")
        raise ValueError(
            f"start {config.start} does not fit this {config.model} on {config.data} ({its_own}): a run goes "
            "on with the settings of the model that it starts from"
        ) from e
    t = trainer(config)
    t.model.load_state_dict(parameters)
    t.ema.load_state_dict(parameters)
    return t.state_dict()


def read_config(out: Path) -> Config:
    """The configuration of the run in `out`. ValueError if there is none or it is not readable."""
    path = out / "config.json"
    if not path.is_file():
        raise ValueError(f"{out} holds no run: {path} does not exist")
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        stored = {"labels": None, "vae_steps": None, "kl_weight": None, **stored}  # older runs do not name them
        return Config(**{f.name: stored[f.name] for f in fields(Config)})
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as e:
        raise ValueError(f"{path} is damaged: {e}") from e


def save(path: Path, state: dict) -> None:
    """Writes a checkpoint; at every moment `path` holds a whole one, the old or the new."""
    stored = io.BytesIO()
    torch.save(state, stored)
    with replacing(path) as new:
        new.write_bytes(stored.getbuffer())


def read_checkpoint(path: Path) -> dict | None:
    """The checkpoint, None if there is none yet; no code in it is run. ValueError if it is damaged."""
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not {"step", "model", "ema", "optimisers"} <= state.keys():
            raise TypeError("not a checkpoint")
        return state
    except Exception as e:  # torch.load raises half a dozen kinds, none of them documented
        raise ValueError(f"{path} is damaged and cannot be read ({type(e).__name__})") from e


class MetricsFile:
    """metrics.csv: a row per LOG_EVERY steps. Rows after `step`, and a half-written last one, are dropped."""

    def __init__(self, path: Path, step: int):
        self.path, rows, self.columns = path, [], None
        if path.exists():
            try:
                rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
            except (csv.Error, UnicodeDecodeError) as e:
                raise ValueError(f"{path} is damaged: {e}") from e
            kept = [r for r in rows[1:] if len(r) == len(rows[0]) and r[0].isdigit() and int(r[0]) <= step]
            self.columns = rows[0] if step and rows else None
            with replacing(path) as new, open(new, "w", newline="", encoding="utf-8") as f:
                csv.writer(f).writerows([self.columns, *kept] if self.columns else [])

    def add(self, row: dict[str, float]) -> None:
        with open(self.path, "a", newline="") as f:
            writer = csv.writer(f)
            if self.columns is None:
                self.columns = list(row)
                writer.writerow(self.columns)
            writer.writerow([row[c] if c == "step" else f"{row[c]:.6g}" for c in self.columns])


def _stored(out: Path) -> tuple[Config, dict | None]:
    """The configuration of the run in `out` and its checkpoint, None if there is none yet."""
    config, path = read_config(out), out / "checkpoint.pt"
    state = read_checkpoint(path)
    if state is not None and state["step"] > config.steps:
        raise ValueError(f"{path} is at step {state['step']}, but {out / 'config.json'} says {config.steps}")
    return config, state


class RunLog:
    """What the first process writes while a run trains: metrics.csv, pictures of samples, TensorBoard's log."""

    def __init__(self, out: Path, config: Config, step: int, tensorboard: bool):
        self.out, self.config = out, config
        self.metrics = MetricsFile(out / "metrics.csv", step)
        self.board = logs.Board(out / "tensorboard", step) if tensorboard else None

    def add(self, step: int, terms: dict[str, torch.Tensor]) -> None:
        """The loss's terms at one step."""
        row = {name: float(value) for name, value in terms.items()}
        self.metrics.add({"step": step, **row})
        if self.board:
            self.board.add(step, row)

    def draw(self, step: int, model: Model) -> None:
        """Forty samples as samples-STEP.png, each time from the same noise, so one sees the same images improve; a
        DDPM takes fifty steps of DDIM. Nothing that the training draws is touched."""
        generator, T = torch.Generator().manual_seed(self.config.seed), self.config.T or 0
        data = datasets.DATA_SETS[self.config.data]
        if data.shape is None:
            raise ValueError(f"{self.config.data} has points, of which no pictures are drawn")
        picture = logs.picture(data.to_images(draw(model, 40, generator, "ddim", min(50, T))))
        logs.save_png(self.out / f"samples-{step:06d}.png", picture)
        if self.board:
            self.board.add_picture(step, picture)


def draw_every(config: Config, given: int | None) -> int:
    """Every how many steps samples are drawn, 0 for never: as given, else ten times in a run on images. ValueError if
    that is negative or asks for pictures of points."""
    images = bool(datasets.DATA_SETS[config.data].shape)
    if given is None:
        return max(1, config.steps // 10) if images else 0
    if given < 0:
        raise ValueError(f"grid_every must be at least 0, got {given}")
    if given and not images:
        raise ValueError(f"grid_every must be 0 for {config.data}, whose points are no images, got {given}")
    return given


@contextmanager
def _memory_hint(config: Config) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as e:
        said = any(words in str(e) for words in ("out of memory", "allocate memory"))
        if not said and not isinstance(e, (MemoryError, torch.OutOfMemoryError)):
            raise
        raise MemoryError(
            f"out of memory: start again with a higher --shards than {config.shards}, which computes the batch in "
            f"smaller parts, or a lower --batch than {config.batch}"
        ) from e


def stop_if_diverged(step: int, terms: dict[str, torch.Tensor], model: nn.Module) -> None:
    """ValueError if a term of the loss or a parameter is not finite: the last checkpoint is kept."""
    broken = [name for name, value in {**terms, **dict(model.named_parameters())}.items() if not value.isfinite().all()]
    if broken:
        raise ValueError(
            f"step {step}: {broken[0]} is not finite, training has diverged; the last checkpoint is kept. "
            "Try another --seed, a larger --batch or --precision float32"
        )


def run(
    out: Path,
    device: str = "cpu",
    progress: bool = True,
    processes: Processes = ALONE,
    grid_every: int | None = None,
    tensorboard: bool = False,
) -> None:
    """Trains the run in `out` from its last checkpoint, or from step 0, to its end. Of several connected processes
    each calls this, and the first one reads and writes the files. grid_every: every how many steps samples of images
    are drawn, 0 for never, by default ten times. Raises ValueError and, with a hint, MemoryError."""
    config, state = processes.on_rank_zero(lambda: _stored(out))
    if state is not None and state["step"] == config.steps:
        return
    with _in_use(out, processes):
        config, state = processes.on_rank_zero(lambda: _stored(out))  # another program may have trained it since
        if state is None and config.model == "latent":
            state = _after_first_stage(out, config, device, progress, processes, grid_every, tensorboard)
        _train(out, config, state, device, progress, processes, draw_every(config, grid_every), tensorboard)


def _after_first_stage(out: Path, config: Config, device: str, progress: bool, processes: Processes, *seen) -> dict:
    """Trains the VAE of a latent diffusion, a run of its own in out/vae, from where it stands; returns the checkpoint
    of step 0 of the second stage."""
    first = out / "vae"
    processes.on_rank_zero(lambda: first.exists() or create(first, config.first_stage()))
    run(first, device, progress, processes, *seen)

    def second() -> dict:
        vae, t = load(first)[0], trainer(config)
        put_first_stage(t, vae)
        return t.state_dict()

    return processes.on_rank_zero(second)


@contextmanager
def _in_use(out: Path, processes: Processes) -> Iterator[None]:
    """Keeps a second program from training the same run. The system frees the lock of a process that is killed."""
    lock = FileLock(out / ".lock", blocking=False)

    def take():
        try:
            lock.acquire()
        except Timeout:
            raise ValueError(f"{out} is in use: another process is training this run") from None

    processes.on_rank_zero(take)
    try:
        yield
    finally:
        lock.release()


def _train(
    out: Path,
    config: Config,
    state: dict | None,
    device: str,
    progress: bool,
    processes: Processes,
    every: int,
    tensorboard: bool,
) -> None:
    if processes.size > 1:
        processes.on_rank_zero(lambda: datasets.load(config.data) and None)  # only one process downloads them
    with _memory_hint(config):
        t = _prepared(out, config, state, device, processes)
        log = RunLog(out, config, t.step, tensorboard) if processes.rank == 0 else None
        try:
            for step, terms in t.run(progress and log is not None, config.model):
                if step % LOG_EVERY == 0 or step == config.steps:
                    terms = processes.mean(terms)
                    stop_if_diverged(step, terms, t.model)
                if log is not None:
                    _write(log, t, terms, every, progress)
        except ValueError:
            stop_if_diverged(t.step, {}, t.model)  # names the NaN, where a density blames its variance
            raise


def _prepared(out: Path, config: Config, state: dict | None, device: str, processes: Processes) -> Trainer:
    """The run's trainer where the checkpoint left it."""
    t = trainer(config, device, processes)
    if state is not None:
        try:
            t.load_state_dict(state)
        except (RuntimeError, ValueError, KeyError) as e:
            raise ValueError(f"{out / 'checkpoint.pt'} does not fit {out / 'config.json'}") from e
    if isinstance(t.model, LatentDDPM):
        t.data = t.model.codes(t.data)
    return t


def _write(log: RunLog, t: Trainer[Model], terms: dict[str, torch.Tensor], picture_every: int, progress: bool) -> None:
    """Writes what is due after a step."""

    def due(every: int) -> bool:
        return t.step % every == 0 or t.step == t.steps

    if due(LOG_EVERY):
        log.add(t.step, terms)
    if picture_every and due(picture_every):
        log.draw(t.step, t.ema)
    if t.step == t.steps:  # the averaged parameters are what `load` returns
        if isinstance(t.ema, DDPM) and log.config.schedule == "learned":
            fit_schedule(t.ema)
        if isinstance(t.ema, ImageDDPM):
            fit_image_sigma2(t.ema, t.data[:, : t.ema.dim], seed=t.seed, progress=progress)
        elif isinstance(t.ema, DDPM):
            fit_sigma2(t.ema, t.data[:, : t.ema.dim], seed=t.seed, progress=progress)
        elif isinstance(t.ema, LatentDDPM):
            fit_sigma2(t.ema.ddpm, drawn(t.data, step_generator(t.seed, -2)), seed=t.seed, progress=progress)
    if due(SAVE_EVERY):
        save(log.out / "checkpoint.pt", t.state_dict())


def check_finite(model: nn.Module, where: object) -> None:
    """ValueError if a parameter of the model described by `where` is not finite."""
    for name, value in model.named_parameters():
        if not value.isfinite().all():
            raise ValueError(f"{where} holds numbers that are not finite, in {name}")


def load(out: Path, device: str = "cpu") -> tuple[Model, Config]:
    """The trained model of the run in `out` (its averaged parameters) and its configuration.

    ValueError if there is no run, no checkpoint yet, a damaged one, or one whose parameters are not finite.
    """
    config = read_config(out)
    state = read_checkpoint(out / "checkpoint.pt")
    if state is None:
        raise ValueError(f"{out} has no checkpoint yet; finish the run with --resume")
    model = build(config)
    try:
        model.load_state_dict(state["ema"])
    except RuntimeError as e:
        raise ValueError(f"{out / 'checkpoint.pt'} does not fit {out / 'config.json'}") from e
    check_finite(model, out / "checkpoint.pt")
    return model.to(device).eval(), config

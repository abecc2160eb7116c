"""What one sees of a run: pictures of samples, the same images each time; TensorBoard; one line when memory ends."""

import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image
from shared import generator
from test_cli import contents, fails, same_run, succeeds

from diffusion_edu import cli, nets, samplers, sampling, schedules
from diffusion_edu.ddpm import DDPM
from diffusion_edu.training import build, logs, runs

TRAIN = ["train", "vae", "--data", "digits", "--steps", 20, "--batch", 16, "--device", "cpu", "--out"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(runs, "fit_sigma2", lambda model, data, seed, progress: None)


def pictures(out) -> dict[str, np.ndarray]:
    return {p.name: np.asarray(Image.open(p)) for p in sorted(out.glob("samples-*.png"))}


def test_a_picture_shows_the_images_row_by_row_enlarged_on_grey():
    images = torch.zeros(3, 2, 2)
    images[1, 0, 1], images[2] = 1, 0.5
    shown = logs.picture(images, columns=2, size=4)
    assert (shown.shape, shown.dtype) == ((14, 14), np.uint8)  # lines of two pixels around and between tiles of four
    for line in (0, 1, 6, 7, 12, 13):
        assert (shown[line] == 64).all()
        assert (shown[:, line] == 64).all()
    inner = [[shown[row : row + 4, column : column + 4] for column in (2, 8)] for row in (2, 8)]
    assert (inner[0][1] == np.kron([[0, 255], [0, 0]], np.ones((2, 2)))).all()
    assert (inner[0][0] == 0).all()
    assert (inner[1][0] == 128).all()
    assert (inner[1][1] == 0).all()


def test_samples_of_a_ddpm_come_from_its_reverse_process():
    schedule = schedules.cosine(20)
    model = DDPM(nets.EpsNet(2, schedule, width=8), schedule, 2)
    x = sampling.draw(model, 5, generator(3), "ddim", 4)
    x_T = torch.randn(5, 2, generator=generator(3))
    expected = samplers.sample(model.x0_hat, schedule, x_T, step=samplers.first_order(samplers.ddim), steps=4)
    torch.testing.assert_close(x, expected)
    assert not torch.allclose(x, sampling.draw(model, 5, generator(3), "ddim", 5))


@pytest.mark.parametrize("model", ["vae", "ddpm"])
def test_pictures_are_drawn_ten_times_and_change_nothing(tmp_path, model):
    train = ["train", model, *TRAIN[2:]]
    succeeds(*train, tmp_path / "drawn")
    succeeds(*train, tmp_path / "plain", "--grid-every", 0)
    assert list(pictures(tmp_path / "drawn")) == [f"samples-{step:06d}.png" for step in range(2, 21, 2)]
    assert not pictures(tmp_path / "plain")
    assert same_run(tmp_path / "drawn", tmp_path / "plain")


def test_the_last_picture_is_of_the_averaged_model_from_the_seeds_noise(tmp_path):
    succeeds(*TRAIN, tmp_path / "run", "--seed", 7, "--grid-every", 8)
    assert list(pictures(tmp_path / "run")) == ["samples-000008.png", "samples-000016.png", "samples-000020.png"]
    succeeds("sample", tmp_path / "run", "--n", 40, "--seed", 7, "--out", tmp_path / "x.png")
    assert (np.asarray(Image.open(tmp_path / "x.png")) == pictures(tmp_path / "run")["samples-000020.png"]).all()
    succeeds("sample", tmp_path / "run", "--n", 40, "--seed", 7, "--out", tmp_path / "x.npy")
    images = torch.from_numpy(np.load(tmp_path / "x.npy"))
    assert (np.asarray(Image.open(tmp_path / "x.png")) == logs.picture(images)).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "x.npy", "x.png"]


def test_a_resumed_run_draws_the_same_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "SAVE_EVERY", 5)
    succeeds(*TRAIN, tmp_path / "straight")
    runs.create(tmp_path / "run", runs.read_config(tmp_path / "straight"))
    with monkeypatch.context() as patch:
        patch.setattr(runs, "save", stopping_after(runs.save))
        with pytest.raises(KeyError):
            runs.run(tmp_path / "run", progress=False)
    assert list(pictures(tmp_path / "run")) == ["samples-000002.png", "samples-000004.png"]
    succeeds(*TRAIN, tmp_path / "run", "--resume")
    assert contents(tmp_path / "run").keys() == contents(tmp_path / "straight").keys()
    assert same_run(tmp_path / "run", tmp_path / "straight")
    for name, image in pictures(tmp_path / "straight").items():
        assert (image == pictures(tmp_path / "run")[name]).all()


def stopping_after(write):
    def stopped(*args):
        write(*args)
        raise KeyError("stopped")

    return stopped


@pytest.mark.parametrize(
    ("data", "every", "message"),
    [("digits", -1, "grid_every must be at least 0, got -1"), ("swiss-roll", 5, "whose points are no images, got 5")],
)
def test_pictures_that_cannot_be_drawn_are_refused_before_anything_is_made(tmp_path, capsys, data, every, message):
    train = ["train", "vae", "--data", data, "--out", tmp_path / "run", "--grid-every", every]
    assert message in fails(capsys, *train)
    assert not list(tmp_path.iterdir())


# --- TensorBoard ---


class Writer:
    """Stands for torch.utils.tensorboard.SummaryWriter."""

    written = None

    def __init__(self, folder, purge_step):
        Writer.written = [("folder", folder, purge_step)]

    def add_scalar(self, name, value, step):
        self.written.append((name, value, step))

    def add_image(self, name, picture, step, dataformats):
        self.written.append((name, (picture.dtype, picture.ndim, dataformats), step))

    def flush(self):
        pass


def test_tensorboard_is_told_what_metrics_and_pictures_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "check_tensorboard", lambda: None)
    stub = types.ModuleType("torch.utils.tensorboard")
    stub.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stub)
    monkeypatch.setattr(runs, "LOG_EVERY", 10)
    succeeds(*TRAIN, tmp_path / "run", "--tensorboard", "--grid-every", 20)
    assert Writer.written[0] == ("folder", str(tmp_path / "run" / "tensorboard"), 1)
    scalars = [entry for entry in Writer.written[1:] if entry[0] != "samples"]
    columns, *rows = [line.split(",") for line in (tmp_path / "run" / "metrics.csv").read_text().splitlines()]
    for row in rows:
        for name, value in zip(columns[1:], row[1:], strict=True):
            assert (name, pytest.approx(float(value), rel=1e-5), int(row[0])) in scalars
    assert len(scalars) == len(rows) * (len(columns) - 1) == 8
    assert [entry for entry in Writer.written if entry[0] == "samples"] == [("samples", (np.uint8, 2, "HW"), 20)]


def test_tensorboard_itself_reads_the_log(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(runs, "LOG_EVERY", 10)
    succeeds(*TRAIN, tmp_path / "run", "--tensorboard")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [10, 20]
    assert [event.step for event in events.Images("samples")][-1] == 20


def test_without_tensorboard_one_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert "pip install -e '.[tensorboard]'" in fails(capsys, *TRAIN, tmp_path / "run", "--tensorboard")
    assert not list(tmp_path.iterdir())


# --- memory ---


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has a total capacity of 8 GiB."
        ),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        MemoryError("Unable to allocate 3 GiB"),
    ],
    ids=["cuda", "cpu", "numpy"],
)
def test_out_of_memory_is_one_line_that_names_the_flags(tmp_path, monkeypatch, capsys, error):
    def loss(model, x, generator):
        raise error

    monkeypatch.setattr(build, "elbo_loss", lambda kl_weight: loss)
    line = fails_while_training(capsys, *TRAIN, tmp_path / "run", "--shards", 2)
    assert "out of memory" in line
    assert "a higher --shards than 2" in line
    assert "a lower --batch than 16" in line


def test_other_errors_are_not_taken_for_lack_of_memory(tmp_path, monkeypatch):
    def loss(model, x, generator):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(build, "elbo_loss", lambda kl_weight: loss)
    runs.create(tmp_path / "run", runs.Config("vae", "digits", steps=2))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        runs.run(tmp_path / "run", progress=False)


def fails_while_training(capsys, *argv) -> str:
    """As `fails`, but with the progress bar before the line."""
    assert cli.main([str(a) for a in argv]) == 2
    return capsys.readouterr().err.splitlines()[-1]

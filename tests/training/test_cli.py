"""The command line as its users run it: outputs, refusals in one line, and runs that survive kill −9."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from shared import needs_ffmpeg

from diffusion_edu import cli, files, pretrained, schedules
from diffusion_edu.images.convnets import Mixing
from diffusion_edu.training import build, parallel, runs

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def succeeds(*argv) -> None:
    assert cli.main([str(a) for a in argv]) == 0


def fails(capsys, *argv) -> str:
    """The one line on standard error of a command that must end with exit code 2."""
    capsys.readouterr()
    try:
        code = cli.main([str(a) for a in argv])
    except SystemExit as e:  # argparse
        code = e.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith("diffusion-edu")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err


def contents(path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(path.iterdir())}


def same_state(a, b) -> bool:
    """Whether two checkpoints hold the same numbers, bit for bit, the optimiser's included."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_state(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(same_state(x, y) for x, y in zip(a, b, strict=True))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def same_run(a, b) -> bool:
    return (a / "metrics.csv").read_bytes() == (b / "metrics.csv").read_bytes() and same_state(
        runs.read_checkpoint(a / "checkpoint.pt"), runs.read_checkpoint(b / "checkpoint.pt")
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Runs of two steps: {"vae swiss-roll": its directory, …}."""
    root, dirs = tmp_path_factory.mktemp("runs"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "fit_sigma2", lambda model, data, seed, progress: None)  # its own tests: test_trainer.py
        for model, data in [("vae", "swiss-roll"), ("hvae", "swiss-roll"), ("ddpm", "swiss-roll"), ("vae", "digits")]:
            out = dirs[f"{model} {data}"] = root / f"{model}-{data}"
            succeeds("train", model, "--data", data, "--out", out, "--steps", 2)
    return dirs


@pytest.fixture
def copy(trained, tmp_path):
    """A run of its own to damage."""
    out = tmp_path / "run"
    out.mkdir()
    for name, content in contents(trained["vae swiss-roll"]).items():
        (out / name).write_bytes(content)
    return out


SAMPLED = {
    "vae swiss-roll": [],
    "hvae swiss-roll": ["--seed", "3"],
    "ddpm swiss-roll": ["--sample-steps", "5", "--sampler", "ddim"],
    "vae digits": [],
}


@pytest.mark.parametrize("run", SAMPLED)
def test_samples_are_float32_of_the_datas_shape_and_a_function_of_the_seed(trained, tmp_path, run):
    for name, more in (("a", []), ("b", []), ("c", ["--seed", "4"])):
        succeeds("sample", trained[run], "--n", 7, "--out", tmp_path / f"{name}.npy", *SAMPLED[run], *more)
    a, b, c = (np.load(tmp_path / f"{name}.npy") for name in "abc")
    assert a.dtype == np.float32
    assert a.shape == ((7, 8, 8) if "digits" in run else (7, 2))
    assert np.isfinite(a).all()
    assert "digits" not in run or (a.min() >= 0 and a.max() <= 1)
    assert (a == b).all()
    assert (a != c).any()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npy", "b.npy", "c.npy"]


@pytest.mark.parametrize("run", SAMPLED)
def test_evaluate_prints_the_terms_as_json(trained, capsys, run):
    succeeds("evaluate", trained[run], "--json", "--n", 20)
    result = json.loads(capsys.readouterr().out)
    assert (f"{result['model']} {result['data']}", result["n"]) == (run, 20)
    parts = result["reconstruction"] + result["consistency"] + result["prior"]
    assert result["neg_elbo"] == pytest.approx(-parts)
    assert {f"{name}_se" for name in ("reconstruction", "consistency", "prior", "neg_elbo")} <= result.keys()
    if "swiss" in run:
        assert result["entropy"] == pytest.approx(1.3509, abs=5e-5)
        assert result["gap"] > 0 < result["gap_se"]
    else:
        assert result["bits_per_dim"] > 0


def test_a_run_has_the_schedule_it_was_given(tmp_path, capsys):
    train = ["train", "ddpm", "--data", "swiss-roll", "--out", tmp_path / "run", "--steps", 2]
    given = ["--schedule", "sigmoid", "--T", 5, "--beta-1", 0.1, "--beta-T", 0.2]
    succeeds(*train, *given)
    model, _ = runs.load(tmp_path / "run")
    assert torch.equal(model.schedule.beta, schedules.sigmoid(5, 0.1, 0.2).beta)
    succeeds(*train, *given, "--resume")
    assert "cannot resume it with 6" in fails(capsys, *train, "--T", 6, "--resume")


def test_a_run_that_names_no_schedule_is_the_cosine_of_a_thousand_steps(trained):
    config = runs.read_config(trained["ddpm swiss-roll"])
    assert (config.schedule, config.T, config.beta_1) == ("cosine", 1000, None)


def test_evaluate_prints_a_table(trained, capsys):
    succeeds("evaluate", trained["vae swiss-roll"], "--n", 20)
    out = capsys.readouterr().out
    assert "20 fresh points, nats per data point" in out
    for name in ("reconstruction", "consistency", "prior", "neg_elbo", "gap"):
        assert f"{name} " in out
    assert "±" in out
    assert "_se" not in out


def test_evaluate_adds_the_likelihood_by_the_ode(trained, capsys):
    succeeds("evaluate", trained["ddpm swiss-roll"], "--json", "--n", 20, "--ode")
    result = json.loads(capsys.readouterr().out)
    assert result["nll_ode"] - result["nll_ode_se"] > 1
    assert result["ode_gap"] == pytest.approx(result["nll_ode"] - (result["neg_elbo"] - result["gap"]), abs=1e-4)
    assert "--ode is for a ddpm" in fails(capsys, "evaluate", trained["vae swiss-roll"], "--ode")


@needs_ffmpeg
@pytest.mark.parametrize("name", ["heun", "rk4", "euler-maruyama"])
def test_samplers_even_in_log_snr_draw_and_film(trained, tmp_path, capsys, name):
    run, out = trained["ddpm swiss-roll"], tmp_path / "x.npy"
    for file in (out, tmp_path / "y.npy"):
        succeeds("sample", run, "--n", 4, "--out", file, "--sampler", name, "--sample-steps", 6)
    assert np.isfinite(np.load(out)).all()
    assert (np.load(out) == np.load(tmp_path / "y.npy")).all()
    steps = ["--sampler", name, "--sample-steps", 6]
    succeeds("film", run, "--out", tmp_path / "a.gif", "--n", 4, "--frames", 3, *steps)
    assert "at least 2, got 1" in fails(capsys, "sample", run, "--n", 4, "--out", out, *steps[:3], 1)


@needs_ffmpeg
def test_a_film_is_made_of_a_run_in_both_directions(trained, tmp_path, capsys):
    run, few = trained["ddpm swiss-roll"], ["--n", 9, "--frames", 4]
    succeeds("film", run, "--out", tmp_path / "a.gif", *few, "--sample-steps", 6)
    succeeds("film", run, "--out", tmp_path / "b.gif", *few, "--sample-steps", 6)
    succeeds("film", run, "--out", tmp_path / "c.gif", *few, "--sample-steps", 6, "--seed", 1)
    succeeds("film", run, "--out", tmp_path / "d.gif", *few, "--sample-steps", 6, "--sampler", "ddim")
    succeeds("film", run, "--out", tmp_path / "e.gif", *few, "--forward")
    films = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    assert films[0] == films[1]
    assert len(set(films)) == 4
    assert "e.gif" in capsys.readouterr().err  # the progress bar


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "x.avi"], "ends in .mp4, .webm, .gif"),
        (["--out", "no/x.mp4"], "existing directory"),
        ([], "--out"),
        (["--out", "x.gif", "--n", "0"], "--n must be at least 1"),
        (["--out", "x.gif", "--frames", "1"], "frames must be at least 2"),
        (["--out", "x.gif", "--sampler", "leapfrog"], "unknown sampler 'leapfrog'"),
        (["--out", "x.gif", "--sample-steps", "0"], "1 … 1000"),
        (["--out", "x.gif", "--forward", "--sampler", "ddim"], "not for --forward"),
    ],
)
def test_what_cannot_be_filmed_is_refused(trained, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in fails(capsys, "film", trained["ddpm swiss-roll"], *arguments)
    assert "holds a vae" in fails(capsys, "film", trained["vae swiss-roll"], "--out", "x.gif")
    assert not list(tmp_path.iterdir())


def test_help_comes_without_torch():
    code = (
        "import sys, diffusion_edu.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert done.stdout.startswith("usage: diffusion-edu")
    assert done.stdout.endswith("False\n")


def test_the_module_is_a_command_that_fails_in_one_line():
    command = [sys.executable, "-m", "diffusion_edu", "train", "gan", "--data", "swiss-roll", "--out", "x"]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "diffusion-edu: unknown model 'gan'; known: vae, hvae, ddpm, flow, latent\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gan", "--data", "swiss-roll"], "unknown model 'gan'"),
        (["vae", "--data", "imagenet"], "unknown data set 'imagenet'"),
        (["vae"], "--data"),
        (["vae", "--data", "digits", "--steps", "0"], "steps must be at least 1"),
        (["vae", "--data", "digits", "--steps", "-1"], "steps must be at least 1"),
        (["vae", "--data", "digits", "--steps", "many"], "invalid int value"),
        (["vae", "--data", "digits", "--device", "tpu"], "invalid choice"),
        (
            ["vae", "--data", "digits", "--precision", "float16"],
            "unknown precision 'float16'; known: float32, bfloat16",
        ),
        (["vae", "--data", "digits", "--width", "0"], "width must be at least 8, got 0"),
        (["vae", "--data", "digits", "--width", "20"], "width must be a multiple of 8, got 20"),
        (["vae", "--data", "digits", "--batch", "0"], "batch must be at least 1"),
        (["vae", "--data", "digits", "--shards", "0"], "shards must be at least 1"),
        (["vae", "--data", "digits", "--batch", "10", "--shards", "3"], "a batch of 10 cannot be made of 3 equal"),
        (["vae", "--data", "swiss-roll", "--seed", "-7"], "seed"),
        (["vae", "--data", "swiss-roll", "--seed", str(2**40)], "seed"),
        (["vae", "--data", "swiss-roll", "--resume"], "holds no run"),
        (["ddpm", "--data", "swiss-roll", "--schedule", "quadratic"], "unknown schedule 'quadratic'"),
        (["ddpm", "--data", "swiss-roll", "--T", "0"], "T, the number of steps, must be an integer of at least 1"),
        (["ddpm", "--data", "swiss-roll", "--beta-1", "0.1"], "for the schedules linear and sigmoid, not cosine"),
        (["ddpm", "--data", "swiss-roll", "--schedule", "linear", "--beta-T", "2"], "beta must lie in (0, 1)"),
        (["vae", "--data", "swiss-roll", "--T", "10"], "T is not for a vae on swiss-roll, which has seed, shards"),
        (["vae", "--data", "swiss-roll", "--loss", "min-snr"], "loss is not for a vae on swiss-roll"),
        (["ddpm", "--data", "swiss-roll", "--loss", "l1"], "unknown loss 'l1'; known: simple, bound, min-snr"),
        (["ddpm", "--data", "swiss-roll", "--start", "cosin"], "unknown model 'cosin'; known: cosine, linear"),
        (["vae", "--data", "digits", "--start", "cosine"], "start cosine does not fit this vae on digits (width 256)"),
        (["ddpm", "--data", "swiss-roll", "--start", "cosine", "--T", "500"], "(width 128, T 500): a run goes on"),
        (["ddpm", "--data", "swiss-roll", "--start", "."], ". holds no run"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_made(tmp_path, capsys, arguments, message):
    assert message in fails(capsys, "train", *arguments, "--out", tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_an_existing_directory_is_refused_and_left_as_it_is(copy, capsys, tmp_path):
    before = contents(copy)
    assert "exists already" in fails(capsys, "train", "vae", "--data", "swiss-roll", "--out", copy)
    assert contents(copy) == before
    (tmp_path / "file").write_text("mine")
    assert "exists already" in fails(capsys, "train", "vae", "--data", "swiss-roll", "--out", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    fails(capsys, "train", "vae", "--data", "swiss-roll", "--out", tmp_path / "file" / "below")


def test_batch_and_shards_are_part_of_the_run(tmp_path, capsys):
    train = ["train", "vae", "--data", "swiss-roll", "--out", tmp_path / "run", "--steps", 2]
    succeeds(*train, "--batch", 24, "--shards", 3)
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (stored["batch"], stored["shards"]) == (24, 3)
    succeeds(*train, "--batch", 24, "--resume")
    assert "with shards 3, cannot resume it with 2" in fails(capsys, *train, "--shards", 2, "--resume")


def test_precision_is_part_of_the_run(tmp_path, capsys):
    train = ["train", "vae", "--data", "swiss-roll", "--steps", 2, "--device", "cpu", "--out"]
    for name in ("float32", "bfloat16"):
        succeeds(*train, tmp_path / name, "--precision", name)
    succeeds(*train, tmp_path / "default")
    assert same_run(tmp_path / "default", tmp_path / "float32")
    assert not same_run(tmp_path / "default", tmp_path / "bfloat16")
    assert runs.read_config(tmp_path / "bfloat16").precision == "bfloat16"
    line = fails(capsys, *train, tmp_path / "bfloat16", "--precision", "float32", "--resume")
    assert "was started with precision bfloat16" in line


def test_the_width_is_part_of_the_run(tmp_path, capsys):
    train = ["train", "hvae", "--data", "swiss-roll", "--steps", 2, "--device", "cpu", "--out"]
    succeeds(*train, tmp_path / "default")
    succeeds(*train, tmp_path / "stated", "--width", 128)
    succeeds(*train, tmp_path / "narrow", "--width", 24)
    assert same_run(tmp_path / "default", tmp_path / "stated")
    narrow, _ = runs.load(tmp_path / "narrow")
    assert max(max(p.shape) for p in narrow.parameters()) == 24
    assert "with width 24, cannot" in fails(capsys, *train, tmp_path / "narrow", "--width", 16, "--resume")


def test_a_run_goes_on_from_the_model_in_a_directory(trained, tmp_path, monkeypatch, capsys):
    first, out = trained["vae swiss-roll"], tmp_path / "run"
    train = ["train", "vae", "--data", "swiss-roll", "--steps", 3, "--device", "cpu"]
    with monkeypatch.context() as patch:
        patch.setattr(runs, "run", lambda *_, **__: None)
        succeeds(*train, "--out", out, "--start", first)
    before = runs.read_checkpoint(out / "checkpoint.pt")
    model, _ = runs.load(first)
    assert same_state(before["model"], dict(model.state_dict()))  # of the first run the averaged parameters
    assert same_state(before["ema"], before["model"])
    assert (before["step"], runs.read_config(out).start) == (0, str(first))
    assert runs.read_config(first).start is None
    succeeds("train", "vae", "--data", "swiss-roll", "--device", "cpu", "--out", out, "--resume")
    succeeds(*train, "--out", tmp_path / "again", "--start", first)
    succeeds(*train, "--out", tmp_path / "new")
    assert same_run(out, tmp_path / "again")
    assert not same_run(out, tmp_path / "new")
    assert "with start" in fails(capsys, *train, "--out", tmp_path / "new", "--start", first, "--resume")


def test_a_run_goes_on_from_published_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "run", lambda *_, **__: None)
    out = tmp_path / "run"
    succeeds("train", "ddpm", "--data", "swiss-roll", "--steps", 3, "--out", out, "--start", "cosine")
    state = runs.read_checkpoint(out / "checkpoint.pt")
    assert same_state(state["model"], dict(pretrained.load("cosine").state_dict()))
    wider = ["ddpm", "--data", "swiss-roll", "--width", "136", "--start", "cosine"]
    assert cli.main(["train", *wider, "--out", str(tmp_path / "wider")]) == 2
    assert not (tmp_path / "wider").exists()
    with pytest.raises(ValueError, match="start must be the model that the configuration names, None"):
        runs.create(tmp_path / "unnamed", runs.Config("ddpm", "swiss-roll"), pretrained.load("cosine"))
    with pytest.raises(ValueError, match="start must be the model that the configuration names, cosine"):
        runs.create(tmp_path / "ungiven", runs.Config("ddpm", "swiss-roll", start="cosine"))


def test_on_cuda_the_default_is_bfloat16(tmp_path):
    parsed = cli._parser().parse_args(["train", "vae", "--data", "digits", "--out", str(tmp_path / "run")])
    cli._prepare(parsed, "cuda:0", 1)
    assert runs.read_config(tmp_path / "run").precision == "bfloat16"


@pytest.mark.parametrize("data", ["mnist", "mnist-binary"])
def test_all_networks_of_a_hierarchy_on_mnist_have_the_mixing_layer(data):
    def layers(mixing):
        model = build.build(runs.Config("hvae", data, width=8, mixing=mixing))
        return [m.hidden.out_features for m in model.modules() if isinstance(m, Mixing)]

    assert layers(24) == 6 * [24]  # three encoders, three decoders
    assert layers(0) == []


@pytest.mark.parametrize("other", [["hvae"], ["vae", "--seed", "5"], ["vae", "--steps", "9"], ["vae", "--batch", "9"]])
def test_a_run_is_not_resumed_as_another(copy, capsys, other):
    before = contents(copy)
    line = fails(capsys, "train", *other, "--data", "swiss-roll", "--out", copy, "--resume")
    assert "cannot resume it" in line
    assert contents(copy) == before


def test_a_finished_run_is_left_as_it_is_by_resume(copy):
    before = contents(copy)
    succeeds("train", "vae", "--data", "swiss-roll", "--out", copy, "--resume")
    assert contents(copy) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n", "0"], "--n must be at least 1"),
        (["--n", "-4"], "--n must be at least 1"),
        (["--n", "4", "--sampler", "leapfrog"], "unknown sampler 'leapfrog'"),
        (["--n", "4", "--sample-steps", "0"], "1 … 1000"),
        (["--n", "4", "--sample-steps", "1001"], "1 … 1000"),
        (["--n", "4", "--seed", str(2**70)], "seed"),
        ([], "--n"),
    ],
)
def test_what_cannot_be_sampled_is_refused(trained, tmp_path, capsys, arguments, message):
    out = tmp_path / "x.npy"
    assert message in fails(capsys, "sample", trained["ddpm swiss-roll"], "--out", out, *arguments)
    assert not list(tmp_path.iterdir())


def test_samplers_are_for_ddpm_and_samples_for_npy_files(trained, tmp_path, capsys):
    run = trained["vae swiss-roll"]
    assert "are for ddpm" in fails(capsys, "sample", run, "--n", 4, "--out", tmp_path / "x.npy", "--sampler", "ddim")
    assert ".npy" in fails(capsys, "sample", run, "--n", 4, "--out", tmp_path / "x.jpg")
    assert "swiss-roll has none" in fails(capsys, "sample", run, "--n", 4, "--out", tmp_path / "x.png")
    assert ".npy" in fails(capsys, "sample", run, "--n", 4, "--out", tmp_path / "no" / "x.npy")


@pytest.mark.parametrize("arguments", [["--n", "1"], ["--n", "0"], ["--seed", "-1"], ["--seed", str(2**70)]])
def test_what_cannot_be_evaluated_is_refused(trained, capsys, arguments):
    for run in ("vae swiss-roll", "vae digits"):
        fails(capsys, "evaluate", trained[run], *arguments)


def test_a_sampler_is_for_the_samples_of_a_ddpm(trained, capsys):
    line = fails(capsys, "evaluate", trained["vae digits"], "--sampler", "ddim")
    assert "--sampler is for the --samples of a ddpm; got 0 of a vae" in line


def each_command(capsys, run) -> list[str]:
    return [
        fails(capsys, "train", "vae", "--data", "swiss-roll", "--out", run, "--resume"),
        fails(capsys, "evaluate", run),
        fails(capsys, "sample", run, "--n", 3, "--out", run.parent / "x.npy"),
        fails(capsys, "film", run, "--out", run.parent / "x.gif"),
    ]


def test_a_directory_without_a_run_is_refused(tmp_path, capsys):
    for path in (tmp_path / "missing", tmp_path):
        assert all("holds no run" in line for line in each_command(capsys, path))


@pytest.mark.parametrize("length", [0, 1, 100, 0.5, -1])
def test_a_truncated_checkpoint_is_refused(copy, capsys, length):
    path = copy / "checkpoint.pt"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(length * len(whole)) if isinstance(length, float) else length])
    assert all("checkpoint.pt is damaged" in line for line in each_command(capsys, copy))


@pytest.mark.parametrize(
    "state",
    [torch.zeros(3), {"step": 1}, {"step": 1, "model": {}, "ema": {}, "optimiser": {}}],
    ids=["a tensor", "no parameters", "empty parameters"],
)
def test_a_checkpoint_of_something_else_is_refused(copy, capsys, state):
    torch.save(state, copy / "checkpoint.pt")
    assert all("checkpoint.pt" in line for line in each_command(capsys, copy))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "\x00\x01",
        '{"model": "vae"}',
        '{"model": "vae", "data": "swiss-roll", "seed": "x", "steps": 2}',
        '{"model": "vae", "data": "swiss-roll", "seed": 0, "steps": 2.5}',
        '{"model": "gan", "data": "swiss-roll", "seed": 0, "steps": 2}',
        '{"model": "vae", "data": ["swiss-roll"], "seed": 0, "steps": 2}',
    ],
)
def test_a_damaged_configuration_is_refused(copy, capsys, text):
    (copy / "config.json").write_text(text)
    each_command(capsys, copy)


def test_a_checkpoint_that_does_not_fit_its_configuration_is_refused(copy, capsys):
    stored = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(stored | {"model": "hvae", "steps": 4}))
    fails(capsys, "train", "hvae", "--data", "swiss-roll", "--out", copy, "--resume")
    assert "does not fit" in fails(capsys, "evaluate", copy)


def test_a_run_without_a_checkpoint_yet_is_refused(copy, capsys):
    (copy / "checkpoint.pt").unlink()
    assert "no checkpoint yet" in fails(capsys, "evaluate", copy)


# --- kill −9 ---

SHORT = ((runs, "SAVE_EVERY", 10), (runs, "LOG_EVERY", 4))
TRAIN = ["train", "vae", "--data", "swiss-roll", "--steps", "30", "--seed", "3", "--out"]


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run that saves and logs often and is left in peace."""
    out = tmp_path_factory.mktemp("straight") / "run"
    with pytest.MonkeyPatch.context() as patch:
        for short in SHORT:
            patch.setattr(*short)
        succeeds(*TRAIN, out)
    return out


class Killed(BaseException):
    """Stops the process where it stands: nothing in the library catches it."""


@pytest.mark.parametrize("writes", range(11))
def test_a_run_killed_between_any_two_writes_ends_the_same(straight, monkeypatch, tmp_path, writes):
    """Eight rows and three checkpoints make eleven writes; the run is killed before each of them in turn."""
    for short in SHORT:
        monkeypatch.setattr(*short)
    count, out = iter(range(100)), tmp_path / "run"

    def killed_in_time(write):
        def wrapper(*args):
            if next(count) == writes:
                raise Killed
            return write(*args)

        return wrapper

    with monkeypatch.context() as patch:
        patch.setattr(runs.MetricsFile, "add", killed_in_time(runs.MetricsFile.add))
        patch.setattr(files.os, "replace", killed_in_time(os.replace))
        with pytest.raises(Killed):
            cli.main([*TRAIN, str(out)])
    with open(out / "metrics.csv", "a") as f:
        f.write("28,1.2")  # and in the middle of a row
    succeeds(*TRAIN, out, "--resume")
    assert same_run(out, straight)


def test_kill_9_at_a_random_moment(tmp_path):
    """In processes of their own, with the real signal, within 0.3 s of the start of training."""
    small = "runs.SAVE_EVERY, build.TRAIN_POINTS = 50, 2000"
    modules = "import sys; from diffusion_edu import cli; from diffusion_edu.training import build, runs"
    code = f"{modules}; {small}; sys.exit(cli.main(sys.argv[1:]))"
    train = ["train", "vae", "--data", "swiss-roll", "--steps", "200", "--out"]
    start = lambda *args: subprocess.Popen(  # noqa: E731
        [sys.executable, "-c", code, *map(str, args)], env=ENVIRONMENT, stderr=subprocess.DEVNULL
    )
    straight, killed = start(*train, tmp_path / "straight"), start(*train, tmp_path / "killed")
    while killed.poll() is None and not (tmp_path / "killed" / "config.json").exists():
        time.sleep(0.05)
    time.sleep(0.3 * random.random())
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert start(*train, tmp_path / "killed", "--resume").wait() == 0
    assert straight.wait() == 0
    assert same_run(tmp_path / "killed", tmp_path / "straight")


@pytest.mark.parametrize("words", ["--help", "train --help", "evaluate nowhere"])
def test_any_console_can_be_written_to(words):
    """One that knows ASCII alone gets a question mark for β, not a traceback."""
    ascii_only = {"LANG": "C", "LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""}
    command = [sys.executable, "-m", "diffusion_edu", *words.split()]
    done = subprocess.run(command, env=os.environ | ascii_only, capture_output=True)
    assert done.returncode == (2 if "nowhere" in words else 0)
    assert b"Traceback" not in done.stderr
    (done.stdout + done.stderr).decode("ascii")


@pytest.mark.parametrize(("model", "step"), [("ddpm", 200), ("vae", 150)])
def test_a_run_that_diverges_stops_in_time_and_keeps_its_last_checkpoint(model, step, tmp_path, monkeypatch, capsys):
    """A parameter turns to NaN after step 150: code 2, the step named; --resume goes on as if nothing had happened.
    A VAE's density notices at once, a squared error at the next look, every hundred steps."""
    monkeypatch.setattr(runs, "SAVE_EVERY", 100)
    train = ["train", model, "--data", "swiss-roll", "--steps", 300, "--batch", 64, "--out"]
    succeeds(*train, tmp_path / "straight")
    one_step = runs.Trainer.one_step

    def broken(self):
        if self.step == 150:
            next(self.model.parameters()).data.fill_(float("nan"))
        return one_step(self)

    with monkeypatch.context() as patch:
        patch.setattr(runs.Trainer, "one_step", broken)
        assert cli.main([str(word) for word in (*train, tmp_path / "broken")]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"step {step}: " in message
    assert "is not finite" in message
    assert runs.read_checkpoint(tmp_path / "broken" / "checkpoint.pt")["step"] == 100
    succeeds(*train, tmp_path / "broken", "--resume")
    assert same_run(tmp_path / "broken", tmp_path / "straight")


# --- faults from the field ---


def run_in_a_process(*arguments, limit="") -> subprocess.CompletedProcess:
    """The command line in a process of its own; limit: shell commands before it, such as ulimit."""
    words = " ".join(map(str, (sys.executable, "-m", "diffusion_edu", *arguments)))
    command = ["bash", "-c", f"{limit} exec {words}"]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=120)


def one_line(done: subprocess.CompletedProcess) -> str:
    """The line of a command that ended with code 2 and without a traceback."""
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert last.startswith("diffusion-edu: ")
    return last


def test_nothing_is_left_of_a_run_whose_data_are_not_to_be_had(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DIFFUSION_EDU_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("diffusion_edu.images.mnist.fetch.__defaults__", ((), 30, True))
    assert cli.main(["train", "vae", "--data", "mnist", "--out", str(tmp_path / "run"), "--device", "cpu"]) == 2
    assert "no train-images-idx3-ubyte.gz" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_no_room_for_a_checkpoint_is_one_line_and_leaves_the_last_one(copy):
    """A file may have 100 blocks of 1,024 bytes, a checkpoint has more."""
    (copy / "config.json").write_text((copy / "config.json").read_text().replace('"steps": 2', '"steps": 4'))
    before = contents(copy)
    said = one_line(run_in_a_process("train", "vae", "--data", "swiss-roll", "--out", copy, "--resume",
                                     limit="ulimit -f 100;"))  # fmt: skip
    assert "File too large" in said
    assert "checkpoint.pt" in said
    after = contents(copy)
    assert after["checkpoint.pt"] == before["checkpoint.pt"]
    assert after.keys() == before.keys()
    samples = ["sample", copy, "--n", 30_000, "--out", copy / "x.npy"]
    assert "x.npy could not be written" in one_line(run_in_a_process(*samples, limit="ulimit -f 100;"))
    assert contents(copy).keys() == after.keys()


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path):
    train = ["train", "vae", "--data", "swiss-roll", "--steps", 100_000, "--out", tmp_path / "run"]
    first = subprocess.Popen([sys.executable, "-m", "diffusion_edu", *map(str, train)], env=ENVIRONMENT,
                             stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        while not (tmp_path / "run" / "metrics.csv").exists():
            assert first.poll() is None
            time.sleep(0.1)
        assert "is in use: another process" in one_line(run_in_a_process(*train, "--resume"))
    finally:
        first.kill()
        first.wait()
    with runs._in_use(tmp_path / "run", parallel.ALONE):
        pass  # a killed process leaves no lock behind


def test_memory_that_ends_is_one_line(trained):
    sample = ["sample", trained["ddpm swiss-roll"], "--out", trained["ddpm swiss-roll"].parent / "x.npy"]
    for command in ([*sample, "--n", 2_000_000_000],
                    ["train", "ddpm", "--data", "swiss-roll", "--out", "never", "--T", 2_000_000_000]):  # fmt: skip
        assert "out of memory" in one_line(run_in_a_process(*command, limit="ulimit -v 6000000;"))


@pytest.mark.parametrize("words", [["sample", "--n", "3", "--out", "x.npy"], ["evaluate"], ["film", "--out", "x.mp4"]])
def test_parameters_that_are_not_finite_are_refused_by_name(trained, tmp_path, capsys, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "run"
    out.mkdir()
    for name, content in contents(trained["ddpm swiss-roll"]).items():
        (out / name).write_bytes(content)
    state = runs.read_checkpoint(out / "checkpoint.pt")
    name = next(n for n, value in state["ema"].items() if value.is_floating_point() and "eps_net" in n)
    state["ema"][name].view(-1)[0] = float("nan")
    runs.save(out / "checkpoint.pt", state)
    command, *options = words
    assert "holds numbers that are not finite" in fails(capsys, command, out, *options)
    start = ["train", "ddpm", "--data", "swiss-roll", "--out", tmp_path / "new", "--start", out]
    assert "holds numbers that are not finite" in fails(capsys, *start)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_finished_run_is_trained_further_by_start(copy, capsys):
    line = fails(capsys, "train", "vae", "--data", "swiss-roll", "--steps", 9, "--out", copy, "--resume")
    assert "started with steps 2, cannot resume it with 9; to train a finished run further" in line
    assert "--start" in line


def test_work_after_the_last_step_shows_that_it_goes_on(tmp_path, capsys):
    succeeds("train", "ddpm", "--data", "swiss-roll", "--T", 30, "--steps", 2, "--out", tmp_path / "run")
    assert "σ² of each t" in capsys.readouterr().err

"""Tries to break the command line and its runs, and counts what it tried: `make soak`.

python tools/soak.py [--runs 50] [--seed 0]

fuzz: each option of each command, with values that are empty, negative, huge, no numbers, a missing file, a folder for
a file. Every call must end with code 0 or 2 and at most one message, in time, and leave nothing half-written.
soak: short runs that are killed at random moments (SIGKILL) and resumed must end as one left in peace, bit for bit.
damage: every file of a run, cut at ten places, must be refused by name or not matter.
Prints the counts and writes them into docs/measured.md. Works where there is os.fork.
"""

import argparse
import contextlib
import io
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import torch
from tqdm import tqdm

from bench.library import ROOT, replace
from diffusion_edu import cli
from diffusion_edu.training import build, runs, trainer

VALUES = ("", "-1", "0", "1", "0.5", "99999999999999999999", "1e309", "nan", "text", "β", "/no/such/file.npy", ".")
LIMIT = 30  # seconds for one call
MEMORY = 6 * 2**30  # bytes of address space
STAGES = ["latent", "--vae-steps", "60", "--T", "30"]


def quick() -> None:
    """Few points, files written often, and no run of more than three steps at a time unless it asks for few."""
    tqdm.set_lock(threading.RLock())  # its own is shared with forked processes: one killed in the middle would keep it
    build.TRAIN_POINTS, runs.SAVE_EVERY, runs.LOG_EVERY = 2000, 10, 5
    runs.fit_sigma2 = lambda model, data, seed, progress: None
    whole = trainer.Trainer.run

    def short(self, *shown):
        for step, terms in whole(self, *shown):
            yield step, terms
            if self.steps > 1000 and step >= 3:
                return

    trainer.Trainer.run = short


def call(arguments: list[str]) -> tuple[int | str, str]:
    """What a call returned or raised, and what it wrote to standard error."""

    def too_long(*_):
        raise TimeoutError(f"longer than {LIMIT} s")

    said = io.StringIO()
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(LIMIT)
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = cli.main(arguments)
    except SystemExit as e:
        code = e.code
    except BaseException:
        code = traceback.format_exc(limit=-3)
    finally:
        signal.alarm(0)
    return code, said.getvalue()


def messages(said: str) -> list[str]:
    """What was said, without progress bars."""
    return [line for line in said.replace("\r", "\n").splitlines() if line.startswith("diffusion-edu")]


def fuzz(home: Path) -> tuple[int, list[str]]:
    """Every option of every command with every value; the number of calls, and what went wrong."""
    done = home / "done"
    assert call(["train", "ddpm", "--data", "swiss-roll", "--steps", "3", "--T", "30", "--out", str(done)])[0] == 0
    short = ["--data", "swiss-roll", "--steps", "2", "--T", "30", "--out", "new"]
    base = [
        ("train", ["ddpm", *short]),
        ("train", ["latent", "--vae-steps", "2", *short]),
        ("sample", [str(done), "--n", "3", "--out", "x.npy", "--sample-steps", "3"]),
        ("evaluate", [str(done), "--n", "3"]),
        ("film", [str(done), "--n", "3", "--frames", "3", "--sample-steps", "3", "--out", "x.gif"]),
    ]
    parser = cli._parser()
    sub = next(action for action in parser._actions if hasattr(action, "choices") and action.dest == "command")
    tried, wrong = 0, []
    for command, arguments in base:
        for action in sub.choices[command]._actions:
            flag = action.option_strings[-1] if action.option_strings else None
            if flag in (None, "--help"):
                continue
            for value in VALUES if action.nargs != 0 else (None,):
                words = [command, *arguments, flag, *([] if value is None else [value])]
                before = {p.name for p in home.iterdir()}
                code, said = call(words)
                tried += 1
                left = {p.name for p in home.iterdir()} - before
                if code not in (0, 2) or len(messages(said)) > 1 or any(name.startswith(".") for name in left):
                    wrong.append(f"{' '.join(words)}: {code} {messages(said)} {left}")
                if code == 2 and left:
                    wrong.append(f"{' '.join(words)}: refused, and left {left}")
                for name in left:
                    shutil.rmtree(home / name) if (home / name).is_dir() else (home / name).unlink()
    return tried, wrong


def in_a_process(arguments: list[str]) -> int:
    """A forked process that runs a command; its id."""
    if child := os.fork():
        return child
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)
    os._exit(0 if call(arguments)[0] == 0 else 1)


def soak(home: Path, model: list[str], n: int, rng: random.Random) -> tuple[int, list[str]]:
    """n runs of a model, each killed until it ends; the number of kills, and what went wrong."""
    home.mkdir()
    train = ["train", *model, "--data", "swiss-roll", "--steps", "60", "--batch", "64", "--device", "cpu", "--out"]
    wrong, kills = [], 0
    start = time.perf_counter()
    assert call([*train, str(home / "straight")])[0] == 0
    length = time.perf_counter() - start
    straight = runs.read_checkpoint(home / "straight" / "checkpoint.pt")
    for i in range(n):
        out, resume = home / f"run{i}", []
        for attempt in range(100):
            child = in_a_process([*train, str(out), *resume])
            time.sleep(length * rng.random() * (1 if attempt < 3 else 2))
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
            kills += os.WIFSIGNALED(status)
            resume = ["--resume"] if (out / "config.json").exists() else []
            if os.WIFEXITED(status):
                break
        code, said = call([*train, str(out), *(["--resume"] if resume else [])])
        if code != 0:
            wrong.append(f"run {i}: {code} {messages(said)} {[p.name for p in home.iterdir() if str(i) in p.name]}")
            continue
        same = (out / "metrics.csv").read_bytes() == (home / "straight" / "metrics.csv").read_bytes()
        if not same or not alike(runs.read_checkpoint(out / "checkpoint.pt"), straight):
            wrong.append(f"run {i}: ends otherwise, the same log: {same}")
    return kills, wrong


def alike(a, b) -> bool:
    """Whether two checkpoints hold the same numbers, bit for bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(alike, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def damage(home: Path) -> tuple[int, list[str]]:
    """Every file of a run cut at ten places; the number of calls, and what went wrong."""
    whole, tried, wrong = home / "whole", 0, []
    assert call(["train", "vae", "--data", "swiss-roll", "--steps", "20", "--out", str(whole)])[0] == 0
    for name in ("config.json", "metrics.csv", "checkpoint.pt"):
        content = (whole / name).read_bytes()
        for tenth in range(10):
            out = home / "cut"
            shutil.copytree(whole, out)
            (out / name).write_bytes(content[: len(content) * tenth // 10])
            for words in (["evaluate", str(out), "--n", "3"],
                          ["train", "vae", "--data", "swiss-roll", "--out", str(out), "--resume"]):  # fmt: skip
                code, said = call(words)
                tried += 1
                named = code == 2 and len(messages(said)) == 1 and name in said
                if not (named or (code == 0 and name == "metrics.csv")):
                    wrong.append(f"{name} cut at {tenth}/10, {words[0]}: {code} {messages(said)}")
            shutil.rmtree(out)
    return tried, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    quick()
    rows, failed = ["| what | tried | gone wrong |", "| --- | --- | --- |"], 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        homes = {name: Path(folder, name) for name in ("fuzz", "soak", "damage")}
        for home in homes.values():
            home.mkdir()
        os.chdir(homes["fuzz"])
        for what, attempt in {
            "options of the command line, each with odd values": lambda: fuzz(homes["fuzz"]),
            f"kills of {args.runs} runs of a VAE, which end bit for bit as one left in peace": lambda: soak(
                homes["soak"] / "vae", ["vae"], args.runs, random.Random(args.seed)
            ),
            f"kills of {args.runs} runs of two stages, likewise": lambda: soak(
                homes["soak"] / "latent", STAGES, args.runs, random.Random(args.seed)
            ),
            "calls on runs with a file cut short": lambda: damage(homes["damage"]),
        }.items():
            tried, wrong = attempt()
            rows.append(f"| {what} | {tried:,} | {len(wrong)} |")
            failed += len(wrong)
            print(rows[-1], *wrong, sep="\n", flush=True)
        os.chdir(ROOT)
    if not failed:
        replace(ROOT / "docs" / "measured.md", "soak", "\n".join(rows) + "\n")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())

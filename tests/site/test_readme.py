"""The README's program runs as printed, and its commands exist."""

import json
import re
from pathlib import Path

import matplotlib
import torch
from bench import library

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def test_the_program_draws_noise_becoming_the_roll(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    (program,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    scope = {}
    exec(program, scope)
    assert (tmp_path / "reverse.png").stat().st_size > 10_000
    roll, path = scope["roll"], scope["path"]
    # log p of a true point has standard deviation 0.8 nats, so four standard errors of 2,000 points are 0.07
    assert abs(roll.log_prob(path[0]).mean().item() + roll.entropy()) < 0.07
    assert roll.log_prob(path[200]).mean() < -10
    assert torch.isfinite(path[0]).all()


def test_every_make_target_and_file_it_names_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z]+)\b", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target
    for path in re.findall(r"\]\(([\w./-]+)\)", README):
        assert (ROOT / path).exists(), path


def test_its_table_is_what_was_measured():
    rows = [row for part in json.loads(library.RESULTS.read_text(encoding="utf-8"))["parts"].values() for row in part]
    assert f"<!-- headline -->\n{library.headline(rows)}<!-- /headline -->" in README

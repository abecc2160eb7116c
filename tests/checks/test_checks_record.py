"""checks.progress(): a small file of the learner's own, which may be missing, damaged or in the way."""

import json
import os
import re
import subprocess
import sys
from html import escape
from types import SimpleNamespace

import pytest
from exercise_cells import SOLUTION, run

from diffusion_edu import checks
from diffusion_edu.checks import record
from notebooks import FOLDER


def right(name: str):
    item = getattr(checks, name)
    return item, run(item, SOLUTION[name])


@pytest.fixture(autouse=True)
def nothing_unwritten():
    record.UNWRITTEN.clear()
    yield
    record.UNWRITTEN.clear()


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "data" / "progress.json"
    monkeypatch.setenv(record.VARIABLE, str(path))
    return path


def test_a_correct_answer_is_remembered_and_a_wrong_one_is_not(file, capsys):
    item, answer = right("kl")
    item(lambda *a: 0.0)
    item(...)
    assert not file.exists()
    item(answer)
    item(answer)
    assert json.loads(file.read_text(encoding="utf-8")) == {"version": 1, "done": ["01.kl"]}
    assert [path.name for path in file.parent.iterdir()] == ["progress.json"]
    assert capsys.readouterr().out.count("correct. ") == 2


def test_progress_says_what_is_done_and_what_is_next(file, capsys):
    checks.progress()
    empty = capsys.readouterr().out
    assert f"Next: {checks.EXERCISES[0].name} in notebook 00" in empty
    record.remember(checks.EXERCISES[0].key)
    checks.progress()
    one = capsys.readouterr().out
    assert f"Next: {checks.EXERCISES[1].name} in notebook 00" in one
    assert "00  1 of 5" in one
    assert str(file) in one
    for item in checks.EXERCISES:
        record.remember(item.key)
    checks.progress()
    assert "All exercises are done." in capsys.readouterr().out


def test_in_a_notebook_progress_has_marks_and_links(file):
    done, open_ = checks.EXERCISES[0], checks.EXERCISES[1]
    record.remember(done.key)
    html = record.Progress(checks.EXERCISES, checks.FILES)._repr_html_()
    ticks, circles = html.count("✓"), html.count("○")
    assert (ticks, circles) == (2, 2 * (len(checks.EXERCISES) - 1)), "in the notebook's line, and before the title"
    for item, mark in ((done, "✓"), (open_, "○")):
        assert re.search(f">{mark}</(b|span)> {re.escape(escape(item.title))} ", html)
    links = re.findall(r'href="([^"]*)"', html)
    assert sorted(set(links)) == [path.name for path in sorted(FOLDER.glob("[0-9]*.ipynb"))]
    assert f'<b>Next:</b> <a href="{links[0]}">' in html
    assert str(file) in html


def test_where_no_notebook_runs_progress_is_printed_and_else_shown(file, capsys, monkeypatch):
    shown = []
    here = SimpleNamespace(get_ipython=lambda: object(), display=SimpleNamespace(display=shown.append))
    monkeypatch.setitem(sys.modules, "IPython", here)
    checks.progress()
    assert capsys.readouterr().out == ""
    (progress,) = shown
    here.get_ipython = lambda: None
    checks.progress()
    assert capsys.readouterr().out == f"{progress!r}\n"


def test_progress_can_be_forgotten(file, capsys):
    record.remember("01.kl")
    checks.forget()
    assert not file.exists()
    checks.forget()
    out = capsys.readouterr().out
    assert f"Removed {file}." in out
    assert "No progress is kept." in out


@pytest.mark.parametrize("text", ["", "{", "[]", '{"done": 3}', '{"done": [1]}', "null", "\ufffd", "[" * 100_000])
def test_a_damaged_file_is_told_and_replaced(file, capsys, text):
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")
    checks.progress()
    assert "is damaged. checks.forget() removes the file." in capsys.readouterr().out
    assert file.read_text(encoding="utf-8") == text  # looking changes nothing
    item, answer = right("kl")
    item(answer)
    assert "01.kl" in file.read_text(encoding="utf-8")
    assert file.with_name("progress.json.damaged").read_text(encoding="utf-8") == text


def test_bytes_that_are_no_text_are_damage(file, capsys):
    file.parent.mkdir()
    file.write_bytes(b"\xff\xfe\x00")
    checks.progress()
    assert "is damaged" in capsys.readouterr().out


def test_a_place_that_cannot_be_written_is_told_in_a_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(record.VARIABLE, str(tmp_path / "file" / "progress.json"))
    item, answer = right("kl")
    item(answer)
    out = capsys.readouterr().out
    assert out.startswith("kl: correct.")
    assert "Your progress could not be kept in" in out or "cannot be read" in out
    checks.progress()
    checks.forget()
    assert "Traceback" not in capsys.readouterr().out


def test_a_directory_in_its_place_is_told_in_a_sentence(file, capsys):
    file.mkdir(parents=True)
    item, answer = right("kl")
    item(answer)
    checks.progress()
    checks.forget()
    out = capsys.readouterr().out
    assert "cannot be read" in out
    assert "could not be removed" in out


def test_a_write_that_fails_half_way_leaves_the_old_file(file, monkeypatch):
    record.remember("00.first")

    def full(*paths):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert "No space left" in record.remember("00.second")
    assert record.read()[0] == ["00.first", "00.second"]
    assert json.loads(file.read_text(encoding="utf-8"))["done"] == ["00.first"]
    assert [path.name for path in file.parent.iterdir()] == ["progress.json"]
    assert record.remember("00.third") == ""  # there is room again
    assert json.loads(file.read_text(encoding="utf-8"))["done"] == ["00.first", "00.second", "00.third"]


def test_nothing_is_written_under_test_unless_asked(monkeypatch):
    monkeypatch.delenv(record.VARIABLE, raising=False)
    assert record.path() is None
    monkeypatch.setenv(record.VARIABLE, "")
    assert record.path() is None
    assert record.remember("01.kl") == ""


def test_a_learner_s_file_lies_in_the_user_s_data_directory(tmp_path):
    program = "from diffusion_edu.checks import record; print(record.path())"
    env = {k: v for k, v in os.environ.items() if k != "CI" and not k.startswith(("PYTEST", "DIFFUSION"))}
    env |= {"HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("progress.json")
    assert str(tmp_path) in done.stdout
    assert list(tmp_path.rglob("*.json")) == []


def clean(**changes) -> dict[str, str]:
    """This process's environment without what keeps progress from being written."""
    names = ("CI", "HOME", "XDG_DATA_HOME", "LOCALAPPDATA")
    return {
        k: v for k, v in os.environ.items() if k not in names and not k.startswith(("PYTEST", "DIFFUSION"))
    } | changes


ANSWERS = """
import os, sys
{limit}
from diffusion_edu import checks
checks.lopsided([0.5, 2.0, 0.1, 10.0])
checks.progress()
checks.forget()
"""


def said(folder, limit="", **changes) -> str:
    """What a right answer, progress and forget print in a process of their own; it ends well, and leaves nothing."""
    done = subprocess.run([sys.executable, "-c", ANSWERS.format(limit=limit)], env=clean(**changes), cwd=folder,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in folder.rglob("*") if path.is_file()]
    out = " ".join(done.stdout.split())
    assert out.startswith("lopsided: correct.")
    assert "It lasts until this kernel stops." in out
    assert "lopsided ✓" in out
    return out


@pytest.mark.skipif(not hasattr(os, "setuid") or os.getuid() != 0, reason="only root can be a user without an entry")
def test_without_a_home_it_is_kept_in_memory(tmp_path):
    tmp_path.chmod(0o777)
    out = said(tmp_path, limit="import platformdirs, torch, diffusion_edu.checks\nos.setuid(54321)")
    assert "could not be kept (there is no home folder)" in out


def test_a_home_that_is_only_a_tilde_is_none(monkeypatch):
    for name in ("CI", "PYTEST_CURRENT_TEST", "PYTEST_VERSION", record.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("platformdirs.user_data_dir", lambda *a, **k: "~/.local/share/diffusion-edu")
    assert "(there is no home folder)" in record.remember("01.kl")
    assert record.read()[0] == ["01.kl"]


def test_in_a_home_that_cannot_be_written_it_is_kept_in_memory(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    if os.getuid() == 0:  # root ignores file modes, but cannot make folders in /proc
        assert "could not be kept in /proc" in said(tmp_path, HOME="/proc/self")
    else:
        home.chmod(0o555)
        assert "could not be kept in" in said(tmp_path, HOME=str(home))


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on files")
def test_without_room_it_is_kept_in_memory(tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
    assert "(File too large)" in said(tmp_path, limit, DIFFUSION_EDU_PROGRESS=str(tmp_path / "data" / "progress.json"))

"""The copy of the notebooks that `make lab` opens is made once and never overwritten."""

import json

import work_copy


def test_it_is_made_once_and_grows_by_what_is_new(tmp_path):
    source, target = tmp_path / "notebooks", tmp_path / "work"
    source.mkdir()
    for name in ("00_start.ipynb", "00_start.py", "lab_settings.json"):
        (source / name).write_text("old", encoding="utf-8")
    assert work_copy.copy(source, target) == ["00_start.ipynb"]
    assert [path.name for path in target.iterdir()] == ["00_start.ipynb"]  # no text, no settings
    (target / "00_start.ipynb").write_text("an answer", encoding="utf-8")
    (source / "00_start.ipynb").write_text("new", encoding="utf-8")
    (source / "01_vae.ipynb").write_text("new", encoding="utf-8")
    assert work_copy.copy(source, target) == ["01_vae.ipynb"]
    assert (target / "00_start.ipynb").read_text(encoding="utf-8") == "an answer"


def test_the_layout_is_the_learners_once_it_is_there(tmp_path):
    work_copy.write_workspace(tmp_path)
    (path,) = tmp_path.iterdir()
    layout = json.loads(path.read_text(encoding="utf-8"))
    assert layout["data"]["layout-restorer:data"]["left"]["current"] == "@jupyterlab/toc:plugin"
    path.write_text("mine", encoding="utf-8")
    work_copy.write_workspace(tmp_path)
    assert path.read_text(encoding="utf-8") == "mine"


def test_git_does_not_see_it():
    assert "/work/" in (work_copy.ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()

"""Student copies, and grading: right, wrong, endless, crashing and tampering notebooks, made here."""

import csv
import json
import signal
from pathlib import Path

import pytest

from diffusion_edu import checks
from diffusion_edu.checks import teachers
from diffusion_edu.checks.__main__ import main
from diffusion_edu.checks.cells import cells

IMPORTS = "import math\n\nimport torch\n\nfrom diffusion_edu import checks"


def notebook(*sources: str, kind: str = "code") -> dict:
    made = [{"cell_type": kind, "metadata": {}, "source": source} for source in sources]
    made = [cell | ({"outputs": [], "execution_count": None} if kind == "code" else {}) for cell in made]
    return {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}


def save(path: Path, content: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def solved(name: str) -> str:
    item = getattr(checks, name)
    return f"{item.solution}\n\n\nchecks.{name}({item.answer})"


STUB, WRONG_KL = dict(cells(checks.kl))["code"], solved("kl").replace(".sum(-1)", ".mean(-1)")
CHEAT = """from diffusion_edu.checks import core
core.differs = lambda *a, **k: ""
checks.kl(lambda *a: torch.zeros(()))"""
FORGE = """import os, json
with open(os.environ["DIFFUSION_EDU_RESULTS"], "a") as file:
    for line in ({"exercise": "01.kl", "status": "correct"}, [1], {"exercise": "01.elbo", "status": "=cmd()"},
                 {"exercise": "09.none", "status": "correct"}):
        file.write(json.dumps(line) + "\\n{\\n")"""
STUBBORN = """import time
while True:
    try:
        time.sleep(60)
    except BaseException:
        pass"""
LEAVE = "import pathlib\npathlib.Path('left').write_text('x')\n(pathlib.Path.home() / 'left').write_text('x')"
ENDLESS = "while True:\n    pass"
SUBMISSIONS = {
    "a/right": [IMPORTS, LEAVE, solved("kl"), solved("log_likelihood"), solved("lopsided")],
    "=wrong": [IMPORTS, WRONG_KL, dict(cells(checks.elbo))["code"], "1/0", ENDLESS, solved("log_likelihood")],
    "crash": [
        IMPORTS,
        solved("lopsided"),
        STUB,
        FORGE,
        "import os\nos._exit(0)",
        solved("log_likelihood"),
        solved("elbo"),
    ],
    "cheat": [IMPORTS, CHEAT],
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The table of all submissions. One run, because each starts a Python."""
    folder, out = tmp_path_factory.mktemp("handed in"), tmp_path_factory.mktemp("grades") / "grades.csv"
    for name, sources in SUBMISSIONS.items():
        save(folder / f"{name}.ipynb", notebook(*sources))
    (folder / "broken.ipynb").write_text("{", encoding="utf-8")
    save(folder / ".ipynb_checkpoints" / "old.ipynb", notebook(IMPORTS))
    before = sorted(folder.rglob("*"))
    kept = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a shell's background job, whose children inherit it
    grades = teachers.grade_folder(folder, out, checks.EXERCISES, limit=200, cell_limit=5, say=lambda line: None)
    signal.signal(signal.SIGINT, kept)
    assert sorted(folder.rglob("*")) == before  # submissions ran elsewhere
    assert len(grades) == len(SUBMISSIONS) + 1
    with out.open(encoding="utf-8", newline="") as file:
        return {row["file"].strip("'"): row for row in csv.DictReader(file)}


def test_right_and_wrong_answers(graded):
    right, wrong = graded["a/right.ipynb"], graded["=wrong.ipynb"]
    assert (right["run"], right["correct"], right["of"], right["look at"]) == ("finished", "3", "3", "")
    assert [right[key] for key in ("01.log_likelihood", "01.lopsided", "01.kl")] == ["correct"] * 3
    assert (wrong["run"], wrong["correct"], wrong["of"], wrong["cells with errors"]) == ("finished", "1", "3", "2")
    assert wrong["01.kl"] == "not yet right"
    assert wrong["01.elbo"] == "not attempted yet"
    assert wrong["01.lopsided"] == ""


def test_an_endless_cell_is_stopped_and_the_next_ones_run(graded):
    assert "cell 5: stopped at its time limit" in graded["=wrong.ipynb"]["look at"]
    assert graded["=wrong.ipynb"]["01.log_likelihood"] == "correct"


def test_what_cannot_be_interrupted_is_killed(tmp_path):
    save(tmp_path / "in" / "stubborn.ipynb", notebook(IMPORTS, STUBBORN, solved("kl")))
    said = []
    (grade,) = teachers.grade_folder(
        tmp_path / "in", tmp_path / "out.csv", checks.EXERCISES, limit=12, cell_limit=1, say=said.append
    )
    assert grade.run == "stopped after 12 s"
    assert grade.results == {"01.kl": "not reached"}
    assert said == ["stubborn.ipynb: stopped after 12 s, 0 of 1 correct"]


def test_a_crash_keeps_what_was_done_before(graded):
    row = graded["crash.ipynb"]
    assert row["run"] == "crashed"
    assert (row["01.lopsided"], row["01.log_likelihood"]) == ("correct", "not reached")


def test_tampering_that_shows_is_pointed_out(graded):
    """It works, since the code shares a process with the checks; the teacher is told where to look."""
    assert graded["cheat.ipynb"]["01.kl"] == "correct"
    assert "the checks were changed while it ran; cell 2: from diffusion_edu.checks" in graded["cheat.ipynb"]["look at"]
    assert graded["crash.ipynb"]["01.kl"] == "correct"
    assert "cell 4: DIFFUSION_EDU_" in graded["crash.ipynb"]["look at"]


def test_of_forged_results_only_known_names_and_words_are_taken(graded):
    assert graded["crash.ipynb"]["01.elbo"] == "not reached"
    assert not any("09" in key for key in graded["crash.ipynb"])


def test_other_files(graded):
    assert graded["broken.ipynb"]["run"] == "not a notebook"
    assert "old" not in " ".join(graded)


def test_no_cell_of_the_table_is_a_formula():
    grade = teachers.Grade("=c.ipynb", "finished", look_at=["@x\n=y"])
    assert grade.row([])[0] == "'=c.ipynb"
    assert grade.row([])[6] == "'@x =y"


def test_the_environment_of_a_submission_is_small(tmp_path, monkeypatch):
    monkeypatch.setenv("A_SECRET_OF_MINE", "1")
    env = teachers.environment("scratch", tmp_path, tmp_path / "results")
    assert "A_SECRET_OF_MINE" not in env
    assert env["HOME"] == "scratch"
    assert env["DIFFUSION_EDU_PROGRESS"] == ""


def test_a_student_copy_has_no_solutions(tmp_path):
    markdown = [source for item in checks.EXERCISES for kind, source in cells(item) if kind == "markdown"]
    made = notebook("# Title", *markdown, kind="markdown")
    made["cells"] += notebook(solved("kl"), "x = 1")["cells"]
    made["cells"] += [{"cell_type": "code", "metadata": {"tags": ["solution"]}, "source": ["secret = ", "1"]}]
    made["cells"][-3]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "kl: correct."}]
    source = save(tmp_path / "own" / "01.ipynb", made)
    assert main(["student", str(source), "--out", str(tmp_path / "out")]) == 0
    copy = json.loads((tmp_path / "out" / "01.ipynb").read_text(encoding="utf-8"))
    text = json.dumps(copy, ensure_ascii=False)
    assert "Solution" not in text
    assert "secret" not in text
    assert "kl: correct" not in text
    assert all(line not in text for item in checks.EXERCISES for line in item.solution.split("\n")[-1:])
    assert text.count("Hint 1") == text.count("Hint 2") == len(checks.EXERCISES)
    assert copy["cells"][-2]["source"] == STUB
    assert copy["cells"][-1]["source"] == "x = 1"
    assert json.loads(source.read_text(encoding="utf-8")) == made


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["student", "no.ipynb", "--out", "there"], "No such file"),
        (["student", "own/01.ipynb", "--out", "own"], "another folder"),
        (["student", "own/01.py", "--out", "there"], "ends in .ipynb"),
        (["student", "own/bad.ipynb", "--out", "there"], "bad.ipynb is not a notebook"),
        (["grade", "empty", "--out", "x.csv"], "there are no notebooks below empty"),
        (["grade", "own", "--out", "x.csv", "--limit", "0"], "must be positive"),
        (["cells", "17"], "no exercises for notebook '17'"),
    ],
)
def test_bad_requests_get_one_line(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    save(Path("own/01.ipynb"), notebook("x"))
    Path("own/bad.ipynb").write_text('{"cells": [3]}', encoding="utf-8")
    Path("empty").mkdir()
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1


def test_help_says_what_is_not_isolated(capsys):
    with pytest.raises(SystemExit):
        main(["grade", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "this is no sandbox" in text
    assert "the code runs with your rights" in text
    assert "grade in a container" in text


def test_the_cells_of_a_notebook_are_printed(capsys):
    assert main(["cells", "04"]) == 0
    out = capsys.readouterr().out
    assert out.count("**Exercise: ") == 5
    assert out.count("## Project: ") == 1

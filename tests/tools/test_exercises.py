"""tools/exercises.py: exercises go where they belong, once, and nothing else of a notebook changes."""

import re

import exercises
import jupytext
import pytest

from notebooks import FOLDER

NUMBERS = ["00", "01", "02", "03", "04", "05"]
each_notebook = pytest.mark.parametrize("number", NUMBERS)


def text_of(number: str) -> str:
    return next(FOLDER.glob(f"{number}_*.py")).read_text(encoding="utf-8")


@each_notebook
def test_everything_is_put_in_once_and_a_second_time_changes_nothing(number):
    text = exercises.with_exercises(text_of(number), number)
    assert exercises.with_exercises(text, number) == text
    for start, block, _ in exercises.blocks(number):
        assert text.count(start) == 1
        assert block in text


@each_notebook
def test_what_was_there_stays(number):
    old = text_of(number)
    new = exercises.with_exercises(old, number)
    for _, block, _ in exercises.blocks(number):
        new = new.replace(block, "")
    words = lambda text: [line for line in text.split("\n") if line.strip("# ") and not line.startswith("# %%")]  # noqa: E731
    kept = words(new)
    assert [line for line in kept if "import" not in line] == [
        line for line in words(old) if "import" not in line
    ] or all(start in old for start, *_ in exercises.blocks(number))


@each_notebook
def test_the_result_is_a_notebook_with_text_between_its_code(number):
    read = jupytext.reads(exercises.with_exercises(text_of(number), number), fmt="py:percent")
    kinds = "".join(cell.cell_type[0] for cell in read.cells)
    assert "ccc" not in kinds
    assert not [cell for cell in read.cells if not cell.source.strip()]
    stubs = [cell.source for cell in read.cells if re.search(r"^checks\.\w+\(my_", cell.source, re.M)]
    assert len(stubs) == len(exercises.blocks(number)) - 2
    first = next(cell.source for cell in read.cells if "from diffusion_edu import" in cell.source)
    assert "checks" in re.search(r"from diffusion_edu import (.*)", first)[1].split(", ")


def test_a_changed_exercise_is_renewed():
    text = exercises.with_exercises(text_of("01"), "01")
    spoilt = text.replace("def my_kl(mean_q, var_q, mean_p, var_p):", "def my_kl(a, b, c, d):", 1)
    assert spoilt != text
    assert exercises.with_exercises(spoilt, "01") == text


def test_a_line_that_is_gone_is_told():
    with pytest.raises(ValueError, match="must stand once"):
        exercises.inserted("# %% [markdown]\n# text\n", "# %%\n", "# another line")

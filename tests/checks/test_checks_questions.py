"""Quick questions: complete, without formulas where none can be shown, and pointing to equations that exist."""

import math
import re
from pathlib import Path

import pytest

from diffusion_edu.checks.questions import cell, questions
from diffusion_edu.images import quality

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
each_notebook = pytest.mark.parametrize("number", ["00", "01", "02", "03", "04", "05"])


@each_notebook
def test_each_question_has_one_right_choice_and_an_answer_to_every_other(number):
    assert 3 <= len(questions(number)) <= 5
    for question in questions(number):
        assert question.text.endswith("?")
        assert 3 <= len(question.choices) <= 4
        assert sum(right for _, right, _ in question.choices) == 1
        assert len({why for *_, why in question.choices}) == len(question.choices)
        assert all(len(why) > 25 for *_, why in question.choices)
        # inside <summary> neither JupyterLab nor the website typesets a formula
        assert not any(re.search(r"[$<>`*]|\\", choice) for choice, *_ in question.choices)


@each_notebook
def test_equations_that_are_pointed_to_exist(number):
    texts = [path.read_text(encoding="utf-8") for path in NOTEBOOKS.glob("[0-9]*.py") if path.name[:2] <= number]
    numbers = {tag for text in texts for tag in re.findall(r"\\tag\{([\d.]+)\}", text)}
    assert set(re.findall(r"\((\d\.\d+)\)", cell(number))) <= numbers


@each_notebook
def test_the_cell_is_whole(number):
    text = cell(number)
    assert text.count("<details>") == text.count("</details>") == sum(len(q.choices) for q in questions(number))
    assert text.count("$") % 2 == 0
    assert text.count("**Yes.**") == len(questions(number))
    assert not re.search(r"^\s*([-+*]|\d+\.) ", text, re.M), "a line would be read as a list"


def test_the_right_choice_is_not_always_in_the_same_place_or_the_longest():
    all_of_them = [q for number in ("00", "01", "02", "03", "04", "05") for q in questions(number)]
    places = [[right for _, right, _ in q.choices].index(True) for q in all_of_them]
    longest = [max(q.choices, key=lambda c: len(c[0]))[1] for q in all_of_them]
    assert len(set(places)) >= 3
    assert max(places.count(place) for place in set(places)) <= 0.5 * len(places)
    assert sum(longest) < 0.75 * len(longest)


def test_an_unknown_notebook_is_refused():
    with pytest.raises(ValueError, match="no questions for notebook '17'"):
        questions("17")


def test_the_numbers_in_the_answers_of_05_are_those_that_come_out():
    """No cell computes them: here they are."""
    floors = quality.reference().card["floors"]
    spread = floors["frechet_sd"][floors["n"].index(500)]
    few, many = (quality.floor(n, floors)["frechet"] for n in (500, 10_000))
    text = " ".join(cell("05").split())
    for said in (
        f"500 unseen real images get {few:.1f}, and 10,000 get {many:.1f}",
        f"for 500 real images by about {spread:.1f}",
        f"$784 \\log 127.5$, that is {round(784 * math.log(127.5), -2):,.0f} nats",
        f"by $784 \\log 2$ is {1200 / (784 * math.log(2)):.1f}",
        f"In 784 pixels they make {0.2 * 784 * math.log(2):.0f} nats",
    ):
        assert said in text, said

"""The exercises and quick questions as the notebooks show them: complete, and in agreement with what judges them."""

import math
import re

import pytest
from exercise_cells import SHOWN, exercises, numbers, questions, section_cell, text_of

from diffusion_edu import checks
from diffusion_edu.images import quality

each_notebook = pytest.mark.parametrize("number", numbers())
each = pytest.mark.parametrize("shown", SHOWN.values(), ids=lambda shown: shown.name)


def equations(number: str) -> set[str]:
    """The numbers of all equations up to this notebook."""
    return {tag for n in numbers() if n <= number for tag in re.findall(r"\\tag\{([\w.]+)\}", text_of(n))}


def test_every_exercise_has_a_judge_and_every_judge_an_exercise():
    shown = [shown.name for number in numbers() for shown in exercises(number)]
    assert shown == [item.name for item in checks.EXERCISES]
    assert len(set(shown)) == len(shown) >= 30


@each
def test_the_judge_says_the_same_of_it(shown):
    item = getattr(checks, shown.name)
    assert (item.notebook, item.title, item.minutes) == (shown.notebook, shown.title, shown.minutes)
    assert re.match(rf"{re.escape(item.section)}\b", shown.section)
    assert shown.argument == item.answer


@each
def test_it_is_complete(shown):
    assert 3 <= shown.minutes <= 30
    assert len(shown.code.splitlines()) <= 25
    assert all(len(line) <= 115 for line in (shown.code + "\n" + shown.solution).split("\n"))
    assert all(len(hint) > 30 for hint in shown.hints)
    assert all(re.search(rf"^(def )?{shown.argument}\b", code, re.M) for code in (shown.stub, shown.solution))
    assert not re.search(r"^\s*[-+*] ", shown.text, re.M), "a line would be read as a list"
    assert all(part.count("$") % 2 == 0 for part in (shown.text, shown.folds))
    assert set(re.findall(r"\((\d+\.\d+)\)", shown.text + shown.folds)) <= equations(shown.notebook)


@each_notebook
def test_each_notebook_has_a_few_and_a_project_with_a_rubric(number):
    assert 3 <= len(exercises(number)) <= 6
    project = section_cell(number, "Project: ")
    assert re.search(r"^\*\d+ minutes or more\. No check can judge it", project, re.M)
    assert len(re.findall(r"^- ", project, re.M)) >= 4


# --- quick questions ---


@each_notebook
def test_each_question_has_one_right_choice_and_an_answer_to_every_choice(number):
    assert 3 <= len(questions(number)) <= 5
    for question in questions(number):
        assert question.text.endswith("?")
        assert 3 <= len(question.choices) <= 4
        assert sum(why.startswith("**Yes.** ") for _, why in question.choices) == 1
        assert all(why.startswith(("**Yes.** ", "**No.** ")) and len(why) > 35 for _, why in question.choices)
        assert len({why for _, why in question.choices}) == len(question.choices)
        # inside <summary> neither JupyterLab nor the website typesets a formula
        assert not any(re.search(r"[$<>`*]|\\", choice) for choice, _ in question.choices)


@each_notebook
def test_the_questions_are_whole_and_point_to_equations_that_exist(number):
    text = section_cell(number, "Quick questions")
    assert set(re.findall(r"\((\d+\.\d+)\)", text)) <= equations(number)
    assert text.count("<details>") == text.count("</details>") == sum(len(q.choices) for q in questions(number))
    assert text.count("$") % 2 == 0
    assert not re.search(r"^\s*([-+*]|\d+\.) ", text, re.M), "a line would be read as a list"


def test_the_right_choice_is_not_always_in_the_same_place_or_the_longest():
    all_of_them = [q for number in numbers() for q in questions(number)]
    right = lambda choice: choice[1].startswith("**Yes.**")  # noqa: E731
    places = [list(map(right, q.choices)).index(True) for q in all_of_them]
    longest = [right(max(q.choices, key=lambda c: len(c[0]))) for q in all_of_them]
    assert len(set(places)) >= 3
    assert max(places.count(place) for place in set(places)) <= 0.5 * len(places)
    assert sum(longest) < 0.75 * len(longest)


def test_the_numbers_in_the_answers_of_05_are_those_that_come_out():
    """No cell computes them: here they are."""
    floors = quality.reference().card["floors"]
    spread = floors["frechet_sd"][floors["n"].index(500)]
    few, many = (quality.floor(n, floors)["frechet"] for n in (500, 10_000))
    text = " ".join(section_cell("05", "Quick questions").split())
    for said in (
        f"500 unseen real images get {few:.1f}, and 10,000 get {many:.1f}",
        f"for 500 real images by about {spread:.1f}",
        f"$784 \\log 127.5$, that is {round(784 * math.log(127.5), -2):,.0f} nats",
        f"by $784 \\log 2$ is {1200 / (784 * math.log(2)):.1f}",
        f"In 784 pixels they make {0.2 * 784 * math.log(2):.0f} nats",
    ):
        assert said in text, said

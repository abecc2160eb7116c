"""The map of ideas: its table is sound, and what is drawn is what the table says."""

import re
import sys

import build_book
import pytest

sys.path.insert(0, str(build_book.BOOK / "_ext"))
import course_map
import course_notebooks
from course_ideas import IDEAS, STEPS

PLACE = {idea.tag: i for i, idea in enumerate(IDEAS)}
DRAWN = pytest.mark.parametrize("drawing", [course_map.wide, course_map.narrow])


def test_each_idea_is_an_equation_of_a_notebook_and_stands_once():
    equations = course_notebooks.equations(course_notebooks.read(build_book.NOTEBOOKS))
    assert [idea.tag for idea in IDEAS if idea.tag not in equations] == []
    assert len(PLACE) == len({idea.name for idea in IDEAS}) == len({(i.column, i.row) for i in IDEAS}) == len(IDEAS)


def test_a_step_leads_on_from_known_to_known():
    assert [step for step in STEPS if PLACE[step.start] >= PLACE[step.end]] == []
    assert len({(step.start, step.end) for step in STEPS}) == len(STEPS)
    assert [step.what for step in STEPS if not 1 <= len(step.what.split()) <= 4] == []


def test_no_idea_is_unconnected():
    reached, todo = set(), [IDEAS[0].tag]
    while todo:
        here = todo.pop()
        reached.add(here)
        near = {s.end for s in STEPS if s.start == here} | {s.start for s in STEPS if s.end == here}
        todo += near - reached
    assert reached == set(PLACE)


def test_from_the_vae_one_comes_to_all_the_goals():
    goals = [idea.tag for idea in IDEAS if idea.goal]
    assert [tag.split(".")[0] for tag in goals] == [str(number) for number in range(1, 12)]
    reached = {"1.2"}
    for step in sorted(STEPS, key=lambda s: PLACE[s.end]):
        reached |= {step.end} if step.start in reached else set()
    assert set(goals) <= reached


def test_arrows_of_the_grid_lead_to_neighbours_and_cross_no_card():
    ideas = {idea.tag: idea for idea in IDEAS}
    for step in STEPS:
        start, end = ideas[step.start], ideas[step.end]
        aside, down = abs(end.column - start.column), end.row - start.row
        assert (aside, down) in {(1, 0), (0, 1), (1, 1)}, step


@DRAWN
def test_every_idea_is_a_link_and_every_step_an_arrow(drawing):
    drawn = drawing(lambda tag: f"page.html#{tag}&")
    links = re.findall(r'<a class="idea[^"]*" href="page\.html#([\d.]+)&amp;">(.*?)</a>', drawn)
    assert [tag for tag, _ in links] == [idea.tag for idea in IDEAS]
    for (tag, inside), idea in zip(links, IDEAS, strict=True):
        assert re.sub(r"<[^>]+>", "", inside).startswith(f"{idea.name} ({tag})")
    assert drawn.count("marker-end") == len(STEPS)
    words = [re.sub(r"<[^>]+>", "", label) for label in re.findall(r'<text class="step">(.*?)</text>', drawn)]
    assert sorted(w.rpartition(": ")[2] for w in words) == sorted(step.what for step in STEPS)


def test_arrows_beside_the_column_do_not_share_a_line():
    _, spans, height = course_map.column()
    lanes = course_map.lanes(list(spans.values()))
    for (a, lane), (b, other) in ((x, y) for x in zip(spans.values(), lanes, strict=True)
                                  for y in zip(spans.values(), lanes, strict=True) if x < y):  # fmt: skip
        assert lane != other or a[1] < b[0] or b[1] < a[0], (a, b)
    assert all(0 < start < end < height for start, end in spans.values())
    assert max(lanes) < 8  # else there is no room for the cards


def test_lanes_of_spans():
    assert course_map.lanes([(0, 10), (1, 2), (3, 4), (4, 5), (20, 30)]) == [2, 0, 0, 1, 0]

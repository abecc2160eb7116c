"""tools/reading_time.py: the minutes at the head of each notebook are those of the count."""

import pytest
import reading_time
from reading_time import counts, exercise_minutes, reading_minutes, stated

from notebooks import texts

each_notebook = pytest.mark.parametrize("path", texts(), ids=lambda path: path.stem)


@each_notebook
def test_the_head_says_what_the_count_gives(path):
    text = path.read_text(encoding="utf-8")
    counted = (round(reading_minutes(text)), exercise_minutes(path.name[:2]))
    for said, number, what in zip(stated(text), counted, ("to read", "for the exercises"), strict=True):
        assert abs(said - number) <= 0.2 * number, f"the head says {said} minutes {what}; the count gives {number}"


@each_notebook
def test_the_head_says_that_its_minutes_are_estimates(path):
    head = " ".join(line.removeprefix("# ") for line in path.read_text(encoding="utf-8").split("\n"))[:5000]
    assert "estimate" in head.partition("**Time**")[2][:200], "the head does not call its minutes an estimate"


MARKDOWN = """# %% [markdown]
# ## One title
#
# Four words and $a + b$ [a link](https://example.org/not/read).
#
# $$ \\begin{aligned} a &= b \\\\ &= c \\end{aligned} \\tag{0.1} $$
#
# <details><summary>Why it holds</summary>
#
# It is folded.
#
# </details>
"""
CODE = """
# %% mystnb={"image": {"alt": "a"}}
import torch

# a comment
x = 1
print(x)
widgets.film(x)
"""
EXERCISE = """
# %% [markdown]
# **Exercise: one.** *8 minutes, easy.*
#
# Do it.

# %%
def my_one(x):
    return ...


checks.one(my_one)

# %%
my_order = [...]  # 'a', 'b'
checks.order(my_order)

# %% [markdown]
# <details><summary>Hint 1: one</summary>
#
# So.
#
# </details>

# %% [markdown]
# ## Project: a large one
#
# Much to do.
"""
REFERENCES = """
# %% [markdown]
# The end.
#
# **References**
#
# - Someone, *some paper*
"""


def test_what_is_counted():
    expected = {"words": 13, "formulas": 1, "equation lines": 2, "code lines": 3, "printed lines": 1, "figures": 1}
    assert counts(MARKDOWN + CODE) == expected | {"widgets": 1}


def test_what_is_not_counted():
    assert counts(MARKDOWN + EXERCISE) == counts(MARKDOWN)
    assert counts(MARKDOWN + REFERENCES)["words"] == counts(MARKDOWN)["words"] + 2


def test_minutes_are_the_weighted_count(monkeypatch):
    monkeypatch.setattr(reading_time, "SECONDS", dict.fromkeys(reading_time.SECONDS, 1) | {"equation lines": 60})
    assert reading_minutes(MARKDOWN) == pytest.approx((13 + 1 + 2 * 60) / 60)


def test_a_head_is_read_across_lines_and_without_exercises():
    assert stated("# **Time** about 30 minutes to\n# read, and 45 for the exercises.") == (30, 45)
    assert stated("# **Time** about 40 minutes to read. No exercises.") == (40, 0)
    with pytest.raises(ValueError, match="Time"):
        stated("# no time")


def test_exercise_minutes_leave_the_project_out():
    assert exercise_minutes("00") == sum(i.minutes for i in reading_time.checks.EXERCISES if i.notebook == "00")
    assert exercise_minutes("99") == 0

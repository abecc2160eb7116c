"""The summary sheet: its formulas are the notebooks', its names those of the library."""

import importlib
import re
import sys
from functools import reduce

import build_book
import pytest

sys.path.insert(0, str(build_book.BOOK / "_ext"))
import course_links
import course_notebooks
import course_sheet

NOTEBOOKS = course_notebooks.read(build_book.NOTEBOOKS)
FORMULAS = {tag: latex for notebook in NOTEBOOKS for tag, latex in notebook.formulas().items()}
TEXT = (build_book.BOOK / "summary.md").read_text(encoding="utf-8")
SHEET = [
    entry
    for part in re.findall(r"```\{sheet\}\n(.*?)```", TEXT, flags=re.S)
    for entry in course_sheet.entries(part.splitlines())
]


def test_every_equation_of_the_notebooks_is_found_with_its_number():
    assert sorted(FORMULAS) == sorted(tag for notebook in NOTEBOOKS for tag in notebook.tags())
    assert [tag for tag, latex in FORMULAS.items() if not latex.endswith(rf"\tag{{{tag}}}")] == []


def test_each_line_of_the_sheet_is_an_equation_of_a_notebook_and_stands_once():
    tags = [tag for tag, _, _ in SHEET]
    assert [tag for tag in tags if tag not in FORMULAS] == []
    assert len(tags) == len(set(tags)) > 40
    assert {tag.partition(".")[0] for tag in tags} == {str(number) for number in range(12)}


@pytest.mark.parametrize(("tag", "name"), [(tag, name) for tag, _, names in SHEET for name in names])
def test_each_code_name_is_the_library_s(tag, name):
    module, _, rest = name.partition(".")
    assert rest, f"({tag}) {name} needs its module"
    module = f"{course_links.WINGS[module]}.{module}" if module in course_links.WINGS else module
    found = reduce(attribute, rest.split("."), importlib.import_module(f"diffusion_edu.{module}"))
    home = found.fget if isinstance(found, property) else found
    assert home.__module__ == f"diffusion_edu.{module}"


def attribute(owner, name: str):
    return getattr(owner, name)


def test_each_line_has_words_and_a_code_name():
    assert [tag for tag, words, names in SHEET if not words or not names] == []


def derivation(*rows: str) -> str:
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        ("a = b.", "a = b"),
        (r"a = b, \qquad c", r"a = b, \qquad c"),
        (derivation(r"a &= b && \text{by (1.2)}", r"&\ge c && \text{so}"), r"a \ge c"),
        (derivation("a &= b", "&= c."), "a = c"),
        (derivation("a", "&= b", "&= c."), "a = c"),
        (derivation("a &= b,", "c &= d,"), derivation("a &= b,", "c &= d")),  # two statements, no derivation
        (derivation("a &= b", r"&\quad {} + c."), derivation("a &= b", r"&\quad {} + c")),  # one long right side
        (derivation("a &= b", "&= c", "& + d."), derivation("a &= c", "& + d")),
        (derivation("& a", r"& \quad = b", r"& \quad = c."), "a = c"),
        (derivation(r"a \ge {} & b", "& + c"), derivation(r"a \ge {} & b", "& + c")),
    ],
)
def test_what_the_sheet_shows_of_an_equation(latex, text):
    assert course_sheet.short(latex + r" \tag{1.1}") == text


def test_derivations_of_the_notebooks():
    assert course_sheet.short(FORMULAS["1.5"]).startswith(r"\log p_\theta(x) \ge \mathbb{E}_{q(z \mid x)}")
    assert course_sheet.short(FORMULAS["1.6"]).startswith(r"\log p_\theta(x) = \mathrm{ELBO}(x) + \mathrm{KL}")
    assert [
        tag for tag, _, _ in SHEET if "tag" in (text := course_sheet.short(FORMULAS[tag])) or text[-1] in ".,"
    ] == []


@pytest.mark.parametrize(
    "line", ["1.2 words | a.b", "words | a.b", "1.2 | words", "1.2 | words | a.b | c", "x | words | a.b"]
)
def test_a_line_that_is_none_is_refused(line):
    with pytest.raises(ValueError, match=re.escape("must be `number | words | code names`")):
        course_sheet.entries([line])

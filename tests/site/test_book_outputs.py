"""Printed outputs on a phone: shorter lines, nothing lost, and each number of a table still beside its row's name."""

import re
import sys

import build_book
import nbformat
import pytest

from notebooks import texts

sys.path.insert(0, str(build_book.BOOK / "_ext"))
import course_outputs
from course_outputs import PHONE, narrow, width

OUTPUTS = [
    (path.stem, output.text)
    for path in texts()
    for cell in nbformat.read(path.with_suffix(".ipynb"), as_version=4).cells
    for output in cell.get("outputs", [])
    if output.output_type == "stream" and max(map(width, output.text.split("\n"))) > PHONE
]
TABLE = """three seeds, in nats and for as many samples as there are
method          calls    energy / floor    E log p + H, the truth has 0   share off
true points         0      1.68 ± 0.2            0.002                     0.0008
β̃, plain         120      8.00 ± 5.5           -0.000                     0.0026
annealed          200      1.32 ± 0.6           -0.119                     0.0033
the errors are over three seeds"""
CUT = """three seeds, in nats and for as many samples
    as there are
                                 E log p + H,
                       energy /     the truth
method       calls        floor         has 0
true points      0   1.68 ± 0.2         0.002
β̃, plain      120   8.00 ± 5.5        -0.000
annealed       200   1.32 ± 0.6        -0.119

method       share off
true points     0.0008
β̃, plain       0.0026
annealed        0.0033
the errors are over three seeds"""


def words(text: str) -> list[str]:
    return re.sub(r"≈ +", "≈ ", text).split()


def test_there_are_wide_outputs():
    assert len(OUTPUTS) > 150


def test_outputs_fit_a_phone_but_for_a_few_tables_that_cannot_be_cut():
    left = [(name, text) for name, text in OUTPUTS if max(map(width, narrow(text).split("\n"))) > PHONE]
    assert all(narrow(text) == text for _, text in left), "half a table"
    assert len(left) <= 3, left


@pytest.mark.parametrize("name", sorted({name for name, _ in OUTPUTS}))
def test_no_word_is_lost_and_lines_that_are_no_table_keep_their_order(name):
    for text in (text for of, text in OUTPUTS if of == name):
        small = narrow(text)
        assert set(words(text)) <= set(words(small)), text
        if "\n\n" not in small:
            assert sorted(words(text)) == sorted(words(small)), text


def test_a_table_is_cut_between_its_columns_and_its_rows_keep_their_names():
    assert narrow(TABLE) == CUT


def test_a_table_whose_rows_are_out_of_line_is_left():
    table = TABLE.replace("annealed          200", "annealed, and much longer 200 1 2 3     300")
    assert narrow(table) == table


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("a" * 30 + ", then ≈ 1.2 ± 0.3 nats for it", ["a" * 30 + ",", "    then ≈ 1.2 ± 0.3 nats for it"]),
        ("a" * 30 + " and then some q(z) ≈ 0.37 ± 0.01", ["a" * 30 + " and then some", "    q(z) ≈ 0.37 ± 0.01"]),
        ("a" * 40 + " I(x₀; x_T)", ["a" * 40, "    I(x₀; x_T)"]),
        ("  in " + "b" * 38 + " and so on", ["  in " + "b" * 38, "      and so on"]),
    ],
)
def test_a_line_goes_on_below_where_it_is_parted_already(line, parts):
    assert narrow(line) == "\n".join(parts)


def test_both_texts_are_on_the_page_and_a_short_output_is_left():
    page = (
        '<div class="output stream highlight-myst-ansi notranslate"><div class="highlight"><pre><span></span>{}\n</pre>'
    )
    long = "a &lt; b, " * 8
    dressed = course_outputs.dress_outputs(page.format(long))
    assert dressed.count('<pre class="whole">') == dressed.count('<pre class="narrow">') == 1
    assert dressed.count("a &lt; b") == 16
    assert course_outputs.dress_outputs(page.format("a &lt; b")) == page.format("a &lt; b")
    other = page.format(long).replace("output stream ", "")
    assert course_outputs.dress_outputs(other) == other

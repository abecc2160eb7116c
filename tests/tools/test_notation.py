"""One letter, one meaning: what book/notation.md says holds in notebooks 00 to 04."""

import re
from pathlib import Path

import jupytext
import pytest

from notebooks import ROOT, texts

COURSE = [path for path in texts() if path.name[:2] <= "04"]
EACH = pytest.mark.parametrize("path", COURSE, ids=lambda path: path.stem)
FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$]+\$", re.S)
UPRIGHT = re.compile(r"\\(?:text|mathrm|operatorname|texttt|tag|begin|end)\{[^}]*\}")
PAGE = (ROOT / "book" / "notation.md").read_text(encoding="utf-8")


def prose(path: Path) -> str:
    cells = jupytext.read(path, fmt="py:percent").cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def letters(path: Path) -> list[str]:
    """The formulas of a notebook without their upright words and commands, so that letters are left."""
    return [re.sub(r"\\[A-Za-z]+", " ", UPRIGHT.sub(" ", formula)) for formula in FORMULA.findall(prose(path))]


@EACH
def test_s_is_the_score_and_nothing_else(path):
    found = [formula for formula in letters(path) if re.search(r"(?<![A-Za-z])s(?![A-Za-z])", formula)]
    if path.name[:2] == "04":
        assert found, "the score of (4.2) is called s"
    else:
        assert not found, f"s is the score; here it stands for something else: {found[0]}"


@EACH
def test_a_gap_is_not_a_distance_to_the_entropy(path):
    text = " ".join(prose(path).split())
    assert not re.findall(r"[^.]{0,60}\bgaps? (?:to|from) \$?H\b[^.]{0,20}", text)
    code = "\n".join(cell.source for cell in jupytext.read(path, fmt="py:percent").cells if cell.cell_type == "code")
    assert not re.findall(r'"[^"\n]*\bgaps? to (?:H|log p)\b[^"\n]*"', code)
    if "ELBO}_*" in text:
        assert r"\text{distance to } H" in text, "(4.18) splits the distance to H"


def test_a_term_of_the_bound_is_an_expectation_and_its_draws_have_names_of_their_own():
    found = {path.name[:2]: " ".join(letters(path)) + prose(path) for path in COURSE}
    assert r"\ell_{t-1}" in found["03"], "(3.15) holds on every path: its terms are called ℓ"
    assert r"\mathrm{KL}_t" in found["04"], "(4.4) holds at one x_t: its term is called KL_t"
    assert not re.search(r"\}_\{L_\{t-1\}\}", found["03"])


@pytest.mark.parametrize("row", [r"\delta", r"\ell_{t-1}", r"\mathrm{KL}_t", r"\mathbb{E}_x", "gap", "distance to $H$"])
def test_the_page_says_it(row):
    assert any(line.startswith("* - ") and row in line for line in PAGE.splitlines()), f"no row for {row}"

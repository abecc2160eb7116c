"""A number in a notebook's text is one that the notebook shows: in an output, in its code or in a formula."""

import json
import re
from pathlib import Path

import jupytext
import pytest

from notebooks import texts

EACH = pytest.mark.parametrize("path", texts(), ids=lambda path: path.stem)
DECIMAL = re.compile(r"(?<![\w.:/])\d+\.\d+(?!\w|\.\d|/)")
PLACE = re.compile(r"(?:§|theorems? |sections? )\d+\.\d+")  # in a paper
FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$]+\$", re.S)
NUMBER = re.compile(r"\d+\.?\d*(?:e[-+]?\d+)?")
ALLOWED = {  # notebook: {number: why nothing in the notebook shows it}
    "00": {"0.15": "1.35 − 1.20, the two numbers of the question"},
    "04": {"0.999": "the cosine schedule's last β, which notebook 03 prints"},
    "05": {
        "2.84": "the unit Gaussian's nats on the roll, which notebook 00 prints",
        "0.0001": "what an exercise assumes",
        "8.29": "the log density that follows from it, − log(0.0001 √2π)",
        "2.2": "1,200 over 784 log 2, the numbers of the question",
        "6.7": "the Fréchet floor of 500 images in mnist_reference.json",
    },
    "06": {"1.49": "from the unit Gaussian to H, which notebook 00 prints"},
    "07": {"0.999": "where schedules.cosine cuts β off"},
    "08": {"1.487": "from the unit Gaussian to H, which notebook 00 prints"},
    "11": {"4.6": "the formula before it, D_z log 10, for two dimensions"},
}


def shown(path: Path) -> list[float]:
    """Every number in the outputs, the code and the formulas of a notebook."""
    notebook = json.loads(path.with_suffix(".ipynb").read_text(encoding="utf-8"))
    texts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        texts += [source] if cell["cell_type"] == "code" else FORMULA.findall(source)
        texts += ["".join(output.get("text", "")) for output in cell.get("outputs", [])]
    return [float(n.replace(",", "")) for text in texts for n in NUMBER.findall(text)]


def written(path: Path) -> list[str]:
    """The decimals in the text of a notebook, outside formulas, code and references."""
    cells = [cell.source for cell in jupytext.read(path, fmt="py:percent").cells if cell.cell_type == "markdown"]
    text = "\n".join(cells).partition("**References**")[0]
    text = re.sub(r"```.+?```|`[^`]+`|\]\([^)]*\)", " ", FORMULA.sub(" ", PLACE.sub(" ", text)), flags=re.S)
    return DECIMAL.findall(re.sub(r"\(\d\.\d+[a-z]?\)(?: and \(\d\.\d+\))?", " ", text))


@EACH
def test_every_decimal_in_the_text_is_shown(path):
    known = shown(path)
    for number in written(path):
        half = 0.51 * 10.0 ** -len(number.partition(".")[2])
        found = any(abs(float(number) - value) <= half for value in known)
        assert found or number in ALLOWED.get(path.name[:2], {}), f"no output shows {number}"


def test_what_is_allowed_is_still_written():
    for path in texts():
        gone = set(ALLOWED.get(path.name[:2], {})) - set(written(path))
        assert not gone, f"{path.stem}: allowed, and not in the text any more: {sorted(gone)}"


def test_a_number_from_nowhere_is_found(tmp_path):
    text = tmp_path / "00_a.py"
    words = "It is 0.37 by (1.10), and $0.5$, `0.25`, 0.12 (theorem 3.3)."
    text.write_text(f"# %% [markdown]\n# {words}\n", encoding="utf-8")
    assert written(text) == ["0.37", "0.12"]

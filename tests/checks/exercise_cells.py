"""What the notebooks show of their exercises and quick questions, read from their text."""

import ast
import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import jupytext
import pytest

from diffusion_edu import checks
from diffusion_edu.checks.core import Exercise, Ordering
from notebooks import texts

HEAD = re.compile(r"\*\*Exercise: ([^*]*?)\.?\*\* \*(\d+) minutes, (easy|medium|hard)\.\*\n\n(.+)", re.S)
CHECK = re.compile(r"^checks\.(\w+)\((\w+)\)\Z", re.M)
FOLD = re.compile(r"<details><summary>([^\n]*)</summary>\n\n(.*?)\n\n</details>", re.S)
SECTION = re.compile(r"^## ([^\n]*)", re.M)


@dataclass(frozen=True)
class Shown:
    """An exercise as its notebook shows it, in three cells: the text, the stub with its check, the folded help."""

    notebook: str
    section: str
    title: str
    minutes: int
    text: str
    name: str
    argument: str
    stub: str
    code: str
    folds: str
    hints: tuple[str, ...]
    solution: str


@dataclass(frozen=True)
class Question:
    """A quick question: each choice with what opens below it."""

    text: str
    choices: tuple[tuple[str, str], ...]


def numbers() -> list[str]:
    return [path.name[:2] for path in texts()]


@cache
def text_of(number: str) -> str:
    (path,) = texts([number])
    return path.read_text(encoding="utf-8")


@cache
def cells(number: str) -> list:
    return jupytext.reads(text_of(number), fmt="py:percent").cells


def exercises(number: str) -> list[Shown]:
    """The exercises of a notebook, in its order. ValueError if one does not have the three cells."""
    found, section = [], ""
    for i, cell in enumerate(cells(number)):
        if cell.cell_type == "markdown":
            section = (SECTION.findall(cell.source) or [section])[-1]
        if "**Exercise:" in cell.source:
            found.append(shown(number, section, *(c.source for c in cells(number)[i : i + 3])))
    return found


def shown(number: str, section: str, text: str, code: str, folds: str) -> Shown:
    head, check, parts = HEAD.fullmatch(text), CHECK.search(code), FOLD.findall(folds)
    titles = [f"{kind}: {head[1]}" for kind in ("Hint 1", "Hint 2", "Solution")] if head else []
    if not head or not check or [title for title, _ in parts] != titles:
        raise ValueError(f"the three cells of an exercise do not have the form of the others:\n{text}\n{code}")
    solution = parts[-1][1].removeprefix("```python\n").removesuffix("\n```")
    return Shown(
        number, section, head[1], int(head[2]), head[4], check[1], check[2], code[: check.start()].rstrip(), code,
        folds, tuple(body for _, body in parts[:-1]), solution,
    )  # fmt: skip


def section_cell(number: str, heading: str) -> str:
    """A notebook's Markdown under a heading of the second level, up to the next one."""
    whole = "\n\n".join(cell.source for cell in cells(number) if cell.cell_type == "markdown")
    starts = [m.start() for m in SECTION.finditer(whole)] + [len(whole)]
    parts = [whole[a:b].strip() for a, b in pairwise(starts)]
    return next((part for part in parts if part.startswith(f"## {heading}")), "")


def questions(number: str) -> list[Question]:
    parts = section_cell(number, "Quick questions").split("**Question.** ")[1:]
    return [Question(part.partition("\n\n<details>")[0], tuple(FOLD.findall(part))) for part in parts]


def names_of(number: str) -> dict:
    """What a notebook has imported by the end of its set-up: all that a learner's answer may use."""
    tree = ast.parse(text_of(number))
    found, drawn = {}, {"plots", "widgets", "pretrained"}  # slow to import, and of no use here
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [alias for alias in node.names if alias.name not in drawn]
            exec(ast.unparse(node) if node.names else "", found)
    return found


IMPORTS = {number: names_of(number) for number in numbers()}


def run(item, code: str):
    """The answer that a cell with this code makes."""
    names = dict(IMPORTS[item.notebook])
    exec(compile(code, f"<cell of {item.name}>", "exec"), names)
    return names[item.answer]


SHOWN = {shown.name: shown for number in numbers() for shown in exercises(number)}
SOLUTION = {name: shown.solution for name, shown in SHOWN.items()}

WRITTEN = [item for item in checks.EXERCISES if isinstance(item, Exercise)]
ORDERED = [item for item in checks.EXERCISES if isinstance(item, Ordering)]
each, each_written, each_ordered = (
    pytest.mark.parametrize("item", items, ids=lambda item: item.name) for items in (checks.EXERCISES, WRITTEN, ORDERED)
)

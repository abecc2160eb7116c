"""What every notebook keeps to: executed, in step with its text, short cells, described figures, live references."""

import ast
import re
from functools import cache
from pathlib import Path

import jupytext
import nbformat
import pytest

import diffusion_edu
from notebooks import FOLDER, MACHINE_PATH, ROOT, is_image, problems, statements, texts

COURSE = [f"{number:02}" for number in range(12)]
EACH = pytest.mark.parametrize("path", texts(), ids=lambda path: path.stem)
TAG = re.compile(r"\\tag\{([^}]*)\}")
REFERENCE = re.compile(r"\((\d{1,2}\.\d{1,2}[a-z]?)\)")


@cache
def source(path: Path) -> nbformat.NotebookNode:
    return jupytext.read(path, fmt="py:percent")


@cache
def stored(path: Path) -> nbformat.NotebookNode:
    path = path.with_suffix(".ipynb")
    return nbformat.read(path, as_version=4) if path.exists() else nbformat.v4.new_notebook()


def code(path: Path) -> list[str]:
    return [cell.source for cell in source(path).cells if cell.cell_type == "code"]


def prose(path: Path) -> str:
    return "\n\n".join(cell.source for cell in source(path).cells if cell.cell_type == "markdown")


def outputs(path: Path) -> list[tuple[nbformat.NotebookNode, nbformat.NotebookNode]]:
    return [(cell, output) for cell in stored(path).cells for output in cell.get("outputs", [])]


def test_the_course_is_complete():
    assert [path.name[:2] for path in texts()][: len(COURSE)] == COURSE
    assert {p.stem for p in FOLDER.glob("*.ipynb")} == {p.stem for p in texts()}


@EACH
def test_stored_notebook_is_its_text_executed(path):
    assert problems(path.with_suffix(".ipynb")) == []


@EACH
def test_cells_are_short(path):
    long = [cell for cell in code(path) if len(statements(cell)) > 25 or len(cell.splitlines()) > 40]
    assert not long, f"over 25 statements or 40 lines:\n{long[0]}"
    assert len(statements(code(path)[0])) <= 8, "set-up takes more than eight statements"
    others = [cell for cell in code(path) if not re.search(r"\Awidgets\.|^checks\.", cell, re.M)]
    assert 16 <= len(others) <= 34, f"{len(others)} cells of code that are neither widget nor exercise"


def test_a_statement_is_one_however_it_is_broken():
    code = "# λ\nx = f(\n    a,\n    b)\n\nfor i in x:\n    print(i)\n"
    assert statements(code) == ["x = f(", "for i in x:", "print(i)"]


def test_a_long_line_of_code_is_a_problem(tmp_path):
    text = f"x = 1  # {'long ' * 15}"
    for source in (f"# %%\n{text}\n", f"# %% [markdown]\n# ```python\n# {text}\n# ```\n"):
        path = tmp_path / "00_a.py"
        path.write_text(source, encoding="utf-8")
        notebook = jupytext.read(path, fmt="py:percent")
        nbformat.write(notebook, path.with_suffix(".ipynb"))
        assert sum("more than 80 characters" in found for found in problems(path.with_suffix(".ipynb"))) == 1


@EACH
def test_the_first_cell_says_how_to_install_what_it_imports(path):
    """With the name that the library's file has on the website today."""
    first, second = code(path)[0].splitlines()[:2]
    assert first.startswith("# No such module?")
    assert second == f'# pip install "diffusion_edu-{diffusion_edu.__version__}-py3-none-any.whl[lab]"'


@EACH
def test_no_cell_ends_in_a_semicolon(path):
    # nbval replays cells in a way that ignores it, and then finds an output more than is stored
    assert not [cell for cell in code(path) if cell.rstrip().endswith(";")]


@EACH
def test_text_stands_between_code(path):
    kinds = "".join(cell.cell_type[0] for cell in source(path).cells)
    assert kinds.startswith("mc") or kinds.startswith("mmc")
    assert "ccc" not in kinds, f"three code cells in a row, from cell {kinds.find('ccc')} on"
    assert kinds.endswith("m")


@EACH
def test_figures_have_alt_text(path):
    for cell in {cell.id: cell for cell, output in outputs(path) if is_image(output)}.values():
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        assert len(alt) > 20, f"a figure without a description:\n{cell.source}"


@EACH
def test_outputs_are_for_reading(path):
    for cell, output in outputs(path):
        text = output.get("text", "") or output.get("data", {}).get("text/plain", "")
        assert not re.search(r"<[^<>]* at 0x", text), f"an object, not a result: {text[:80]}\n{cell.source}"
        if output.output_type == "execute_result":
            assert not re.match(r"\[?<|Text\(", text), f"end the cell with a semicolon: {text[:80]}\n{cell.source}"


@EACH
def test_no_paths_of_a_machine(path):
    assert not MACHINE_PATH.search(path.read_text(encoding="utf-8"))


def tags(path: Path) -> list[str]:
    return TAG.findall(prose(path))


@EACH
def test_equation_numbers(path):
    number = str(int(path.name[:2]))
    assert len(set(tags(path))) == len(tags(path)), "an equation number is used twice"
    assert all(re.fullmatch(rf"{number}\.\d+[a-z]?", tag) for tag in tags(path))


@EACH
def test_references_lead_to_equations(path):
    known = {tag for earlier in texts() if earlier.name[:2] <= path.name[:2] for tag in tags(earlier)}
    comments = "\n".join(line.partition("#")[2] for cell in code(path) for line in cell.splitlines())
    dangling = set(REFERENCE.findall(TAG.sub("", prose(path)) + comments)) - known
    assert not dangling, f"no equation in this or an earlier notebook has the number {sorted(dangling)}"


@EACH
def test_links_to_notebooks(path):
    for target in re.findall(r"\]\(([^)#:]+\.(?:ipynb|py|md))[^)]*\)", prose(path)):
        assert (FOLDER / target).resolve().exists(), target


def names_in(file: Path) -> set[str]:
    """Every name that a Python file defines: functions, classes, arguments, attributes, variables."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                found.add(node.name)
            case ast.arg():
                found.add(node.arg)
            case ast.Name(ctx=ast.Store()):
                found.add(node.id)
            case ast.Attribute(ctx=ast.Store()):
                found.add(node.attr)
    return found


def home(name: str) -> Path:
    """The library's file of this name, in whichever folder it lies."""
    exactly = ROOT / "diffusion_edu" / name
    return exactly if exactly.exists() else next((ROOT / "diffusion_edu").rglob(Path(name).name), exactly)


@EACH
def test_closing_table_names_what_exists(path):
    table = prose(path).rpartition("| symbol | code | file |")[2].strip().partition("\n\n")[0].splitlines()
    assert len(table) >= 4, "no closing table with the columns symbol | code | file"
    for row in table[1:]:
        columns = [c.strip() for c in re.split(r"(?<!\\)\|", row.strip().strip("|"))]
        assert len(columns) == 3, f"three columns wanted (a bar inside a formula is \\mid or \\|): {row}"
        files = [home(name) for name in re.findall(r"`([\w/]+\.py)`", columns[2])]
        assert files, f"no file named: {row}"
        assert all(file.exists() for file in files), f"no such file: {row}"
        known = set().union(*map(names_in, files), {file.stem for file in files})
        names = {n for span in re.findall(r"`([^`]+)`", columns[1]) for n in re.findall(r"[A-Za-z_]\w*", span)}
        assert names, f"no code named: {row}"
        assert names <= known, f"{sorted(names - known)} not in {columns[2]}: {row}"

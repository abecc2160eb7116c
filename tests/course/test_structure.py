"""The library's shape: imports look back only, functions stay short, everything public says what it is."""

import ast
from pathlib import Path

import mutants
import pytest

import diffusion_edu

PACKAGE = Path(diffusion_edu.__file__).parent
ORDER = ["__init__", *(module for modules in diffusion_edu.PARTS.values() for module in modules)]
FILES = {path.stem: path for path in sorted(PACKAGE.glob("*.py"))}
# A package inside it counts as one module, named after its folder; what its files import of each other is free.
FILES |= {f"{p.parent.name}.{p.stem}": p for p in sorted(PACKAGE.glob("*/*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
each_module = pytest.mark.parametrize("module", TREES)


def home(module: str) -> str:
    """The module that stands in ORDER: a file of a folder belongs to the folder's."""
    return module.split(".")[0]


def imported(tree: ast.AST, level: int = 1) -> tuple[set[str], set[str]]:
    """The package's modules and the top-level packages that a module imports, inside functions too. `level` is how
    many dots lead from the file to the package; fewer lead to its own folder."""
    own, others = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            others |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and 0 < node.level < level:
            continue
        elif isinstance(node, ast.ImportFrom) and node.level:
            own |= {node.module} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            others.add(node.module.split(".")[0])
    return own, others


def functions(tree: ast.AST) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def test_every_module_has_its_place_in_the_course():
    assert {home(module) for module in TREES} == set(ORDER)


@each_module
def test_imports_look_back(module):
    own, others = imported(TREES[module], level=1 + module.count("."))
    assert {home(name) for name in own} <= set(ORDER[: ORDER.index(home(module))])
    assert "diffusion_edu" not in others


@each_module
def test_only_plots_draws(module):
    own, others = imported(TREES[module])
    assert module == "plots" or "matplotlib" not in others
    assert module == "films.draw" or "plots" not in own  # films take its colours


@each_module
def test_the_command_line_imports_torch_only_when_it_works(module):
    top = ast.Module([node for node in TREES[module].body if isinstance(node, ast.Import | ast.ImportFrom)], [])
    own, others = imported(top)
    light = ("__init__", "__main__", "cli", "config")
    assert module not in light or (own <= {"cli", "config"} and not others & {"torch", "numpy"})


@each_module
def test_no_function_is_longer_than_a_screen(module):
    long = {f.name: n for f in functions(TREES[module]) if (n := f.end_lineno - f.lineno + 1) > 40}
    assert not long


@each_module
def test_everything_public_says_what_it_is(module):
    tree = TREES[module]
    public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
    assert ast.get_docstring(tree)
    assert not [node.name for node in public if not ast.get_docstring(node)]


@each_module
def test_input_is_not_checked_with_assert(module):
    """python -O drops assertions; bad input must raise ValueError."""
    assert not [node.lineno for node in ast.walk(TREES[module]) if isinstance(node, ast.Assert)]


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda m: m.name)
def test_every_mutant_still_has_its_place(mutant):
    """Its old text stands exactly once in its file, its new text differs, and its tests exist."""
    text = (PACKAGE / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    assert mutant.new != mutant.old
    assert all(mutants.path_of(test) for test in mutant.tests)
    ast.parse(text.replace(mutant.old, mutant.new))


def test_mutants_are_many_and_distinct():
    assert len({m.name for m in mutants.MUTANTS}) == len(mutants.MUTANTS) >= 15

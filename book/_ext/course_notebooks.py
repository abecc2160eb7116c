"""What the website has to know of the notebooks: their cells, equations, «Where tutorials slip» and closing tables."""

import ast
import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

SLIP = "**Where tutorials slip.**"
TAG = re.compile(r"\\tag\{([\w.]+)\}")


@dataclass
class Notebook:
    """One notebook, read from its file."""

    path: Path
    cells: list[dict] = field(init=False)

    def __post_init__(self):
        self.cells = json.loads(self.path.read_text(encoding="utf-8"))["cells"]

    @property
    def number(self) -> str:
        return self.path.stem[:2]

    @property
    def docname(self) -> str:
        return f"notebooks/{self.path.stem}"

    def code(self) -> list[tuple[str, int, str]]:
        """(anchor, execution count, source) of each code cell."""
        return [
            (f"c{i:03d}", cell["execution_count"], "".join(cell["source"]))
            for i, cell in enumerate(self.cells)
            if cell["cell_type"] == "code"
        ]

    @cached_property
    def text(self) -> str:
        return "\n\n".join("".join(cell["source"]) for cell in self.cells if cell["cell_type"] == "markdown")

    def tags(self) -> list[str]:
        """The numbers of its equations."""
        return TAG.findall(self.text)

    def formulas(self) -> dict[str, str]:
        """Number of each equation → its LaTeX, with the \\tag."""
        blocks = re.findall(r"\$\$(.*?)\$\$", self.text, flags=re.S)
        return {tag: block.strip() for block in blocks for tag in TAG.findall(block)}

    def slips(self) -> list[tuple[str, str, str]]:
        """(anchor, title of the section, text) of each paragraph on a tutorial's slip."""
        found, section = [], ""
        for block in re.split(r"\n\s*\n", self.text):
            if block.startswith("## "):
                section = block.splitlines()[0][3:]
            if block.startswith(SLIP):
                found.append((f"slip-{len(found) + 1}", section, " ".join(block.split())))
        return found

    def minutes(self) -> int:
        """How long it takes to read and work through, as its head says."""
        return int(re.search(r"\*\*Time\*\* about (\d+) minutes", self.text)[1])

    def table(self) -> list[tuple[str, str]]:
        """(code column, file column) of each row of the closing table."""
        rows = self.text.rpartition("| symbol | code | file |")[2].strip().partition("\n\n")[0].splitlines()[1:]
        columns = [re.split(r"(?<!\\)\|", row.strip().strip("|")) for row in rows]
        return [(c[1].strip(), c[2].strip()) for c in columns if len(c) == 3]

    def uses(self) -> dict[str, tuple[str, int]]:
        """Full name of each function or class of the library → (anchor, execution count) of the cell that uses it
        first. Names are followed through `from diffusion_edu… import`."""
        known, found = {}, {}
        for anchor, count, source in self.code():
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("diffusion_edu"):
                    known |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in known:
                    found.setdefault(f"{known[node.value.id]}.{node.attr}", (anchor, count))
                elif isinstance(node, ast.Name) and node.id in known:
                    found.setdefault(known[node.id], (anchor, count))
        return found

    def own_names(self) -> set[str]:
        """Names that its code gives to something: they do not mean the library's."""
        trees = [ast.parse(source) for _, _, source in self.code()]
        found = set()
        for node in (node for tree in trees for node in ast.walk(tree)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.arg):
                found.add(node.arg)
        return found


def read(folder: Path) -> list[Notebook]:
    return [Notebook(path) for path in sorted(folder.glob("[0-9]*.ipynb"))]


def equations(notebooks: list[Notebook]) -> dict[str, str]:
    """Number of an equation → the page it is on."""
    return {tag: notebook.docname for notebook in notebooks for tag in notebook.tags()}

"""What this book needs of Sphinx: the notebooks beside it, numbered equations, docstrings in plain text."""

import re
from pathlib import Path

from docutils import nodes
from sphinx.transforms import SphinxTransform


def bring_notebooks(book: Path) -> None:
    """Copies ../notebooks/*.ipynb to book/notebooks, where Sphinx can read them; it reads nothing outside."""
    source, target = book.parent / "notebooks", book / "notebooks"
    target.mkdir(exist_ok=True)
    wanted = {path.name: path.read_bytes() for path in source.glob("[0-9]*.ipynb")}
    for old in target.iterdir():
        if old.name not in wanted:
            old.unlink()
    for name, content in wanted.items():
        copy = target / name
        if not copy.exists() or copy.read_bytes() != content:  # an untouched page is not built again
            copy.write_bytes(content)


class TaggedEquations(SphinxTransform):
    r"""Hands an equation with a \tag to MathJax as it is. Sphinx would put one with several lines into a `split`,
    in which \tag is not allowed."""

    default_priority = 400

    def apply(self, **_) -> None:
        for node in self.document.findall(nodes.math_block):
            if r"\tag" in node.astext():
                text = rf"\[{node.astext().strip()}\]"
                node["nowrap"], node.rawsource, node.children = True, text, []
                node += nodes.Text(text)


def plain_docstring(app, what, name, obj, options, lines: list[str]) -> None:
    """Our docstrings are plain text: `code` in backticks, formulas set off by indentation. Makes them reST."""
    new, previous = [], ""
    for line in lines:
        if line.startswith(" ") and not previous.strip():
            if not (new and new[-1] == "" and inside_block(new)):
                new += ["::", ""]
            new.append(line)
        elif line.startswith(" ") and inside_block(new):
            new.append(line)
        else:
            pieces = re.split(r"(`[^`]+`)", line)
            new.append("".join(f"`{p}`" if p.startswith("`") else re.sub(r"([\\*|_`])", r"\\\1", p) for p in pieces))
        previous = line
    lines[:] = new


def inside_block(lines: list[str]) -> bool:
    """Whether the last line that is not blank belongs to an indented block."""
    last = next((line for line in reversed(lines) if line.strip()), "")
    return last.startswith(" ")


def setup(app) -> dict:
    bring_notebooks(Path(app.srcdir))
    app.add_transform(TaggedEquations)
    app.connect("autodoc-process-docstring", plain_docstring)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

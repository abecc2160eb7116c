"""The summary sheet: equations taken from the notebooks by their number, each with what computes it."""

import re

from course_links import Linker
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

# How a row begins that is a new step; any other goes on with the step before it.
RELATION = re.compile(r"&(\s|\\quad|\\qquad|\{\})*(=|\\ge|\\le|\\approx|\\propto|\\sim)")


def short(latex: str) -> str:
    r"""An equation without its \tag; of a derivation in several steps its left side and its last step, without the
    remarks beside it. A step may take several rows. The full stop or comma of the text goes too."""
    latex = re.sub(r"\s*\\tag\{[^}]*\}\s*$", "", latex.strip())
    if match := re.fullmatch(r"\\begin\{aligned\}(.*)\\end\{aligned\}[.,]?", latex, flags=re.S):
        rows = [row.partition("&&")[0].strip() for row in re.split(r"\\\\\s*\n", match[1])]
        steps = [i for i, row in enumerate(rows) if i and RELATION.match(row)]
        if steps and all(row.startswith("&") for row in rows[1:]):
            left, _, right = rows[0].partition("&")
            rows = [(left.strip() or right.strip()) + " " + rows[steps[-1]], *rows[steps[-1] + 1 :]]
        rows[-1] = re.sub(r"[.,\s]+$", "", rows[-1])
        if len(rows) == 1:
            return re.sub(r"\s*&\s*(\\quad)?\s*", " ", rows[0]).strip()
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"
    return re.sub(r"[.,\s]+$", "", latex)


def entries(lines: list[str]) -> list[tuple[str, str, list[str]]]:
    """(number, words, code names) of each line `1.2 | words | module.function module.Class.method`. ValueError if one
    has not these parts."""
    found = []
    for line in filter(None, lines):
        parts = [part.strip() for part in line.split(" | ")]
        if len(parts) != 3 or not re.fullmatch(r"\d+\.\d+[a-z]?", parts[0]):
            raise ValueError(f"a line of the sheet must be `number | words | code names`, got {line!r}")
        found.append((parts[0], parts[1], parts[2].split()))
    return found


class Sheet(SphinxDirective):
    """A part of the sheet. Numbers and code names become links, as in every text.

    ```{sheet}
    3.4 | any step in one draw | diffusion.q_marginal
    ```
    """

    has_content = True

    def run(self):
        linker: Linker = self.env.app.course_linker
        latex = {tag: formula for notebook in linker.notebooks for tag, formula in notebook.formulas().items()}
        for notebook in linker.notebooks:
            self.env.note_dependency(str(notebook.path))
        try:
            return [self.row(*entry, latex[entry[0]]) for entry in entries(list(self.content))]
        except (ValueError, KeyError) as error:
            return [self.state.document.reporter.error(f"sheet: {error}", line=self.lineno)]

    def row(self, tag: str, words: str, names: list[str], latex: str) -> nodes.container:
        line = nodes.paragraph("", "", nodes.Text(f"({tag}) {words}"), classes=["what"])
        text = rf"\[{short(latex)}\]"
        formula = nodes.math_block(text, text, nowrap=True, number=None, label=None)
        code = nodes.paragraph(classes=["code"])
        for name in names:
            code += [nodes.literal("", name), nodes.Text(" ")]
        return nodes.container("", line, code, formula, classes=["equation"])

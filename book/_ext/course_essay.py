"""An essay over the notebook: numbered figures with captions, boxes, folded plots and checks, one style of numbers.

All of it is made from the notebook's own cells, by their code and by how a paragraph begins, so that no notebook has to
be executed for it. A tag `show-code` on a cell keeps its code unfolded, `hide-code` folds all of it.
"""

import ast
import html
import re
from pathlib import Path

from course_plain import with_indices
from docutils import nodes
from sphinx.transforms import SphinxTransform

CLOSING = re.compile(r"(Quick questions|Project|Recap|References|Exercises)\b")
NUMBERED = re.compile(r"^(\d+)\.?\s+")
DRAWS = re.compile(r"\b(?:plots\.|ax(?:es)?\b|plt\.|fig(?:ure)?\b|left\.|right\.|video|display\()|^_ = ")
CHECKS = re.compile(r"^(?:assert\b|torch\.testing\.assert_close\()")


# --- code ---


def kind_of(statement: ast.stmt, source: str) -> str:
    """ "check" for an assertion, "plot" for a statement that draws, else "work"."""
    text = ast.get_source_segment(source, statement) or ""
    if CHECKS.match(text):
        return "check"
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
        return "work"
    if isinstance(statement, ast.For | ast.With) and not DRAWS.search(text):
        return "check" if all(kind_of(inner, source) == "check" for inner in statement.body) else "work"
    return "plot" if DRAWS.search(text) and "print(" not in text else "work"


def tail_of(source: str) -> tuple[int, str]:
    """At which line (from 0) the last statements begin that only draw or only check, and what they do: "" if there are
    none, or so few that folding them would save nothing."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return 0, ""
    kinds = [kind_of(statement, source) for statement in statements]
    first = len(kinds)
    while first and kinds[first - 1] != "work":
        first -= 1
    if first == len(kinds):
        return 0, ""
    line = min([statements[first].lineno, *(d.lineno for d in getattr(statements[first], "decorator_list", []))]) - 1
    lines = source.splitlines()
    while line and lines[line - 1].startswith("#"):  # its own comment goes along
        line -= 1
    if len(lines) - line < 2:
        return 0, ""
    found = set(kinds[first:])
    return line, "the plot and the check" if len(found) == 2 else "the plot" if "plot" in found else "the check"


def fold(block: nodes.literal_block, tags: list[str]) -> None:
    """Folds the end of a cell's code that only draws or only checks."""
    source = block.astext()
    line, what = tail_of(source)
    if "hide-code" in tags:
        line, what = 0, "the code"
    if not what or "show-code" in tags or "checks." in source:  # a stub and its judge belong together
        return
    lines = source.splitlines()
    head, tail = "\n".join(lines[:line]).rstrip(), "\n".join(lines[line:])
    count = len(lines) - line
    pieces = []
    if head.strip():
        pieces.append(part_of(block, head))
    summary = f'<details class="folded"><summary>Show {what} ({count} lines)</summary>'
    pieces += [nodes.raw("", summary, format="html"), part_of(block, tail), nodes.raw("", "</details>", format="html")]
    block.parent.replace(block, pieces)


def part_of(block: nodes.literal_block, source: str) -> nodes.literal_block:
    new = block.deepcopy()
    new.children, new.rawsource = [], source
    new += nodes.Text(source)
    new["ids"] = []
    return new


# --- figures ---


def figure(image: nodes.image, number: str) -> nodes.container:
    """The picture with its number and, as its caption, the description that the cell gives of it."""
    alt = image.get("alt", "")
    image["alt"] = f"Figure {number}, described below it"
    image["classes"] = [c for c in image.get("classes", []) if c] + ["plot"]
    caption = f'<figcaption><span class="figure-number">Figure {number}</span> '
    end = f"{caption}{with_indices(html.escape(alt, quote=False))}</figcaption></figure>"
    start = nodes.raw("", '<figure class="plot">', format="html")
    return nodes.container("", start, image, nodes.raw("", end, format="html"), classes=["figure-box"])


# --- boxes ---


def first_words(node: nodes.Node) -> str:
    """What a paragraph begins with, if it is set off: «Exercise», «Where tutorials slip», «Check»."""
    if not isinstance(node, nodes.paragraph) or not node.children:
        return ""
    first = next((child for child in node.children if child.astext().strip()), None)
    return first.astext() if isinstance(first, nodes.strong | nodes.emphasis) else ""


def folds(node: nodes.Node) -> int:
    """How many folded parts a node of raw HTML opens, less those it closes."""
    text = node.astext() if isinstance(node, nodes.raw) else ""
    return text.count("<details") - text.count("</details>")


def box_exercises(section: nodes.section) -> None:
    """From the line «Exercise» to the last hint or solution below its cell."""
    i = 0
    while i < len(section.children):
        if not first_words(section.children[i]).startswith("Exercise"):
            i += 1
            continue
        end, depth, coded = i + 1, 0, False
        for j in range(i + 1, len(section.children)):
            node = section.children[j]
            depth += folds(node)
            is_code = isinstance(node, nodes.container) and "cell" in node["classes"]
            if isinstance(node, nodes.section) or first_words(node).startswith("Exercise"):
                break
            if coded and not depth and not folds(node) and not is_code:
                break
            if coded and is_code and not depth:
                break
            coded = coded or is_code
            if coded and not depth:
                end = j + 1
        if coded:
            content = section.children[i:end]
            for node in content:
                section.remove(node)
            section.insert(i, nodes.container("", *content, classes=["box", "exercise"]))
        i += 1


def box_paragraphs(tree: nodes.document) -> None:
    for paragraph in list(tree.findall(nodes.paragraph)):
        words = first_words(paragraph)
        if words.startswith("Where tutorials slip"):
            paragraph["classes"] += ["box", "slip"]
        elif words in ("Check.", "A check."):
            paragraph["classes"] += ["box", "check"]
        elif any(isinstance(c, nodes.strong) and c.astext().startswith("Predict first") for c in paragraph.children):
            at = next(i for i, c in enumerate(paragraph.children) if c.astext().startswith("Predict first"))
            before, after = paragraph.children[:at], paragraph.children[at:]
            new = nodes.paragraph("", "", *after, classes=["box", "predict"])
            if any(child.astext().strip() for child in before):
                paragraph.children = before
                paragraph.parent.insert(paragraph.parent.index(paragraph) + 1, new)
            else:
                paragraph.parent.replace(paragraph, new)


# --- numbers of sections ---


def number_sections(tree: nodes.document) -> None:
    """«1 What», «1. Four» and titles without a number become one style; what closes a notebook has none."""
    top = next(iter(tree.findall(nodes.section)), None)
    parts = [s for s in top.children if isinstance(s, nodes.section)] if top else []
    titles = [next(t for t in part.children if isinstance(t, nodes.title)) for part in parts]
    own = [NUMBERED.match(title.astext()) for title in titles]
    count = 0
    for title, match in zip(titles, own, strict=True):
        if CLOSING.match(title.astext()):
            continue
        count = int(match[1]) if match else count + 1
        if match or not any(own):
            text = next(title.findall(nodes.Text))
            title.replace(text, nodes.Text(NUMBERED.sub("", str(text)))) if text.parent is title else None
            title.insert(0, nodes.inline("", f"{count}", classes=["section-number"]))
            title.insert(1, nodes.Text("\u2002"))


class Essay(SphinxTransform):
    """All of it, for the page of a notebook, when it is read."""

    default_priority = 420

    def apply(self, **_) -> None:
        name = Path(self.env.docname)
        if name.parts[0] != "notebooks":
            return
        number_sections(self.document)
        for cell in list(self.document.findall(nodes.container)):
            if "cell" in cell["classes"]:
                tags = [c.removeprefix("tag_") for c in cell["classes"]]
                for part in cell.children:
                    if isinstance(part, nodes.container) and "cell_input" in part["classes"]:
                        for block in list(part.findall(nodes.literal_block)):
                            fold(block, tags)
        for section in list(self.document.findall(nodes.section)):
            box_exercises(section)
        box_paragraphs(self.document)


def number_figures(app, tree: nodes.document, docname: str) -> None:
    """Once the outputs are there: the pictures of a notebook, in order."""
    if not docname.startswith("notebooks/"):
        return
    notebook, count = int(Path(docname).name[:2]), 0
    for image in list(tree.findall(nodes.image)):
        if is_output(image):
            count += 1
            image.parent.replace(image, figure(image, f"{notebook}.{count}"))


def is_output(node: nodes.Node) -> bool:
    while (node := node.parent) is not None:
        if isinstance(node, nodes.container) and "cell_output" in node.get("classes", []):
            return True
    return False


# --- lines of code ---

OUTPUT = "myst-ansi"  # what a cell printed
NUMBER = re.compile(r"(?<=\S) {2,}[≈+−-]? ?(?:\d|\(\D)")  # that stands apart, or "(none)"
BESIDE = re.compile(r"^(.*\S)( {2,}\S.*)$", flags=re.M)
PHONE = 40  # letters of code in a line of a phone
OPENS = re.compile(r"(<[^>]*>)|([(\[{,]+)(?=[^\s)\]}])")


def with_places_to_break(line: str) -> str:
    """A line that is too long for a phone goes on below after a bracket or a comma, not in a name."""
    if len(html.unescape(re.sub("<[^>]*>", "", line))) <= PHONE:
        return line
    return OPENS.sub(lambda match: match[1] or f"{match[2]}<wbr>", line)


def is_table(printed: str) -> bool:
    """Whether columns would fall apart if lines were continued below: three numbers stand apart to the right of another
    one. Such a text scrolls on a phone."""
    return sum(max(0, len(NUMBER.findall(row)) - 1) for row in printed.splitlines()) >= 3


def columns_below(block: str) -> str:
    """A text in two columns: on a phone what stands on the right goes below what stands on the left."""
    return BESIDE.sub(r'\1<span class="beside">\2</span>', block)


def wrapped_lines(block: str) -> str:
    """Each line of a highlighted block in an element of its own, so that a long one can be continued with an indent."""
    match = re.fullmatch(r"(.*?<pre>(?:<span></span>)?)(.*?)(</pre>.*)", block, flags=re.S)
    if not match:
        return block
    lines, opened = [], []
    for line in match[2].split("\n")[:-1]:
        start = "".join(opened)
        for tag in re.findall(r"<span[^>]*>|</span>", line):
            if tag == "</span>":
                opened.pop()
            else:
                opened.append(tag)
        indent = min((len(line) - len(line.lstrip(" "))) // 4 * 4, 12)  # a continuation goes further in than its line
        kind = f"line i{indent}" if indent else "line"
        lines.append(f'<span class="{kind}">{start}{with_places_to_break(line)}\n{"</span>" * len(opened)}</span>')
    return match[1].replace('"highlight"', '"highlight lines"') + "".join(lines) + match[3]

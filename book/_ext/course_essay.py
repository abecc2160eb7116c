"""An essay over the notebook: numbered figures with captions, boxes, folded plots and checks, one style of numbers.

All of it is made from the notebook's own cells, by their code and by how a paragraph begins, so that no notebook has to
be executed for it. A tag `show-code` on a cell keeps its code unfolded, `hide-code` folds all of it.
"""

import ast
import html
import itertools
import re
from pathlib import Path

import numpy as np
from course_plain import with_indices
from docutils import nodes
from PIL import Image
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


# --- the pictures of the built page ---

PLOT = re.compile(r'<img ((?:(?!class=)[^>])*)class="([^"]*\bplot\b[^"]*)"([^>]*?)/?>')


OUTPUT = "myst-ansi"  # what a cell printed
COLUMNS = {"default": (r"\S {3,}\S", 1), OUTPUT: (r"^.*?\S {2,}[≈+−-]? ?\d.*? {2,}[≈+−-]? ?[\d(].*$", 3)}
SIDES = ("left half", "right half", "legend", "legend, continued")


def runs(marked: np.ndarray) -> list[tuple[int, int]]:
    """From where to where a row of marks is marked."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marked.astype(int), [0]]))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def panels(grey: np.ndarray) -> tuple[int, list[tuple[int, int]]]:
    """The lowest row with long dark lines, the axes of a picture's panels, and from where to where they reach in the
    row that has most of them; what stands to the left of them, such as an image, is a panel as well."""
    lines = [[run for run in runs(row < 140) if run[1] - run[0] > 0.08 * len(row)] for row in grey]
    y = max(range(len(lines)), key=lambda y: (len(lines[y]), sum(b - a for a, b in lines[y])))
    found = lines[y]
    if found and found[0][0] > 0.3 * grey.shape[1]:
        found = [max(runs((grey < 250).any(0)[: found[0][0]]), key=lambda run: run[1] - run[0]), *found]
    return max((y for y in range(len(lines)) if lines[y]), default=0), found


def place_to_cut(grey: np.ndarray, found: list[tuple[int, int]]) -> int:
    """The column nearest the middle that is blank and the first such one right of a panel: what follows it, numbers and
    a title, belongs to the next. 0 if there is none."""
    places = []
    for (_, end), (start, _) in itertools.pairwise(found):
        blank = [run for run in runs((grey[:, end:start] > 250).all(0)) if run[1] - run[0] > 2]
        places += [end + sum(run) // 2 for run in blank[:1]]
    return min(places, key=lambda x: abs(x - grey.shape[1] / 2), default=0)


def halves(path: Path) -> list[str]:
    """A picture that is much wider than high, cut in two between two of its panels, for a phone: the names of the two
    files, and of two more for a legend below both, made if they are not there. Empty for any other picture."""
    with Image.open(path) as image:
        wide, high = image.size
        if wide < 2.4 * high or wide < 500:
            return []
        colours = np.asarray(image.convert("RGB")).astype(int)
        grey, low = colours.min(2), high
        y, found = panels(grey)
        lively = np.flatnonzero((np.ptp(colours, axis=2) > 60).any(1))
        if (lively := lively[lively > y]).size:  # what has colours below the axes is a legend
            ink = runs((grey[lively[0] :] < 250).any(0))
            if len(found) > 1 and ink[0][0] < found[0][1] and ink[-1][1] > found[-1][0]:
                above = [end for start, end in runs((grey > 250).all(1)) if y < start < lively[0]]
                low = max(above, default=high)  # but for a bar of colours, which begins higher up
        at = place_to_cut(grey[:low], found)
        if not at:
            return []
        boxes = [(0, 0, at, low), (at, 0, wide, low)]
        if low < high:
            between = max(runs((grey[low:, wide // 4 : -wide // 4] > 250).all(0)), key=lambda run: run[1] - run[0])
            middle = wide // 4 + sum(between) // 2
            left, right = ink[0][0] - 4, ink[-1][1] + 4
            boxes += [(max(0, left), low, middle, high), (middle, low, min(wide, right), high)]
        names = [f"{path.stem}-{part}.png" for part in "abcd"[: len(boxes)]]
        for name, box in zip(names, boxes, strict=True):
            if not path.with_name(name).exists():
                image.crop(box).save(path.with_name(name))
        return names


def is_line_drawing(path: Path) -> bool:
    """Whether most of a picture is blank paper, so that its light may be turned round where the page is dark."""
    with Image.open(path) as image:
        counts = image.convert("L").histogram()
    return sum(counts[246:]) > 0.4 * sum(counts)


def dress_pictures(page: str, folder: Path) -> str:
    """Marks the line drawings, and gives the wide ones two halves for a phone."""

    def dress(match: re.Match) -> str:
        tag = match[0]
        src = re.search(r'src="([^"]*)"', tag)[1]
        if not src.endswith(".png"):
            return tag
        path = folder / src
        if is_line_drawing(path):
            tag = tag.replace('class="', 'class="line-drawing ', 1)
        if parts := halves(path):
            base = src.rpartition("/")[0]
            alt = re.search(r'alt="([^"]*)"', tag)[1]
            cut = [
                re.sub(r'src="[^"]*"', f'src="{base}/{name}"', re.sub(r' (?:width|height)="\d+"', "", tag))
                .replace(alt, f"{alt}: {side}")
                .replace('class="', f'class="{"half" if "half" in side else "half legend"} ', 1)
                for name, side in zip(parts, SIDES, strict=False)
            ]
            tag = tag.replace('class="', 'class="whole ', 1) + "".join(cut)
        return tag

    return PLOT.sub(dress, page)


# --- lines of code ---

PHONE = 40  # letters of code in a line of a phone
OPENS = re.compile(r"(<[^>]*>)|([(\[{,]+)(?=[^\s)\]}])")


def with_places_to_break(line: str) -> str:
    """A line that is too long for a phone goes on below after a bracket or a comma, not in a name."""
    if len(html.unescape(re.sub("<[^>]*>", "", line))) <= PHONE:
        return line
    return OPENS.sub(lambda match: match[1] or f"{match[2]}<wbr>", line)


def in_columns(text: str, language: str) -> bool:
    """Whether columns would fall apart if lines were continued below: in an output three rows with two numbers set
    apart, in a block of text anything set apart. Such a text scrolls on a phone."""
    pattern, least = COLUMNS.get(language, (r"(?!)", 1))
    return len(re.findall(pattern, text, flags=re.M)) >= least


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

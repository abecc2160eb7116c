"""Draws the map of ideas: on a wide page a grid, on a narrow one a column with the arrows beside it. Lists it in words.

The drawings are pure functions of course_ideas.py. `address` gives the link to an equation. No tool draws them. Two
were tried: Graphviz's map was a quarter longer and too wide for the column, dagre's 1505 by 2606 where this one is 640
by 1704, and neither has a form for a phone. A tool would place the cards, and so save some ten of these lines.
"""

import re
import textwrap
from collections.abc import Callable
from html import escape

import course_ideas
from course_ideas import IDEAS, STEPS, Idea, Step
from course_links import Linker, anchor
from course_sheet import short
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

Point = tuple[float, float]
WIDTH, CARD, HEIGHT, PITCH = 640, 156, 44, 92  # the wide map, its cards, and from row to row
NARROW, LANE, LINE = 350, 10, 17  # the narrow map, from arrow to arrow, and from line to line
# letters in a line, at most: of a card, of a card in the column, of a label, of one between two cards in a row
LETTERS, COLUMN, LABEL, BETWEEN = 20, 34, 15, 10


def lines(text: str, most: int) -> list[str]:
    return textwrap.wrap(text, most, break_long_words=False, break_on_hyphens=False)


def text(rows: list[str], x: float, middle: float, kind: str) -> str:
    """Lines of text, the middle of which is at a height."""
    top = middle - (len(rows) - 1) * LINE / 2 + 4.5
    spans = " ".join(f'<tspan x="{x:g}" y="{top + i * LINE:g}">{escape(row)}</tspan>' for i, row in enumerate(rows))
    spans = re.sub(r"\(\d+\.\d+\)(?=</tspan>$)", r'<tspan class="number">\g<0></tspan>', spans)
    return f'<text class="{kind}">{spans}</text>'


def title(idea: Idea, most: int) -> list[str]:
    return lines(f"{idea.name} ({idea.tag})", most)


def card(idea: Idea, x: float, y: float, size: Point, content: str, address: Callable[[str], str]) -> str:
    kind = f"idea nb-{idea.tag.partition('.')[0]}" + (" goal" if idea.goal else "")
    box = f'<rect x="{x:g}" y="{y:g}" width="{size[0]:g}" height="{size[1]:g}" rx="6"/>'
    return f'<a class="{kind}" href="{escape(address(idea.tag))}">{box}{content}</a>'


def arrow(points: list[Point]) -> str:
    """A line along the points, with a head at its end."""
    way = " L".join(f"{x:g} {y:g}" for x, y in points)
    return f'<path d="M{way}" marker-end="url(#head)"/>'


# --- wide: a grid ---


def place(idea: Idea) -> Point:
    """The upper left corner of its card."""
    return 2 + idea.column * (WIDTH - 4 - CARD) / 2, 2 + idea.row * PITCH


def ends(start: Idea, end: Idea) -> tuple[Point, Point]:
    """From the edge of one card to that of another, its neighbour on the left, on the right, or in the row below."""
    (x, y), (to_x, to_y) = place(start), place(end)
    side = (to_x > x) - (to_x < x)
    if start.row == end.row:
        return (x + CARD * (side > 0), y + HEIGHT / 2), (to_x + CARD * (side < 0), to_y + HEIGHT / 2)
    shift = side * (CARD / 2 - 16)
    return (x + CARD / 2 + shift, y + HEIGHT), (to_x + CARD / 2 - shift, to_y)


def wide(address: Callable[[str], str]) -> str:
    ideas = {idea.tag: idea for idea in IDEAS}
    arrows, labels = [], []
    for step in STEPS:
        start, end = ideas[step.start], ideas[step.end]
        (x, y), (to_x, to_y) = ends(start, end)
        arrows.append(arrow([(x, y), (to_x, to_y)]))
        words = lines(step.what, BETWEEN if start.row == end.row else LABEL)
        labels.append(text(words, (x + to_x) / 2, (y + to_y) / 2 - 2, "step"))
    cards = []
    for idea in IDEAS:
        x, y = place(idea)
        content = text(title(idea, LETTERS), x + CARD / 2, y + HEIGHT / 2, "name")
        cards.append(card(idea, x, y, (CARD, HEIGHT), content, address))
    height = 4 + max(idea.row for idea in IDEAS) * PITCH + HEIGHT
    return svg("wide", (WIDTH, height), arrows + labels, cards)


# --- narrow: a column, and the arrows in lanes beside it ---


def lanes(spans: list[tuple[float, float]]) -> list[int]:
    """For each span of heights a lane, 0 next to the cards, so that no two in a lane touch. Short ones come first."""
    found: dict[int, int] = {}
    for i in sorted(range(len(spans)), key=lambda i: spans[i][1] - spans[i][0]):
        taken = {found[j] for j in found if spans[j][0] <= spans[i][1] and spans[i][0] <= spans[j][1]}
        found[i] = next(lane for lane in range(len(spans)) if lane not in taken)
    return [found[i] for i in range(len(spans))]


def into(idea: Idea) -> list[Step]:
    return [step for step in STEPS if step.end == idea.tag]


def out_of(idea: Idea) -> list[Step]:
    return [step for step in STEPS if step.start == idea.tag]


def column() -> tuple[dict[str, float], dict[Step, tuple[float, float]], float]:
    """The top of each card; where each arrow starts and ends, in height; the height of all. An arrow ends at the line
    of the card that says what it does."""
    tops, starts, spans, y = {}, {}, {}, 2.0
    for idea in IDEAS:
        tops[idea.tag] = y
        y += 12 + len(title(idea, COLUMN)) * LINE
        for i, step in enumerate(into(idea)):
            spans[step] = (starts[step], y + i * LINE)
        y += len(into(idea)) * LINE
        for i, step in enumerate(out_of(idea)):
            starts[step] = y - 8 - 3 * i
        y += 10
    return tops, spans, y


def narrow(address: Callable[[str], str]) -> str:
    tops, spans, height = column()
    of = dict(zip(spans, lanes(list(spans.values())), strict=True))
    left = LANE * (max(of.values()) + 2)
    arrows = []
    for step, (start, end) in spans.items():
        x = left - LANE * (of[step] + 1)
        arrows.append(arrow([(left, start), (x, start), (x, end), (left, end)]))
    cards = []
    for idea in IDEAS:
        top, name = tops[idea.tag], title(idea, COLUMN)
        middle = top + 5 + len(name) * LINE / 2
        content = [text(name, left + 10, middle, "name")]
        for step in into(idea):
            content.append(text([f"from ({step.start}): {step.what}"], left + 10, spans[step][1], "step"))
        size = NARROW - left - 2, 10 + (len(name) + len(content) - 1) * LINE
        cards.append(card(idea, left, top, size, " ".join(content), address))
    return svg("narrow", (NARROW, height), arrows, cards)


def svg(kind: str, size: Point, arrows: list[str], cards: list[str]) -> str:
    head = (
        f'<marker id="head-{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z"/></marker>'
    )
    label = "Map of ideas: each is a link to its equation. What leads to what is listed in words below."
    drawn = "\n".join(arrows).replace("#head", f"#head-{kind}")
    return (
        f'<svg class="ideas {kind}" viewBox="0 0 {size[0]:g} {size[1]:g}" role="group" aria-label="{label}">\n'
        f'<g aria-hidden="true">{head}\n{drawn}</g>\n' + "\n".join(cards) + "\n</svg>\n"
    )


# --- on the page ---


class IdeasMap(SphinxDirective):
    """The map, in both forms; the style sheet shows one of them."""

    def address(self, tag: str) -> str:
        linker: Linker = self.env.app.course_linker
        return linker.reference(self.env.docname, linker.equations[tag], anchor(tag))["refuri"]

    def run(self):
        for file in (__file__, course_ideas.__file__):  # when they change, the page is built again
            self.env.note_dependency(file)
        return [nodes.raw("", wide(self.address) + narrow(self.address), format="html")]


class IdeasList(SphinxDirective):
    """The same in words, with the formulas. The numbers become links, as in every text."""

    def run(self):
        found = nodes.bullet_list(classes=["ideas"])
        notebooks = self.env.app.course_linker.notebooks
        latexes = {tag: latex for notebook in notebooks for tag, latex in notebook.formulas().items()}
        for idea in IDEAS:
            steps = "; ".join(f"from ({step.start}): {step.what}" for step in into(idea))
            line = nodes.paragraph("", "", nodes.strong("", idea.name), nodes.Text(f" ({idea.tag})"))
            line += nodes.Text(f", {steps}." if steps else ", a start.")
            latex = rf"\[{short(latexes[idea.tag])}\]"
            formula = nodes.math_block(latex, latex, nowrap=True, number=None, label=None)
            found += nodes.list_item("", line, nodes.container("", formula, classes=["idea-formula"]))
        return [found]

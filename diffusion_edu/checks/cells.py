"""The cells of an exercise, as a notebook shows them: the text, the stub with its check, the hints and the solution.

Hints and solution are folded with <details>, which JupyterLab and the website open by mouse and by keyboard.
Each says which exercise it belongs to: a screen reader lists them without the text around them.
"""

import re
import textwrap

from .core import Item, Project

SOLUTION = "Solution"


def cells(item: Item) -> list[tuple[str, str]]:
    """Pairs of kind, "markdown" or "code", and source, in the notebook's order."""
    hints = [folded(f"Hint {number}: {item.title}", hint) for number, hint in enumerate(item.hints, start=1)]
    solution = folded(f"{SOLUTION}: {item.title}", f"```python\n{item.solution}\n```")
    return [
        ("markdown", f"{heading(item)} {note(item)}\n\n{wrapped(item.text)}"),
        ("code", f"{item.stub}\n{gap(item.stub)}checks.{item.name}({item.answer})"),
        ("markdown", "\n\n".join([*hints, solution])),
    ]


def heading(item: Item) -> str:
    """How an exercise begins. It is no heading of the notebook's outline, since the section goes on after it."""
    return f"**Exercise: {item.title}{'' if item.title.endswith('?') else '.'}**"


def project(item: Project) -> str:
    """The Markdown of an open project with its rubric."""
    rubric = "\n".join(textwrap.fill(f"- {line}", 115, subsequent_indent="  ") for line in item.rubric)
    about = f"*{item.minutes} minutes or more. No check can judge it; a good piece of work has what the list names.*"
    return f"## Project: {item.title}\n\n{about}\n\n{wrapped(item.text)}\n\n{rubric}"


def note(item: Item) -> str:
    """Minutes and difficulty in words."""
    return f"*{item.minutes} minutes, {('easy', 'medium', 'hard')[item.difficulty - 1]}.*"


def folded(title: str, body: str) -> str:
    """A part that opens on a click."""
    return f"<details><summary>{title}</summary>\n\n{body if body.startswith('`' * 3) else wrapped(body)}\n\n</details>"


def wrapped(text: str) -> str:
    """The text in lines of at most 115 characters, its paragraphs kept. No line breaks inside a formula or code: one
    that began with a minus sign would be read as a list."""
    filled = []
    for paragraph in text.strip().split("\n\n"):
        whole = re.sub(r"\$[^$]+\$|`[^`]+`", lambda m: m[0].replace(" ", "\0"), " ".join(paragraph.split()))
        filled.append(textwrap.fill(whole, 115, break_long_words=False, break_on_hyphens=False).replace("\0", " "))
    return "\n\n".join(filled)


def gap(stub: str) -> str:
    """The blank lines that follow a function, and none after a list."""
    return "\n\n" if stub.startswith("def ") else ""


def as_text(parts: list[tuple[str, str]]) -> str:
    """Cells in the notebooks' text format, py:percent."""
    blocks = []
    for kind, source in parts:
        head = "# %% [markdown]\n" if kind == "markdown" else "# %%\n"
        lines = source.split("\n")
        body = [("# " + line).rstrip() for line in lines] if kind == "markdown" else lines
        blocks.append(head + "\n".join(body))
    return "\n\n".join(blocks) + "\n"

"""Quick questions, four or five per notebook: each choice, right or wrong, is answered with the reason why it tempts.

They need neither code nor a script: every choice is a <details> that opens on its answer, by mouse, by keyboard and for
a screen reader, in JupyterLab and on the website alike. The text is in questions.json.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from .cells import folded, wrapped


@dataclass(frozen=True)
class Question:
    """A question and its choices: what is offered, whether it is right, and what there is to say of it."""

    text: str
    choices: tuple[tuple[str, bool, str], ...]

    def markdown(self) -> str:
        """The question as a notebook shows it."""
        answers = [folded(choice, f"**{'Yes' if right else 'No'}.** {why}") for choice, right, why in self.choices]
        return "\n\n".join([f"**Question.** {wrapped(self.text)}", *answers])


def questions(notebook: str) -> list[Question]:
    """The questions of notebook "00" to "05". ValueError for another."""
    known = json.loads(Path(__file__).with_name("questions.json").read_text(encoding="utf-8"))
    if notebook not in known:
        raise ValueError(f"there are no questions for notebook {notebook!r}; known: {', '.join(known)}")
    return [
        Question(q["question"], tuple((c["choice"], c["right"], c["why"]) for c in q["choices"]))
        for q in known[notebook]
    ]


def cell(notebook: str) -> str:
    """One Markdown cell with all questions of a notebook."""
    lead = "*Open a choice to see what there is to say of it.*"
    return "\n\n".join(["## Quick questions", lead, *(question.markdown() for question in questions(notebook))])

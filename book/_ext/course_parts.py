"""Parts that the pages are written with: roles that lead into a notebook or give its times; films; downloads."""

import json
import re
from pathlib import Path
from typing import ClassVar

from course_links import Linker
from course_notebooks import Notebook
from course_plain import plain_text
from course_search import address_of_site
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective, SphinxRole

import diffusion_edu
from diffusion_edu.films import video_html


class OfNotebook(SphinxRole):
    """A role whose text starts with a notebook's number."""

    def notebook(self) -> tuple[Notebook, str]:
        number, _, rest = self.text.partition(" ")
        found = [n for n in linker(self).notebooks if n.number == number]
        if not found:
            raise ValueError(f"there is no notebook {number}")
        self.env.note_dependency(str(found[0].path))
        return found[0], rest.strip()

    def run(self):
        try:
            return [self.node(*self.notebook())], []
        except ValueError as error:
            return [], [self.inliner.reporter.error(f"{self.rawtext}: {error}", line=self.lineno)]

    def link(self, notebook: Notebook, place: str, text: str) -> nodes.reference:
        return linker(self).reference(self.env.docname, notebook.docname, place, nodes.Text(text))


def linker(part: SphinxRole | SphinxDirective) -> Linker:
    return part.env.app.course_linker


def only(found: list, what: str):
    if len(found) != 1:
        raise ValueError(f"{len(found)} {what} contain this, not one")
    return found[0]


class Cell(OfNotebook):
    """{cell}`03 some code`: a link to the code cell of notebook 03 that contains these words, and no other does."""

    def node(self, notebook, words):
        place, count, _ = only([c for c in notebook.code() if words in c[2]], "cells")
        return self.link(notebook, place, f"notebook {notebook.number}, cell [{count}]")


class Slip(OfNotebook):
    """{slip}`03 some words`: a link to the paragraph «Where tutorials slip» of notebook 03 that has these words."""

    def node(self, notebook, words):
        place, section, _ = only([s for s in notebook.slips() if words in s[2]], "paragraphs")
        return self.link(notebook, place, f"notebook {notebook.number}, section “{plain_text(section)}”")


class Minutes(OfNotebook):
    """{minutes}`03`: how long the notebook takes to read and work through, as its head says."""

    def node(self, notebook, _):
        return nodes.Text(f"{notebook.minutes()}\u00a0min")


class Seconds(OfNotebook):
    """{seconds}`03`: how long all its cells took to run when docs/measured.md was written."""

    def node(self, notebook, _):
        results = Path(self.env.srcdir).parent / "tools" / "bench" / "results.json"
        self.env.note_dependency(str(results))
        rows = json.loads(results.read_text(encoding="utf-8"))["parts"]["notebooks"]
        wanted = f"nbval {notebook.path.stem}, s"
        return nodes.Text(f"{only([r['value'] for r in rows if r['what'] == wanted], 'measurements'):.0f}\u00a0s")


class Film(SphinxDirective):
    """A film of _assets/films, with controls, loaded when it is asked for. Its content describes it in words.

    ```{film} reverse
    :label: what it shows, in few words
    :size: 384
    ```
    """

    required_arguments = 1
    option_spec: ClassVar = {"label": directives.unchanged_required, "size": directives.positive_int}
    has_content = True

    def run(self):
        name = self.arguments[0]
        depth = "../" * self.env.docname.count("/")
        folder = Path(self.env.srcdir) / "_assets" / "films"
        for kind in ("mp4", "webm"):
            if not (folder / f"{name}.{kind}").exists():
                return [self.state.document.reporter.error(f"no film {name}.{kind}", line=self.lineno)]
        base, size = f"{depth}_static/films/{name}", self.options["size"]
        sources, poster = [f"{base}.webm", f"{base}.mp4"], f"{base}-poster.png"
        film = video_html(sources, self.options["label"], poster, (size, size))
        film = film.replace("<video", '<video class="film"', 1)
        figure = nodes.container("", nodes.raw("", film, format="html"), classes=["film-box"])
        self.state.nested_parse(self.content, self.content_offset, figure)
        return [figure]


SWITCH = (
    '<div class="reading-switch" role="group" aria-label="How to show this notebook">'
    '<button type="button" value="code" aria-pressed="true">With code</button>'
    '<button type="button" value="essay" aria-pressed="false">Essay</button></div>'
)


def add_downloads(app, tree: nodes.document, docname: str) -> None:
    """Under the title of a notebook, links to its files, which `add_files` copies to _downloads, and the one line that
    installs what it needs. With a repository in the settings also links to it, to Colab and to Binder."""
    if docname not in app.course_linker.pages:
        return
    stem = docname.rpartition("/")[2]
    link = '<a class="download" download href="../_downloads/{0}">{1}</a>'
    files = link.format(f"{stem}.ipynb", "Download the notebook (.ipynb)") + link.format(f"{stem}.py", "its text (.py)")
    title = next(iter(tree.findall(nodes.title)))
    files += "".join(f'<a href="{url}">{name}</a>' for name, url in elsewhere(app.config.course_repository, stem))
    line = f'<p class="downloads">{files}</p>{run_it(stem, address_of_site(app))}{SWITCH}'
    title.parent.insert(title.parent.index(title) + 1, nodes.raw("", line, format="html"))


def run_it(stem: str, address: str) -> str:
    """How to run a notebook that was downloaded. pip takes the library from the site, or, while this has no address,
    from the file that lies beside the notebook."""
    wheel = wheel_name()
    save, what = "", f"diffusion-edu[lab] @ {address}_downloads/{wheel}"
    if not address:
        link = f'<a class="library" download href="../_downloads/{wheel}">the library</a>'
        save, what = f"Save {link} beside the notebook. ", f"{wheel}[lab]"
    return (
        '<details class="run-it"><summary>Run it: one line installs what it needs</summary>'
        f'<p>{save}With Python 3.11 or newer (40 MB, with the trained networks),</p><pre>pip install "{what}"</pre>'
        f"<p>then <code>jupyter lab {stem}.ipynb</code>. In the repository <code>make lab</code> does all of it.</p>"
        "</details>"
    )


def wheel_name() -> str:
    return f"diffusion_edu-{diffusion_edu.__version__}-py3-none-any.whl"


def elsewhere(repository: str, stem: str) -> list[tuple[str, str]]:
    """Name and address of where a notebook can be read and run, out of the repository's address on GitHub. Empty while
    that is empty; ValueError if it is no such address."""
    if not repository:
        return []
    match = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)/?", repository)
    if not match:
        raise ValueError(f"course_repository must be https://github.com/OWNER/NAME or empty, got {repository!r}")
    path = f"notebooks/{stem}.ipynb"
    return [
        ("Repository", f"https://github.com/{match[1]}"),
        ("Colab", f"https://colab.research.google.com/github/{match[1]}/blob/main/{path}"),
        ("Binder", f"https://mybinder.org/v2/gh/{match[1]}/main?labpath={path}"),
    ]


ROLES = {"cell": Cell, "slip": Slip, "minutes": Minutes, "seconds": Seconds}

"""What the site's search looks through: every section, every word of the glossary, every function, in plain words.

It goes into `_static/sections.js`, a script, because a page that is opened from a folder may not fetch a file.
search.js ranks it. Code and displayed formulas are left out, formulas in the text are written in Unicode.
"""

import json
import re
from html import escape
from pathlib import Path

from course_plain import plain
from docutils import nodes
from sphinx import addnodes

LONGEST = 4000  # letters of a section that are searched and shown
OPAQUE = (nodes.literal_block, nodes.math_block, nodes.raw, nodes.comment, nodes.image, addnodes.toctree)


def words(node: nodes.Node) -> str:
    """The text of a node as it is read aloud, without its sections within."""
    if isinstance(node, nodes.math):
        return plain(node.astext())
    if isinstance(node, OPAQUE):
        return ""
    if isinstance(node, nodes.Text):
        return node.astext()
    if isinstance(node, nodes.container) and "cell" in node.get("classes", []):
        return ""
    inner = [words(child) for child in node.children if not isinstance(child, nodes.section | addnodes.desc)]
    glue = "" if isinstance(node, nodes.TextElement) else " "
    return glue.join(inner)


def short(text: str) -> str:
    text = re.sub(r"\s+", " ", text).strip()
    return text if len(text) <= LONGEST else text[:LONGEST].rpartition(" ")[0]


def address_of_site(app) -> str:
    """Where the built site will be, with a slash at its end; empty while the settings do not say."""
    return f"{app.config.html_baseurl.rstrip('/')}/" if app.config.html_baseurl else ""


class Sections:
    """The entries of one build: [page, title of the page, anchor, title, text, kind]."""

    def __init__(self):
        self.found: dict[str, list] = {}

    def collect(self, app, tree: nodes.document, docname: str) -> None:
        titles = [t for t in tree.findall(nodes.title)]
        page = words(titles[0]) if titles else docname
        page = f"The library, {page}" if docname.startswith("api/") else page
        entries = self.found[docname] = []
        kind = "notebook" if docname.startswith("notebooks/") else "code" if docname.startswith("api") else "page"
        for section in tree.findall(nodes.section):
            title = next((words(t) for t in section.children if isinstance(t, nodes.title)), "")
            own = [child for child in section.children if not isinstance(child, nodes.title | nodes.section)]
            text = " ".join(map(words, own))
            entries.append([page, section["ids"][0] if section["ids"] else "", title, short(text), kind])
        for item in tree.findall(nodes.definition_list_item):
            for term in item.findall(nodes.term):
                if term.get("ids") and docname == "glossary":
                    text = " ".join(words(d) for d in item.children if isinstance(d, nodes.definition))
                    entries.append([page, term["ids"][0], words(term), short(text), "term"])
        for entry in tree.findall(addnodes.desc):
            for signature in entry.children:
                if isinstance(signature, addnodes.desc_signature) and signature.get("ids"):
                    text, name = short(words(entry[-1]))[:300], signature["ids"][0]
                    entries.append([page, name, name.removeprefix("diffusion_edu."), text, "code"])

    def describe(self, app, pagename: str, templatename: str, context: dict, doctree) -> None:
        """What a search engine and a message show of a page: its first words, and the course's picture."""
        found = self.found.get(pagename) or []
        usual = "Diffusion models, derived, executed, and measured in nats."
        said = next((entry[3] for entry in found if len(entry[3]) > 40), usual)
        said = escape(said if len(said) <= 160 else said[:159].rpartition(" ")[0] + " …")
        title = escape(found[0][0] if found else "Diffusion, derived")
        base = address_of_site(app) or "../" * pagename.count("/")
        tags = f'<meta name="description" content="{said}" />'
        picture = f"{base}_static/reverse.png"
        for name, content in [("title", title), ("description", said), ("type", "article"), ("image", picture)]:
            tags += f'\n<meta property="og:{name}" content="{content}" />'
        context["metatags"] = re.sub(r"<meta [^>]*viewport[^>]*>", "", context.get("metatags", "")) + tags

    def write(self, app, error) -> None:
        if error or app.builder.format != "html":
            return
        rows = [[app.builder.get_target_uri(doc), *entry] for doc in sorted(self.found) for entry in self.found[doc]]
        text = "window.SECTIONS = " + json.dumps(rows, ensure_ascii=False, separators=(",", ":")) + ";\n"
        (Path(app.outdir) / "_static" / "sections.js").write_text(text, encoding="utf-8")
        (Path(app.outdir) / "searchindex.js").unlink(missing_ok=True)  # Sphinx's own, which nothing asks for

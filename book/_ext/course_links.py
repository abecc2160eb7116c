"""Links that nobody has to write: equation numbers to equations, code to the library's reference, and back."""

import importlib
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from course_notebooks import Notebook, equations, read
from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

import diffusion_edu

logger = logging.getLogger(__name__)
TAG = re.compile(r"\\tag\{([\w.]+)\}")
NUMBER = re.compile(r"(?<![\w)])\((?:equations? )?(\d{1,2}\.[1-9]\d?[a-z]?)\)")
CLOSED = (
    nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.reference, nodes.title, nodes.raw,
    addnodes.desc_signature,
)  # fmt: skip
API = "api"
ERRATA = "Where the tutorials slip"
# The modules of a wing are called by their own names: `quality.coverage` lies in images/quality.py
WINGS = {
    path.stem: wing
    for wing in ("images", "training", "pretrained", "films")
    for path in (Path(diffusion_edu.__file__).parent / wing).glob("[a-z]*.py")
    if not (Path(diffusion_edu.__file__).parent / path.name).exists()  # `ddpm` is the course's, not images/ddpm.py
}


def passed_on_from(module: str, name: str) -> str:
    """The module of the library that defines what `module` has under this name: `training.Trainer`, `data.MNIST`. Empty
    if there is nothing of that name, or it is not the library's."""
    try:
        home = getattr(getattr(importlib.import_module(f"diffusion_edu.{module}"), name), "__module__", "")
    except (ImportError, AttributeError):
        return ""
    return home if home.startswith("diffusion_edu.") else ""


def anchor(tag: str) -> str:
    return "eq-" + tag.replace(".", "-")


class Anchors(SphinxTransform):
    r"""Gives an id to each equation with a \tag, to each code cell and to each paragraph on a tutorial's slip. Hands
    equations with a \tag to MathJax as they are: Sphinx would put one with several lines into a `split`, in which
    \tag is not allowed."""

    default_priority = 400

    def apply(self, **_) -> None:
        for node in self.document.findall(nodes.math_block):
            if tags := TAG.findall(node.astext()):
                text = rf"\[{node.astext().strip()}\]"
                node["nowrap"], node.rawsource, node.children = True, text, []
                node += nodes.Text(text)
                node["ids"] += [anchor(tag) for tag in tags]
        for node in self.document.findall(nodes.container):
            if "cell" in node["classes"] and "cell_index" in node:
                node["ids"].append(f"c{node['cell_index']:03d}")
        slips = 0
        for node in self.document.findall(nodes.paragraph):
            first = next((child for child in node.children if child.astext()), None)
            if isinstance(first, nodes.strong) and first.astext() == "Where tutorials slip.":
                slips += 1
                node["ids"].append(f"slip-{slips}")


class Linker:
    """Makes the links of one build."""

    def __init__(self, app):
        self.app = app
        self.notebooks: list[Notebook] = read(app.confdir / "notebooks")
        self.pages = {notebook.docname: notebook for notebook in self.notebooks}
        self.equations = equations(self.notebooks)

    def reference(self, docname: str, to: str, name: str, *children, **attributes) -> nodes.reference:
        """A link from a page to an id on the same or another page."""
        uri = self.app.builder.get_relative_uri(docname, to) if docname != to else ""
        return nodes.reference("", "", *children, internal=True, refuri=f"{uri}#{name}", **attributes)

    def link_page(self, app, tree: nodes.document, docname: str) -> None:
        self.link_equations(tree, docname)
        self.link_code(tree, docname)
        self.link_errata(tree, docname)
        if docname.startswith(f"{API}/"):
            self.link_back(tree, docname)

    def link_equations(self, tree: nodes.document, docname: str) -> None:
        for text in list(tree.findall(nodes.Text)):
            if is_inside(text, CLOSED) or not NUMBER.search(text):
                continue
            new, end = [], 0
            for match in NUMBER.finditer(text):
                tag = match[1]
                if tag not in self.equations:
                    logger.warning("there is no equation (%s)", tag, location=text.parent)
                    continue
                new.append(nodes.Text(text[end : match.start()]))
                new.append(self.reference(docname, self.equations[tag], anchor(tag), nodes.Text(match[0])))
                end = match.end()
            text.parent.replace(text, [*new, nodes.Text(text[end:])])

    def link_errata(self, tree: nodes.document, docname: str) -> None:
        """A notebook names the page by its title alone: in JupyterLab there is none to lead to."""
        for title in list(tree.findall(nodes.emphasis)):
            if title.astext() == ERRATA and docname in self.pages:
                uri = self.app.builder.get_relative_uri(docname, "errata")
                title.parent.replace(title, nodes.reference("", "", title.deepcopy(), internal=True, refuri=uri))

    @property
    def objects(self) -> dict:
        """Full name → entry, of everything that the reference page documents."""
        return self.app.env.get_domain("py").objects

    @cached_property
    def modules(self) -> set[str]:
        return {name.split(".")[1] for name in self.objects if name.count(".") >= 2} | WINGS.keys()

    def documented(self, name: str) -> str | None:
        """The name under which an object of the library is documented: for a class's member that of the class that
        defines it, for one without an entry of its own that of its class. None if there is no entry at all."""
        if name in self.objects:
            return name
        module, _, rest = name.removeprefix("diffusion_edu.").partition(".")
        if module in WINGS:
            return self.documented(f"diffusion_edu.{WINGS[module]}.{module}.{rest}")
        if module in WINGS.values():
            inner, _, after = rest.partition(".")
            if inner in WINGS:
                module, rest = f"{module}.{inner}", after
        owner, _, member = rest.partition(".")
        if (home := passed_on_from(module, owner)) not in ("", f"diffusion_edu.{module}"):
            return self.documented(f"{home}.{rest}")
        if not member:
            return None
        try:
            cls = getattr(importlib.import_module(f"diffusion_edu.{module}"), owner)
        except (ImportError, AttributeError):
            return None
        if not isinstance(cls, type):  # `torch.cumprod`: a module that our module imports
            return None
        for base in cls.__mro__:
            if (full := f"{base.__module__}.{base.__name__}.{member}") in self.objects:
                return full
        full = f"{cls.__module__}.{owner}"
        return full if full in self.objects and known_to_have(cls, member) else None

    def resolve(self, code: str, modules: Iterable[str] = ()) -> str | None:
        """The full name of what a piece of code in a text means: `q_step`, `Schedule.beta`, `plots.points`,
        `roll.entropy()` does not count. A name that several modules have needs one of `modules` to decide."""
        code = re.sub(r"\(.*\)$", "", code.strip())
        if not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*", code):
            return None
        code = code.removeprefix("diffusion_edu.")
        if documented := self.documented(f"diffusion_edu.{code}"):
            if "." in code:
                return documented
        found = {f for m in (modules or self.modules) if (f := self.documented(f"diffusion_edu.{m}.{code}"))}
        if modules and not found:
            return self.resolve(code)
        return found.pop() if len(found) == 1 else None

    def entry(self, docname: str, full: str, child: nodes.Node) -> nodes.reference:
        """A link to an object's entry on the reference page."""
        target = self.objects[full]
        return self.reference(docname, target.docname, target.node_id, child, reftitle=full)

    def link_code(self, tree: nodes.document, docname: str) -> None:
        own = self.pages[docname].own_names() if docname in self.pages else set()
        for literal in list(tree.findall(nodes.literal)):
            if is_inside(literal, (nodes.reference, nodes.title, addnodes.desc_signature)):
                continue
            if row := ancestor(literal, nodes.row):
                full = self.resolve_in_row(literal, row)
            else:
                full = self.resolve_in_text(literal, own)
            if full:
                copy = literal.deepcopy()
                literal.parent.replace(literal, self.entry(docname, full, copy))

    def resolve_in_text(self, literal: nodes.literal, own: set[str]) -> str | None:
        """Not what the page itself gives a meaning to: the notebook's `own` names, the arguments of a reference entry.
        There a plain word (`gap`) is more often the key of a result than a function of another module."""
        code, entry = literal.astext(), ancestor(literal, addnodes.desc)
        full = None if code in own or len(code) < 3 else self.resolve(code)
        if entry is None or full is None:
            return full
        here = ids_of(entry)
        arguments = {name.astext() for name in entry[0].findall(addnodes.desc_sig_name)}
        module = full.rpartition(".")[0]
        elsewhere = re.fullmatch("[a-z]+", code) and not any(name.startswith(f"{module}.") for name in here)
        return None if full in here or code in arguments or elsewhere else full

    def resolve_in_row(self, literal: nodes.literal, row: nodes.row) -> str | None:
        """In a table whose last column names files, these decide, and are links themselves; `.alpha` is of the class
        named before it."""
        code, before = literal.astext(), ""
        for other in row.findall(nodes.literal):
            if other is literal:
                break
            before = other.astext().rpartition(".")[0] or before
        modules = re.findall(r"(\w+)(?:/\w+)?\.py", row[-1].astext())
        if code.endswith(".py"):
            full = f"diffusion_edu.{code.removesuffix('.py')}"
            return full if full in self.objects else None
        return self.resolve(before + code if code.startswith(".") else code, modules)

    @cached_property
    def uses(self) -> dict[str, list[tuple[str, str, str]]]:
        """Full name → (page, place, words) for each notebook that uses it in a cell or names it in
        its closing table."""
        found: dict[str, list[tuple[str, str, str]]] = {}
        for notebook in self.notebooks:
            cells = {self.documented(name): cell for name, cell in reversed(notebook.uses().items())}
            names = {}
            for code, files in notebook.table():
                modules, before = re.findall(r"(\w+)\.py", files), ""
                for piece in re.findall(r"`([^`]+)`", code):
                    piece = before + piece if piece.startswith(".") else piece
                    before = piece.rpartition(".")[0] or before
                    names[self.resolve(piece, modules)] = None
            for full in [*names, *(name for name in cells if name not in names)]:
                if full:
                    place, count = cells.get(full, ("recap", None))
                    words = f"{notebook.number}, cell [{count}]" if count else f"{notebook.number}, recap"
                    found.setdefault(full, []).append((notebook.docname, place, words))
        return found

    def link_back(self, tree: nodes.document, docname: str) -> None:
        """Under each entry of the reference, the notebooks that use it."""
        for entry in list(tree.findall(addnodes.desc)):
            name = entry[0]["ids"][0] if entry[0].get("ids") else ""
            if name not in self.uses or not isinstance(entry[-1], addnodes.desc_content):
                continue
            line = nodes.paragraph("", "In the notebooks: ", classes=["used-in"])
            for i, (page, place, words) in enumerate(self.uses[name]):
                link = self.reference(docname, page, place, nodes.Text(words))
                line += [nodes.Text("; "), link] if i else [link]
            content = entry[-1]
            nested = [i for i, child in enumerate(content) if isinstance(child, addnodes.desc | addnodes.index)]
            content.insert(nested[0] if nested else len(content), line)


def known_to_have(cls: type, member: str) -> bool:
    return hasattr(cls, member) or any(member in getattr(base, "__annotations__", {}) for base in cls.__mro__)


def ids_of(entry: addnodes.desc) -> set[str]:
    return {i for signature in entry.findall(addnodes.desc_signature) for i in signature["ids"]}


def ancestor(node: nodes.Node, kind) -> nodes.Element | None:
    while node is not None and not isinstance(node, kind):
        node = node.parent
    return node


def is_inside(node: nodes.Node, kinds: tuple) -> bool:
    return ancestor(node.parent, kinds) is not None

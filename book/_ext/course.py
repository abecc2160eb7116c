"""What this book needs of Sphinx: the notebooks beside it, docstrings in plain text, lean pages that ask no other host.

The links between pages are in course_links.py, the roles and directives of the pages in course_parts.py.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import course_api
import course_closing
import course_essay
import course_landing
import course_lean
import course_widgets
import figure_panels
from course_links import Anchors, Linker
from course_map import IdeasList, IdeasMap
from course_parts import ROLES, Film, add_downloads, wheel_name
from course_plain import Indices, with_indices
from course_search import Sections, address_of_site
from course_sheet import Sheet
from PIL import Image
from sphinx.highlighting import PygmentsBridge


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


CODE = ("python", "ipython3", "ipython", "bash", "sh", "console", "default", course_essay.OUTPUT)


def lean_code(highlight):
    """Without the marks of names, brackets and blanks, which have the colour of plain text, nor of operators, which do
    without one: half the bytes."""
    plain = re.compile(r'<span class="(?:n|nn|nx|o|p|pm|w)">([^<]*)</span>')

    def highlighted(self, *args, **options) -> str:
        html = plain.sub(r"\1", highlight(self, *args, **options))
        language = args[1] if len(args) > 1 else options.get("lang")
        if language not in CODE or (language == course_essay.OUTPUT and course_essay.is_table(html)):
            return html
        return course_essay.wrapped_lines(course_essay.columns_below(html) if language == "default" else html)

    return highlighted


# What the theme's templates and docutils' writer leave in every page.
REPAIRS = [
    # MathJax: site.js loads it
    (
        re.compile(r'<script defer="defer" src="([^"]*/tex-chtml\.js[^"]*)"></script>'),
        r'<link rel="preload" as="script" href="\1" data-formulas>',
    ),
    # and only where there is a formula
    (re.compile(r'<link rel="preload" as="script" href="[^"]*" data-formulas>(?!.*class="math)', flags=re.S), ""),
    # the first page's film
    (
        re.compile(r'</head>(?=.*class="landing-film)', flags=re.S),
        '<script defer src="_static/landing-film.js"></script>\n  '
        '<script defer src="_static/landing.js"></script>\n</head>',
    ),
    # scripts run when the page is read, but for two short ones that others, or its first look, ask for
    (
        re.compile(r'<script (?![^>]*defer)(?=[^>]*src="[^"]*\.js)(?![^>]*(?:documentation_options|site)\.js)'),
        "<script defer ",
    ),
    # an icon's script of 1.4 MB, which site.js keeps from replacing anything
    (re.compile(r"\s*<!-- So that users[^>]*-->\s*<script[^>]*fontawesome\.js[^>]*></script>"), ""),
    # the button reads "Search Ctrl+K": its name must contain that, and without a label of its own it does
    (re.compile(r'(<button class="btn search-button-field[^>]*?) aria-label="Search"'), r"\1"),
    # what folds the list of modules has a name
    (re.compile(r'<summary>(?=<span class="toctree-toggle")'), '<summary aria-label="The modules">'),
    # what folds an output has its text for a name
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    # said twice
    (re.compile(r'(<meta name="viewport"[^>]*>)(.*?)\s*<meta name="viewport"[^>]*>', flags=re.S), r"\1\2"),
    # the site has its own search, see search.js, and only one page needs it
    (re.compile(r'\s*<script defer src="[^"]*(?:searchtools|language_data|searchindex)\.js[^"]*"></script>'), ""),
    (
        re.compile(r'(?=<meta name="docsearch:language")(?=.*<div id="search-results">)', flags=re.S),
        '<script defer src="_static/sections.js"></script>\n  <script defer src="_static/search.js"></script>\n  ',
    ),
    # what is folded has a true index in its title
    (re.compile(r"(?<=<summary>)[^<]*_[^<]*(?=</summary>)"), lambda match: with_indices(match[0])),
    # the first page's address without a name, a language and an icon
    (
        re.compile(r'^<meta http-equiv="Refresh" content="0; url=intro.html" />\s*$'),
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Diffusion, derived</title>'
        '<link rel="icon" href="_static/favicon.svg"><meta http-equiv="Refresh" content="0; url=intro.html"></head>\n'
        '<body><main><h1><a href="intro.html">Diffusion, derived</a></h1></main></body></html>\n',
    ),
    # a list's role without list items, and a role that the standard has dropped
    (re.compile(r'(<div) role="list" (class="citation-list">)'), r"\1 \2"),
    (re.compile(r'(<div class="citation"[^>]*?) role="doc-biblioentry"'), r"\1"),
]
SIZELESS = re.compile(r'<img (?![^>]*width=)([^>]*src="([^":]*_images/[^"]+\.png)")')


def repair_pages(app, error) -> None:
    if error or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        old = new = page.read_text(encoding="utf-8")
        for pattern, replacement in REPAIRS:
            new = pattern.sub(replacement, new)
        new = figure_panels.dress_pictures(SIZELESS.sub(partial(with_size, page.parent), new), page.parent)
        new = share_code(course_widgets.lean_state(new))
        new = new.replace("<body data-default", f'<body data-page="{page.stem}" data-default', 1)
        if new != old:
            page.write_text(new, encoding="utf-8")


def share_code(page: str) -> str:
    """A page whose widgets start with the same code carries that once; site.js gives it back to each of them."""
    for trait in ("_esm", "_css"):
        texts = re.findall(rf'"{trait}": "((?:[^"\\]|\\.)*)"', page)
        same = [len(set(letters)) == 1 for letters in zip(*texts, strict=False)] if len(texts) > 1 else []
        shared = texts[0][: [*same, False].index(False)].rpartition("\\n")[0] if same else ""  # whole lines
        if len(shared) > 500:
            once = f'<script type="text/plain" data-shared="@{trait}@">{shared}</script>\n</head>'
            page = page.replace(f'"{trait}": "{shared}', f'"{trait}": "@{trait}@').replace("</head>", once, 1)
    return page


def with_size(folder: Path, tag: re.Match) -> str:
    """An <img> that is loaded when it comes near, and says before how much room it needs: the page does not jump."""
    with Image.open(folder / tag[2]) as image:
        return f'<img loading="lazy" width="{image.width}" height="{image.height}" {tag[1]}'


def add_files(app, error) -> None:
    """Adds to the built site the notebooks to download, and takes away what the widgets' script is made of."""
    if error or app.builder.format != "html":
        return
    out = Path(app.outdir)
    for name in ("embed-amd.js", "require.js"):
        (out / "_static" / "vendor" / name).unlink(missing_ok=True)
    (out / "_downloads").mkdir(exist_ok=True)
    for notebook in app.course_linker.notebooks:
        text = Path(app.srcdir).parent / "notebooks" / f"{notebook.path.stem}.py"
        for file in (notebook.path, text):
            shutil.copyfile(file, out / "_downloads" / file.name)
            script = f"window.downloaded = {json.dumps(file.read_text(encoding='utf-8'))};\n"  # see site.js
            (out / "_downloads" / f"{file.name}.js").write_text(script, encoding="utf-8")


def add_lost_page(app, error) -> None:
    """What a server shows for an address that leads nowhere. It may be shown at any depth: nothing in it is loaded."""
    if error or app.builder.format != "html":
        return
    home = address_of_site(app) or "/"
    style = "html{color-scheme:light dark}body{font:1.1em sans-serif;max-width:34rem;margin:15vh auto;padding:0 1em}"
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>No such page: Diffusion, derived</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{style}</style></head><body><main><h1>There is no such page</h1><p>Perhaps it has moved. "
        f'<a href="{home}" data-home>The first page of the course</a> leads to all others.</p></main></body></html>\n'
    )
    (Path(app.outdir) / "404.html").write_text(page, encoding="utf-8")
    shutil.copyfile(Path(app.srcdir) / "reverse.png", Path(app.outdir) / "_static" / "reverse.png")


def add_library(app, error) -> None:
    """The library as one file to install, beside the notebooks that need it."""
    if error or app.builder.format != "html":
        return
    root, target = Path(app.srcdir).parent, Path(app.outdir) / "_downloads" / wheel_name()
    kept = Path(app.outdir).parent / wheel_name()
    newest = max(path.stat().st_mtime for path in (root / "diffusion_edu").rglob("*") if path.suffix != ".pyc")
    if not kept.exists() or kept.stat().st_mtime < newest:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder)
            for name in ("pyproject.toml", "README.md", "LICENSE"):
                shutil.copy(root / name, copy)
            shutil.copytree(
                root / "diffusion_edu", copy / "diffusion_edu", ignore=shutil.ignore_patterns("__pycache__")
            )
            pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
            subprocess.run([*pip, "--disable-pip-version-check", "--wheel-dir", kept.parent, copy], check=True)
    shutil.copyfile(kept, target)


def add_widgets_script(app) -> None:
    """Before the pages, which name it with its checksum."""
    vendor = Path(app.srcdir) / "_assets" / "vendor"
    script = course_widgets.script((vendor / "embed-amd.js").read_text(encoding="utf-8"))
    target = Path(app.outdir) / "_static" / "vendor" / "widgets.js"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(script, encoding="utf-8")


def flat_module_list(app, pagename, templatename, context, doctree) -> None:
    """Sphinx makes the list of a package's modules a child of the list it belongs to, which HTML does not allow and a
    screen reader cannot read. Here all modules stand in one list."""
    if pagename == "_modules/index":
        head, _, rest = context["body"].partition("<ul>")
        context["body"] = f"{head}<ul>{re.sub('</?ul>', '', rest)}</ul>"


def setup(app) -> dict:
    app.add_config_value("course_repository", "", "env")
    bring_notebooks(Path(app.srcdir))
    course_api.bring_api(Path(app.srcdir))
    app.course_linker = Linker(app)
    app.add_transform(Anchors)
    app.add_transform(Indices)
    app.add_transform(course_essay.Essay)
    sections = Sections()
    for name, role in ROLES.items():
        app.add_role(name, role())
    app.add_role("worth", course_closing.Worth())
    app.add_directive("closing-ruler", course_closing.Ruler)
    app.add_directive("closing-table", course_closing.Table)
    app.add_directive("film", Film)
    app.add_directive("landing-film", course_landing.LandingFilm)
    app.add_directive("sheet", Sheet)
    app.add_directive("ideas-map", IdeasMap)
    app.add_directive("ideas-list", IdeasList)
    app.connect("builder-inited", add_widgets_script)
    app.connect("source-read", course_api.list_modules)
    app.connect("autodoc-process-docstring", plain_docstring)
    # a link may lead to what has changed on another page, so all pages are written anew
    app.connect("env-updated", lambda app, env: sorted(env.found_docs))
    app.connect("doctree-resolved", app.course_linker.link_page)
    app.connect("doctree-resolved", sections.collect)
    app.connect("doctree-resolved", course_essay.number_figures)
    app.connect("doctree-resolved", course_landing.add_minutes)
    app.connect("doctree-resolved", add_downloads)
    app.connect("html-page-context", flat_module_list)
    app.connect("html-page-context", sections.describe)
    app.connect("build-finished", course_landing.write_film)
    app.connect("build-finished", sections.write)
    app.connect("build-finished", add_files)
    app.connect("build-finished", add_library)
    app.connect("build-finished", add_lost_page)
    app.connect("build-finished", repair_pages)
    app.connect("build-finished", course_lean.lean_sheets)
    PygmentsBridge.highlight_block = lean_code(PygmentsBridge.highlight_block)
    return {"version": "1", "env_version": 2, "parallel_read_safe": True, "parallel_write_safe": True}

"""The reference, a page for each module. It is written in one file, api.md: a part for each «## group», in it one for
each «### module», which becomes a page of its own in api/, and on the page «The library» a line with a link."""

import importlib
import re
from pathlib import Path

FOLDER = "api"


def parts(text: str) -> tuple[str, list[tuple[str, list[tuple[str, str]]]]]:
    """What stands before the first group, and the groups: title, and name and content of each part."""
    head, *groups = re.split(r"^## ", text, flags=re.M)
    found = []
    for group in groups:
        title, *sections = re.split(r"^### ", group, flags=re.M)
        pairs = [section.partition("\n") for section in sections]
        found.append((title.strip(), [(name.strip(), content.strip()) for name, _, content in pairs]))
    return head, found


def bring_api(book: Path) -> None:
    """Writes the pages, where Sphinx can read them; one that has not changed is left alone."""
    _, groups = parts((book / "api.md").read_text(encoding="utf-8"))
    folder = book / FOLDER
    folder.mkdir(exist_ok=True)
    raised = lambda content: re.sub(r"^####", "##", content, flags=re.M)  # noqa: E731
    wanted = {f"{name}.md": f"# {name}\n\n{raised(content)}\n" for _, pairs in groups for name, content in pairs}
    for old in folder.iterdir():
        if old.name not in wanted:
            old.unlink()
    for name, content in wanted.items():
        page = folder / name
        if not page.exists() or page.read_text(encoding="utf-8") != content:
            page.write_text(content, encoding="utf-8")


def about(name: str) -> str:
    """The first sentence of a module's docstring."""
    doc = importlib.import_module(f"diffusion_edu.{name}").__doc__ or ""
    return re.split(r"(?<=[.:])\s", " ".join(doc.split()))[0].rstrip(":.") + "."


def list_modules(app, docname: str, source: list[str]) -> None:
    """The page «The library»: the list of the others."""
    if docname != FOLDER:
        return
    head, groups = parts(source[0])
    lines = [head]
    for title, pairs in groups:
        lines.append(f"## {title}\n")
        lines += [f"- [`{name}`]({FOLDER}/{name}.md): {about(name).replace('*', chr(92) + '*')}" for name, _ in pairs]
        lines.append("")
    source[0] = "\n".join(lines)

"""What the checks of the built website, those in JupyterLab and the benchmark share: a server on this machine,
axe-core, and a hand that operates every control of a widget."""

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from build_book import HTML
from playwright.sync_api import ElementHandle, Page

from notebooks import FOLDER, ROOT, WIDGET_VIEW

NARROW, WIDE = {"width": 390, "height": 844}, {"width": 1200, "height": 900}
AXE = ROOT / "tests" / "vendor" / "axe.min.js"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]


def site_pages() -> list[str]:
    """Every page of the built website, as its path in it. ValueError if it was not built."""
    found = sorted(p.relative_to(HTML).as_posix() for p in HTML.rglob("*.html") if "_static" not in p.parts)
    if not found:
        raise ValueError("book/_build/html must hold the built website, got no page; run: make book")
    return found


def widgets_of(page: str) -> int:
    """How many widgets a page of the website should have: those of its notebook, if it is one's."""
    notebook = FOLDER / Path(page).with_suffix(".ipynb").name
    return sum(widget_cells(notebook).values()) if page.startswith("notebooks/") and notebook.exists() else 0


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder over HTTP on a free port of 127.0.0.1; yields the address, which ends in a slash."""

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_) -> None:
            pass

        def copyfile(self, source, outputfile) -> None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the page was left
                super().copyfile(source, outputfile)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def widget_cells(notebook: Path) -> dict[int, int]:
    """Index of each cell of a stored notebook that shows widgets → how many."""
    cells = nbformat.read(notebook, as_version=4).cells
    counts = [sum(WIDGET_VIEW in output.get("data", {}) for output in cell.get("outputs", [])) for cell in cells]
    return {index: count for index, count in enumerate(counts) if count}


def loaded(page: Page, url: str, widgets: int = 0) -> None:
    """Loads a page, follows it where it leads, and waits for its formulas and for so many widgets."""
    ready = """(n) => document.readyState === "complete" && !document.querySelector("meta[http-equiv=refresh]")
      && [...document.querySelectorAll(".dedu")].filter((e) => e.drawn).length >= n
      && (!document.querySelector("link[data-formulas]") || window.formulasSet)"""
    page.goto(url)
    page.wait_for_function(ready, arg=widgets, timeout=60_000)


def resized(page: Page, size: dict) -> None:
    """Gives a page another size, and waits until its formulas have been fitted and the theme has made what scrolls now
    reachable by keyboard, which it does after 0.3 s. Timers of a page run in order, however slow the machine is."""
    page.set_viewport_size(size)
    page.evaluate("""() => new Promise((done) => setTimeout(done, 450))
      .then(() => typeof fitting === "undefined" ? 0 : fitting.then(() => 0))""")


def nothing(found: list[str]) -> None:
    """Fails with what was found, line by line."""
    if found:
        pytest.fail("\n".join(found), pytrace=False)


# --- accessibility ---

# Everything that is folded; and no transitions, which would be caught half-way.
OPEN = """() => {
  document.head.insertAdjacentHTML("beforeend", "<style>* { transition: none !important }</style>");
  document.querySelectorAll("details").forEach((e) => { e.open = true; });
  document.querySelectorAll(".toggle-hidden, .toggle-button-hidden").forEach((e) => e.click());
}"""
# Formulas as empty boxes of their size, which take axe a tenth of the time. The tests let it see those of two pages:
# they are all made by the same script. What it asks of their boxes, such as a name, it asks on every page.
EMPTY_FORMULAS = """() => {
  const all = [...document.querySelectorAll("mjx-container")].map((e) => [e, e.getBoundingClientRect()]);
  for (const [e, { width, height }] of all) {
    e.style.cssText = `display: inline-block; width: ${width}px; max-width: 100%; height: ${height}px`;
    e.replaceChildren();
  }
}"""
THEME = "(t) => Object.assign(document.documentElement.dataset, { theme: t, mode: t })"


def violations(page: Page, context: str = "document", rules: list[str] | None = None) -> list[str]:
    """axe-core's verdict on the page, or on the part of it that `context` (JavaScript) names, by all rules of WCAG
    2.0 to 2.2, A and AA, or by those named; one line per broken rule."""
    if not page.evaluate("!!window.axe"):
        page.evaluate(AXE.read_text(encoding="utf-8") + ";undefined")
    only = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": WCAG}
    options = {"runOnly": only, "resultTypes": ["violations"]}
    found = page.evaluate(f"(o) => axe.run({context}, o).then((r) => r.violations)", options)
    for rule in found:  # knots on one rail may be pushed together; arrow keys and the three buttons move them too
        if rule["id"] == "target-size":
            rule["nodes"] = [node for node in rule["nodes"] if 'aria-label="knot ' not in node["html"]]
    found = [rule for rule in found if rule["nodes"]]
    return [
        f"{rule['id']} × {len(rule['nodes'])}: {rule['nodes'][0]['html'][:160]} — "
        + " ".join(rule["nodes"][0]["failureSummary"].split())[:240]
        for rule in found
    ]


# --- widgets ---

WIDGETS = ".dedu-box"
LOOK = """(box) => {
  const hash = (text) => {
    let h = 7;
    for (let i = 0; i < text.length; i++) h = (31 * h + text.charCodeAt(i)) | 0;
    return h;
  };
  return {
    canvas: hash([...box.querySelectorAll("canvas")].map((c) => c.toDataURL()).join()),
    words: hash([...box.querySelectorAll(".dedu-words")].map((w) => w.textContent).join()),
    numbers: hash(JSON.stringify([...box.querySelectorAll(".dedu")].map((d) => d.numbers))),
  };
}"""
# The first selector that a control matches says how it is operated; what matches none fails the check.
KINDS = {
    "grip": ".dedu-grip",
    "slider": ".noUi-handle",
    "part of a slider": ".widget-readout",
    "choice": "select",
    "tick": "input[type=checkbox], input[type=radio]",
    "button": "button",
}
CONTROLS = """(box, kinds) => {
  const usable = (e) => e.tabIndex >= 0 && !e.disabled && e.getClientRects().length;
  return [...box.querySelectorAll("*")].filter(usable).map((e, i) => {
    const kind = Object.keys(kinds).find((k) => e.matches(kinds[k])) || "unknown control";
    const label = e.closest(".widget-inline-hbox")?.querySelector(".widget-label")?.textContent;
    e.dataset.control ||= `${kind} “${(label || e.getAttribute("aria-label") || e.textContent).trim()}” (${i})`;
    return { kind, name: e.dataset.control };
  });
}"""
NAMED = "(box, name) => [...box.querySelectorAll('[data-control]')].find((e) => e.dataset.control === name)"


class Operator:
    """Operates one widget's controls. `changed` has what each of them changed, by (control, "keyboard" or "mouse")."""

    def __init__(self, page: Page, box: ElementHandle):
        self.page, self.box = page, box
        self.changed: dict[tuple[str, str], set[str]] = {}

    def operate(self) -> list[str]:
        """Operates every control by keyboard and by mouse. What is wrong: controls that change nothing, and which of
        the picture, the words and the numbers no control changes. A control may be idle under some choices (β₁ where
        the schedule has none): what did nothing at first is tried again under every choice."""
        self.once()
        for _, choice in self.controls("choice"):
            for option in range(choice.evaluate("(e) => e.options.length")):
                if all(self.changed.values()):
                    break
                choice.select_option(index=option)
                self.once()
        idle = [f"{name} does nothing by {how}" for (name, how), changes in self.changed.items() if not changes]
        alive = set().union(*self.changed.values())
        return idle + [f"no control changes the {part}" for part in ("canvas", "words", "numbers") if part not in alive]

    def once(self) -> None:
        """Every control that has not changed anything yet, or has just appeared."""
        for kind in KINDS:
            for name, element in self.controls(kind):
                for how in ("keyboard", "mouse"):
                    if not self.changed.get((name, how)) and element.is_visible():
                        self.changed[name, how] = self.use(kind, how, element)
        for name, _ in self.controls("unknown control"):
            self.changed[name, "any means"] = set()

    def controls(self, kind: str) -> list[tuple[str, ElementHandle]]:
        found = [c["name"] for c in self.box.evaluate(CONTROLS, KINDS) if c["kind"] == kind != "part of a slider"]
        return [(name, self.box.evaluate_handle(NAMED, name).as_element()) for name in found]

    def use(self, kind: str, how: str, element: ElementHandle) -> set[str]:
        """What one operation changed. It is tried in several ways: at its end a slider moves in one direction only,
        and a button that leads somewhere does nothing where it has led."""
        operation = self.press if how == "keyboard" else self.point
        for attempt in range(2):
            if attempt and kind == "button":
                self.nudge()
            element.scroll_into_view_if_needed()
            before = self.look()
            operation(kind, element, attempt)
            if changes := self.wait_for_change(before):
                break
        if element.evaluate("(e) => e.isConnected && e.textContent === 'Pause'"):
            operation(kind, element, 0)
        return changes

    def nudge(self) -> None:
        """Moves the first grip or slider a little, and waits until that is seen."""
        for kind in ("grip", "slider"):
            for _, element in self.controls(kind)[:1]:
                before = self.look()
                self.press(kind, element, 0)
                if self.wait_for_change(before):
                    return

    def press(self, kind: str, element: ElementHandle, attempt: int) -> None:
        element.focus()
        keys = {"slider": ("ArrowRight", "ArrowLeft"), "choice": ("ArrowDown", "ArrowUp")}
        keys["grip"] = ("Shift+ArrowRight", "Shift+ArrowUp")
        self.page.keyboard.press(keys.get(kind, ("Space", "Enter"))[attempt])

    def point(self, kind: str, element: ElementHandle, attempt: int) -> None:
        if kind == "slider":
            track = element.evaluate_handle("(e) => e.closest('.noUi-target')").bounding_box()
            self.drag(element, to=(track["x"] + track["width"] * (0.35, 0.65)[attempt], None))
        elif kind == "grip":
            box, step = element.bounding_box(), (40, -40)[attempt]
            self.drag(element, to=(box["x"] + box["width"] / 2 + step, box["y"] + box["height"] / 2 + step / 2))
        elif kind == "choice":
            element.click()  # opens the list
            self.page.keyboard.press(("ArrowDown", "ArrowUp")[attempt])
            self.page.keyboard.press("Enter")
        else:
            element.click()

    def drag(self, element: ElementHandle, to: tuple[float, float | None]) -> None:
        box, mouse = element.bounding_box(), self.page.mouse
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        mouse.move(x, y)
        mouse.down()
        mouse.move(to[0], y if to[1] is None else to[1], steps=4)
        mouse.up()

    def look(self) -> dict[str, int]:
        return self.box.evaluate(LOOK)

    def wait_for_change(self, before: dict[str, int], tries: int = 8) -> set[str]:
        for _ in range(tries):
            after = self.look()
            if after != before:
                return {part for part in after if after[part] != before[part]}
            self.page.wait_for_timeout(60)
        return set()

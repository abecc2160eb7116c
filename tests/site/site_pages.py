"""The built website over HTTP in a real browser: `make site`. Needs book/_build/html; not collected by `make unit`.

Every page that lies there asks no other host for anything (they are unresolvable), raises no error, hides no part of a
formula, and breaks no rule of WCAG 2.2 AA that axe-core knows: on a phone and on a desktop, in light and dark, with all
that is folded opened.
"""

import re
import sys

import pytest
from build_book import BOOK, HTML
from site_tools import (
    EMPTY_FORMULAS,
    NARROW,
    OPEN,
    THEME,
    WIDE,
    loaded,
    nothing,
    resized,
    served,
    site_pages,
    violations,
    widgets_of,
)

sys.path.insert(0, str(BOOK / "_ext"))
from course_essay import is_table
from course_ideas import IDEAS, STEPS
from course_links import anchor

EACH = pytest.mark.parametrize("name", site_pages())
# The pages whose formulas axe sees, see EMPTY_FORMULAS: the sheet of all of them, and the notebook with the most.
FORMULAS_SEEN = ("summary.html", "notebooks/03_diffusion.html")
WIDER = """() => {
  const spills = (e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX === "visible";
  const found = [...document.querySelectorAll("body *")].filter((e) => e.clientWidth && spills(e));
  return found.filter((e) => ![...e.children].some((c) => found.includes(c))).map((e) => e.outerHTML.slice(0, 120));
}"""
SQUEEZED = """() => [...document.querySelectorAll("img[width][height]")].filter((image) => {
  const { width, height } = image.getBoundingClientRect();
  return width && Math.abs((width / height) * (image.getAttribute("height") / image.getAttribute("width")) - 1) > 0.02;
}).map((image) => image.alt)"""
WITHOUT_ALT = "[...document.images].filter((i) => !i.hasAttribute('alt')).map((i) => i.src)"
# Parts of a formula, unless one can scroll to them, that end beyond the screen or before it.
BEYOND = """() => [...document.querySelectorAll("article :is(mjx-math, mjx-math .piece)")].filter((e) => {
  const { left, right, width } = e.getBoundingClientRect(), scroller = e.closest("mjx-container.scrolls");
  return width && (right > innerWidth + 1 || left < 0) && !(scroller && scroller.tabIndex === 0
    && scroller.scrollWidth > scroller.clientWidth);
}).map((e) => e.closest(".math, table")?.textContent.slice(0, 100))"""
SCROLLING = """[...document.querySelectorAll('div.math mjx-container')]
  .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent.slice(0, 60))"""
# Code or output that is wider than its box, of the course's own pages.
WIDE_TEXT = """[...document.querySelectorAll('article pre')]
  .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1)
  .map((e) => [!!e.closest('.cell_output'), e.textContent])"""
ROWS = "[...document.querySelectorAll('.in-rows .rows')].filter((e) => e.getClientRects().length).length"
# What a reader sees as text outside of code, with raw TeX or an underscore in it.
LABELS = """() => {
  const found = [], walker = document.createTreeWalker(document.querySelector("main, article, body"),
    NodeFilter.SHOW_TEXT);
  const other = "code, pre, script, style, mjx-container, .math, .sig, .cell_output, [hidden], " +
    "a[href^='http'], a[href*='api/']";
  while (walker.nextNode()) if (!walker.currentNode.parentElement.closest(other)) found.push(walker.currentNode.data);
  return found.filter((text) =>
    /[A-Za-z\\u0370-\\u03ff\\u1e00-\\u1eff][\\u0300-\\u036f]*_[A-Za-z0-9{]|\\\\\\(|\\$/.test(text));
}"""
OF_CODE = ("api", "_modules", "genindex")  # pages of names, whose labels may have an underscore
# Of each figure: its number, how long its caption is, and how far it is off the middle, twice. And those without.
FIGURES = """() => [[...document.querySelectorAll("figure.plot")].map((f) => {
  const image = [...f.querySelectorAll("img")].find((i) => i.getClientRects().length),
    caption = f.querySelector("figcaption"), a = image.getBoundingClientRect(), b = f.getBoundingClientRect();
  return [caption.querySelector(".figure-number").textContent, caption.textContent.length,
    Math.abs(a.left + a.right - b.left - b.right)];
}), document.querySelectorAll(".cell_output img:not(figure img)").length]"""
COLOURS = ["color-contrast", "link-in-text-block"]  # the rules that a change of theme can break
MENUS = "header .dropdown-menu, .bd-header-article .dropdown-menu"


@pytest.fixture(scope="module")
def address():
    with served(HTML) as address:
        yield address


def of_figures(tab, name: str) -> list[str]:
    """What a notebook's figures lack: each has a number, a caption, and stands in the middle."""
    figures, bare = tab.evaluate(FIGURES)
    number = int(name.partition("/")[2][:2])
    numbers = [f"Figure {number}.{i}" for i in range(1, len(figures) + 1)]
    found = [] if [f[0] for f in figures] == numbers else [f"figures are numbered {[f[0] for f in figures]}"]
    bad = [f for f in figures if f[1] <= 40 or f[2] >= 3]
    found += [f"{f[0]}: a caption of {f[1]} letters, {f[2] / 2} px off the middle" for f in bad]
    return found + [f"{bare} pictures are no figures"] * (bare > 0) + ["less than four figures"] * (len(figures) < 4)


def of_formulas(tab, where: str) -> list[str]:
    return [f"{where}, a formula out of reach: {text}" for text in tab.evaluate(BEYOND)]


def of_lines(tab) -> list[str]:
    """Displayed formulas and printed lines that a phone's reader must scroll, but for tables."""
    found = [f"narrow, a displayed formula must be scrolled: {text}" for text in tab.evaluate(SCROLLING)]
    for is_output, text in tab.evaluate(WIDE_TEXT):
        if not (is_output and is_table(text)):
            found.append(f"narrow, a printed line must be scrolled: {text[:60]}")
    return found


@EACH
def test_over_http_without_errors_and_accessible(tab, address, name):
    """One load of the page, from which all that can be seen at both widths and in both themes is asked."""
    tab.set_viewport_size(WIDE)
    loaded(tab, address + name, widgets_of(name))
    found = tab.log.take() + [f"no alternative text: {src}" for src in tab.evaluate(WITHOUT_ALT)]
    if not name.startswith(OF_CODE):
        found += [f"raw TeX or an underscore: {text}" for text in tab.evaluate(LABELS)]
    if name.startswith("notebooks/"):
        found += of_figures(tab, name)

    tab.evaluate(OPEN)
    resized(tab, NARROW)
    if (wide := tab.evaluate("document.documentElement.scrollWidth")) > NARROW["width"]:
        found.append(f"{wide} px wide on a screen of {NARROW['width']}: {tab.evaluate(WIDER)}")
    found += [f"another shape than its file: {alt}" for alt in tab.evaluate(SQUEEZED)]
    found += of_formulas(tab, "narrow")
    if not name.startswith(OF_CODE):
        found += of_lines(tab)
    rows = tab.evaluate(ROWS)
    if name in FORMULAS_SEEN:
        found += [f"narrow, with formulas: {line}" for line in violations(tab)]

    if tab.locator("mjx-container").count():
        resized(tab, WIDE)
        found += of_formulas(tab, "wide")
        if tab.evaluate(ROWS) > rows:
            found.append("more formulas are broken into rows where there is more room")
        tab.evaluate(EMPTY_FORMULAS)
    for size in sorted((NARROW, WIDE), key=lambda size: size != tab.viewport_size):  # the present one first
        if tab.viewport_size != size:
            resized(tab, size)
        if size == WIDE or name not in FORMULAS_SEEN:
            found += [f"{size['width']} px, light: {line}" for line in violations(tab)]
        tab.evaluate(THEME, "dark")
        found += [f"{size['width']} px, dark: {line}" for line in violations(tab, rules=COLOURS)]
        tab.evaluate(THEME, "light")
    nothing(found + tab.log.take())


KINDS = {"formulas.js": "text/javascript", "site.css": "text/css"}
# What mends the page for a phone, taken out of it, and what the check must then say.
FAULTS = [
    (
        "formulas.js",
        "function rowsOf(formula) {",
        "function rowsOf(formula) { return null;",
        "formula must be scrolled",
    ),
    (
        "formulas.js",
        "function squeeze(formula, column) {",
        "function squeeze(formula, column) { return;",
        "out of reach",
    ),
    ("site.css", "div.lines pre { white-space: pre-wrap;", "div.lines pre { white-space: pre;", "printed line"),
]


@pytest.mark.parametrize(("file", "mend", "fault", "words"), FAULTS, ids=["rows", "squeeze", "code"])
def test_the_checks_of_a_narrow_page_can_fail(tab, address, file, mend, fault, words):
    text = (HTML / "_static" / file).read_text(encoding="utf-8")
    assert mend in text
    tab.route(f"**/{file}*", lambda route: route.fulfill(body=text.replace(mend, fault), content_type=KINDS[file]))
    tab.set_viewport_size(NARROW)
    loaded(tab, address + "notebooks/03_diffusion.html")
    found = of_formulas(tab, "narrow") + of_lines(tab)
    assert any(words in line for line in found), found


@pytest.mark.parametrize("name", [name for name in site_pages() if widgets_of(name)])
def test_widgets_are_alive_before_the_page_has_loaded(tab, address, name):
    tab.route("**/never.png", lambda route: None)
    tab.add_init_script("new Image().src = '/never.png'")  # without it the window never loads
    tab.goto(address + name, wait_until="commit")
    all_drawn = "(n) => [...document.querySelectorAll('.dedu')].filter((e) => e.drawn).length === n"
    tab.wait_for_function(all_drawn, arg=widgets_of(name))
    tab.wait_for_function("window.formulasSet")
    assert tab.evaluate("document.readyState") == "interactive"
    nothing(tab.log.take())


@pytest.mark.parametrize("name", site_pages())
def test_nothing_large_holds_up_the_page(name):
    html = (HTML / name).read_text(encoding="utf-8")
    held = [tag for tag in re.findall(r"<script\b[^>]*\bsrc=[^>]*>", html) if not re.search(r"\b(defer|async)\b", tag)]
    files = [(HTML / name).parent / re.search(r'src="([^"?]*)', tag)[1] for tag in held]
    assert sum(file.stat().st_size for file in files) < 10_000, held
    eager = [tag for tag in re.findall(r"<img\b[^>]*>", html) if "_images/" in tag and 'loading="lazy"' not in tag]
    assert not eager


def test_a_key_or_a_drag_in_a_widget_does_not_go_through_the_whole_page(tab, address):
    name = next(name for name in site_pages() if widgets_of(name))
    loaded(tab, address + name, widgets_of(name))
    handle = tab.query_selector(".dedu-box .noUi-handle")
    handle.scroll_into_view_if_needed()
    searched = """(handle) => {
      const found = [], count = handle.closest(".dedu-box").querySelector(".dedu").drawn.count;
      const search = (what) => { found.push(what); return Document.prototype.querySelectorAll.call(document, what); };
      document.querySelectorAll = search;
      handle.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true, cancelable: true }));
      delete document.querySelectorAll;
      return [found, handle.closest(".dedu-box").querySelector(".dedu").drawn.count - count];
    }"""
    assert handle.evaluate(searched) == [[], 1]
    box = handle.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse.down()
    # the slider has set the body's cursor, which every element would inherit
    assert tab.evaluate("[document.body.style.cursor !== '', getComputedStyle(document.body).cursor]") == [True, "auto"]
    tab.mouse.up()
    handle.press("Control+k")
    assert tab.locator("#pst-search-dialog").is_visible()
    nothing(tab.log.take())


def test_menus_and_the_narrow_contents_are_accessible(tab, address):
    loaded(tab, address + next(name for name in site_pages() if name.startswith("notebooks/")))
    found = []
    for theme in ("light", "dark"):
        tab.evaluate(THEME, theme)
        tab.evaluate("(s) => document.querySelectorAll(s).forEach((m) => m.classList.add('show'))", MENUS)
        if tab.locator(MENUS).count():
            found += violations(tab, f"document.querySelectorAll({MENUS!r})")
    tab.evaluate("(s) => document.querySelectorAll(s).forEach((m) => m.classList.remove('show'))", MENUS)
    tab.set_viewport_size(NARROW)
    tab.locator(".primary-toggle").first.click()
    tab.wait_for_timeout(500)
    assert tab.get_by_role("link", name="Notation").first.is_visible()
    nothing(found + violations(tab) + tab.log.take())


def test_the_theme_button_turns_the_page_dark(tab, address):
    loaded(tab, address + "intro.html")
    ground = "getComputedStyle(document.body).backgroundColor"
    seen = {tab.evaluate(ground)}
    for _ in range(3):
        tab.locator(".theme-switch-button:visible").first.click()
        tab.wait_for_timeout(400)
        seen.add(tab.evaluate(ground))
    assert len(seen) > 1
    tab.evaluate("localStorage.clear()")


# Of the map that is shown: text that leaves its card, labels on cards or on each other, and the sizes of letters.
MAP = """() => {
  const [map] = [...document.querySelectorAll("svg.ideas")].filter((svg) => svg.getClientRects().length);
  const all = (what, where = map) => [...where.querySelectorAll(what)], box = (e) => e.getBoundingClientRect();
  const within = (a, b) => a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom;
  const apart = (a, b) => a.right < b.left || b.right < a.left || a.bottom < b.top || b.bottom < a.top;
  const cards = all("rect"), labels = all("g text"), scale = box(map).width / map.viewBox.baseVal.width;
  const large = cards.flatMap((card) => all("text", card.parentNode).filter((e) => !within(box(e), box(card))));
  const on = (label, i) => [...cards, ...labels.slice(0, i)].some((other) => !apart(box(label), box(other)));
  return {
    untidy: [...large, ...labels.filter(on)].map((e) => e.textContent), cards: cards.length, labels: labels.length,
    letters: Math.min(...all("text").map((e) => scale * parseFloat(getComputedStyle(e).fontSize))),
  };
}"""


@pytest.mark.parametrize("size", [NARROW, {"width": 620, "height": 900}, WIDE], ids=lambda s: s["width"])
def test_the_map_of_ideas_is_readable_and_its_cards_are_links(tab, address, size):
    tab.set_viewport_size(size)
    loaded(tab, address + "map.html")
    seen = tab.evaluate(MAP)
    assert (seen["untidy"], seen["cards"]) == ([], len(IDEAS))
    assert seen["labels"] == (0 if size == NARROW else len(STEPS))  # in the column they stand in the cards
    assert seen["letters"] >= 11
    links = tab.locator("svg.ideas a.idea:visible").all_text_contents()
    for idea in IDEAS:
        assert sum(f"{idea.name} ({idea.tag})" in " ".join(text.split()) for text in links) == 1, links
    link = tab.get_by_role("link", name=re.compile(re.escape(f"{idea.name} ({idea.tag})")))
    assert link.count() == 1
    link.focus()
    tab.keyboard.press("Shift+Tab")
    assert tab.evaluate("document.activeElement.textContent").strip().startswith(IDEAS[-2].name)
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"**/notebooks/*.html#{anchor(IDEAS[-2].tag)}")


CUT = """() => [...document.querySelectorAll(".equation, .equation :is(p, .math, mjx-container)")]
  .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1).map((e) => e.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_summary_is_at_most_four_pages_of_paper_and_nothing_is_cut(tab, address, theme):
    loaded(tab, address + "summary.html")
    tab.evaluate(THEME, theme)
    pdf = tab.pdf(prefer_css_page_size=True)
    sheets = re.findall(rb"/Type /Page\b.*?/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf, flags=re.S)
    assert len(re.findall(rb"/Type /Page\b", pdf)) == len(sheets) in (3, 4)
    width, height = map(float, sheets[0])
    assert (round(width / 72 * 25.4), round(height / 72 * 25.4)) == (210, 297)
    printed = re.findall(rb"/Rect \[([-\d. ]+)\]\s*/A <<.*?/URI \((.*?)\)", pdf, flags=re.S)
    wanted = tab.evaluate("[...document.querySelectorAll('.equation a')].map((a) => a.href)")
    assert len(wanted) > 80
    assert [url for url in set(wanted) if url.encode() not in {uri for _, uri in printed}] == []
    for corners, uri in printed:
        x, y, to_x, to_y = map(float, corners.split())
        assert 0 < x < to_x < width, uri
        assert 0 < y < to_y < height, uri

    tab.set_viewport_size({"width": 725, "height": 1000})  # as wide as the paper without its margins
    tab.emulate_media(media="print")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 725
    assert tab.evaluate(CUT) == []
    assert tab.evaluate("document.body.innerText").strip().startswith("Summary of equations")
    ink = tab.evaluate("getComputedStyle(document.querySelector('.equation mjx-container')).color")
    assert max(map(int, re.findall(r"\d+", ink)[:3])) < 80, ink
    tab.emulate_media(media="screen")

"""The built website in a real browser, page by page: `make site`. Needs book/_build/html; not collected by `make unit`.

Every page that lies in the folder is loaded from file://, where its widgets are operated, and over HTTP, where it is
checked for accessibility. All hosts but this one are unresolvable.
"""

import re

import nbformat
import pytest
from build_book import HTML
from site_tools import WIDGETS, Ear, Operator, served, site_pages, violations

from notebooks import FOLDER, WIDGET_VIEW

EACH = pytest.mark.parametrize("name", site_pages())
NARROW, WIDE = {"width": 390, "height": 844}, {"width": 1200, "height": 900}
TYPESET = "window.MathJax?.startup?.promise.then(() => 0)"
# Everything that is folded; and no transitions, which would be caught half-way.
OPEN = """() => {
  document.head.insertAdjacentHTML("beforeend", "<style>* { transition: none !important }</style>");
  document.querySelectorAll("details").forEach((e) => { e.open = true; });
  document.querySelectorAll(".toggle-hidden, .toggle-button-hidden").forEach((e) => e.click());
}"""
# Formulas as empty boxes of their size: the first run of axe has seen them, the others are twice as fast without.
EMPTY_FORMULAS = """() => document.querySelectorAll("mjx-container").forEach((e) => {
  const { width, height } = e.getBoundingClientRect();
  e.style.cssText = `display: inline-block; width: ${width}px; height: ${height}px`;
  e.replaceChildren();
})"""
THEME = "(t) => Object.assign(document.documentElement.dataset, { theme: t, mode: t })"
WIDER = """() => {
  const wider = (e) => e.getBoundingClientRect().right > innerWidth + 1;
  return [...document.querySelectorAll("article *")].filter(wider).slice(0, 3).map((e) => e.outerHTML.slice(0, 120));
}"""
DRAWN = "(n) => [...document.querySelectorAll('.dedu')].filter((e) => e.drawn).length >= n"
WITHOUT_ALT = "[...document.images].filter((i) => !i.hasAttribute('alt')).map((i) => i.src)"
COLOURS = ["color-contrast", "link-in-text-block"]  # the rules that a change of theme can break
MENUS = "header .dropdown-menu, .bd-header-article .dropdown-menu"


@pytest.fixture(scope="module")
def address():
    with served(HTML) as address:
        yield address


@pytest.fixture(scope="module")
def context(browser):
    """One for the whole module, so that the scripts all pages share come from its cache."""
    context = browser.new_context(viewport=WIDE)
    yield context
    context.close()


@pytest.fixture
def page(context):
    page = context.new_page()
    page.ear = Ear().listen(page)
    yield page
    page.close()


def nothing(found: list[str]) -> None:
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def loaded(page, url: str, widgets: int = 0) -> None:
    """Loads a page and waits for its formulas and for so many widgets."""
    page.goto(url)
    page.evaluate(TYPESET)
    page.wait_for_function(DRAWN, arg=widgets, timeout=30_000)


@EACH
def test_over_http_without_errors_and_accessible(page, address, name):
    loaded(page, address + name, widget_outputs(name))
    found = page.ear.heard() + [f"no alternative text: {src}" for src in page.evaluate(WITHOUT_ALT)]
    page.evaluate(OPEN)
    page.set_viewport_size(NARROW)
    page.wait_for_timeout(100)
    if (wide := page.evaluate("document.documentElement.scrollWidth")) > NARROW["width"]:
        found.append(f"{wide} px wide on a screen of {NARROW['width']}: {page.evaluate(WIDER)}")
    found += [f"narrow, light: {line}" for line in violations(page)]
    page.evaluate(EMPTY_FORMULAS)
    page.evaluate(THEME, "dark")
    found += [f"narrow, dark: {line}" for line in violations(page, rules=COLOURS)]
    page.set_viewport_size(WIDE)
    found += [f"wide, dark: {line}" for line in violations(page, rules=COLOURS)]
    page.evaluate(THEME, "light")
    found += [f"wide, light: {line}" for line in violations(page)]
    nothing(found + page.ear.heard())


def widget_outputs(name: str) -> int:
    """How many widgets the notebook of a page shows."""
    path = FOLDER / name.replace("notebooks/", "").replace(".html", ".ipynb")
    if not name.startswith("notebooks/") or not path.exists():
        return 0
    cells = nbformat.read(path, as_version=4).cells
    return sum(WIDGET_VIEW in output.get("data", {}) for cell in cells for output in cell.get("outputs", []))


@EACH
def test_from_a_folder_without_errors_and_widgets_alive(page, name):
    expected = widget_outputs(name)
    loaded(page, (HTML / name).as_uri(), expected)
    boxes, found = page.query_selector_all(WIDGETS), []
    assert len(boxes) == expected
    for number, box in enumerate(boxes, start=1):
        found += [f"widget {number}: {line}" for line in Operator(page, box).operate()]
    for film in page.query_selector_all("video"):
        film.evaluate("(v) => { v.muted = true; return v.play(); }")
        film.evaluate("(v) => v.pause()")
    nothing(found + page.ear.heard())


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_search_leads_to_a_page_with_the_word(page, address, scheme):
    loaded(page, (address if scheme == "http" else HTML.as_uri() + "/") + "notation.html")
    page.locator(".search-button-field:visible, .search-button:visible").first.click()
    page.locator("input[name=q]:visible").first.fill("posterior")
    page.keyboard.press("Enter")
    results = page.locator("#search-results li a")
    results.first.wait_for(timeout=20_000)
    page.wait_for_load_state("networkidle")
    assert results.count() >= 3
    results.first.click()
    page.wait_for_url(re.compile(r"(?<!search)\.html"))
    assert "posterior" in page.locator("article").inner_text().lower()
    nothing(page.ear.heard())


def test_menus_and_the_narrow_contents_are_accessible(page, address):
    loaded(page, address + next(name for name in site_pages() if name.startswith("notebooks/")))
    found = []
    for theme in ("light", "dark"):
        page.evaluate(THEME, theme)
        page.evaluate("(s) => document.querySelectorAll(s).forEach((m) => m.classList.add('show'))", MENUS)
        if page.locator(MENUS).count():
            found += violations(page, f"document.querySelectorAll({MENUS!r})")
    page.evaluate("(s) => document.querySelectorAll(s).forEach((m) => m.classList.remove('show'))", MENUS)
    page.set_viewport_size(NARROW)
    page.locator(".primary-toggle").first.click()
    page.wait_for_timeout(500)
    assert page.get_by_role("link", name="Notation").first.is_visible()
    nothing(found + violations(page) + page.ear.heard())


def test_the_theme_button_turns_the_page_dark(page, address):
    loaded(page, address + "intro.html")
    ground = "getComputedStyle(document.body).backgroundColor"
    seen = {page.evaluate(ground)}
    for _ in range(3):
        page.locator(".theme-switch-button:visible").first.click()
        page.wait_for_timeout(400)
        seen.add(page.evaluate(ground))
    assert len(seen) > 1
    page.evaluate("localStorage.clear()")

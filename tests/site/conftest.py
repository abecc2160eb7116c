"""The fixtures of the tests in a browser."""

from browsing import browser, one_page, page, show, tab, tabs  # noqa: F401

"""The fixtures of the tests in a browser."""

from browsing import browser, page, show, tab, tabs  # noqa: F401

"""The website's one script for widgets: what is cut out of html-manager's bundle, and that the cut is noticed if the
bundle changes."""

import json
import re
import sys

import build_book
import pytest

sys.path.insert(0, str(build_book.BOOK / "_ext"))
import course_widgets

BUNDLE = (build_book.BOOK / "_assets" / "vendor" / "embed-amd.js").read_text(encoding="utf-8")


def test_only_what_ipywidgets_8_needs_without_schemas():
    script = course_widgets.script(BUNDLE)
    defined = re.findall(r'^(?:/\* [^\n]*)?define\("([^"]+)"', script, flags=re.M)
    assert defined == [*course_widgets.PARTS, "anywidget"]
    assert "/* the modules */" not in script
    assert len(script) < 0.7 * len(BUNDLE)
    assert "jqfake" not in script
    assert ".v2.state" not in script
    assert len(re.findall(r"\$\{(\w+)\.protocol\}//\$\{\1\.host\}\$\{\1\.pathname\}", script)) == 3
    assert "origin}${" not in script


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'define("@jupyter-widgets/controls"',
            'define("@jupyter-widgets/other"',
            r"without \['@jupyter-widgets/controls'\]",
        ),
        (".v2.state", ".v3.state", "html-manager must have .*, got it 0 times"),
        (":jqfake", ":other", "base must have .*, got it 0 times"),
    ],
)
def test_another_bundle_is_an_error(old, new, words):
    with pytest.raises(ValueError, match=words):
        course_widgets.parts(BUNDLE.replace(old, new), "")


def test_a_page_leaves_out_what_ipywidgets_takes_anyway():
    start = '<script type="application/vnd.jupyter.widget-state+json">'
    state = {
        "state": {
            "1": {"model_module": "@jupyter-widgets/base", "state": {"width": "3\u2009px</b>", "top": None}},
            "2": {"model_module": "anywidget", "state": {"own": None}},
        },
        "version_major": 2,
    }
    lean = course_widgets.lean_state(f"<p>null</p>{start}{json.dumps(state)}</script><p></p>")
    assert re.fullmatch(f"<p>null</p>{re.escape(start)}(?:[^<]|<\\\\/b)*</script><p></p>", lean)
    del state["state"]["1"]["state"]["top"]
    assert json.loads(lean.removeprefix(f"<p>null</p>{start}").removesuffix("</script><p></p>")) == state
    assert course_widgets.lean_state(lean) == lean

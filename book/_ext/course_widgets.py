"""One script for the pages with widgets: what they need of html-manager's bundle, anywidget, and what starts them.

html-manager's own bundle, embed-amd.js, needs RequireJS, waits for the window's load event, and brings a second copy of
everything for ipywidgets 7 and a validator of JSON schemas. Here the parts are cut out of it that the course's widgets
use; start_widgets.js defines them and starts as soon as the page is read.
"""

import json
import re
from pathlib import Path

import anywidget

PARTS = ["@jupyter-widgets/base", "@jupyter-widgets/controls", "@jupyter-widgets/html-manager"]
PART = re.compile(r'^define\("([^"]+)",.*?(?=^//# sourceMappingURL)', flags=re.S | re.M)
# What costs time at the start and does nothing here: modules, pattern, what takes its place.
CUTS = [
    # html-manager compiles the schemas of the widgets' state, for nobody, with a validator that then warns of them
    (PARTS[2:], r"const \w+=__webpack_require__\(\d+\)\.v2\.state,.*?\.compile\(\w+\),\w+\.compile\(\w+\);", ""),
    (PARTS[2:], r"var (\w+)=__webpack_require__\(\d+\),\w+=\w+\.n\(\1\);(?=__webpack_require__\.p=)", ""),
    # a question to which every browser answers with an error; developer tools then read the whole script once more
    (PARTS, r'try\{return \w+\.querySelector\(":has\(\*,:jqfake\)"\),!1\}catch\(e\)\{return!0\}', "return!0"),
    # the folder of its fonts: Firefox says "null" for the origin of a file
    (PARTS, r"\$\{(\w+)\.origin\}(?=\$\{\1\.pathname\})", r"${\1.protocol}//${\1.host}"),
    # after two seconds anywidget tells the console that a widget has failed, which on a slow machine is only late
    (["anywidget"], r"AbortSignal\.timeout\(2e3\)\.addEventListener\(.*?\}\);", ""),
]


def parts(bundle: str, own: str) -> dict[str, str]:
    """The modules that ipywidgets 8 needs, out of html-manager's bundle, and anywidget's own file, cut. ValueError if
    they are not made as expected."""
    found = {match[1]: match[0] for match in PART.finditer(bundle)} | {"anywidget": own}
    if lost := set(PARTS) - set(found):
        raise ValueError(f"the bundle must define {PARTS}, got one without {sorted(lost)}")
    for names, pattern, instead in [*CUTS, (["anywidget"], r"(?m)^define\(\[", 'define("anywidget", [')]:
        for name in names:
            found[name], times = re.subn(pattern, instead, found[name], flags=re.S)
            if times != 1:
                raise ValueError(f"{name} must have {pattern} once, got it {times} times")
    return {name: found[name] for name in [*PARTS, "anywidget"]}


def script(bundle: str) -> str:
    """The whole script."""
    start = (Path(__file__).parent / "start_widgets.js").read_text(encoding="utf-8")
    own = (Path(anywidget.__file__).parent / "nbextension" / "index.js").read_text(encoding="utf-8")
    return start.replace("/* the modules */", "\n".join(parts(bundle, own).values()), 1)


STATE = re.compile(r'(<script type="application/vnd.jupyter.widget-state\+json">)(.*?)(?=</script>)', flags=re.S)


def lean_state(page: str) -> str:
    """A page whose widgets leave out what ipywidgets takes anyway, the traits of its own that are null."""

    def lean(match: re.Match) -> str:
        stored = json.loads(match[2])
        for model in stored["state"].values():
            if model["model_module"].startswith("@jupyter-widgets/"):
                model["state"] = {name: value for name, value in model["state"].items() if value is not None}
        return match[1] + json.dumps(stored, ensure_ascii=False).replace("</", r"<\/")

    return STATE.sub(lean, page)

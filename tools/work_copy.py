"""Makes a copy of the notebooks to work in: work/. Run by `make lab`, with a table of contents open in JupyterLab.

A notebook that is there already is never touched, so nothing that a learner typed is lost, and the notebooks in
notebooks/, which git keeps, stay as they are: a later `git pull` has nothing to conflict with.
"""

import json
import shutil
import sys
from pathlib import Path

from jupyterlab_server.workspaces_handler import slugify

ROOT = Path(__file__).resolve().parents[1]
WORKSPACE = "course"
# How JupyterLab opens: the contents of the notebook on the left, and not the list of files.
LAYOUT = {
    "data": {
        "layout-restorer:data": {
            "main": {"dock": None},
            "down": {"size": 0, "widgets": []},
            "left": {
                "collapsed": False,
                "visible": True,
                "current": "@jupyterlab/toc:plugin",
                "widgets": ["filebrowser", "running-sessions", "@jupyterlab/toc:plugin", "extensionmanager.main-view"],
            },
            "right": {"collapsed": True, "visible": True, "widgets": []},
            "relativeSizes": [0.22, 0.78, 0],
        }
    },
    "metadata": {"id": WORKSPACE},
}


def copy(source: Path, target: Path) -> list[str]:
    """Copies the notebooks that are not in `target` yet; returns their names."""
    target.mkdir(exist_ok=True)
    made = []
    for notebook in sorted(source.glob("[0-9]*.ipynb")):
        if not (target / notebook.name).exists():
            shutil.copyfile(notebook, target / notebook.name)
            made.append(notebook.name)
    return made


def write_workspace(folder: Path) -> None:
    """The layout, once: later it is the learner's own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{slugify(WORKSPACE)}.jupyterlab-workspace"
    if not path.exists():
        path.write_text(json.dumps(LAYOUT, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    made = copy(ROOT / "notebooks", ROOT / "work")
    write_workspace(ROOT / ".venv" / "share" / "jupyter" / "lab" / "workspaces")
    if made:
        print(f"work/ has got {len(made)} notebooks: {', '.join(made)}")
    print("The notebooks in work/ are yours. To have one afresh, delete it there and type `make lab` again.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

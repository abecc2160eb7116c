"""python -m diffusion_edu.checks student | grade | cells, for teachers and for the course's own making."""

import argparse
import sys
from pathlib import Path

from . import EXERCISES, PROJECTS, cells, teachers


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m diffusion_edu.checks", description="For teachers.")
    sub = parser.add_subparsers(dest="command", required=True)
    student = sub.add_parser("student", help="copies of notebooks without solutions")
    student.description = (
        "Copies notebooks without their solutions. The installed package still holds the solutions, as any student "
        "finds out who looks for them: they are there to learn from."
    )
    student.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK.ipynb")
    student.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder for the copies")
    grade = sub.add_parser("grade", help="run submitted notebooks, and collect what their checks said")
    grade.description = teachers.__doc__.split("\n\n", 1)[1].replace("**", "")
    grade.add_argument("folder", type=Path, metavar="DIR", help="all .ipynb files below it are run")
    grade.add_argument("--out", required=True, type=Path, metavar="FILE.csv")
    grade.add_argument("--limit", type=float, default=900, help="seconds for a notebook; default 900")
    grade.add_argument("--cell-limit", type=float, default=300, help="seconds for a cell; default 300")
    show = sub.add_parser("cells", help="print the exercises' cells in the notebooks' text format")
    show.add_argument("notebook", help="00 to 04")
    return parser


def _cells(number: str) -> None:
    chosen = [item for item in EXERCISES if item.notebook == number]
    if not chosen:
        raise ValueError(f"there are no exercises for notebook {number!r}")
    for item in chosen:
        print(f"# --- section {item.section} ---\n\n{cells.as_text(cells.cells(item))}")
    for project in (project for project in PROJECTS if project.notebook == number):
        print(cells.as_text([("markdown", cells.project(project))]))


def main(argv: list[str] | None = None) -> int:
    """Runs a command; returns 0, or 2 after one line on standard error."""
    args = _parser().parse_args(argv)
    try:
        if args.command == "student":
            teachers.write_copies(args.notebooks, args.out, EXERCISES)
        elif args.command == "grade":
            teachers.grade_folder(args.folder, args.out, EXERCISES, args.limit, args.cell_limit)
        else:
            _cells(args.notebook)
    except (ValueError, OSError) as error:
        print(f"diffusion_edu.checks: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

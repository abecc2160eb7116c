"""Copies the third-party browser code of the website from npm's packages, at pinned versions.

python tools/vendor.py                 (needs npm and a network; nobody else does: the files are committed)

book/_assets/vendor/ is served with the website, tests/vendor/ only drives its checks. Each holds a VERSIONS.json with
package, version, licence and SHA-256 of every file, which test_vendor.py checks. The licences that npm's packages
leave out lie in the folders' licences/ and are not touched.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SITE, CHECKS = ROOT / "book" / "_assets" / "vendor", ROOT / "tests" / "vendor"
MANIFEST = "VERSIONS.json"
PINS = {
    "requirejs": ("2.3.8", "MIT"),
    "@jupyter-widgets/html-manager": ("1.0.15", "BSD-3-Clause"),
    "@fortawesome/fontawesome-free": ("5.15.4", "OFL-1.1, CC-BY-4.0, MIT"),  # the fonts inside html-manager
    "mathjax": ("3.2.2", "Apache-2.0"),
    "@fontsource/source-sans-3": ("5.3.1", "OFL-1.1"),
    "axe-core": ("4.14.1", "MPL-2.0"),
}
FONTS = ["1551f4f60c37af51121f.woff2", "7a3337626410ca2f4071.woff2", "d878b0a6a1144760244f.woff2"]
WIDGETS, MATHJAX, LETTERS = "@jupyter-widgets/html-manager", "mathjax", "@fontsource/source-sans-3"
# the site's typeface: what English and the names of symbols need of it
FACES = ["latin-400-normal", "latin-400-italic", "latin-600-normal", "greek-400-normal", "greek-600-normal"]
# (folder, package, path in the package, path in the folder); a folder is copied with what lies in it
FILES = [
    (SITE, "requirejs", "require.js", "require.js"),
    (SITE, WIDGETS, "dist/embed-amd.js", "embed-amd.js"),
    (SITE, WIDGETS, "dist/embed.js.LICENSE.txt", "licences/html-manager-bundle.txt"),
    # the bundle asks for its fonts at two places
    *[(SITE, WIDGETS, f"dist/{font}", f"@jupyter-widgets/{font}") for font in FONTS],
    *[(SITE, WIDGETS, f"dist/{font}", f"@jupyter-widgets/html-manager/dist/{font}") for font in FONTS],
    (SITE, "@fortawesome/fontawesome-free", "LICENSE.txt", "licences/fontawesome-free.txt"),
    (SITE, MATHJAX, "es5/tex-chtml.js", "mathjax/tex-chtml.js"),
    (SITE, MATHJAX, "es5/output/chtml/fonts/woff-v2", "mathjax/output/chtml/fonts/woff-v2"),
    (SITE, MATHJAX, "es5/input/tex/extensions", "mathjax/input/tex/extensions"),
    (SITE, MATHJAX, "LICENSE", "licences/mathjax.txt"),
    *[(SITE, LETTERS, f"files/source-sans-3-{face}.woff2", f"letters/{face}.woff2") for face in FACES],
    (SITE, LETTERS, "LICENSE", "licences/source-sans-3.txt"),
    (CHECKS, "axe-core", "axe.min.js", "axe.min.js"),
    (CHECKS, "axe-core", "LICENSE", "licences/axe-core.txt"),
    (CHECKS, "axe-core", "LICENSE-3RD-PARTY.txt", "licences/axe-core-bundle.txt"),
]
BY_HAND = {  # licence texts that are in no package
    (SITE, "licences/requirejs.txt"): "requirejs",
    (SITE, "licences/html-manager.txt"): WIDGETS,
}


def entry(path: Path, folder: Path, package: str) -> dict:
    version, licence = PINS[package]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    name = path.relative_to(folder).as_posix()
    return {"file": name, "package": package, "version": version, "licence": licence, "sha256": digest}


def copy(modules: Path) -> None:
    """Copies FILES from a node_modules folder and writes the manifests."""
    entries = {SITE: [], CHECKS: []}
    for folder, package, source, name in FILES:
        start, target = modules / package / source, folder / name
        if start.is_dir():
            shutil.rmtree(target, ignore_errors=True)
        for path in sorted(start.rglob("*")) if start.is_dir() else [start]:
            to = target / path.relative_to(start) if start.is_dir() else target
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(path.read_bytes())
            entries[folder].append(entry(to, folder, package))
    for (folder, name), package in BY_HAND.items():
        entries[folder].append(entry(folder / name, folder, package))
    for folder, found in entries.items():
        text = json.dumps(sorted(found, key=lambda e: e["file"]), indent=1) + "\n"
        (folder / MANIFEST).write_text(text, encoding="utf-8", newline="\n")
        print(f"{folder.relative_to(ROOT)}: {len(found)} files")


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        wanted = [f"{package}@{version}" for package, (version, _) in PINS.items()]
        npm = ["npm", "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", folder]
        if subprocess.run([*npm, *wanted]).returncode:
            return 1
        copy(Path(folder) / "node_modules")
    return 0


if __name__ == "__main__":
    sys.exit(main())

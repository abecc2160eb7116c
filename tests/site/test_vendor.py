"""Third-party browser code: the files are what the manifests say, at the pinned versions, with their licences."""

import hashlib
import json
import re

import pytest
import vendor

FOLDERS = pytest.mark.parametrize("folder", [vendor.SITE, vendor.CHECKS], ids=["site", "checks"])
OURS = {vendor.MANIFEST, "require-config.js"}


def manifest(folder):
    return json.loads((folder / vendor.MANIFEST).read_text(encoding="utf-8"))


@FOLDERS
def test_every_file_is_listed_with_its_hash(folder):
    there = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    listed = {entry["file"]: entry["sha256"] for entry in manifest(folder)}
    assert set(there) - OURS == set(listed)
    wrong = [name for name, digest in listed.items() if hashlib.sha256(there[name].read_bytes()).hexdigest() != digest]
    assert not wrong, "changed by hand? make vendor"


@FOLDERS
def test_versions_are_the_pinned_ones(folder):
    assert {(e["package"], e["version"], e["licence"]) for e in manifest(folder)} <= {
        (package, *pin) for package, pin in vendor.PINS.items()
    }


def test_every_package_is_used_and_has_its_licence():
    entries = manifest(vendor.SITE) + manifest(vendor.CHECKS)
    assert {e["package"] for e in entries} == set(vendor.PINS)
    assert {e["package"] for e in entries if e["file"].startswith("licences/")} == set(vendor.PINS)


def test_files_carry_the_version_that_the_manifest_gives():
    head = (vendor.SITE / "require.js").read_text(encoding="utf-8")[:200]
    assert f"RequireJS {vendor.PINS['requirejs'][0]} " in head
    assert f"axe v{vendor.PINS['axe-core'][0]}\n" in (vendor.CHECKS / "axe.min.js").read_text(encoding="utf-8")[:200]
    mathjax = (vendor.SITE / "mathjax" / "tex-chtml.js").read_text(encoding="utf-8")
    assert re.search(rf'VERSION\s*=\s*"{re.escape(vendor.PINS["mathjax"][0])}"', mathjax)

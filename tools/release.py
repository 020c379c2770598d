"""Build a release: the same bytes for the same commit, with a list of all that it needs.

python -m tools.release build       sdist and wheel in dist/, built twice and compared
python -m tools.release sbom ENV    CycloneDX bill of materials and licences of an environment
python -m tools.release cut X.Y.Z   what is unreleased in CHANGELOG.md becomes that version

A build is of the commit, not of the folder: files that git does not know stay out. Its times are
those of the commit (SOURCE_DATE_EPOCH), and what builds it is pinned in constraints.txt.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DIST, CHANGELOG = ROOT / "dist", ROOT / "CHANGELOG.md"
CYCLONEDX = ROOT / ".venv-release" / "bin" / "cyclonedx-py"

SECTIONS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""Of a version, as Keep a Changelog names them."""

_SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?")


def version(root: Path = ROOT) -> str:
    """The version that pyproject.toml names."""
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])


# --- builds ---------------------------------------------------------------------------------------


def build() -> None:
    """Build sdist and wheel of the commit twice, in other places; into dist/ if they are equal."""
    _warn_of_edits()
    commit = _git("rev-parse", "HEAD")
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        made = [_built(Path(place), commit) for place in (first, second)]
        compare(*made)
        shutil.rmtree(DIST, ignore_errors=True)
        shutil.copytree(made[0], DIST)
    sums = [f"{digest(file)}  {file.name}\n" for file in sorted(DIST.iterdir())]
    (DIST / "SHA256SUMS").write_text("".join(sums))
    _say("".join(sums) + f"built twice with the same bytes, of commit {commit}")


def _built(place: Path, commit: str) -> Path:
    source, out = place / "source", place / "out"
    source.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive.stdout, check=True)
    epoch, pins = _git("log", "-1", "--pretty=%ct", commit), str(ROOT / "constraints.txt")
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(out), str(source)],
        env=os.environ | {"SOURCE_DATE_EPOCH": epoch, "PIP_CONSTRAINT": pins},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return out


def compare(one: Path, other: Path) -> None:
    """Refuse two folders of built files that are not the same to the byte.

    Raises:
        SystemExit: naming the files that differ.
    """
    digests = [{f.name: digest(f) for f in sorted(place.iterdir())} for place in (one, other)]
    differing = {name for name, _ in digests[0].items() ^ digests[1].items()}
    if differing:
        sys.exit(f"not reproducible: {', '.join(sorted(differing))}")


def digest(file: Path) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _warn_of_edits() -> None:
    if _git("status", "--porcelain", "--untracked-files=no"):
        _say("there are edits that are not committed: they are not in what is built")
    if version() not in versions(CHANGELOG.read_text()):
        _say(f"{version()} is not in CHANGELOG.md yet: before a release, cut it there")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


# --- what it needs --------------------------------------------------------------------------------


def sbom(environment: Path) -> None:
    """Write the bill of materials of an environment, and the licences of all that is in it."""
    target = DIST / f"cpi_resets-{version()}.cdx.json"
    subprocess.run(
        [
            *(str(CYCLONEDX), "environment", "--output-reproducible", "--validate"),
            *("--pyproject", str(ROOT / "pyproject.toml"), "--output-file", str(target)),
            str(environment / "bin" / "python"),
        ],
        check=True,
    )
    components = json.loads(target.read_text())["components"]
    rows = licences(components)
    (DIST / f"cpi_resets-{version()}-licences.md").write_text(table(rows))
    unknown = [name for name, _, licence in rows if licence == UNKNOWN]
    _say(f"{len(rows)} dependencies; without a licence in their metadata: {unknown or 'none'}")


UNKNOWN = "not declared"


def licences(components: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Name, version and licence of each component of a CycloneDX document, by name.

    An SPDX expression or id counts more than a name, and that more than what a classifier says.
    """
    rows = []
    for one in components:
        named = [_licence(choice) for choice in one.get("licenses", ())]
        best = sorted({name for name in named if name}, key=len)
        rows.append((str(one["name"]), str(one["version"]), best[0] if best else UNKNOWN))
    return sorted(rows, key=lambda row: row[0].lower())


def _licence(choice: Mapping[str, Any]) -> str | None:
    if "expression" in choice:
        return str(choice["expression"])
    licence = choice.get("license", {})
    text = licence.get("id") or licence.get("name")
    # Some packages put the whole text of their licence where its name should be.
    return None if text is None or "\n" in text else str(text).rpartition(" :: ")[2]


def table(rows: Sequence[tuple[str, str, str]]) -> str:
    """Rows of names, versions and licences as Markdown."""
    head = "| package | version | licence |\n| --- | --- | --- |\n"
    return head + "".join(f"| {name} | {number} | {licence} |\n" for name, number, licence in rows)


# --- the changelog --------------------------------------------------------------------------------


def versions(changelog: str) -> dict[str, str]:
    """Date of each version of a changelog, from the top; of what is not released it is empty.

    Raises:
        ValueError: a heading that Keep a Changelog does not know, a version that is not semantic,
            or one that stands below an older one.
    """
    found: dict[str, str] = {}
    for line in changelog.splitlines():
        if line.startswith("## "):
            heading = re.fullmatch(r"## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?", line)
            if heading is None:
                raise ValueError(f"no heading of a version: {line!r}")
            found[heading[1]] = heading[2] or ""
        elif line.startswith("### ") and line[4:] not in SECTIONS:
            raise ValueError(f"no section of a version: {line!r}")
    _check_order(found)
    return found


def _check_order(found: Mapping[str, str]) -> None:
    released = [name for name in found if name != "Unreleased"]
    numbers = [number(name) for name in released]
    if numbers != sorted(numbers, reverse=True):
        raise ValueError(f"versions are not from the newest to the oldest: {released}")
    for name in released:
        if not found[name]:
            raise ValueError(f"{name} has no date")


def number(name: str) -> tuple[int, int, int]:
    """Major, minor and patch of a semantic version.

    Raises:
        ValueError: it is none.
    """
    parts = _SEMVER.fullmatch(name)
    if parts is None:
        raise ValueError(f"not a semantic version: {name!r}")
    return int(parts[1]), int(parts[2]), int(parts[3])


def cut(name: str, root: Path = ROOT, today: datetime.date | None = None) -> None:
    """Name a version in pyproject.toml, CITATION.cff and CHANGELOG.md, where it gets its date.

    Raises:
        ValueError: it is no semantic version, or not above those there are.
    """
    date = (today or datetime.datetime.now(datetime.UTC).date()).isoformat()
    changelog = root / "CHANGELOG.md"
    text = changelog.read_text()
    released = [one for one in versions(text) if one != "Unreleased"]
    if any(number(name) <= number(one) for one in released):
        raise ValueError(f"{name} is not above {released[0]}")
    _replace(changelog, r"(?m)^## \[Unreleased\]$", f"## [Unreleased]\n\n## [{name}] - {date}")
    _replace(root / "pyproject.toml", r'(?m)^version = ".*"$', f'version = "{name}"')
    _replace(root / "CITATION.cff", r"(?m)^version: .*$", f"version: {name}")


def _replace(file: Path, pattern: str, new: str) -> None:
    text, count = re.subn(pattern, new, file.read_text(), count=1)
    if count != 1:
        raise ValueError(f"{file.name} has no line like {pattern}")
    file.write_text(text)


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    """Run what is asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("build")
    steps.add_parser("sbom").add_argument("environment", type=Path)
    steps.add_parser("cut").add_argument("version")
    asked = parser.parse_args()
    if asked.step == "build":
        build()
    elif asked.step == "sbom":
        sbom(asked.environment.absolute())
    else:
        cut(asked.version)


if __name__ == "__main__":
    main()

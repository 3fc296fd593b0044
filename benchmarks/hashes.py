"""Hashes of what `make` installs: each file that pip took is held against `hashes.txt`, which has those of the package index.

``python benchmarks/hashes.py REPORT`` reads what ``pip install --report REPORT`` wrote, with any Python and nothing installed.
A file on an index never changes under its name, so that a known name with another hash is an altered file: exit code 1,
and no target of make installs or runs anything in that environment again (it is to be deleted). A name that is not
in the list (another platform or version of Python, a build of torch from another index, a pin that has moved) is counted
and let through. ``--add`` writes the names of a report from the package index into the list.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

LIST = Path(__file__).parents[1] / "hashes.txt"
MARK = "altered-files.txt"
"""Beside the report, where a file was altered."""


def installed(report: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """The SHA-256 of each file of pip's report by its name, and whether it came over the network."""
    found = {}
    for entry in report["install"]:
        source = entry["download_info"]
        archive, url = source.get("archive_info", {}), urlsplit(source["url"])
        digest = archive.get("hashes", {}).get("sha256") or archive.get("hash", "").removeprefix("sha256=")
        if digest:  # none: the project itself, a folder
            found[unquote(url.path.rpartition("/")[2])] = (digest, url.scheme == "https")
    return found


def known() -> dict[str, str]:
    """The list: hashes by name; in the form of ``sha256sum``: a hash, two spaces, a name of a file."""
    lines = LIST.read_text(encoding="ascii").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines if line)}


def altered(found: dict[str, tuple[str, bool]], listed: dict[str, str]) -> list[str]:
    """The files whose name is listed with another hash."""
    return sorted(name for name, (digest, _) in found.items() if listed.get(name, digest) != digest)


def main(arguments: list[str]) -> int:
    """The exit code: 1 where a file was altered, now or before in this environment."""
    adding = "--add" in arguments
    file = Path(next(argument for argument in arguments if argument != "--add"))
    found = installed(json.loads(file.read_text(encoding="utf-8")))
    if adding:
        listed = known() | {name: digest for name, (digest, network) in found.items() if network}
        LIST.write_text("".join(f"{listed[name]}  {name}\n" for name in sorted(listed)), encoding="ascii")
        return 0
    listed, mark = known(), file.with_name(MARK)
    wrong = altered(found, listed)
    if wrong:
        mark.write_text("\n".join(wrong) + "\n", encoding="utf-8")
    if mark.exists():
        print(
            f"{', '.join(mark.read_text(encoding='utf-8').split())}: not the SHA-256 of hashes.txt, so the package index or the way "
            f"to it has altered what it holds. Delete {file.parent} and install from another index.",
            file=sys.stderr,
        )
        return 1
    unlisted = sorted(found.keys() - listed.keys())
    if unlisted:
        print(
            f"{len(found) - len(unlisted)} of {len(found)} installed files have the SHA-256 of hashes.txt; not in it, and unchecked: "
            f"{', '.join(unlisted[:8])}{' ...' if len(unlisted) > 8 else ''}",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

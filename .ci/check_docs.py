"""What a reader of the repository would stumble over: dead links, machine paths, leftovers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|#")
FENCE = "```"

# Written so that no pattern finds itself.
EVERYWHERE = {
    "a path of somebody's machine": re.compile(
        r"/(?:wor[k]|far[m]|roo[t])/|/(?:hom[e]|Use[r]s|tm[p])/[a-z]+/"
    ),
    "the address of a package registry": re.compile(
        r"pyp[i]\.org|pythonhoste[d]\.org|npmj[s]\.|deb\.debia[n]\.|--(?:extra-)?inde[x]-url|--find-link[s]"
    ),
}
IN_PRODUCT = {"an unfinished mark": re.compile(r"TODO|FIXME|XXX|NotImplementedError")}
PRODUCT = ("broker/", "crm_adapters/")


def tracked() -> list[str]:
    """Paths that git knows or would add, relative to the root."""
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],  # noqa: S607 - whichever git
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [path for path in listing.stdout.split("\0") if path and (ROOT / path).is_file()]


def stumbles(path: str, lines: list[str]) -> Iterator[str]:
    """`path:line: problem` for every line that should not be there."""
    patterns = EVERYWHERE | (IN_PRODUCT if path.startswith(PRODUCT) else {})
    for number, line in enumerate(lines, 1):
        for problem, pattern in patterns.items():
            if pattern.search(line):
                yield f"{path}:{number}: {problem}"


def dead_links(path: str, lines: list[str]) -> Iterator[str]:
    """`path:line: dead link` for every relative link to a file that is not there."""
    in_code = False
    for number, line in enumerate(lines, 1):
        in_code ^= line.lstrip().startswith(FENCE)
        for target in [] if in_code else LINK.findall(line):
            file = target.partition("#")[0]
            if not ELSEWHERE.match(target) and not (ROOT / path).parent.joinpath(file).exists():
                yield f"{path}:{number}: dead link {target}"


def problems() -> Iterator[str]:
    for path in tracked():
        try:
            lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # a picture
        yield from stumbles(path, lines)
        if path.endswith(".md"):
            yield from dead_links(path, lines)


def main() -> int:
    found = list(problems())
    sys.stdout.writelines(f"{problem}\n" for problem in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

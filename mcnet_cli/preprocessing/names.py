"""Names of what is written: safe, unique, and the same whatever the machine."""

import os
from collections.abc import Collection

LONGEST_BYTES = 120  # room for frame numbers and the longest suffix within a file system's 255


def safe_name(text: str) -> str:
    """`text` as one part of a path: no separators, no leading dot, not empty, not too long."""
    name = "".join("_" if c in '/\\:*?"<>|#' or not c.isprintable() else c for c in text).strip()
    name = os.fsencode(name)[:LONGEST_BYTES].decode("utf-8", "ignore") or "_"
    return "_" + name[1:] if name[0] == "." else name


def unique_name(name: str, taken: Collection[str]) -> str:
    """`name`, or `name~2` and so on; upper and lower case count as the same, as on some file systems."""
    number, candidate = 1, name
    while candidate.casefold() in taken:
        number += 1
        candidate = f"{name}~{number}"
    return candidate

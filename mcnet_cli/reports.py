"""What reports of all commands share: their fields as JSON values, and tables of text."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol


class Report(Protocol):
    """What a command has to say when it is done."""

    def as_json(self) -> dict[str, Any]:
        """For programs: JSON values."""

    def as_text(self) -> str:
        """For people."""


def json_values(record: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON values; paths and exact numbers become text."""
    return {field.name: _json_value(getattr(record, field.name)) for field in fields(record)}


def _json_value(value: Any) -> Any:
    if is_dataclass(value):
        return json_values(value)
    if isinstance(value, tuple):
        return [_json_value(each) for each in value]
    return str(value) if isinstance(value, Path | Fraction) else value


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table of rows of cells, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]

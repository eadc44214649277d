"""The guides for engineers name files, functions and arrows that exist."""

import ast
import re
from pathlib import Path

import pytest
from places import ROOT
from test_layers import ALLOWED, EVERYWHERE

GUIDES = (ROOT / "CONTRIBUTING.md", ROOT / "mcnet_cli/model/README.md")
NAMED = re.compile(r"`([\w./-]+\.(?:py|md|toml|mp4|webp))(?:: ([\w.]+))?`")


def named(guide: Path) -> list[tuple[str, str]]:
    """The files that a guide names, each with a function or class in it, which may be empty."""
    return NAMED.findall(guide.read_text(encoding="utf-8"))


def found(guide: Path, file: str) -> Path | None:
    """A file by its path in the repository, in the package or beside the guide."""
    places = (folder / file for folder in (ROOT, ROOT / "mcnet_cli", guide.parent))
    return next((path for path in places if path.is_file()), None)


def defined(path: Path) -> set[str]:
    """Functions, classes, methods (`Class.method`) and constants of a module."""
    names: set[str] = set()

    def collect(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                collect(node.body, f"{node.name}.")
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            names.update(prefix + target.id for target in targets if isinstance(target, ast.Name))

    collect(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return names


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_a_guide_names_files_and_functions_that_exist(guide: Path) -> None:
    names = named(guide)
    assert names
    for file, name in names:
        path = found(guide, file)
        assert path is not None, f"{guide.name}: there is no {file}"
        assert not name or name in defined(path), f"{guide.name}: there is no {name} in {file}"


@pytest.mark.parametrize("guide", [*GUIDES, ROOT / "README.md"], ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_guide_lead_to_files(guide: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)\)", guide.read_text(encoding="utf-8"))
    assert all((guide.parent / link).exists() for link in links), links


def test_the_map_has_every_package_with_its_arrows() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ?([^|]*?) ?\|$", text, re.M)
    packages = {name: ALLOWED[name] for name in ALLOWED.keys() - EVERYWHERE - {"", "__main__"}}
    assert {name: {*filter(None, used.split(", "))} for name, used in rows} == packages
    ground = re.findall(r"^\| `(\w+)` \| [^|]+ \|$", text, re.M)
    assert {*ground} == EVERYWHERE

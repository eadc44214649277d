"""Who may import whom. The arrows are the design; any other is a mistake."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

PACKAGE = ROOT / "mcnet_cli"
EVERYWHERE = {
    "errors",
    "engines",
    "devices",
    "files",
    "framing",
    "installed",
    "options",
    "processes",
    "progress",
    "reports",
    "threads",
    "system",
    "arrays",
    "transfers",
}  # the ground of all
ALLOWED = {
    "": {"animation", "face", "live", "motion"},  # mcnet_cli/__init__.py
    "__main__": {"cli"},
    "cli": {
        "animation",
        "batch",
        "benchmark",
        "face",
        "preprocessing",
        "evaluation",
        "live",
        "motion",
        "training",
        "weights",
        "synthetic",
        "doctor",
        "web",
    },
    "web": {"animation", "face", "media", "motion"},
    "animation": {"motion", "compositing", "model", "checkpoint", "weights", "media", "face"},
    "motion": {"compositing", "model", "checkpoint", "weights", "media", "face"},
    "live": {"animation", "face", "media", "motion", "weights"},
    "batch": {"animation", "checkpoint", "face", "media", "motion", "weights"},
    "compositing": {"model", "face"},
    "preprocessing": {"weights", "media", "face"},
    "training": {"compositing", "model", "checkpoint", "weights", "media", "face", "synthetic", "metrics"},
    "evaluation": {"animation", "motion", "model", "checkpoint", "weights", "media", "face", "metrics"},
    "benchmark": {
        "animation",
        "compositing",
        "model",
        "checkpoint",
        "weights",
        "media",
        "face",
        "synthetic",
    },
    "metrics": {"face", "checkpoint"},
    "doctor": {"weights", "media", "face", "animation", "live"},
    "checkpoint": {"model"},
    "weights": {"checkpoint", "model"},
    "face": {"media"},
    "media": set(),
    "model": set(),
    "synthetic": {"face"},
    "errors": set(),
    "engines": set(),
    "devices": set(),
    "files": set(),
    "framing": set(),
    "installed": set(),
    "options": set(),
    "processes": set(),
    "progress": set(),
    "reports": set(),
    "threads": set(),
    "system": set(),
    "arrays": set(),
    "transfers": set(),
}
PAPERS_NETWORK = {
    "config",
    "geometry",
    "windows",
    "blocks",
    "motion",
    "memory",
    "generator",
}
MODEL_MAY_USE = {"torch", "einops"} | set(sys.stdlib_module_names)
HEAVY = ("torch", "cv2", "numpy", "face_alignment", "huggingface_hub", "PIL")


def modules() -> dict[str, Path]:
    """Dotted name below the package to file; a package by its own name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> set[str]:
    """Whole names of what a file imports, wherever in it. Those for type checkers alone count too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative imports hide the layer"
            names.add(node.module or "")
            if node.module == "mcnet_cli":
                names |= {
                    f"mcnet_cli.{alias.name}" for alias in node.names if not alias.name.startswith("__")
                }
    return names


@pytest.mark.parametrize("name", sorted(modules()))
def test_layers_point_downwards(name: str) -> None:
    layer = name.split(".")[0]
    assert layer in ALLOWED, f"{layer} has no place among the layers yet"
    used = {found.split(".")[1] for found in imports(modules()[name]) if found.startswith("mcnet_cli.")}
    forbidden = used - ALLOWED[layer] - EVERYWHERE - {layer}
    assert not forbidden, f"{name} reaches {sorted(forbidden)}"


def test_the_network_needs_torch_and_einops_alone() -> None:
    for name, path in modules().items():
        if name.split(".")[0] == "model":
            others = {found.split(".")[0] for found in imports(path)} - MODEL_MAY_USE - {"mcnet_cli"}
            assert not others, f"{name} imports {sorted(others)}"


def test_the_papers_network_knows_nothing_of_what_other_networks_add_to_it() -> None:
    for name, path in modules().items():
        layer, _, file = name.partition(".")
        if layer == "model" and file in PAPERS_NETWORK:
            used = {found.split(".")[2] for found in imports(path) if found.startswith("mcnet_cli.model.")}
            assert used <= PAPERS_NETWORK, f"{name} imports {sorted(used - PAPERS_NETWORK)}"


def test_no_packages_import_each_other_in_a_circle() -> None:
    used: dict[str, set[str]] = {}
    for name, path in modules().items():
        below = {found.split(".")[1] for found in imports(path) if found.startswith("mcnet_cli.")}
        used.setdefault(name.split(".")[0], set()).update(below - {name.split(".")[0]})
    while ends := {package for package, below in used.items() if not below & used.keys()}:
        used = {package: below for package, below in used.items() if package not in ends}
    assert not used, f"these import each other: {sorted(used)}"


def module_imports(name: str) -> set[str]:
    """The package's own modules that a module imports, wherever in it."""
    known, used = modules(), set()
    for node in ast.walk(ast.parse(known[name].read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mcnet_cli."):
            below = (node.module or "").removeprefix("mcnet_cli.")
            used |= {full if (full := f"{below}.{alias.name}") in known else below for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "mcnet_cli":
            used |= {alias.name for alias in node.names} & known.keys()
    return used - {name}


def circles(used: dict[str, set[str]]) -> set[str]:
    """The modules that are left when those go that import none of the rest, or that none of it imports."""
    left = set(used)
    while True:
        imported = {module for name in left for module in used[name]}
        kept = {name for name in left if name in imported and used[name] & left}
        if kept == left:
            return left
        left = kept


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Inside functions as well: an import that has to be hidden there hides a mistake in the layout."""
    found = circles({name: module_imports(name) for name in modules()})
    assert not found, f"these import each other: {sorted(found)}"


def test_circles_are_found_whatever_leads_to_them_and_from_them() -> None:
    used = {"start": {"a"}, "a": {"b"}, "b": {"c", "end"}, "c": {"a"}, "end": set[str](), "alone": {"end"}}
    assert circles(used) == {"a", "b", "c"}


def test_faces_know_pictures_and_no_videos() -> None:
    for name, path in modules().items():
        if name.split(".")[0] == "face":
            used = {found for found in imports(path) if found.startswith("mcnet_cli.media")}
            assert used <= {"mcnet_cli.media.pictures"}, f"{name} imports {sorted(used)}"


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["animate", "--help"],
        ["batch", "--help"],
        ["live", "--help"],
        ["train", "--help"],
        ["evaluate", "--help"],
        ["web", "--help"],
    ],
)
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    script = (
        "import sys\nfrom mcnet_cli.cli import main\n"
        f"code = main({words!r})\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert code == 0 and not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

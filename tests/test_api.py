"""What `from mcnet_cli import ...` offers: every name is explained, and its example is true."""

import doctest
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import EXAMPLES, ROOT

import mcnet_cli

METHODS = ("load", "faces", "portrait", "motion", "render")  # of Animator
NAMES = sorted({*mcnet_cli.__all__} - {"__version__"})


def documented(name: str) -> list[object]:
    """A public name, and the methods that belong to it."""
    thing = getattr(mcnet_cli, name)
    return [thing, *(getattr(thing, method) for method in METHODS)] if name == "Animator" else [thing]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that examples name, where they run."""
    for file in ("portrait.jpg", "driving.mp4"):
        shutil.copy(EXAMPLES / file, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_explained_and_its_example_is_true(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for thing in documented(name):
        text = inspect.getdoc(thing)
        assert text, f"{name} has no docstring"
        examples = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
        assert examples.examples, f"{name}: {thing} has no example"
        result = doctest.DocTestRunner().run(examples)
        assert not result.failed, capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_the_parameters_of_a_public_function_are_typed(name: str) -> None:
    for thing in documented(name):
        signature = inspect.signature(thing) if callable(thing) else None
        if signature is None or inspect.isclass(thing):
            continue
        for parameter in signature.parameters.values():
            assert parameter.name == "self" or parameter.annotation is not inspect.Parameter.empty
        assert signature.return_annotation is not inspect.Signature.empty


def readme_snippets() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)


@pytest.mark.parametrize(
    "number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, len(readme_snippets())))]
)
def test_a_snippet_of_the_readme_runs(number: int, here: Path) -> None:
    exec(readme_snippets()[number], {"__name__": "__main__"})


@pytest.mark.slow
def test_the_types_of_the_readmes_snippets_are_right(tmp_path: Path) -> None:
    for number, snippet in enumerate(readme_snippets()):
        (tmp_path / f"snippet_{number}.py").write_text(snippet)
    command = [sys.executable, "-m", "mypy", "--strict", "."]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout

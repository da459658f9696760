"""What the experiments say of their options is what they take, by their source: running one takes minutes."""

import ast
import re

import pytest

from tests.support import ROOT

SCRIPTS = {
    path.stem: path
    for path in sorted((ROOT / "experiments").glob("*.py"))
    if "ArgumentParser" in path.read_text(encoding="utf-8")
}


def usage(script: str) -> str:
    """The lines of the docstring that call the script."""
    docstring = ast.get_docstring(ast.parse(SCRIPTS[script].read_text(encoding="utf-8")))
    assert docstring
    found = re.search(r"^    python experiments/.*?(?=\n\n)", docstring, re.MULTILINE | re.DOTALL)
    assert found, docstring
    return found[0]


def arguments(script: str) -> dict[str, object]:
    """The arguments that the script adds to its parser, and their defaults."""
    calls = [
        node
        for node in ast.walk(ast.parse(SCRIPTS[script].read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument"
    ]
    return {
        ast.literal_eval(call.args[0]): next(
            (ast.literal_eval(word.value) for word in call.keywords if word.arg == "default"), None
        )
        for call in calls
    }


@pytest.mark.parametrize("script", SCRIPTS)
def test_usage_names_every_option_and_no_other(script: str) -> None:
    assert set(re.findall(r"--[a-z][\w-]*", usage(script))) == {name for name in arguments(script) if name[0] == "-"}


@pytest.mark.parametrize("script", SCRIPTS)
def test_usage_tells_the_defaults(script: str) -> None:
    told = dict(re.findall(r"\[(--[a-z][\w-]*) ([\d. ]+)\]", usage(script)))
    defaults = {name: default for name, default in arguments(script).items() if default is not None}
    assert {name: [float(number) for number in numbers.split()] for name, numbers in told.items()} == {
        name: [float(number) for number in (default if isinstance(default, list) else [default])]
        for name, default in defaults.items()
    }


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *(f"docs/{page.name}" for page in ROOT.glob("docs/*.md"))]
)
def test_pages_call_experiments_with_options_that_exist(page: str) -> None:
    for script, rest in re.findall(r"experiments/(\w+)\.py([^\n`]*)", (ROOT / page).read_text(encoding="utf-8")):
        assert (ROOT / "experiments" / f"{script}.py").exists(), page
        if script in SCRIPTS:
            assert set(re.findall(r"--[a-z][\w-]*", rest)) <= set(arguments(script)), page

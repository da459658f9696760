"""The package's public names, each loaded when it is first used."""

import inspect
import subprocess
import sys

import pytest

import charflow.model


@pytest.mark.parametrize("name", charflow.model.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert inspect.getdoc(getattr(charflow.model, name))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'charflow\.model' has no attribute 'Transformer'$"):
        _ = charflow.model.Transformer


def test_importing_the_package_does_not_load_tensorflow() -> None:
    code = "import sys, charflow.model; charflow.model.baselines; print('tensorflow' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout == "False\n"

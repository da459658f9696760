"""Says what pyproject.toml cannot: on a package index, README's links to other files of the project lead nowhere."""

import re
from pathlib import Path

from setuptools import setup

readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
setup(
    long_description=re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]+\)", r"\1", readme),  # the file's name stays, as text
    long_description_content_type="text/markdown",
)

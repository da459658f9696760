"""charflow: from a chat export to a text generator that any TensorFlow system can serve.

The folders beside this file are links to those at the root of the repository: each is the package `charflow.<folder>`.
"""

from importlib.metadata import version

__version__ = version("charflow")

"""Exports trained runs as SavedModels that sample by themselves, and checks them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charflow.export.check import check_in_fresh_process
    from charflow.export.model_card import read_model_card
    from charflow.export.publish import export_run

_HOMES = {"check_in_fresh_process": "check", "export_run": "publish", "read_model_card": "model_card"}

__all__ = ["check_in_fresh_process", "export_run", "read_model_card"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

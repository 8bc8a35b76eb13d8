"""Segmenters: one interface over every family (see ``base``), made by :func:`load` from a name, a file or a folder."""

from segrobust.models.registry import entries, load
from segrobust.models.table import ModelEntry

__all__ = ["ModelEntry", "entries", "load"]

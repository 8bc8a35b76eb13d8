"""Segmenters: one interface over every family (see ``base``), made by :func:`load` from a name or a folder."""

from segrobust.models.registry import ModelEntry, entries, load

__all__ = ["ModelEntry", "entries", "load"]

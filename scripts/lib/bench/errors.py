"""What can go wrong while measuring."""

from __future__ import annotations

__all__ = ["MeasurementError"]


class MeasurementError(Exception):
    """One measurement could not be made; its text says why in a sentence. Others go on."""

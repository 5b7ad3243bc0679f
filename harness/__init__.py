"""A distributed load harness for agent memories; DESIGN.md beside this tells how it measures."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("agent-memory-harness")
except PackageNotFoundError:  # run from a tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]

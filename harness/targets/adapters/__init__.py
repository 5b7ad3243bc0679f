"""The adapters of other stores, a module each, or several where a store has many parts.

Each is what `harness.targets.base` describes, and imports its store's library when it is used; the
table ``BUILT_IN`` of `harness.targets` has them by name. A module's docstring tells how its store
is driven, and by which page of its documentation.
"""

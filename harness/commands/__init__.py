"""The subcommands of ``harness``, one module each; `harness.cli` joins them.

A command parses, builds a plan, calls one function and prints. It raises `harness.errors`, which
`harness.cli.main` maps to a sentence and an exit code, and returns its own exit code.
"""

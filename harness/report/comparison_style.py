"""The style sheet of a comparison's page: light and dark, narrow screens, print."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root { --ink: #1c2024; --muted: #5f6b76; --paper: #fff; --line: #dfe3e8; --worse: #b42318;
  --better: #0b7a45; --warning: #9a5b00; --plain: #5f6b76; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --muted: #9aa5b1; --paper: #14171a;
  --line: #30363d; --worse: #ff8a7a; --better: #5fd39a; --warning: #f0b35a; --plain: #9aa5b1; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1.25rem; margin: 2rem 0 .25rem; overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 1.75rem 0 .4rem; }
p { margin: .25rem 0; overflow-wrap: anywhere; }
.muted { color: var(--muted); }
.warning { color: var(--warning); }
.headline { font-size: 1.1rem; font-weight: 600; }
.notes { margin: .75rem 0; padding-left: 1.2rem; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th:first-child, td:last-child, th:last-child { text-align: left; }
thead th { color: var(--muted); font-weight: 500; font-size: .85rem; }
tbody th { font-weight: 500; }
.picture { text-align: center; min-width: 9rem; }
svg { width: 200px; max-width: 100%; height: 16px; display: block; margin: auto;
  color: var(--plain); }
svg .one { stroke: var(--line); stroke-width: 1.5; }
svg .interval { stroke: currentColor; stroke-width: 2.5; stroke-linecap: round; }
svg circle { fill: currentColor; }
.worse .verdict, .worse svg { color: var(--worse); font-weight: 600; }
.better .verdict, .better svg { color: var(--better); font-weight: 600; }
.no-difference .verdict, .unknown .verdict { color: var(--muted); }
@media (max-width: 40rem) { th, td { padding: .25rem .4rem; font-size: .85rem; } }
@media print { :root { --ink: #000; --paper: #fff; --line: #ccc; --muted: #444; }
  main { max-width: none; padding: 0; } tr { break-inside: avoid; } .scroll { overflow: visible; } }
"""

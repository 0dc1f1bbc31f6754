"""Everything that knows Codex: how it is found and called, what it is told, what its output means.

No other package contains Codex's command line options, its configuration keys or the names of its events.
"""

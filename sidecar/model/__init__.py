"""The words everything else speaks: jobs, events, errors, limits, tool inputs and outputs.

Nothing in here does I/O or knows a protocol, Codex or git, so every other package may import it.
"""

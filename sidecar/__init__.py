"""Codex Sidecar: many Codex workers on one repository, beside the editor.

This module stays free of imports: the pump (`sidecar.pump`) starts in milliseconds because of it.
"""

__version__ = "0.1.0"

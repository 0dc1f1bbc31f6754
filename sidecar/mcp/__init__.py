"""The MCP server `codex-cli-wrapper`: one connection of a boss agent to the shared core.

Importing the SDK costs a second, so the process that serves imports `sidecar.mcp.connection` in a thread when the first
boss comes. Nothing in here touches the event loop or configures logging when it is imported.
"""

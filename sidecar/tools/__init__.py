"""The one table of tools. LSP commands, MCP tools and CLI flags are made from it."""

"""The language server: the tools as commands, the state as notifications. Only this package knows LSP and pygls."""

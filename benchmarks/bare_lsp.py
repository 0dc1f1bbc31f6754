"""The floor of the language server's start: a server that does nothing but import pygls and answer."""

from pygls.lsp.server import LanguageServer

LanguageServer("bare", "0").start_io()

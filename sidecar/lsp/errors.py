"""How a failure looks on the wire. The one place where error kinds get JSON-RPC codes."""

from __future__ import annotations

import logging

import cattrs
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from sidecar.lsp.message import INVALID_PARAMS
from sidecar.model.errors import SidecarError, internal

logger = logging.getLogger(__name__)

CODES: dict[str, int] = {
    "invalid-arguments": INVALID_PARAMS,
    "internal": -32000,
    "unknown-job": -32010,
    "unknown-conflict": -32011,
    "unknown-snapshot": -32012,
    "dirty-tree": -32013,
    "not-a-repository": -32014,
    "codex-not-found": -32015,
    "codex-failed": -32016,
    "sandbox-unavailable": -32017,
    "timed-out": -32018,
    "limit-reached": -32019,
    "stale-token": -32020,
    "state-unavailable": -32021,
    "busy": -32022,
}
"""Fixed for ever: clients may compare them. -32001 and -32002 have a meaning in LSP and stay free."""

CANCELLED = -32800


def response_error(exc: BaseException, where: str) -> types.ResponseError:
    """The error object for a request that failed with `exc`; an unexpected one is logged and shown by its type only.

    Args:
        exc: what the handler raised.
        where: the method, for the log.
    """
    if isinstance(exc, JsonRpcException):
        return types.ResponseError(code=exc.code, message=exc.message)
    if not isinstance(exc, SidecarError):
        logger.error("the request %s failed", where, exc_info=exc)
        exc = internal(exc)
    return types.ResponseError(code=CODES[exc.kind], message=exc.sentence(), data=exc.to_dict())


def cancelled(method: str) -> types.ResponseError:
    """The answer to a request that was cancelled by the client or by the end of the connection."""
    return types.ResponseError(code=CANCELLED, message=f"The request {method[:80]} was cancelled.")


def bad_params(method: str, exc: Exception) -> types.ResponseError:
    """The answer to a request whose parameters cattrs refused with `exc`."""
    return types.ResponseError(INVALID_PARAMS, f"The parameters of {method[:80]} are not valid: {explain(exc)}.")


def explain(exc: Exception) -> str:
    """What cattrs did not like, by field, without the values."""
    return "; ".join(cattrs.transform_error(exc, path="params")[:3])[:300]

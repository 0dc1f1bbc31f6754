"""Bringing back what a snapshot holds: preview, then act. It needs no open run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sidecar.a2 import dialogs
from sidecar.a2.tokens import stale
from sidecar.git.swap import Moved
from sidecar.git.worktree import NO_FILE
from sidecar.model.a2_outputs import ActedOutput, Preview, PreviewFile, PreviewOutput

if TYPE_CHECKING:
    from sidecar.a2.service import A2


async def restore(a2: A2, wanted: str, token: str | None) -> PreviewOutput | ActedOutput:
    """Brings back what the snapshot `wanted` holds; saves one itself first, which undoes it.

    Raises:
        SidecarError: `unknown-snapshot`, `stale-token`, and what `sidecar.git.repair.Repairs` raises.
    """
    snapshot, manifest = await asyncio.to_thread(a2.snapshots_store.read, wanted)
    paths = sorted(manifest.entries)
    signatures = await asyncio.to_thread(a2.repairs.signatures, paths)
    differs, index = await asyncio.to_thread(a2.repairs.restores, wanted)
    removed = [path for path in differs if manifest.entries[path].signature.kind in NO_FILE]
    created = [path for path in differs if path not in removed and signatures[path].kind in NO_FILE]
    keep_days = a2.settings().snapshots.keep_days

    def text(ref: str | None) -> str:
        return dialogs.restore(
            dialogs.clock(snapshot.created_at), snapshot.reason, differs, removed=removed, created=created,
            index=index, snapshot=ref, keep_days=keep_days,
        ).text  # fmt: skip

    preview = Preview(
        text=text(None),
        files=[PreviewFile(path=path, action="becomes what the snapshot holds") for path in differs],
        jobs=[],
        user_edits=sorted(a2.buffers.dirty & set(differs)),
        untouched=[],
    )
    call, seen = ("restore", wanted), (sorted(signatures.items()), index, await a2.runs.head())
    if token is None:
        return a2.tokens.offer(call, preview, seen, text)
    saved_as = a2.tokens.check(token, call, preview, seen, text)
    async with a2.repairing:
        async with a2.frozen(paths):
            try:
                done = await asyncio.to_thread(
                    lambda: a2.repairs.restore(
                        wanted, reason=f"before {wanted} is restored", index=True, expected=signatures,
                        saved_as=saved_as,
                    )
                )  # fmt: skip
            except Moved as exc:
                raise stale(await restore(a2, wanted, None)) from exc
            await a2.witness.absorb(paths)
    await a2.refresh()
    return ActedOutput(snapshot_id=done.snapshot.id, files=list(done.changed), kept=done.kept)

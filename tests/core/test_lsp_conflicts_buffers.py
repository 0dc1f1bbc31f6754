"""Unsaved edits: which files an editor holds them of, by whatever name it calls them, and the warning in time."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.a2 import messages
from sidecar.lsp import contents
from sidecar.lsp.buffers import Buffers, Document
from sidecar.lsp.paths import Paths, file_path, file_uri
from tests.support.lsp import RawClient, eventually, serving
from tests.support.lsp_conflicts import (
    World,
    cleared,
    edit_file,
    job,
    open_file,
    overlap,
    problem,
    problems,
    span,
    world,
)

__all__ = ["world"]

TEXT = "".join(f"line {number}\n" for number in range(1, 11))


def notes(world: World) -> list[tuple[str, bool]]:
    return [(path, dirty) for path, _, dirty in world.a2.notes]


def comparing() -> bool:
    """Whether the server, which runs in this loop, still compares a buffer with the disk, which a thread does."""
    return any(
        getattr(one.get_coro(), "__qualname__", "") == Buffers._compare.__qualname__ for one in asyncio.all_tasks()
    )


async def settle(client: RawClient) -> None:
    """Returns when everything that was sent has been taken and compared, and after a while for what must not come."""
    await client.request("codexSidecar/getState")
    await eventually(lambda: not comparing())
    await asyncio.sleep(0.05)
    await client.request("codexSidecar/getState")


def save(client: RawClient, uri: str) -> None:
    client.notify("textDocument/didSave", {"textDocument": {"uri": uri}})


def close(client: RawClient, uri: str) -> None:
    client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})


# -- dirty or not -----------------------------------------------------------------------------------------------------


async def test_edits_are_unsaved_until_they_are_saved(world: World) -> None:
    uri = world.uri("src/app.py")
    async with world.editor() as client:
        open_file(client, uri, TEXT)
        await settle(client)
        assert notes(world) == []
        edit_file(client, uri, TEXT + "more\n")
        await eventually(lambda: notes(world) == [("src/app.py", True)])
        edit_file(client, uri, TEXT + "more and more\n", 3)
        await settle(client)
        assert world.a2.saved == []
        save(client, uri)
        await eventually(lambda: notes(world) == [("src/app.py", True), ("src/app.py", False)])
        assert world.a2.saved == ["src/app.py"]
        assert len({editor for _, editor, _ in world.a2.notes}) == 1


async def test_an_edit_that_is_taken_back_is_none(world: World) -> None:
    uri = world.uri("src/app.py")
    async with world.editor() as client:
        open_file(client, uri, TEXT)
        edit_file(client, uri, "x")
        await eventually(lambda: notes(world) == [("src/app.py", True)])
        edit_file(client, uri, TEXT, 3)
        await eventually(lambda: notes(world)[1:] == [("src/app.py", False)])


async def test_a_file_that_is_opened_with_the_edits_of_last_time_is_unsaved(world: World) -> None:
    async with world.editor() as client:
        open_file(client, world.uri("src/app.py"), TEXT + "from last time\n")
        await eventually(lambda: notes(world) == [("src/app.py", True)])


@pytest.mark.parametrize("end", ["close", "leave"])
async def test_closing_forgets(world: World, end: str) -> None:
    uri = world.uri("src/app.py")
    async with world.editor() as client:
        open_file(client, uri, TEXT)
        edit_file(client, uri, "x")
        await eventually(lambda: notes(world) == [("src/app.py", True)])
        if end == "close":
            close(client, uri)
            await eventually(lambda: len(notes(world)) == 2)
    await eventually(lambda: notes(world)[1:] == [("src/app.py", False)])
    assert world.a2.saved == [], "what was never saved is nobody's edit of the file"


async def test_a_save_right_after_an_edit_is_told(world: World) -> None:
    """Neovim holds edits back and sends them right before the save."""
    uri = world.uri("src/app.py")
    async with world.editor() as client:
        open_file(client, uri, TEXT)
        await settle(client)
        edit_file(client, uri, TEXT + "x\n")
        save(client, uri)
        await eventually(lambda: bool(notes(world)))
        await settle(client)
        assert notes(world) == [("src/app.py", False)]


@pytest.mark.parametrize(
    ("disk", "buffer", "dirty"),
    [
        (b"a\r\nb\r\n", "a\nb\n", False),
        (b"\xef\xbb\xbfa\n", "a\n", False),
        (b"a\n", "a", True),
        (b"\xff\n", "\ufffd\n", True),
        (None, "\n", False),
        (None, "new\n", True),
    ],
)
async def test_what_an_editor_does_to_every_file_is_no_edit(
    world: World, disk: bytes | None, buffer: str, dirty: bool
) -> None:
    if disk is not None:
        world.write("a.txt", disk)
    uri = world.uri("a.txt")
    async with world.editor() as client:
        open_file(client, uri, "something else before\n")
        edit_file(client, uri, buffer)
        await settle(client)
        assert ("a.txt" in {path for path, state in notes(world)[-1:] if state}) is dirty


async def test_a_file_too_large_to_read_counts_as_edited_once_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.lsp.buffers.READ_BYTES_MAX", 20)
    monkeypatch.setattr(contents, "READ_BYTES_MAX", 20)
    async with world.editor() as client:
        open_file(client, world.uri("src/app.py"), "other")
        await settle(client)
        assert notes(world) == []
        edit_file(client, world.uri("src/app.py"), "another")
        await eventually(lambda: notes(world) == [("src/app.py", True)])


async def test_a_pipe_in_the_place_of_a_file_holds_up_nothing(world: World) -> None:
    os.mkfifo(world.top / "pipe")
    async with world.editor() as client:
        open_file(client, world.uri("pipe"), "x")
        edit_file(client, world.uri("pipe"), "y")
        world.a2.put(overlap("pipe"))
        await problem(client, world.uri("pipe"))


async def test_fast_typing_ends_in_the_truth(world: World) -> None:
    uri = world.uri("src/app.py")
    async with world.editor() as client:
        open_file(client, uri, TEXT)
        for number in range(50):
            edit_file(client, uri, TEXT + "x" * (49 - number), number + 2)
        await settle(client)
        assert notes(world)[-1:] in ([], [("src/app.py", False)])


# -- the warning ------------------------------------------------------------------------------------------------------


async def test_a_worker_that_writes_an_unsaved_file_is_told_at_once(world: World) -> None:
    uri = world.uri("src/app.py")
    async with world.editor() as client, world.editor() as other:
        open_file(client, uri, TEXT)
        edit_file(client, uri, TEXT + "mine\n")
        await eventually(lambda: bool(notes(world)))
        world.a2.written_over["src/app.py"] = job("w1", is_final=False)
        world.a2.publish()
        shown = await problem(client, uri)
        assert (shown["code"], shown["severity"], shown["range"]) == ("user-edit", 3, span((10, 0), (10, 4)))
        assert shown["message"] == messages.unsaved_edit(job("w1"))
        # It is a warning once its worker has ended, at the first place where buffer and disk differ.
        world.write("src/app.py", TEXT.replace("line 3\n", "by w1\n"))
        world.a2.written_over["src/app.py"] = job("w1")
        world.a2.publish()
        await eventually(lambda: [one["severity"] for one in problems(client, uri) or ()] == [2])
        assert [one["range"] for one in problems(client, uri) or ()] == [span((2, 0), (2, 6))]
        await settle(other)
        assert problems(other, uri) is None, "the edits are not in this editor"
        save(client, uri)
        await cleared(client, uri)


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a b.py", "ä ö.py", "100%.py", "a%20b.py", "q?x#y.py", "a+b&c=d.py", "日本/語.py"])
async def test_every_name_is_understood(world: World, name: str) -> None:
    world.write(name, "x\n" * 9)
    async with world.editor() as client:
        open_file(client, world.uri(name), "x\n" * 9)
        edit_file(client, world.uri(name), "y\n")
        await eventually(lambda: notes(world) == [(name, True)])
        world.a2.put(overlap(name))
        assert (await problem(client, world.uri(name)))["data"]["path"] == name


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/hosts",
        "untitled:Untitled-1",
        "git:/src/app.py",
        "codex-sidecar:/src/app.py?run=r&side=w1",
        "TOP",
        "TOP/.git/COMMIT_EDITMSG",
        "TOP/../other/a.py",
        "TOPPLE/a.py",
        "file://server/share/a.py",
        "file:///%00",
        "file://[broken",
        "no uri",
    ],
)
async def test_files_outside_are_not_ours(world: World, uri: str) -> None:
    async with world.editor() as client:
        name = uri.replace("TOP", world.top.as_uri())
        open_file(client, name, "x")
        edit_file(client, name, "y")
        save(client, name)
        close(client, name)
        await settle(client)
        assert notes(world) == []


async def open_and_look(world: World, folder: Path | None, opened: Path, known: Path) -> None:
    """A conflict in a file that the client has open, under whatever name, and `known` to it once it is closed."""
    params = {"rootUri": folder.as_uri() if folder else None, "workspaceFolders": None}
    async with serving(world.core) as (client, _):
        await client.initialize(**params)
        open_file(client, opened.as_uri(), TEXT)
        edit_file(client, opened.as_uri(), TEXT + "x")
        await eventually(lambda: notes(world) == [("src/app.py", True)])
        world.a2.put(overlap())
        await problem(client, opened.as_uri())
        close(client, opened.as_uri())
        if known != opened:
            await cleared(client, opened.as_uri())
        await problem(client, known.as_uri())
        await settle(client)
        assert [note["uri"] for note in client.of_method("textDocument/publishDiagnostics")][-1] == known.as_uri()


async def test_a_work_tree_that_is_opened_through_a_link(world: World, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(world.top)
    await open_and_look(world, link, link / "src/app.py", link / "src/app.py")


async def test_a_link_that_no_folder_has_shown(world: World, tmp_path: Path) -> None:
    """The file is known by the name that the editor uses while it is open, and by its real one afterwards."""
    link = tmp_path / "link"
    link.symlink_to(world.top)
    await open_and_look(world, None, link / "src/app.py", world.top / "src/app.py")


def links(tmp_path: Path) -> dict[str, Path]:
    top = tmp_path / "real" / "tree"
    (top / "src").mkdir(parents=True)
    (tmp_path / "link").symlink_to(top)
    (tmp_path / "direct").symlink_to(top / "src")
    (tmp_path / "above").symlink_to(tmp_path / "real")
    (tmp_path / "src").symlink_to(top / "src")
    return {"top": top, **{name: tmp_path / name for name in ("link", "direct", "above", "src")}}


@pytest.mark.parametrize(
    ("folder", "path", "named"),
    [
        ("real/tree", "src/a.py", "real/tree/src/a.py"),
        ("link", "src/a.py", "link/src/a.py"),
        ("link/src", "src/a.py", "link/src/a.py"),
        ("link/src", "b.py", "link/b.py"),
        ("above", "src/a.py", "above/tree/src/a.py"),
        ("above/tree", "b.py", "above/tree/b.py"),
        ("direct", "src/a.py", "direct/a.py"),
        ("direct", "b.py", "real/tree/b.py"),
        # A link of the same name as the folder behind it.
        ("src", "src/a.py", "src/a.py"),
        ("elsewhere", "b.py", "real/tree/b.py"),
    ],
)
def test_files_have_the_names_that_the_client_gives_them(tmp_path: Path, folder: str, path: str, named: str) -> None:
    paths = Paths(str(links(tmp_path)["top"]), [(tmp_path / folder).as_uri()])
    assert paths.uri(path) == (tmp_path / named).as_uri()
    for name in (paths.uri(path), (tmp_path / "real/tree" / path).as_uri(), (tmp_path / "link" / path).as_uri()):
        assert paths.relative(name) == path


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).map(lambda t: "/" + t))
def test_a_path_survives_its_uri(path: str) -> None:
    normal = os.path.normpath("/" + path.lstrip("/"))
    assert file_path(file_uri(normal)) == normal


def test_bytes_that_are_no_text_survive_too() -> None:
    path = os.fsdecode(b"/a/\xff\xfe.py")
    assert file_uri(path) == "file:///a/%FF%FE.py"
    assert file_path(file_uri(path)) == path


# -- documents --------------------------------------------------------------------------------------------------------


async def test_only_line_breaks_end_a_line(world: World) -> None:
    """A form feed or a line separator stands inside a line: otherwise all edits below would go astray."""
    text = "a\fb\u2028c\nsecond\rthird\r\nfourth"
    uri = world.uri("src/app.py")
    world.write("src/app.py", text.replace("third", "3rd"))
    async with world.editor() as client:
        open_file(client, uri, text)
        await eventually(lambda: notes(world) == [("src/app.py", True)])
        change: dict[str, Any] = {"range": span((2, 0), (2, 5)), "text": "3rd"}
        params = {"textDocument": {"uri": uri, "version": 2}, "contentChanges": [change]}
        client.notify("textDocument/didChange", params)
        await eventually(lambda: notes(world)[1:] == [("src/app.py", False)])


@given(st.text(alphabet="ab\r\n\f\v\u2028\x85 "))
def test_the_lines_of_a_document_are_its_text(text: str) -> None:
    lines = Document("file:///a", text).lines
    assert "".join(lines) == text
    assert all(line for line in lines)
    for line in lines[:-1]:
        assert line.endswith(("\n", "\r"))
    assert not any("\n" in line[:-1].removesuffix("\r") or "\r" in line.rstrip("\r\n") for line in lines)

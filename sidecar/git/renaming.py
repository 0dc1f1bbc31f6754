"""Renames that overwrite nothing and renames that exchange two names, both in one step where the system can.

With an exchange there is no moment at which a path is missing, and what stood there before is kept, whoever wrote it.
"""

from __future__ import annotations

import ctypes
import errno
import os

_NOREPLACE = 1
_EXCHANGE = 2
# The kernel or the file system does not know the operation.
_UNKNOWN = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})

_libc = ctypes.CDLL(None, use_errno=True)
_renameat2 = getattr(_libc, "renameat2", None)

Place = tuple[int, str]
"""A directory's descriptor and a name in it."""


def _call(old: Place, new: Place, flag: int) -> None:
    if _renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if _renameat2(old[0], os.fsencode(old[1]), new[0], os.fsencode(new[1]), flag) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), old[1], None, new[1])


def move(old: Place, new: Place) -> None:
    """Gives `old` the name `new`, which must be free.

    Raises:
        FileExistsError: something is there; nothing was changed.
        OSError: nothing was changed; `errno.EXDEV`: the two are on different mounts.
    """
    try:
        _call(old, new, _NOREPLACE)
    except OSError as exc:
        if exc.errno not in _UNKNOWN:
            raise
    else:
        return
    # A second hard link is refused where the name is taken. File systems without links get the unguarded rename.
    try:
        os.link(old[1], new[1], src_dir_fd=old[0], dst_dir_fd=new[0], follow_symlinks=False)
    except OSError as exc:
        if exc.errno not in {errno.EPERM, *_UNKNOWN}:
            raise
        _refuse_taken(new)
        os.rename(old[1], new[1], src_dir_fd=old[0], dst_dir_fd=new[0])
    else:
        os.unlink(old[1], dir_fd=old[0])


def _refuse_taken(place: Place) -> None:
    try:
        os.lstat(place[1], dir_fd=place[0])
    except FileNotFoundError:
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), place[1])


def exchange(one: Place, other: Place) -> bool:
    """Exchanges what two names stand for; both must be there.

    Returns:
        False where the system cannot do it; nothing was changed.

    Raises:
        OSError: nothing was changed; `errno.EXDEV`: the two are on different mounts.
    """
    try:
        _call(one, other, _EXCHANGE)
    except OSError as exc:
        if exc.errno not in _UNKNOWN:
            raise
        return False
    return True

"""Who holds a port, as far as /proc lets us see."""

from contextlib import suppress
from pathlib import Path

_LISTENING = "0A"


def who_listens(port: int) -> str | None:
    """`python3 (process 4711)`, or None when it is not ours to see."""
    inodes = _listening_inodes(port)
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(_socket_inode(link) in inodes for link in (process / "fd").iterdir()):
                name = (process / "comm").read_text().strip()
                return f"{name} (process {process.name})"
    return None


def _listening_inodes(port: int) -> frozenset[str]:
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(fields[9])
    return frozenset(inodes)


def _socket_inode(link: Path) -> str | None:
    target = str(link.readlink())
    return target[8:-1] if target.startswith("socket:[") else None

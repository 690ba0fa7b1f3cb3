"""Database servers that only say no: they take a client to the point where a real one refuses, and refuse.

PostgreSQL: message flow of protocol 3.0 (SSLRequest, StartupMessage, ErrorResponse). MySQL: protocol 10 (Handshake,
HandshakeResponse, ERR).
"""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

_SSL_REQUEST = 80877103
_MYSQL_CAPABILITIES = 0x00000200 | 0x00008000 | 0x00000008 | 0x00080000  # 4.1, secure connection, database, plugins
_UTF8MB4 = 45

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def refusing_postgres(state: str, message: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port. With `tls` it offers TLS first, as a server with `ssl = on`."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length, code = struct.unpack("!II", await reader.readexactly(8))
        if code == _SSL_REQUEST:
            writer.write(b"S" if tls else b"N")
            await writer.drain()
            if tls:
                await writer.start_tls(tls)
            length, code = struct.unpack("!II", await reader.readexactly(8))
        await reader.readexactly(length - 8)
        fields = b"SFATAL\0VFATAL\0C" + state.encode() + b"\0M" + message.encode() + b"\0\0"
        writer.write(b"E" + struct.pack("!I", len(fields) + 4) + fields)

    async with _listening(talk) as port:
        yield port


@asynccontextmanager
async def refusing_mysql(number: int, state: str, message: str) -> AsyncIterator[int]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _send(writer, 0, _greeting())
        await writer.drain()
        size = int.from_bytes((await reader.readexactly(4))[:3], "little")
        await reader.readexactly(size)
        _send(writer, 2, b"\xff" + struct.pack("<H", number) + b"#" + state.encode() + message.encode())

    async with _listening(talk) as port:
        yield port


def _greeting() -> bytes:
    low, high = _MYSQL_CAPABILITIES & 0xFFFF, _MYSQL_CAPABILITIES >> 16
    return (
        b"\x0a8.0.40\0"
        + struct.pack("<I", 1)
        + b"saltsalt\0"
        + struct.pack("<HBHHB", low, _UTF8MB4, 2, high, 21)
        + bytes(10)
        + b"saltsaltsalt\0mysql_native_password\0"
    )


def _send(writer: asyncio.StreamWriter, sequence: int, payload: bytes) -> None:
    writer.write(len(payload).to_bytes(3, "little") + bytes([sequence]) + payload)


@asynccontextmanager
async def _listening(talk: Handler) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client left, or did not like our certificate
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]

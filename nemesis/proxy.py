"""A TCP proxy on loopback that can delay, slice, cut and reset what passes (after toxiproxy's toxics)."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from dataclasses import dataclass

_CHUNK = 65_536


@dataclass
class Toxics:
    """What happens to the bytes; changed while connections are open.

    Attributes:
        delay_seconds: added before each chunk is passed on.
        slice_bytes: pass chunks of at most this size; 0 for whole ones.
        is_cut: nothing passes, connections stay open.
        refuses: new connections are closed at once.
    """

    delay_seconds: float = 0.0
    slice_bytes: int = 0
    is_cut: bool = False
    refuses: bool = False


class Proxy:
    """Listens on a free loopback port and forwards to `target`, from a thread with a loop of its own.

    Args:
        target: `host:port`.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self.toxics = Toxics()
        self.passed_bytes = 0
        self.resets = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="proxy", daemon=True)
        self._thread.start()
        self._listening.wait(10)

    @property
    def address(self) -> str:
        """`host:port` to connect to."""
        return f"127.0.0.1:{self._port}"

    def reset(self) -> None:
        """Break every open connection with a TCP reset."""
        self._loop.call_soon_threadsafe(self._reset)

    def close(self) -> None:
        """Stop listening and drop what is open."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _reset(self) -> None:
        for writer in list(self._writers):
            connection = writer.get_extra_info("socket")
            # Closing with a linger time of 0 sends RST instead of FIN.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            self.resets += 1

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connected, "127.0.0.1", 0))
        self._port: int = server.sockets[0].getsockname()[1]
        self._listening.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.toxics.refuses:
            writer.transport.abort()
            return
        try:
            there_reader, there_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, there_writer}
        try:
            await asyncio.gather(self._pass_on(reader, there_writer), self._pass_on(there_reader, writer))
        finally:
            self._writers -= {writer, there_writer}

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(self.toxics.slice_bytes or _CHUNK):
                while self.toxics.is_cut:  # noqa: ASYNC110 - set from another thread
                    await asyncio.sleep(0.01)
                if self.toxics.delay_seconds:
                    await asyncio.sleep(self.toxics.delay_seconds)
                writer.write(chunk)
                self.passed_bytes += len(chunk)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()

"""Runs Orthanc in a network of its own, reached through one socket only; see `local_orthanc.py`.

    unshare --net python orthanc_cell.py SOCKET PORT CONFIGURATION

Orthanc 1.10 listens on all addresses whatever it is told. Here it can: this process was started in a network
namespace without any interface but the loopback. SOCKET is the number of an inherited socket that listens on
127.0.0.1 outside; a socket stays in the namespace where it was made, so joining the two needs nothing else.
The end of the standard input ends Orthanc and this process, also when the parent was killed.
"""

import argparse
import asyncio
import fcntl
import socket
import struct
import sys

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


def raise_loopback() -> None:
    """What `ip link set lo up` does; a fresh network namespace begins with it down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction of a connection, until its end."""
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def run(listening: int, port: int, configuration: str) -> int:
    """Orthanc and the way to it; returns Orthanc's exit status."""

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    # Dies with this process, so that a kill leaves no Orthanc behind that holds the storage.
    orthanc = await asyncio.create_subprocess_exec(
        "setpriv", "--pdeathsig", "KILL", "Orthanc", configuration, stdin=asyncio.subprocess.DEVNULL
    )
    ended = asyncio.create_task(orthanc.wait())
    wanted = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    async with await asyncio.start_server(join, sock=socket.socket(fileno=listening)):
        await asyncio.wait([ended, wanted], return_when=asyncio.FIRST_COMPLETED)
    if not ended.done():
        orthanc.terminate()
    return await ended


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("socket", type=int)
    parser.add_argument("port", type=int)
    parser.add_argument("configuration")
    options = parser.parse_args()
    raise_loopback()
    sys.exit(asyncio.run(run(options.socket, options.port, options.configuration)))

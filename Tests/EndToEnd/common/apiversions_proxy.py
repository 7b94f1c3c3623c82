#!/usr/bin/env python3
"""apiversions_proxy.py PORT UPSTREAM: a TCP proxy before a Kafka broker that takes the tagged fields off the end of ApiVersions answers of
version 3 and later, which librdkafka 2.0 misreads ("Read underflow"). All else passes unchanged."""
import asyncio
import struct
import sys

API_VERSIONS = 18


async def pump(reader, writer):
    try:
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def frame(reader):
    return await reader.readexactly(struct.unpack(">i", await reader.readexactly(4))[0])


def write(writer, data):
    writer.write(struct.pack(">i", len(data)) + data)


def stripped(answer):
    """correlation id, error, compact array of (key, least, most, tags), throttle time, tags: the last are left out."""
    end = 7 + 7 * (answer[6] - 1) + 4
    return answer[:end] + b"\0"


async def serve(reader, writer, upstream):
    try:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", upstream)
    except OSError:
        writer.close()
        return
    try:
        request = await frame(reader)
        key, version = struct.unpack(">hh", request[:4])
        write(up_writer, request)
        if key == API_VERSIONS and version >= 3:
            answer = await frame(up_reader)
            write(writer, stripped(answer) if answer[4:6] == b"\0\0" else answer)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
        up_writer.close()
        return
    await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))


async def main():
    port, upstream = int(sys.argv[1]), int(sys.argv[2])
    server = await asyncio.start_server(lambda r, w: serve(r, w, upstream), "127.0.0.1", port, limit=1 << 22)
    async with server:
        await server.serve_forever()


asyncio.run(main())

"""Hosts as network namespaces: each has its own loopback and one wire to this one. Needs root, `ip`, `unshare` and `nsenter`.

A host's loopback leads to the servers of this one through two relays, one at each end of the wire, so addresses that a server names (a
broker's in its metadata) are right there too. A wire that is cut cuts all of it.
"""
import asyncio
import atexit
import copy
import os
import shutil
import stat
import subprocess
import sys
import time

PATIENCE = 60       # seconds
NET = 198           # 198.18.0.0/15 is for tests of networks
STEP = 0.05


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True)


def missing():
    """Why there can be no namespaces here; None: there can."""
    for tool in ("ip", "unshare", "nsenter"):
        if not shutil.which(tool):
            return f"there is no {tool}"
    done = subprocess.run(["unshare", "-n", "ip", "link", "add", "wa", "type", "veth", "peer", "name", "wb"], capture_output=True, text=True)
    return f"namespaces are not permitted: {done.stderr.strip()}" if done.returncode else None


class Namespace:
    """One host. `ports`: of servers on this host's loopback that it reaches."""

    def __init__(self, number, ports):
        self.name, self.parts = f"w{os.getpid() % 100_000}n{number}", []
        self.holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        # Also when the driver gives up, which closes nothing of its other threads.
        atexit.register(self.close)
        try:
            self._wire(number)
            here, ports = f"{NET}.18.{number}.1", [str(port) for port in ports]
            self.parts.append(subprocess.Popen([sys.executable, __file__, here, "127.0.0.1", *ports], stdin=subprocess.DEVNULL))
            self.parts.append(subprocess.Popen([*self.inside, sys.executable, __file__, "127.0.0.1", here, *ports], stdin=subprocess.DEVNULL))
            end = time.monotonic() + PATIENCE
            while subprocess.run([*self.inside, sys.executable, "-c", f"import socket; socket.create_connection(('127.0.0.1', {ports[0]}), 2)"],
                                 capture_output=True).returncode:
                if time.monotonic() > end:
                    raise RuntimeError(f"namespace {number} does not reach port {ports[0]}")
                time.sleep(STEP)
        except BaseException:
            self.close()
            raise

    @property
    def inside(self):
        return ["nsenter", "-t", str(self.holder.pid), "-n"]

    def _wire(self, number):
        own = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == own:
            time.sleep(STEP)
        run("ip", "link", "add", self.name, "type", "veth", "peer", "name", "wire", "netns", str(self.holder.pid))
        run("ip", "address", "add", f"{NET}.18.{number}.1/24", "dev", self.name)
        run("ip", "link", "set", self.name, "up")
        run(*self.inside, "ip", "address", "add", f"{NET}.18.{number}.2/24", "dev", "wire")
        run(*self.inside, "ip", "link", "set", "wire", "up")
        run(*self.inside, "ip", "link", "set", "lo", "up")

    def cut(self, is_cut):
        """Packets are lost from here on, without a word to anyone; or no more."""
        run("ip", "link", "set", self.name, "down" if is_cut else "up")

    def program(self, suite):
        """The suite with a binary that runs in this namespace."""
        path = suite.path(f"weir-{self.name}")
        with open(path, "w") as f:
            f.write(f'#!/bin/sh\nexec {" ".join(self.inside)} {suite.weir} "$@"\n')
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
        other = copy.copy(suite)
        other.weir = path
        return other

    def close(self):
        for part in [*self.parts, self.holder]:
            part.kill()
            part.wait()
        # The wire goes with the namespace, a little later.
        subprocess.run(["ip", "link", "delete", self.name], capture_output=True)


# -- The relay, a program of its own

async def copied(reader, writer):
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def relay(here, there, ports):
    def to(port):
        async def serve(reader, writer):
            try:
                far_reader, far_writer = await asyncio.open_connection(there, port)
            except OSError:
                return writer.close()
            await asyncio.gather(copied(reader, far_writer), copied(far_reader, writer))
        return serve
    servers = [await asyncio.start_server(to(port), here, port) for port in ports]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(relay(sys.argv[1], sys.argv[2], [int(port) for port in sys.argv[3:]]))

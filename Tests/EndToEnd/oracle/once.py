"""Files that several programs need and one makes: each is made once, whole, and never changed.

    path = once.made(directory, "synthetic", ".ndjson", [SCRIPT], ["--seed", "1"], lambda out: ...)

The name holds a hash of the generator's sources and its arguments, so another generator makes another file. It is written under a
name of its own and renamed when it is complete. Programs that want the same file at the same time wait for one of them.
"""
import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile


@contextlib.contextmanager
def locked(path):
    """Held by one process at a time. The kernel frees it when its holder ends, however that is."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "a") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def named(directory, name, suffix, sources, arguments):
    digest = hashlib.sha256(repr(list(arguments)).encode())
    for source in sources:
        with open(source, "rb") as f:
            digest.update(hashlib.file_digest(f, "sha256").digest())
    return os.path.join(directory, f"{name}-{digest.hexdigest()[:16]}{suffix}")


def made(directory, name, suffix, sources, arguments, make):
    """The path of a file or directory that make(path) has made."""
    path = named(directory, name, suffix, sources, arguments)
    whole(path, make)
    return path


def whole(path, make):
    """Makes `path` with make(temporary path), unless it exists."""
    if os.path.exists(path):
        return
    directory, name = os.path.split(os.path.abspath(path))
    with locked(os.path.join(directory, f".{name}.lock")):
        if os.path.exists(path):
            return
        # Left by a maker that was killed: no other process writes it while we hold the lock.
        for left in os.listdir(directory):
            if left.startswith(f".{name}.part-"):
                shutil.rmtree(os.path.join(directory, left), ignore_errors=True)
        place = tempfile.mkdtemp(prefix=f".{name}.part-", dir=directory)
        part = os.path.join(place, name)
        try:
            make(part)
            os.rename(part, path)
        finally:
            shutil.rmtree(place, ignore_errors=True)

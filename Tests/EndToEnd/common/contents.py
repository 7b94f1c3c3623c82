"""What a run's ledger says that it wrote, and the files themselves: to compare runs byte by byte."""
import collections
import hashlib
import os


def data_files(job):
    """Multiset of (entry, table, hash, bytes, rows)."""
    return collections.Counter(
        (entry["number"], table["table"], f["hash"], f["bytes"], f["rows"])
        for entry in job.entries() for table in entry["tables"] for f in table["files"])


def blobs(job):
    """Multisets of lane states and of partials."""
    states, partials = collections.Counter(), collections.Counter()
    for entry in job.entries():
        for lane in entry["lanes"]:
            state = lane.get("state") or {}
            for blob in [state.get("base"), *state.get("deltas", [])]:
                if blob:
                    states[lane["lane"], blob["hash"], blob["length"]] += 1
        if entry.get("partials"):
            partials[entry["partials"]["hash"]] += 1
    return states, partials


def file_bytes(job):
    """Hashes of the data files on disk."""
    found = collections.Counter()
    for entry in job.entries():
        for table in entry["tables"]:
            for f in table["files"]:
                with open(os.path.join(job.lake, f["path"]), "rb") as data:
                    found[hashlib.file_digest(data, "sha256").hexdigest()] += 1
    return found

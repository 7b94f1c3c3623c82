#!/usr/bin/env python3
"""`weir ledger verify` notices a changed byte in any file that matters, names the file, and passes when it is put back."""
import glob
import os

import common


def candidates(job):
    """{kind: [(path, first byte, end)]}: what the ledger names, and the tables' logs."""
    ledger = os.path.join(job.lake, "_weir", job.name)
    found = {"data file": [], "blob": [], "ledger entry": [], "ledger snapshot": [], "Delta log commit": []}
    for entry in job.entries():
        path = os.path.join(ledger, "ledger", f"{entry['number']:020}.json")
        found["ledger entry"].append((path, 0, os.path.getsize(path)))
        for table in entry["tables"]:
            found["data file"] += [(os.path.join(job.lake, f["path"]), 0, f["bytes"]) for f in table["files"]]
        blobs = [entry.get("partials")]
        for lane in entry["lanes"]:
            state = lane.get("state") or {}
            blobs += [state.get("base"), *state.get("deltas", [])]
        found["blob"] += [(os.path.join(job.lake, b["path"]), b["offset"], b["offset"] + b["length"]) for b in blobs if b]
    for path in glob.glob(f"{ledger}/snapshots/*.json"):
        found["ledger snapshot"].append((path, 0, os.path.getsize(path)))
    for path in glob.glob(f"{job.lake}/*/*/_delta_log/*.json"):
        found["Delta log commit"].append((path, 0, os.path.getsize(path)))
    return {kind: sorted(set(c)) for kind, c in found.items()}


def is_newest(commit):
    return commit == max(glob.glob(os.path.join(os.path.dirname(commit), "*.json")))


def flip(path, at, bit):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1 << bit]))


def noticed(job, path, lost=False):
    """Faults unless verify fails and names the file; of a file that is lost, its directory will do."""
    run = job.ledger("verify")
    if run.code == 0:
        return [f"verify passes, though {os.path.relpath(path, job.lake)} was changed"]
    faults = run.refusal_fault()
    named = os.path.relpath(os.path.dirname(path), job.lake) if lost else os.path.basename(path)
    if named not in run.out + run.err:
        faults.append(f"verify does not name {os.path.relpath(path, job.lake)}: {run.talk} {run.out[-300:]}")
    return faults


def tamper(suite):
    """One flipped bit, one lost file."""
    job = common.Job(suite, suite.path("job"), "synthetic", common.synthetic(2, 12_000), 3, 60_000)
    if not suite.claim("a fresh ledger verifies", job.replay().fault() or job.verify_faults()):
        return
    for kind, files in candidates(job).items():
        if not suite.claim(f"there are files of the kind {kind} ({len(files)})", [] if files else ["none is named"]):
            continue
        # The first and the last byte, and some in the middle of files picked at random.
        picks = [(files[0], 0.0), (files[-1], 1.0)] + [
            (suite.random.choice(files), suite.random.random()) for _ in range(4 if suite.quick else 40)]
        faults = []
        for (path, start, end), share in picks:
            at, bit = start + int((end - 1 - start) * share), suite.random.randrange(8)
            flip(path, at, bit)
            faults += [f"{f} (byte {at} of {os.path.getsize(path)})" for f in noticed(job, path)]
            flip(path, at, bit)
        suite.claim(f"{kind}: {len(picks)} flipped bits are noticed, and the file is named", faults)
        if kind == "ledger snapshot":
            continue        # it contains only what the entries contain: if lost, it is recreated
        # The newest commit of a table leaves it behind the ledger, as a kill does: the next run writes it again.
        path = suite.random.choice([f for f in files if kind != "Delta log commit" or not is_newest(f[0])])[0]
        os.rename(path, path + ".away")
        faults = noticed(job, path, lost=True)
        os.rename(path + ".away", path)
        suite.claim(f"{kind}: a lost file is noticed and named", faults)
        suite.claim(f"{kind}: with the bytes put back it verifies", job.verify_faults())
    sizes(suite, job)


def sizes(suite, job):
    """Emptied files (what a power cut leaves), and files with additional bytes at their end."""
    for kind, files in candidates(job).items():
        paths = sorted({path for path, _, _ in files})
        faults = []
        for path in [paths[0], paths[-1], suite.random.choice(paths)]:
            with open(path, "rb") as f:
                whole = f.read()
            for what, changed in (("emptied", b""), ("appended to", whole + b"\n")):
                with open(path, "wb") as f:
                    f.write(changed)
                faults += [f"{what}: {f}" for f in noticed(job, path)]
            with open(path, "wb") as f:
                f.write(whole)
        suite.claim(f"{kind}: emptied or with an additional byte at the end, it is found and named", faults)


common.Suite("flipped_bytes_are_found", 300, __doc__).run(tamper)

#!/usr/bin/env python3
"""Ctrl-C and SIGTERM stop a replay quickly and cleanly; run again, it resumes and produces the uninterrupted run's tables."""
import signal
import subprocess
import time

import common

PATIENCE = common.PATIENCE      # seconds from the signal to the end: it hangs if it takes longer


def interrupt(suite):
    """Signals at several moments."""
    path = common.synthetic()
    flush = len(common.uncompressed(path)) // 60
    base = common.Job(suite, suite.path("uninterrupted"), "synthetic", path, 3, flush)
    run = base.replay()
    if not suite.claim("uninterrupted: rows equal the reference", run.fault() or base.faults()):
        return
    for name in ("SIGINT", "SIGTERM"):
        job = common.Job(suite, suite.path(name), "synthetic", path, 3, flush)
        faults, ended = [], False
        for share in (0.1, 0.3, 0.5, 0.2, 0.8):
            process = job.start()
            try:
                process.wait(run.seconds * share + 0.02)
                ended = True        # it was done before the signal
                break
            except subprocess.TimeoutExpired:
                process.send_signal(getattr(signal, name))
            try:
                out, err = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                faults.append(f"not ended {PATIENCE} s after {name}")
                continue
            # 130 is a shell's word for interrupted; in the first moments there is no handler yet, and the signal itself ends the process.
            if process.returncode not in (0, 1, 130, 143, -getattr(signal, name)):
                faults.append(f"ended with {process.returncode}: {err[-300:]}")
            if crash := [c for c in common.CRASHES if c in err]:
                faults.append(f"crashed ({crash[0]}): {err[-300:]}")
        suite.claim(f"{name} ends a replay in order{' (it was done before the last one)' if ended else ''}", faults)
        last = job.replay()
        suite.claim(f"after {name} it resumes, and rows and state equal the uninterrupted run",
                    last.fault() + job.faults_against(base) + job.verify_faults())


def piped(suite):
    """A replay of a pipe whose writer pauses: what came is committed, signals end it at once, and the next run leaves the uninterrupted run's tables"""
    path, epoch, block = common.synthetic(), 2 << 20, 1 << 20
    everything = common.uncompressed(path)
    whole = suite.path("piped.ndjson")
    with open(whole, "wb") as f:
        f.write(everything)
    base = common.Job(suite, suite.path("piped-whole"), "synthetic", path, 3, epoch)
    faults = base.replay().fault()
    # In its first bytes, by which a capture is known again; amid an epoch; after an epoch and two blocks: the reader reads a block at once, and
    # a record that is far ahead of its stream waits for the records after it.
    for name, given, entries in ("SIGINT", 1000, 0), ("SIGTERM", epoch // 2, 1), ("SIGINT", epoch + 2 * block, 2):
        job = common.Job(suite, suite.path(f"piped-{given}"), "synthetic", path, 3, epoch)
        process = subprocess.Popen(job.command(captures=["-"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            process.stdin.write(everything[:given])
            process.stdin.flush()
            for _ in range(10 * PATIENCE):
                if len(job.entries()) >= entries or process.poll() is not None:
                    break
                time.sleep(0.1)
            faults += [] if len(job.entries()) >= entries else [f"{given} bytes: {len(job.entries())} entries while the pipe pauses, expected {entries}"]
            common.listens(process, getattr(signal, name))
            time.sleep(1)
            process.send_signal(getattr(signal, name))
            process.wait(PATIENCE)
            wanted = 128 + getattr(signal, name)
            faults += [] if process.returncode == wanted else [f"{given} bytes, {name}: ended with {process.returncode}, expected {wanted}"]
        except subprocess.TimeoutExpired:
            faults.append(f"{given} bytes: not ended {PATIENCE} s after {name}")
            process.kill()
        finally:
            process.stdin.close()
            said = process.stderr.read().decode(errors="replace")
            process.wait()
        faults += [f"{given} bytes: crashed: {said[-300:]}" for c in common.CRASHES if c in said]
        again = job.replay(stdin=whole, captures=["-"])
        faults += again.fault() + job.faults_against(base) + job.verify_faults()
    # The end is recorded: a run that looks whether there is more waits for the pipe too.
    process = subprocess.Popen(job.command(captures=["-"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(everything[:epoch])
    process.stdin.flush()
    common.listens(process, signal.SIGINT)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        faults.append(f"over a finished ledger: not ended {PATIENCE} s after SIGINT")
        process.kill()
    process.stdin.close()
    suite.claim(piped.__doc__, faults)


common.Suite("signals_stop_cleanly", 200, __doc__).run(interrupt, piped)

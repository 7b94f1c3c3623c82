#!/usr/bin/env python3
"""Ctrl-C and SIGTERM end a replay soon and in order; run again, it goes on and leaves the uninterrupted run's tables."""
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import common

PATIENCE = 15       # seconds from the signal to the end


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
            # 130 is a shell's word for interrupted; in the first moments nobody listens yet, and the signal itself ends it.
            if process.returncode not in (0, 1, 130, 143, -getattr(signal, name)):
                faults.append(f"ended with {process.returncode}: {err[-300:]}")
            if crash := [c for c in common.CRASHES if c in err]:
                faults.append(f"crashed ({crash[0]}): {err[-300:]}")
        suite.claim(f"{name} ends a replay in order{' (it was done before the last one)' if ended else ''}", faults)
        last = job.replay()
        suite.claim(f"after {name} it goes on, and rows and state equal the uninterrupted run",
                    last.fault() + job.faults_against(base) + job.verify_faults())


common.Suite("interrupt", 200, __doc__).run(interrupt)

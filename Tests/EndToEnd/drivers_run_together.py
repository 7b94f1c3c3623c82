#!/usr/bin/env python3
"""Drivers may run at the same time: what they share is made once and whole, and each has a directory of its own."""
import os
import re
import signal
import subprocess
import sys
import time

import common

MAKERS = 8
# Writes slowly, and counts how often it does.
MAKER = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
import once
def make(part):
    with open(sys.argv[3], "a") as f:
        f.write("made\\n")
    with open(part, "w") as f:
        for i in range(20):
            f.write(f"line {i}\\n")
            f.flush()
            time.sleep(0.05)
path = once.made(sys.argv[2], "input", ".txt", [], [1], make)
print(open(path).read().count("\\n"))
"""


def start(suite, directory, log):
    return subprocess.Popen([sys.executable, "-c", MAKER, os.path.join(common.ROOT, "Tests", "EndToEnd", "oracle"), directory, log], stdout=subprocess.PIPE, text=True)


def once(suite):
    """Eight programs that want the same input at the same time: one makes it, all read it whole"""
    directory, log = suite.path("once"), suite.path("once.log")
    os.makedirs(directory)
    read = [p.communicate(timeout=60)[0].strip() for p in [start(suite, directory, log) for _ in range(MAKERS)]]
    made = open(log).read().count("made")
    suite.claim(once.__doc__, ([] if made == 1 else [f"made {made} times"]) + [f"read {r} lines" for r in read if r != "20"])


def killed(suite):
    """A maker that is killed half-way leaves nothing that looks like the input; the next one makes it"""
    directory, log = suite.path("killed"), suite.path("killed.log")
    os.makedirs(directory)
    faults = []
    for _ in range(3):
        first = start(suite, directory, log)
        end = time.monotonic() + 30
        while not os.path.exists(log) and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.2)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        faults += [f"{name} is there" for name in os.listdir(directory) if not name.startswith(".")]
        os.remove(log)
    read = start(suite, directory, log).communicate(timeout=60)[0].strip()
    faults += [] if read == "20" else [f"then read {read} lines"]
    faults += [f"{name} is left" for name in os.listdir(directory) if ".part-" in name]
    suite.claim(killed.__doc__, faults)


def twice(suite):
    """The same driver three times at once, without any input made before: each passes, in a directory of its own"""
    work = suite.path("work")
    command = [sys.executable, os.path.join(common.ROOT, "Tests", "EndToEnd", "failures_are_explained.py"), "--quick", "--only", "undisturbed", "--weir", suite.weir, "--keep"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "WEIR_TEST_WORK": work}) for _ in range(3)]
    said = [run.communicate(timeout=200)[0] for run in runs]
    faults = [text[-500:] for run, text in zip(runs, said) if run.returncode or "1 passed, 0 failed" not in text]
    directories = [d for d in os.listdir(work) if re.fullmatch(r"failures_are_explained-[a-z0-9_]{8}", d)]
    faults += [] if len(directories) == 3 else [f"directories: {directories}"]
    suite.claim(twice.__doc__, faults)


def main():
    suite = common.Suite("drivers_run_together", 300, __doc__)
    suite.run(once, killed, twice, together=3)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""kill -9 at random moments of a replay of at least 100 epochs, each followed by a resume, leaves the uninterrupted run's tables."""
import subprocess

import common

EPOCHS = 120
ROUND_KILLS = 12        # approximate number of kills per round; a round is one replay from nothing to its end
ROUNDS_MAX = 60


def options(arguments):
    arguments.add_argument("--kills", type=int, default=50)
    arguments.add_argument("--pipeline", default="synthetic", choices=["synthetic", "flights", "wikipedia-edits"])


def capture(suite):
    name = suite.arguments.pipeline
    return common.synthetic() if name == "synthetic" else common.flights() if name == "flights" else common.wikipedia()


def uninterrupted(suite):
    """The run that all others must equal; (job, seconds)."""
    path = capture(suite)
    flush = max(1, len(common.uncompressed(path)) // EPOCHS)
    job = common.Job(suite, suite.path("uninterrupted"), suite.arguments.pipeline, path, 3, flush)
    run = job.replay()
    epochs = run.done.get("epochs", 0)
    suite.claim(f"uninterrupted: {epochs} epochs, rows equal the reference",
                run.fault() or ([] if epochs >= 100 else [f"only {epochs} epochs"]) + job.faults())
    return job, flush, run.seconds


def wait_or_kill(process, seconds):
    """True if the process was killed after `seconds`, False if it ended before."""
    try:
        process.communicate(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True


def kills(suite):
    """Rounds of killed and resumed replays."""
    base, flush, seconds = uninterrupted(suite)
    done = early = 0
    startup = 0.02
    for number in range(ROUNDS_MAX):
        if done >= suite.arguments.kills:
            break
        job = common.Job(suite, suite.path(f"round{number}"), suite.arguments.pipeline, base.captures, 3, flush)
        mine, code = 0, None
        while done < suite.arguments.kills:
            # Most kills fall while it works; some fall into the start, the recovery or the end.
            delay = startup + suite.random.expovariate(ROUND_KILLS / seconds)
            process = job.start()
            if not wait_or_kill(process, delay):
                code = process.returncode
                break
            mine, done = mine + 1, done + 1
            early += not job.entries()
        last = job.replay()     # resumes; after an end that was not killed it finds everything done
        faults = last.fault() + ([f"a resumed run ended with {code}"] if code else [])
        faults += job.faults_against(base) + job.verify_faults()
        suite.claim(f"round {number}: after {mine} kills rows and state equal the uninterrupted run, the ledger verifies", faults)
        if not faults:
            job.clear()
    suite.claim(f"{done} processes were killed ({early} before their first entry)",
                [] if done >= suite.arguments.kills else [f"expected {suite.arguments.kills}"])


common.Suite("sigkill_anywhere", 900, __doc__, options).run(kills)

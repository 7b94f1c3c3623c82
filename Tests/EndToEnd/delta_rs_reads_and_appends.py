#!/usr/bin/env python3
"""delta-rs reads every table before and after checkpoints, sees weir's txn, and can append."""

import common
import delta_rs_check


def readers(suite):
    """Two streams in enough epochs for several checkpoints."""
    for name, path in (("synthetic", common.synthetic()), ("flights", common.flights(60_000 if suite.quick else None))):
        job = common.Job(suite, suite.path(name), name, path, 2, len(common.uncompressed(path)) // 35)
        if not suite.claim(f"{name} is replayed", job.replay().fault()):
            continue
        for claim, rows, faults in delta_rs_check.check(job.lake, job.name, need_checkpoint=True):
            suite.claim(f"{name}: {claim} ({rows:,} rows)", faults)
        suite.claim(f"{name}: the lake is as it was", job.verify_faults())


common.Suite("delta_rs_reads_and_appends", 200, __doc__).run(readers)

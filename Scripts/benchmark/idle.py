#!/usr/bin/env python3
"""The cost of an idle worker: `weir run` on a topic of many partitions without records, compared with a bare librdkafka consumer of them.

Both are assigned all partitions of the same test broker and wait in the same interval. The figures are CPU seconds per second (percent of a
core); what counts is the difference of the same run.   idle.py [--partitions N] [--seconds S]
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import common
import kafka

BARE = """
import sys, time
import confluent_kafka as ck
consumer = ck.Consumer({"bootstrap.servers": sys.argv[1], "group.id": "bare", "log_level": 2, "enable.auto.commit": False})
consumer.assign([ck.TopicPartition(sys.argv[2], p, 0) for p in range(int(sys.argv[3]))])
while True:
    consumer.poll(3600)
"""


def worker(broker, out):
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    data = common.data(1000, "one")
    file = kafka.pipeline(data, out, "")
    with open(f"{out}/err", "w") as err:
        process = subprocess.Popen(
            [common.WEIR, "run", file, "--brokers", broker.address, "--lake", f"{out}/lake", "--store", f"{out}/store", "--json"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True)
    for line in process.stdout:
        if json.loads(line)["event"] == "assigned":
            return process
    common.stop("weir run ended before it had its partitions", common.read(f"{out}/err")[-800:])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--settle", type=float, default=10, help="seconds until both are idle")
    a = parser.parse_args()
    common.need_binary()
    broker = kafka.Broker(a.partitions)
    processes = []
    try:
        processes.append(worker(broker, os.path.join(common.WORK, "idle")))
        processes.append(subprocess.Popen([sys.executable, "-c", BARE, broker.address, kafka.TOPIC, str(a.partitions)]))
        time.sleep(a.settle)
        before = [kafka.cpu(p.pid) for p in processes]
        began = time.monotonic()
        time.sleep(a.seconds)
        seconds = time.monotonic() - began
        weir, bare = [100 * (kafka.cpu(p.pid) - was) / seconds for p, was in zip(processes, before)]
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
            process.wait()
        broker.close()
    common.say(f"{a.partitions} partitions, {seconds:.0f} s idle: weir {weir:.2f} % of a core, a bare consumer {bare:.2f} %, "
               f"difference {weir - bare:+.2f} (wanted: at most 0.3)")
    print(json.dumps({"partitions": a.partitions, "weir": weir, "bare": bare, "difference": weir - bare}))


if __name__ == "__main__":
    main()

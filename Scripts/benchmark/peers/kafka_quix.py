"""Quix Streams, one process.   kafka_quix.py BROKER TOPIC CAMPAIGNS RECORDS"""
import os

from quixstreams import Application
from quixstreams.models.topics import TopicAdmin, TopicConfig

from kafka_common import address, counter, topic

# The test broker does not answer questions about a topic's settings.
TopicAdmin.inspect_topics = lambda self, topics, **_: {t: TopicConfig(num_partitions=256, replication_factor=1, extra_config={}) for t in topics}
app = Application(
    broker_address=address, consumer_group=f"quix-{os.getpid()}", auto_offset_reset="earliest", auto_create_topics=False, loglevel="WARNING",
    consumer_extra_config={"queued.min.messages": 100000})
source = app.topic(topic, value_deserializer="bytes")
frame = app.dataframe(source)
frame.update(counter.add)
app.run()

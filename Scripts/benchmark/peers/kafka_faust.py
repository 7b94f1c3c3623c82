"""Faust (faust-streaming), one worker.   kafka_faust.py BROKER TOPIC CAMPAIGNS RECORDS"""
import os
import sys
import tempfile

from kafka_common import address, counter, topic

import faust

app = faust.App(f"faust-{os.getpid()}", broker=f"kafka://{address}", value_serializer="raw", topic_disable_leader=True,
                datadir=tempfile.mkdtemp(), web_enabled=False, stream_wait_empty=False, topic_allow_declare=False)
events = app.topic(topic, value_type=bytes)


@app.agent(events)
async def work(stream):
    async for value in stream:
        counter.add(value)


sys.argv = [sys.argv[0], "worker", "-l", "warn", "--without-web"]
app.main()

"""Bytewax, one worker.   kafka_bytewax.py BROKER TOPIC CAMPAIGNS RECORDS"""
import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, run_main

from kafka_common import address, counter, topic


def work(batch):
    for message in batch:
        counter.add(message.value)
    return []


flow = Dataflow("ads")
messages = op.input("in", flow, KafkaSource([address], [topic], batch_size=1000, tail=False))
op.output("out", op.flat_map_batch("work", messages, work), TestingSink([]))
run_main(flow)
counter.end()

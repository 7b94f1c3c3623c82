"""Reads topics with confluent-kafka and detects repeated rows by Weir's headers, as a consumer of its sinks would."""
import decimal
import json

import confluent_kafka as ck

OURS = ("weir-ledger", "weir-entry", "weir-table", "weir-row")


def read(address, topic, group="reader", seconds=30):
    """All records of a topic: (partition, offset, key, value, headers, timestamp), each partition in its order."""
    consumer = ck.Consumer({"bootstrap.servers": address, "group.id": group, "auto.offset.reset": "earliest", "log_level": 2,
                            "enable.partition.eof": False})
    try:
        metadata = consumer.list_topics(topic, timeout=seconds).topics[topic]
        ends = {p: consumer.get_watermark_offsets(ck.TopicPartition(topic, p), timeout=seconds) for p in metadata.partitions}
        consumer.assign([ck.TopicPartition(topic, p, low) for p, (low, _) in ends.items()])
        left = {p for p, (low, high) in ends.items() if high > low}
        records = []
        while left:
            message = consumer.poll(seconds)
            if message is None:
                raise RuntimeError(f"{topic}: nothing more came within {seconds} s; partitions {sorted(left)} are not read to their ends")
            if message.error():
                raise RuntimeError(str(message.error()))
            records.append((message.partition(), message.offset(), message.key(), message.value(), message.headers() or [], message.timestamp()[1]))
            if message.offset() + 1 >= ends[message.partition()][1]:
                left.discard(message.partition())
        return records
    finally:
        consumer.close()


def last(headers, name):
    """A header's value as text; of several with the name, the last."""
    found = [v for n, v in headers if n == name]
    return None if not found or found[-1] is None else found[-1].decode()


def once(records):
    """What a consumer keeps: of each partition and table, records beyond the largest (entry, row) so far. (kept, repeats, faults)"""
    largest, seen, kept, repeats, faults = {}, {}, [], 0, []
    for record in sorted(records, key=lambda r: r[:2]):
        partition, _, key, value, headers, _ = record
        ledger, entry, table, row = (last(headers, name) for name in OURS)
        place, number = (partition, ledger, table), (int(entry), int(row))
        same = (key, value, headers)
        if number in seen.setdefault((ledger, table), {}) and seen[ledger, table][number] != same:
            faults.append(f"{table} {number}: repeated with other bytes or headers")
        seen[ledger, table][number] = same
        if place in largest and number <= largest[place]:
            repeats += 1
            continue
        largest[place] = number
        kept.append(record)
    return kept, repeats, faults


def rows(kept):
    return [json.loads(value, parse_float=decimal.Decimal) for _, _, _, value, _, _ in kept]

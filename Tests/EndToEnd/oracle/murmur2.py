"""Kafka's hash of keys."""


def murmur2(data):
    """Kafka's, written from its description: an implementation that is not weir's."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    for i in range(0, len(data) // 4 * 4, 4):
        k = int.from_bytes(data[i:i + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    rest = data[len(data) // 4 * 4:]
    if rest:
        h = ((h ^ int.from_bytes(rest, "little")) * m) & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15

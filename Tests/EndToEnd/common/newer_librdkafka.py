"""The librdkafka that confluent-kafka's wheel brings, for processes that are linked with Debian's: same functions, newer version."""
import ctypes
import glob
import os

import confluent_kafka


def environment(directory):
    """(its version, the environment in which a program loads it)"""
    wheel = os.path.join(os.path.dirname(os.path.dirname(confluent_kafka.__file__)), "confluent_kafka.libs", "librdkafka*.so*")
    found = glob.glob(wheel)
    if len(found) != 1:
        raise RuntimeError(f"{wheel} are {len(found)} files, expected one")
    os.makedirs(directory, exist_ok=True)
    # The loader looks for the name that the program was linked with. The wheel's file has another, and no versions of symbols.
    link = os.path.join(directory, "librdkafka.so.1")
    if not os.path.lexists(link):
        os.symlink(found[0], link)
    library = ctypes.CDLL(found[0])
    library.rd_kafka_version_str.restype = ctypes.c_char_p
    path = ":".join(filter(None, (directory, os.environ.get("LD_LIBRARY_PATH"))))
    return library.rd_kafka_version_str().decode(), {**os.environ, "LD_LIBRARY_PATH": path}

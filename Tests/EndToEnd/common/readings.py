"""What a worker says of itself, read by a parser of our own."""
import re
import time


def samples(text):
    """{name: {labels as a sorted tuple of pairs: value}}, without the label that every sample of a worker has."""
    found = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        name, labels, value = re.fullmatch(r'([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)', line).groups()
        pairs = tuple(sorted(label for label in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "") if label[0] != "pipeline"))
        assert pairs not in found.setdefault(name, {}), f"{line} appears twice"
        found[name][pairs] = float(value)
    return found


def by(metrics, name, label):
    return {dict(k)[label]: v for k, v in metrics.get(name, {}).items()}


def settled(what, test, seconds=120):
    """Waits until a test has no faults; what it found last."""
    end = time.monotonic() + seconds
    while (faults := test()) and time.monotonic() < end:
        time.sleep(0.3)
    return [f"{what}: {f}" for f in faults]


def compare(got, wanted):
    return [f"{k} is {got.get(k)}, expected {wanted.get(k)}" for k in sorted(set(got) | set(wanted), key=str) if got.get(k) != wanted.get(k)]

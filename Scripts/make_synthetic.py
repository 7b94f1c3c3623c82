#!/usr/bin/env python3
"""Makes a disordered stream for Deploy/Pipelines/synthetic.yaml that contains everything that can go wrong in a stream.

    make_synthetic.py [--seed 1] [--n 50000] [--even] [--out -]

One NDJSON line per event: id, user (the key), t (ms), kind, amount, n, x, flag, note. The same options give the same bytes. A few of the
users have most of the events; with --even all have about the same number. It contains, at rates at which thousands of lines have some of each:
- event times that start before 1970 and pass it, and jump ahead by more than windows and horizons; disorder within the bound,
  beyond it, and beyond any lateness; single events far in the future, for the guard
- re-sent events, within the dedup horizon and long after it; changed ones under an old id; the same id under another key; no id
- null keys, missing members, explicit nulls, members in any order, the same member twice, undeclared members
- escapes in strings and in names, all planes of Unicode, NUL; numbers in every spelling that JSON has
- blank lines, text cut short, garbage, other JSON than objects, invalid UTF-8, wrong types, numbers out of range, lone surrogates
- numbers so large that a derived column overflows
- carriage returns before line ends, and a last line without an end

Standard library only.
"""
import argparse
import json
import random
import sys

START_MS = -300_000                 # five minutes before 1970
STEP_MS = 20                        # of event time an event, on average
BOUND_MS = 5_000                    # out_of_order of the pipeline
JUMP_MS = 1_500_000                 # below max_ahead of the pipeline
FAR_MS = 4_102_444_800_000          # in the year 2100: beyond it, and beyond any worker's clock
USERS = 200
KINDS = ["view"] * 5 + ["click"] * 3 + ["purchase"] * 2
TEXTS = ["", "plain", "tab\tand\nline", 'quote " and \\ backslash', "/slash", "ñandú ß", "中文 русский", "😀 𝒳", "\u0000nul",
         "\u2028\u2029", "\ufeffbom", "ﬁ ligature", "a" * 300, "'; drop table r; --", "\x7f\u0080", "null", "e\u0301"]


class Stream:
    def __init__(self, seed, n, is_even=False):
        self.random = random.Random(seed)
        self.n, self.is_even = n, is_even
        self.now = START_MS                     # the newest regular event time
        self.sent = []                          # lines that may be sent again

    def chance(self, p):
        return self.random.random() < p

    # -- Events as they should be

    def time(self):
        self.now += self.random.randrange(2 * STEP_MS)
        if self.chance(4 / self.n):
            self.now += JUMP_MS
        late = self.random.random()
        if late < 0.6:
            return self.now - self.random.randrange(200)
        if late < 0.9:
            return self.now - self.random.randrange(BOUND_MS + 1)
        if late < 0.985:
            return self.now - self.random.randrange(BOUND_MS, 6 * BOUND_MS)
        return self.now - self.random.randrange(100_000_000)

    def event(self, i):
        r = self.random
        event = {
            "id": f"e{i:07d}",
            "user": f"u{r.randrange(USERS) if self.is_even else int(r.paretovariate(0.7)) % USERS}",
            "t": self.time(),
            "kind": r.choice(KINDS),
            "amount": r.choice([r.randrange(10_000_000) / 100, r.randrange(-900, 1000) / 100, 0]),
            "n": r.choice([r.randrange(100), r.randrange(-10**6, 10**6), r.randrange(-2**38, 2**38)]),
            "x": r.choice([r.uniform(-1e3, 1e3), r.random() * 10.0 ** r.randrange(-30, 30), 0.0]),
            "flag": r.choice([True, False, False]),
            "note": r.choice(TEXTS),
        }
        if self.chance(0.002):
            event["n"] = r.choice([2**63 - 1, -2**63, 2**62, -2**62 - 1, 2**40, 2**39, 2**39 - 1, -2**39, -2**39 - 1])
        if self.chance(0.01):
            event["kind"] = r.choice(["unknown", "", "View"])
        if self.chance(0.01):
            event["amount"] = r.choice([-9, -9.01, -12.5, -9_999_999_999.99, 9_999_999_999.99])
        if self.chance(0.03):
            event["user"] = r.choice(TEXTS)
        if self.chance(0.01):
            event["id"] += r.choice(TEXTS)
        for name in ("user", "amount", "n", "x", "flag", "note", "id"):     # the nullable ones
            if self.chance(0.01 if name == "id" else 0.04):
                if self.chance(0.5):
                    event[name] = None
                else:
                    del event[name]
        return event

    def spell_number(self, name, value):
        """Any of JSON's spellings of a number that is exact in its type."""
        text = json.dumps(value)
        if not self.chance(0.03):
            return text
        if name == "amount" and "e" not in text:
            whole = round(value * 100)
            return self.random.choice([f"{whole}e-2", f"{whole}E-02", f"{value:.2f}0", f"{whole / 100:.2f}"])
        if name in ("n", "t") and abs(value) < 2**53:
            return self.random.choice([f"{value}.0", f"{value}e0", f"{value}0e-1", f"{value}.000E+0"])
        return text

    def spell_text(self, value):
        text = json.dumps(value, ensure_ascii=self.chance(0.3))
        return text.replace("/", "\\/") if self.chance(0.2) else text

    def spell(self, event):
        """The event as JSON text."""
        members = []
        for name, value in event.items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            text = self.spell_number(name, value) if number else self.spell_text(value)
            key = json.dumps(name)
            if self.chance(0.002):              # the same name, escaped
                key = key.replace(name[0], f"\\u{ord(name[0]):04x}", 1)
            members.append((key, text))
        if self.chance(0.05):
            self.random.shuffle(members)
        if self.chance(0.05):
            members.insert(self.random.randrange(len(members) + 1), self.random.choice([
                ('"extra"', '{"a":[1,2,{"b":null,"t":5}],"n":"x"}'), ('"more"', "[]"), ('"deep"', "[" * 40 + "]" * 40),
                ('"lone"', '"\\ud800"'), ('"T"', "1"), ('""', "1e999"), ('"big"', "123456789012345678901234567890.5e-7")]))
        if self.chance(0.003):                  # the last of two counts
            members.insert(0, ('"n"', "12345"))
        colon, comma = (" : ", " ,\t") if self.chance(0.02) else (":", ",")
        text = "{" + comma.join(k + colon + v for k, v in members) + "}"
        return f" \t{text}  " if self.chance(0.01) else text

    # -- Lines that are none

    def broken(self, event):
        r = self.random
        text = self.spell(event)
        wrong = {
            "id": ["5", "true", "[]", '"\\ud83d"'], "user": ["7", "{}", '"\\udc00x"'],
            "t": ['"5"', "1.5", "null", "1e300", "9223372036854775807", "-99999999999999", "true"],
            "amount": ["0.001", "10000000000", '"1.00"', "1e15", "-1e-3"],
            "n": ["9223372036854775808", "-9223372036854775809", "0.5", "1e19", '"1"', "false"],
            "x": ["1e400", "-1e309", '"1.0"', "true"], "kind": ["null", "1", "[]"], "flag": ["0", '"true"', "1.0"],
            "note": ["1", "{}", '["a"]', '"\\ud83d\\u0041"'],
        }
        name = r.choice(list(wrong))
        swapped = json.dumps({**event, name: "\x01"}, ensure_ascii=False).replace('"\\u0001"', r.choice(wrong[name]))
        missing = json.dumps({k: v for k, v in event.items() if k != r.choice(["t", "kind"])})
        return r.choice([
            text[:r.randrange(1, len(text))].encode(), text[:r.randrange(1, len(text))].encode(), swapped.encode(), swapped.encode(),
            swapped.encode(), b"", b"", b"  \t ", b"#### connection reset by peer ####", b"null", b"[]", b"17", b'"text"', b"true",
            missing.replace('"t"', '"tt"').encode(), missing.replace('"kind"', '"Kind"').encode(), text.encode() + b"}",
            text.encode() * 2, text.encode() + b" //", text.replace(":", "", 1).encode(),
            text.replace('"', "'").encode(), text[:-1].encode() + b",}", b"\xef\xbb\xbf" + text.encode(),
            b'{"note":"\xff\xfe",' + text[1:].encode(), text[:-1].encode() + b',"bad":"\xc0\xaf"}',
            text[:-1].encode() + b',"bad":"\xed\xa0\x80"}', text[:-1].encode() + b',"bad":"a\x01b"}',
            text[:-1].encode() + b',"bad":"\\x41"}', text[:-1].encode() + b',"bad":"\\u12g4"}',
            text[:-1].encode() + r.choice([b',"bad":01}', b',"bad":1.}', b',"bad":.5}', b',"bad":+1}', b',"bad":NaN}',
                                           b',"bad":-Infinity}', b',"bad":0x10}', b',"bad":1e}', b',"bad":nul}', b',"bad":}'])])

    def again(self):
        """An event that was sent before: lately or long ago, as it was or changed."""
        r = self.random
        back = min(len(self.sent), int(r.choice([r.randrange(1, 300), r.randrange(1, 5000), r.randrange(1, 200_000)])))
        old = dict(self.sent[-back])
        change = r.random()
        if change < 0.1:
            old["amount"] = 1.23
        elif change < 0.15:
            old["user"] = f"u{r.randrange(USERS)}"
        elif change < 0.2:
            old["t"] = self.now
        return old

    def lines(self):
        for i in range(self.n):
            draw = self.random.random()
            if draw < 0.02:
                yield self.broken(self.event(i))
            elif draw < 0.07 and self.sent:
                yield self.spell(self.again()).encode()
            elif draw < 0.0715:
                event = self.event(i)
                event["t"] = self.now + self.random.choice([FAR_MS, 2 * FAR_MS, 10**14])
                yield self.spell(event).encode()
            else:
                event = self.event(i)
                self.sent.append(event)
                yield self.spell(event).encode()


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--n", type=int, default=50_000, help="lines")
    arguments.add_argument("--even", action="store_true", help="no user has more events than others")
    arguments.add_argument("--out", default="-")
    a = arguments.parse_args()
    stream = Stream(a.seed, a.n, a.even)
    out = sys.stdout.buffer if a.out == "-" else open(a.out, "wb")
    lines = list(stream.lines())
    ends = [b"\r\n" if stream.chance(0.01) else b"\n" for _ in lines]
    out.write(b"".join(line + end for line, end in zip(lines, ends[:-1] + [b""])))
    out.close()


if __name__ == "__main__":
    main()

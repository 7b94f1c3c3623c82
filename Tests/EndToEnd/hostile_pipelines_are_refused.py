#!/usr/bin/env python3
"""A pipeline from somebody else runs no code, and shows nothing of a file that it names: options of the client, paths, whole files."""
import os
import shutil
import subprocess
import sys

import common

SECRET = "correct-horse-battery-staple"
LIMIT = 60          # seconds; a command that waits for a FIFO, or reads a device, does not end

KAFKA = """pipeline: p
source: {{kafka: {{brokers: "127.0.0.1:1", topic: t, group: g, {more}}}}}
record: {{format: json, key: k, fields: {{k: string!, n: int64!, t: timestamp_ms!}}}}
silver: {{}}
"""
CAPTURE = """pipeline: p
source: {{capture: {{stream: s}}}}
record: {{format: json, key: k, fields: {{k: string!, "{key}": {type}}}}}
lookups: {{l: {{file: "{path}", key: "{key}"{more}}}}}
silver: {{}}
"""

PLUGIN = """
#include <stdio.h>
#include <stdlib.h>
__attribute__((constructor)) static void loaded(void) { FILE *f = fopen(getenv("MARK"), "w"); if (f) fclose(f); }
int conf_init(void *conf, void **opaque, char *text, unsigned long size) { return 0; }
"""


def run(suite, arguments, **environment):
    try:
        done = subprocess.run([suite.weir, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=LIMIT,
                              env={**os.environ, "WEIR_TRY": SECRET, **environment})
    except subprocess.TimeoutExpired:
        return None, f"not done after {LIMIT} s"
    return done.returncode, done.stdout + done.stderr


def write(suite, name, text, mode="w"):
    path = suite.path(name)
    with open(path, mode) as f:
        f.write(text)
    return path


def code(suite):
    """No option of the Kafka client loads a library or runs a command, wherever it is given"""
    compiler = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
    source, library, mark = write(suite, "plugin.c", PLUGIN), suite.path("plugin.so"), suite.path("loaded")
    if not compiler or subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source]).returncode:
        return suite.claim(code.__doc__, "no C compiler: the case shows nothing")
    subprocess.run([sys.executable, "-c", f"import ctypes; ctypes.CDLL({library!r})"], env={**os.environ, "MARK": mark})
    faults = [] if os.path.exists(mark) else ["the library leaves no mark even when it is loaded: the case shows nothing"]
    command = f"touch {mark}; false"
    options = {"plugin.library.paths": library, "sasl.kerberos.kinit.cmd": command, "ssl.engine.location": library, "ssl.engine.id": library,
               "ssl.providers": library, "sasl.oauthbearer.config": SECRET, "ssl.ca.location": "/etc", "ssl.key.location": "/etc/shadow",
               "ssl.keystore.location": "/etc/shadow", "offset.store.path": "/etc/passwd", "opaque": "1", "open_cb": "1", "interceptors": "1",
               "sasl.mechanisms": "GSSAPI", "security.protocol": "sasl_plaintext", "https.ca.location": "/etc/shadow", "no.such.option": "1"}
    for name, value in options.items():
        if os.path.exists(mark):
            os.remove(mark)
        text = f'options: {{"{name}": "{value}"}}'
        source = write(suite, "source.yaml", KAFKA.format(more=text))
        sink = write(suite, "sink.yaml", KAFKA.format(more="") + f'sinks: {{kafka: {{topics: {{quarantine: q}}, {text}}}}}\n')
        for what in (["check", source], ["check", sink], ["run", source, "--lake", suite.path("lake"), "--store", suite.path("store")],
                     ["capture", "--brokers", "127.0.0.1:1", "--topic", "t", "--out", suite.path("capture"), "--for", "1s", "--option", f"{name}={value}"],
                     ["load", "--brokers", "127.0.0.1:1", "--topic", "t", "--count", "1", "--option", f"{name}={value}"]):
            status, text = run(suite, what, MARK=mark)
            if status not in (1, 2) or name not in text or "cannot be given" not in text + "cannot be given" * (what[0] in ("check", "run")):
                faults.append(f"{name} in weir {what[0]}: exit {status}: {text[-200:]}")
            if os.path.exists(mark):
                faults.append(f"{name} in weir {what[0]} ran our code")
    status, text = run(suite, ["check", write(suite, "fine.yaml", KAFKA.format(more='options: {client.rack: r1, fetch.min.bytes: "10"}'))])
    faults += [f"options that only tune are refused: {text}"] if status else []
    status, text = run(suite, ["check", write(suite, "home.yaml", KAFKA.format(more='options: {session.timeout.ms: "10"}'))])
    faults += [] if status == 2 and "use session" in text else [f"no hint: {text}"]
    suite.claim(code.__doc__, faults)


def secrets(suite):
    """{what: path} of files that hold the secret where an error could show it."""
    texts = {
        "shadow": f"root:{SECRET}:19000:0:99999:7:::\ndaemon:{SECRET}:19000:0:99999:7:::\n",
        "environment": f"PASSWORD={SECRET}\nTOKEN={SECRET}\n",
        "one word": f"{SECRET}\n", "words": f"{SECRET}\n{SECRET}\n",
        "commas": f"{SECRET},x!y\n{SECRET},2\n",
        "key": f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n",
        "json": f'{{"auths": {{"{SECRET}": {{"auth": "{SECRET}"}}}}}}\n',
        "yaml": f"{SECRET}: {SECRET}\nother: x\n", "yaml keys": f"'{SECRET}!': 1\n'{SECRET}!': 2\n",
        "yaml of another": f"apiVersion: v1\nkind: Secret\ndata: {{password: {SECRET}}}\n",
        "control": f"\x01{SECRET}: \x02\n", "tabs": f"a:\n\t{SECRET}: [\n", "header": f"k,n\n{SECRET},1,2\n{SECRET},x\n",
        "a key twice": f"k\n{SECRET}\n{SECRET}\n",
    }
    found = {what: write(suite, f"secret-{i}", text) for i, (what, text) in enumerate(texts.items())}
    found["binary"] = write(suite, "secret-binary", b"\xff\xfe" + SECRET.encode() + b"\x00\xff\n", "wb")
    found["process"] = "/proc/self/environ"
    found["terminal"] = "/dev/tty"
    return found


def paths(suite):
    """No error shows what is in a file that a pipeline or the command line names"""
    faults, tries = [], 0
    for what, path in secrets(suite).items():
        keys = {"k": "string", "n": "int64", SECRET.replace("-", "_"): "string"}
        with open(path, "rb") if os.path.isfile(path) and what != "terminal" else open(os.devnull, "rb") as f:
            first = f.readline().decode(errors="replace").strip()
        if what not in ("process", "terminal", "binary") and '"' not in first and first.isprintable() and SECRET not in first:
            keys[first.split(",")[0]] = "int64"
        commands = []
        for i, (key, kind) in enumerate(keys.items()):
            for more in ("", ", columns: {n: int64, x: double}"):
                name = write(suite, f"lookup-{i}{len(more)}.yaml", CAPTURE.format(path=path, key=key, type=kind, more=more)
                             .replace('"k": string}', "n: int64}"))
                commands.append(["check", name])
        tls = write(suite, "tls.yaml", KAFKA.format(more=f'tls: {{ca: "{path}", certificate: "{path}", key: {{file: "{path}"}}}}'))
        sasl = write(suite, "sasl.yaml", KAFKA.format(more=f'sasl: {{mechanism: OAUTHBEARER, token: {{file: "{path}"}}}}'))
        commands += [["check", path], ["explain", path], ["ledger", "show", path], ["check", tls], ["check", sasl]]
        if what in ("key", "shadow", "binary"):     # the client itself reads the file
            commands.append(["run", tls, "--lake", suite.path("lake"), "--store", suite.path("store")])
        for command in commands:
            status, text = run(suite, command)
            tries += 1
            if SECRET in text:
                faults.append(f"{what}: weir {' '.join(command[:1])} {os.path.basename(command[1])} shows it: {text[:300]}")
            if status is None or status < 0:
                faults.append(f"{what}: weir {' '.join(command)}: {status}: {text[-200:]}")
    suite.claim(f"{paths.__doc__} ({tries} tries)", faults)


def special(suite):
    """Devices, FIFOs, directories and the kernel's files are no lookups: refused at once"""
    fifo = suite.path("fifo")
    os.mkfifo(fifo)
    faults = []
    for path, words in ((fifo, "not a regular file"), ("/dev/zero", "not a regular file"), ("/dev/stdin", "not a regular file"), ("/proc/self/environ", "kernel"),
                        ("/proc/self/status", "kernel"), ("/sys/kernel/notes", "kernel"), ("/etc", "directory"), ("/not/there", "No such file")):
        status, text = run(suite, ["check", write(suite, "special.yaml", CAPTURE.format(path=path, key="n", type="int64", more=""))])
        if status != 2 or words not in text:
            faults.append(f"{path}: exit {status}: {text[-200:]}")
    suite.claim(special.__doc__, faults)


def useful(suite):
    """A real lookup file with a mistake still gets an error that names it"""
    faults = []
    for text, key, words in (("id,price\n1,2\n3,x\n", "id", "'x' is not double"), ("id,price\n1,2\n1,3\n", "id", "the key '1' is on line 2"),
                             ("code,price\n1,2\n", "id", "there is no column id"), ("id,price\na,2\n", "id", "the key 'a' is not int64")):
        path = write(suite, "useful.csv", text)
        status, said = run(suite, ["check", write(suite, "useful.yaml", CAPTURE.format(path=path, key=key, type="int64", more=", columns: {price: double}"))])
        faults += [] if status == 2 and words in said else [f"{text!r}: exit {status}: {said}"]
    suite.claim(useful.__doc__, faults)


def encodings(suite):
    """A pipeline file that is not UTF-8 is refused with its line and column, and so is an argument: repaired, each would mean something else"""
    faults = []
    text = KAFKA.format(more="").encode()
    for name, data, words in (("latin", text + b"checks: [{name: a, that: \"k <> 'M\xfcller'\"}]\n", ":5:34: error: "),
                              ("first", b"\xff" + text, ":1:1: error: "), ("cut", text + "# ü €".encode()[:-1], ":5:5: error: "),
                              ("surrogate", text + b"# \xed\xa0\x80\n", ":5:3: error: ")):
        path = write(suite, f"{name}.yaml", data, "wb")
        status, said = run(suite, ["check", path])
        faults += [] if status == 2 and path + words in said and "not UTF-8" in said else [f"{name}: exit {status}: {said}"]
    lake = suite.path("lk").encode() + b"\xff"
    for arguments in (["check", suite.path("p").encode() + b"\xff.yaml"], ["replay", "p.yaml", "--capture", "c", "--lake", lake], [b"\xfe"]):
        status, said = run(suite, arguments)
        faults += [] if status == 2 and "is not UTF-8" in said else [f"{arguments}: exit {status}: {said}"]
    left = [name for name in os.listdir(suite.directory.encode()) if name.startswith(b"lk")]
    suite.claim(encodings.__doc__, faults + [f"{name} was made" for name in left])


def main():
    suite = common.Suite("hostile_pipelines_are_refused", 300, __doc__)
    suite.run(code, paths, special, useful, encodings)


if __name__ == "__main__":
    main()

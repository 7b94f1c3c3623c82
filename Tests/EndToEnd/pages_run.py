#!/usr/bin/env python3
"""What the pages show is true: their pipelines are valid, their commands run and print what is shown, and no link is dead."""
import glob
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import common
import page_blocks
import yaml

PAGES = os.path.join(common.ROOT, "Sources", "WeirCommands", "Weir.docc")
# Pages that run, each in a directory and a shell of its own. --quick runs them all too.
RUN = ["Tutorial", "Cookbook", "Troubleshooting", "FAQ", "Upgrading"]
# A page names the port that the admin server has by default; here it is one that the kernel chose.
PORTS = ("9464", "9465")
COMMAND_LIMIT, EVENTUALLY = 120, 90
ABORTED = "terminate called without an active exception"
END = "~~~ended~~~"
# Commands come on standard input, each ended by a NUL. Programs in the background stay with the shell, as a person's do.
SHELL = f"""exec 9<&0 </dev/null
while IFS= read -r -d '' command <&9; do eval "$command" 9<&-; printf '\\n{END} %s\\n' "$?"; done
"""


class Shell:
    """One page's shell."""

    def __init__(self, directory, path):
        self.process = subprocess.Popen(
            ["bash", "--norc", "-c", SHELL], cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True, env={**os.environ, "PATH": path, "LC_ALL": "C.UTF-8", "NO_COLOR": "1", "COLUMNS": "120"})
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.decode(errors="replace"))
        self.lines.put(None)

    def run(self, command):
        """(exit code, output); raises where it does not end."""
        self.process.stdin.write(command.encode() + b"\0")
        self.process.stdin.flush()
        out, deadline = "", time.monotonic() + COMMAND_LIMIT
        while True:
            try:
                line = self.lines.get(timeout=max(0.1, deadline - time.monotonic()))
            except queue.Empty:
                raise RuntimeError(f"not done after {COMMAND_LIMIT} s: {command[:200]}; so far: {out[-300:]}") from None
            if line is None:
                raise RuntimeError(f"the shell exited: {command[:200]}; {out[-300:]}")
            if line.startswith(END):
                return int(line.split()[1]), (out[:-1] if out.endswith("\n") else out)
            out += line

    def close(self):
        # Its session: what the page started in the background too.
        with common.contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            pass
        with common.contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


class Page:
    """One page that runs."""

    def __init__(self, suite, name):
        self.suite, self.name = suite, name
        self.directory = suite.path(name)
        # The programs that a page uses by their names.
        tools = suite.path(f"{name}-bin")
        os.makedirs(self.directory)
        os.makedirs(tools)
        for tool, path in (("weir", suite.weir), ("python", sys.executable)):
            # Not a link for python: it finds its environment by the path that it was started with.
            with open(os.path.join(tools, tool), "w") as f:
                f.write(f'#!/bin/sh\nexec "{path}" "$@"\n')
            os.chmod(os.path.join(tools, tool), 0o755)
        self.path = tools + os.pathsep + os.environ["PATH"]
        self.shell = Shell(self.directory, self.path)
        self.ports = {port: free_port() for port in PORTS}
        self.untried = 0

    def here(self, text):
        for port, own in self.ports.items():
            text = text.replace(port, own)
        return text

    def write(self, name, text):
        with open(os.path.join(self.directory, name), "w") as f:
            f.write(text)

    def pipeline(self, block):
        name, text = f"{block.values['pipeline']}.yaml", block.text
        if base := block.values.get("from"):
            with open(os.path.join(self.directory, f"{base}.yaml")) as f:
                text = yaml.safe_dump({**yaml.safe_load(f), **yaml.safe_load(self.here(text))}, sort_keys=False, allow_unicode=True, width=1000)
        self.write(name, self.here(text))
        code, out = self.shell.run(f"weir check {name}")
        # A variable may be set further down the page.
        warned = [line for line in out.split("\n") if " warning: " in line and "[no_variable]" not in line]
        return [f"line {block.line}: weir check {name} exits with {code}: {out}"] if code or warned else []

    def console(self, block):
        faults, steps = [], page_blocks.commands(block)
        for index, (line, command, shown) in enumerate(steps):
            wanted = int(block.values.get("exit", 0)) if index == len(steps) - 1 else 0
            shown, command = [self.here(s) for s in shown], self.here(command)
            deadline = time.monotonic() + (EVENTUALLY if "eventually" in block.words else 0)
            while True:
                code, out = self.shell.run(command)
                if ABORTED in out and command.startswith("python "):
                    # The query has printed its rows; threads of the libraries that read tables abort Python's end now and then.
                    code, out = self.shell.run(command)
                right = code == wanted and (not shown or page_blocks.shown_as(shown, out))
                if right or time.monotonic() > deadline:
                    break
                time.sleep(0.5)
            if not right:
                text = " | ".join(out.rstrip("\n").split("\n"))
                faults.append(f"line {line}: {command.splitlines()[0][:120]}: exit {code}, wanted {wanted}; printed: {text}")
                break       # the next commands would fail for this one's reason
        return faults

    def block(self, block):
        if "untried" in block.words:
            self.untried += 1
        elif "pipeline" in block.values:
            return self.pipeline(block)
        elif "file" in block.values:
            self.write(block.values["file"], self.here(block.text))
        elif block.language == "console":
            return self.console(block)
        elif block.language != "text":
            return [f"line {block.line}: ```{block.language} says neither pipeline=, file=, untried nor console: {page_blocks.__name__}.py has the forms"]
        return []

    def run(self):
        with open(os.path.join(PAGES, f"{self.name}.md")) as f:
            blocks, _ = page_blocks.split(f.read())
        try:
            for block in blocks:
                if faults := self.block(block):
                    return faults
            return []
        finally:
            self.shell.close()


def page(suite, name):
    run = Page(suite, name)
    suite.claim(f"{name}.md: what it shows happens", run.run())
    if run.untried:
        suite.note(f"{name}.md: {run.untried} blocks are marked untried")
    if not suite.failed:
        shutil.rmtree(run.directory, ignore_errors=True)


def claim_of(name):
    def claim(suite):
        page(suite, name)
    claim.__name__, claim.__doc__ = name, f"{name}.md: what it shows happens"
    return claim


class ReadMe:
    """The blocks of README.md that are marked `run`, as a reader pastes them: shell blocks in the checkout, Python where the example's files are."""

    LIVE = "Deploy/Pipelines/ad-events-kafka.yaml"

    def __init__(self, suite):
        with open(os.path.join(common.ROOT, "README.md")) as f:
            self.text = f.read()
        self.page = Page(suite, "README")
        self.demo, self.live = (os.path.join(self.page.directory, name) for name in ("demo", "live"))
        os.makedirs(self.live)
        with open(os.path.join(common.ROOT, self.LIVE)) as f:
            self.page.write("live.yaml", self.page.here(f.read()))

    def here(self, text):
        for shown, own in (("/tmp/weir-demo", self.demo), ("/tmp/weir", self.live), (self.LIVE, os.path.join(self.page.directory, "live.yaml"))):
            text = text.replace(shown, own)
        return self.page.here(text)

    def run(self, block):
        """(exit code, output)."""
        text = self.here(block.text)
        if block.language == "python":
            command, cwd = ["python", "-c", text], self.demo
        else:
            command, cwd = ["bash", "--norc", "-euo", "pipefail", "-c", text], common.ROOT
        # Its session: what it started in the background ends with it.
        process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   start_new_session=True, env={**os.environ, "PATH": self.page.path, "LC_ALL": "C.UTF-8", "NO_COLOR": "1"})
        try:
            out, _ = process.communicate(timeout=2 * COMMAND_LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, _ = process.communicate()
        finally:
            with common.contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return process.returncode, out

    def faults(self):
        """What README.md claims and does not happen."""
        blocks, prose = page_blocks.split(self.text)
        faults = [f"line {b.line}: ```{b.language} says neither run nor untried" for b in blocks if not b.words & {"run", "untried"}]
        outputs = {}
        for block in [b for b in blocks if "run" in b.words]:
            code, outputs[block.line] = self.run(block)
            if code:
                return faults + [f"line {block.line}: exit {code}; printed: {outputs[block.line][-500:]}"]
        everything = "\n".join(outputs.values())
        counts = re.search(r"([\d,]+) accepted records, ([\d,]+) duplicates and ([\d,]+) quarantined", "\n".join(line for _, line in prose))
        for number, name in zip(counts.groups(), ("accepted", "duplicate", "quarantined")):
            if not re.search(rf"^  {name} +{number}$", everything, re.M):
                faults.append(f"the replay of the example does not print {number} {name}")
        # The load found every record.
        if not re.search(r"^PASS ", everything, re.M):
            faults.append(f"the load did not pass: {everything[-1000:]}")
        return faults


def readme(suite):
    """README.md: its example, its queries and its live commands run as pasted, and print the counts that it states"""
    page = ReadMe(suite)
    page.page.shell.close()
    suite.claim(readme.__doc__, page.faults())


def links(suite):
    """No page has a dead link, anchor or path"""
    files = sorted(glob.glob(os.path.join(PAGES, "*.md"))) + [os.path.join(common.ROOT, "README.md")]
    prose = {}
    for path in files:
        with open(path) as f:
            prose[path] = page_blocks.split(f.read())[1]
    dead = []
    for path in files:
        at = os.path.relpath(path, common.ROOT)
        targets, paths = page_blocks.links(prose[path])
        if os.path.basename(path) != "Laws.md":
            dead += [f"{at}:{line}: {law}: a citation of a law is a link to it" for line, law in page_blocks.bare_laws(prose[path])]
        with open(path) as f:
            dead += [f"{at}:{number}: <doc:...> is no link on a code host" for number, line in enumerate(f, 1) if "<doc:" in line]
        for line, target in targets:
            file, _, anchor = target.partition("#")
            if "://" in file or file.startswith("mailto:"):
                continue
            there = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
            if not os.path.exists(there):
                dead.append(f"{at}:{line}: {target}: there is no such file")
            elif anchor and there in prose and anchor not in page_blocks.anchors(prose[there]):
                dead.append(f"{at}:{line}: {target}: the page has no such heading")
        dead += [f"{at}:{line}: {p}: there is no such file" for line, p in paths
                 if not glob.glob(os.path.join(common.ROOT, p.rstrip("/."))) and not glob.glob(os.path.join(common.ROOT, p + "*"))]
    listed = {file for _, target in page_blocks.links(prose[os.path.join(PAGES, "Weir.md")])[0] for file in [target.partition("#")[0]]}
    dead += [f"{os.path.basename(p)}: Weir.md does not list it" for p in files[:-1] if os.path.basename(p) not in listed | {"Weir.md"}]
    suite.claim(f"{links.__doc__} ({len(files)} files)", dead)


def main():
    suite = common.Suite("pages_run", 900, __doc__)
    claims = [claim_of(name) for name in RUN if os.path.exists(os.path.join(PAGES, f"{name}.md"))]
    suite.run(links, readme, *claims, together=2)


if __name__ == "__main__":
    main()

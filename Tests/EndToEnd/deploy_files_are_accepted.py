#!/usr/bin/env python3
"""The Dockerfile and the Kubernetes manifests, read by other programs, hadolint and kubernetes-validate; the packages that the image and
`Scripts/setup --run` install are those whose libraries the binary loads; and which binary `Scripts/quickstart` uses."""
import os
import re
import shutil
import subprocess
import sys

import common
import deploy
import kubernetes_validate

HADOLINT = os.path.join(os.path.dirname(sys.executable), "hadolint")
# Inside a released binary: Swift's runtime, and the libraries that Scripts/release links as archives.
INSIDE = re.compile(r"lib(swift|_?Foundation|dispatch|BlocksRuntime|lmdb|snappy|zstd|z\.)")
SYSTEM = {"libc6"}                     # in every Debian
# Certificates; rules of time zones; what Swift's runtime and archives in the binary load.
INDIRECT = {"ca-certificates", "tzdata", "libssl3", "libstdc++6"}


def hadolint(text):
    run = subprocess.run([HADOLINT, "--no-color", "-"], input=text, capture_output=True, text=True)
    return run.returncode, run.stdout.strip()


def dockerfile(suite):
    text = deploy.read("Dockerfile")
    status, found = hadolint(text)
    suite.claim("hadolint finds nothing in Deploy/Dockerfile", [found or f"exit code {status}"] if status else [])
    status, found = hadolint(text.replace("USER 10001:10001\n", "USER root\n"))
    suite.claim("hadolint finds an image that runs as root", [] if status and "DL3002" in found else f"exit code {status}: {found}")


def manifests(suite):
    suite.claim("the Kubernetes manifests fit their schemas, and what names each other is there", deploy.manifests())
    faults = []
    for _, document in deploy.documents():
        if document["kind"] == "StatefulSet":
            document["spec"]["replica"] = document["spec"].pop("replicas")
            try:
                kubernetes_validate.validate(document, "1.29", strict=True)
                faults.append("a misspelled key is valid")
            except kubernetes_validate.ValidationError:
                pass
    suite.claim("kubernetes-validate finds a misspelled key", faults)


def packages_of(text, after):
    return set(re.search(after + r"([^\n)&]*)", text)[1].split())


def packages(suite):
    dynamic = subprocess.run(["readelf", "-d", suite.weir], capture_output=True, text=True, check=True).stdout
    needed, faults = set(), []
    for library in re.findall(r"NEEDED.*\[(.*)\]", dynamic):
        if INSIDE.match(library):
            continue
        owners = subprocess.run(["dpkg-query", "-S", f"*/{library}"], capture_output=True, text=True).stdout
        found = {line.split(":")[0] for line in owners.splitlines() if re.search(r" /(usr/)?lib(64)?/([a-z0-9_]+-linux-gnu/)?[^/]+$", line)}
        faults += [] if found else [f"no package has {library}"]
        needed |= found
    second = deploy.read("Dockerfile").split("FROM ${RUNTIME_IMAGE}")[1]
    image = packages_of(second, "--no-install-recommends ") - {"\\"}
    with open(os.path.join(common.ROOT, "Scripts", "setup")) as f:
        run = packages_of(f.read(), r"RUN_PACKAGES=\(")
    faults += [f"the image lacks {p}" for p in sorted(needed - image - SYSTEM)]
    faults += [f"the image has {p}, which the binary does not load" for p in sorted(image - needed - INDIRECT)]
    faults += [f"Scripts/setup --run lacks {p}" for p in sorted(needed - run - SYSTEM - INDIRECT)]
    suite.claim("the image and Scripts/setup --run install the packages whose libraries the binary loads", faults)


def quickstart(suite):
    """A checkout whose scripts for set-up, capture and report are stand-ins, so that only the choice of a binary is left."""
    copy = suite.path("checkout")
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", common.ROOT, copy], check=True)
    shutil.copy(os.path.join(common.ROOT, "Scripts", "quickstart"), os.path.join(copy, "Scripts", "quickstart"))
    tools = suite.path("tools")
    for path, text in ((os.path.join(copy, "Scripts", "setup"), 'echo "setup $*" >&2'),
                       (os.path.join(copy, ".build", "venv", "bin", "python"), 'echo "$*" >&2'),
                       (os.path.join(copy, ".build", "release-7.8.9", "image", "root", "usr", "bin", "weir"), ""),
                       (os.path.join(copy, ".build", "release", "weir"), ""),
                       (os.path.join(copy, ".build", "debug", "weir"), ""),
                       (os.path.join(tools, "swift"), "")):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write("#!/usr/bin/env bash\n" + text + "\n")
        os.chmod(path, 0o755)
    head = subprocess.run(["git", "-C", copy, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
    released = ".build/release-7.8.9/image/root/usr/bin/weir"

    def used(commit):
        with open(os.path.join(copy, ".build", "release-7.8.9", "COMMIT"), "w") as f:
            f.write(commit)
        run = subprocess.run([os.path.join(copy, "Scripts", "quickstart")], capture_output=True, text=True,
                             env=os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"})
        found = re.search(r"--weir (\S+)", run.stderr)
        return (found[1] if found else run.stderr[-400:]), "setup --run" in run.stderr

    faults = []
    for case, commit, wanted in (("of this commit", head, (released, True)), ("of another commit", "0" * 40, (".build/release/weir", False))):
        found = used(commit)
        faults += [] if found == wanted else [f"a release {case}: {found}, not {wanted}"]
    with open(os.path.join(copy, "Package.swift"), "a") as f:
        f.write("// changed\n")
    found = used(head)
    faults += [] if found == (".build/debug/weir", False) else [f"sources are newer than every binary: {found}"]
    suite.claim("Scripts/quickstart uses a release of the same commit without a toolchain, else a release build that is newer than the "
                "sources, and else makes a debug build", faults)


common.Suite("deploy_files_are_accepted", 120, __doc__).run(dockerfile, manifests, packages, quickstart)

#!/usr/bin/env python3
"""Prints the bill of materials of a release, CycloneDX 1.5: the Swift packages, the Debian packages and the Swift runtime that are inside
the binary, and the Debian packages that it loads. Scripts/release runs it."""
import argparse
import datetime
import hashlib
import json
import os
import re
import subprocess
import uuid


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def licence(text):
    if "Apache License" in text:
        return "Apache-2.0 WITH Swift-exception" if "Runtime Library Exception" in text else "Apache-2.0"
    return "MIT" if "Permission is hereby granted, free of charge" in text else None


def swift_packages(scratch, linked):
    """Components of the Swift packages inside the binary, and their dependencies on each other."""
    with open("Package.resolved") as f:
        pins = {pin["identity"]: pin for pin in json.load(f)["pins"]}
    tree = json.loads(output("swift", "package", "--scratch-path", scratch, "show-dependencies", "--format", "json"))
    children = {}

    def visit(node):
        children.setdefault(node["identity"], sorted(d["identity"] for d in node["dependencies"]))
        for each in node["dependencies"]:
            visit(each)

    visit(tree)
    components, names = [], {name.lower() for name in linked}
    for identity in sorted(names):
        pin = pins[identity]
        location, version = pin["location"].removesuffix(".git"), pin["state"]["version"]
        folder = next(os.path.join(scratch, "checkouts", name) for name in linked if name.lower() == identity)
        texts = [open(os.path.join(folder, name)).read() for name in sorted(os.listdir(folder)) if name.startswith("LICENSE")]
        purl = f"pkg:swift/{location.removeprefix('https://')}@{version}"
        components.append(component("library", identity, version, purl, licence(texts[0]) if texts else None, "inside the binary",
                                    [{"type": "vcs", "url": location, "comment": f"revision {pin['state']['revision']}"}]))
    refs = {c["name"]: c["bom-ref"] for c in components}
    # A package that only leads to others, with no module of its own in the binary, is passed through.
    def below(identity, seen):
        for child in children.get(identity, []):
            if child in refs:
                yield refs[child]
            elif child not in seen:
                yield from below(child, seen | {child})

    depends = {refs[i]: sorted(set(below(i, {i})) - {refs[i]}) for i in refs}
    return components, depends, sorted(set(below(tree["identity"], set())))


def component(kind, name, version, purl, expression, linkage, references=()):
    found = {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if expression:
        found["licenses"] = [{"expression": expression}]
    if references:
        found["externalReferences"] = list(references)
    return found | {"properties": [{"name": "weir:linkage", "value": linkage}]}


def debian(name, linkage):
    query = output("dpkg-query", "-W", "-f", "${Version} ${Architecture}", name).split()
    with open("/etc/os-release") as f:
        system = dict(re.findall(r'^(ID|VERSION_ID)="?([^"\n]*)', f.read(), re.M))
    distribution = f"{system['ID']}-{system.get('VERSION_ID', 'unknown')}"
    purl = f"pkg:deb/{system['ID']}/{name}@{query[0].replace('+', '%2B').replace(':', '%3A')}?arch={query[1]}&distro={distribution}"
    return component("library", name, query[0], purl, None, linkage)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("version", "commit", "scratch", "binary", "deb"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--static", nargs="*", default=[], help="Debian packages whose code is inside the binary")
    parser.add_argument("--linked", nargs="*", default=[], help="checkouts whose code is inside the binary")
    given = parser.parse_args()

    packages, depends, direct = swift_packages(given.scratch, given.linked)
    toolchain = re.search(r"Swift version ([\d.]+)", output("swift", "--version"))[1]
    runtime = component("framework", "swift-runtime", toolchain, f"pkg:generic/swift@{toolchain}", "Apache-2.0 WITH Swift-exception",
                        "inside the binary: standard library, Foundation with ICU, Dispatch")
    static = [debian(name, "inside the binary") for name in given.static]
    needed = re.findall(r"([a-z0-9][a-z0-9+.-]+)(?: \([^)]*\))?(?:,|$)", output("dpkg-deb", "-f", given.deb, "Depends").strip())
    loaded = [debian(name, "loaded at run time from the system; the version is that of the build machine") for name in needed]
    components = packages + [runtime] + static + loaded

    with open(given.binary, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    reference = f"pkg:generic/weir@{given.version}"
    application = {
        "type": "application", "bom-ref": reference, "name": "weir", "version": given.version, "purl": reference,
        "hashes": [{"alg": "SHA-256", "content": digest}], "licenses": [{"expression": "Apache-2.0"}],
        "properties": [{"name": "weir:commit", "value": given.commit}]}
    others = [c["bom-ref"] for c in [runtime] + static + loaded]
    print(json.dumps({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, given.commit + digest)}",
        "metadata": {"timestamp": datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                     "component": application},
        "components": components,
        "dependencies": [{"ref": reference, "dependsOn": direct + others}]
        + [{"ref": ref, "dependsOn": refs} for ref, refs in sorted(depends.items())]
        + [{"ref": ref, "dependsOn": []} for ref in others],
    }, indent=1))


main()

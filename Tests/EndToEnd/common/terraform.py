"""Reads a Terraform module with python-hcl2, and checks what `terraform validate` would without its provider: each name that an expression
has is declared, each declaration is used, and counted things are indexed."""
import functools
import glob
import os
import re

import hcl2

WORDS = {"for", "in", "if", "true", "false", "null"}
FUNCTIONS = set("""alltrue can cidrhost coalesce contains distinct floor jsonencode join length lookup lower merge regex replace setsubtract slice split
    startswith templatefile tonumber toset trim try values yamldecode""".split())
META = {"count", "for_each", "depends_on", "lifecycle"}


@functools.lru_cache(maxsize=None)
def parsed(text):
    """What a file declares. Do not change it: planted faults parse one file of many."""
    return hcl2.loads(text)


def bare(text):
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def is_own(name):
    """Whether a member is the parser's: a mark of blocks, or comments."""
    return name.startswith("__")


class Expression:
    """The names of an expression. It knows HCL's strings, with expressions inside, and what `for` and object keys declare."""

    CHAIN = re.compile(r"[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*|\.\*|\[\d+\]|\[\*\]|\[each\.key\])*")

    def __init__(self, text):
        self.chains, self.calls, self.own = [], set(), set()
        self._code(text, 0, None)

    def _code(self, text, at, until):
        """Up to the closing brace `until`, or the end. Where it ended."""
        depth = 0
        while at < len(text):
            c = text[at]
            if c == '"':
                at = self._string(text, at + 1)
                continue
            if c == until and depth == 0:
                return at
            depth += {"{": 1, "}": -1}.get(c, 0)
            found = self.CHAIN.match(text, at)
            # `.name` after an index or a call is a member of what was there.
            if not found or (at > 0 and (text[at - 1].isalnum() or text[at - 1] in "_.")):
                at += 1
                continue
            self._name(found[0], text, found.end())
            at = found.end()
        return at

    def _string(self, text, at):
        while at < len(text):
            if text[at] == "\\":
                at += 2
            elif text[at] == '"':
                return at + 1
            elif text.startswith("$${", at):
                at += 3
            elif text.startswith("${", at):
                at = self._code(text, at + 2, "}") + 1
            else:
                at += 1
        return at

    def _name(self, name, text, end):
        rest = text[end:].lstrip()
        if name in WORDS:
            if name == "for":
                declared = re.match(r"\s*([\w-]+)(?:\s*,\s*([\w-]+))?\s+in\b", text[end:])
                self.own |= {n for n in declared.groups() if n} if declared else set()
        elif rest.startswith("("):
            self.calls.add(name)
        elif "." not in name and re.match(r"=(?![=>])|:(?!:)", rest) and "?" not in text[:end]:
            pass                       # the key of an object
        else:
            self.chains.append(name)


def expressions(value):
    """Texts of all expressions in a parsed value."""
    if isinstance(value, dict):
        for name, member in value.items():
            if not is_own(name):
                yield from expressions(member)
    elif isinstance(value, list):
        for member in value:
            yield from expressions(member)
    elif isinstance(value, str):
        yield value[2:-1] if value.startswith("${") and value.endswith("}") else value


class Module:
    """The declarations of a directory's .tf files, or of texts."""

    def __init__(self, directory, texts=None):
        self.directory = directory
        self.texts = texts or {}
        if texts is None:
            for path in sorted(glob.glob(os.path.join(directory, "*.tf"))):
                with open(path) as f:
                    self.texts[os.path.basename(path)] = f.read()
        self.variables, self.locals, self.outputs, self.modules = {}, {}, {}, {}
        self.resources, self.data, self.providers = {}, {}, []
        for text in self.texts.values():
            self._read(parsed(text))

    def _read(self, declared):
        for kind, into in (("variable", self.variables), ("output", self.outputs), ("module", self.modules)):
            for block in declared.get(kind, []):
                into.update({bare(name): body for name, body in block.items() if not is_own(name)})
        for block in declared.get("provider", []):
            self.providers += [body for name, body in block.items() if not is_own(name)]
        for block in declared.get("locals", []):
            self.locals.update({name: value for name, value in block.items() if not is_own(name)})
        for kind, into in (("resource", self.resources), ("data", self.data)):
            for block in declared.get(kind, []):
                for type_name, bodies in block.items():
                    if not is_own(type_name):
                        into.update({f"{bare(type_name)}.{bare(name)}": body for name, body in bodies.items() if not is_own(name)})

    def with_text(self, file, old, new):
        """The module with a change of one file; for planted faults."""
        if old not in self.texts[file]:
            raise ValueError(f"{file} does not contain {old}")
        return Module(self.directory, {**self.texts, file: self.texts[file].replace(old, new)})

    def parts(self):
        """(where, parsed value, names that the part declares itself)"""
        for name, body in self.variables.items():
            yield f"var.{name}", {k: v for k, v in body.items() if k != "type"}, set()
        for name, value in self.locals.items():
            yield f"local.{name}", value, set()
        for name, body in self.outputs.items():
            yield f"output.{name}", body, set()
        for name, body in self.modules.items():
            yield f"module.{name}", body, set()
        for body in self.providers:
            yield "provider", body, set()
        for kind, bodies in (("", self.resources), ("data.", self.data)):
            for name, body in bodies.items():
                labels = {bare(label) for block in body.get("dynamic", []) for label in block if not is_own(label)}
                yield f"{kind}{name}", {k: v for k, v in body.items() if k != "lifecycle"}, labels
                for block in body.get("lifecycle", []):
                    # ignore_changes names arguments, not things.
                    yield f"{kind}{name}.lifecycle", {k: v for k, v in block.items() if k != "ignore_changes"}, set()

    # -- Names

    def _declared(self, chain):
        """(the declaration that a chain names, what is wrong with it)"""
        parts = re.sub(r"\[[^\]]*\]|\.\*", "", chain).split(".")
        index = re.match(r"(?:data\.)?[\w-]+\.[\w-]+(\[[^\]]*\]|\.\*)", chain)
        root = parts[0]
        for name, there in (("var", self.variables), ("local", self.locals), ("module", self.modules)):
            if root == name:
                key = parts[1] if len(parts) > 1 else ""
                return f"{name}.{key}", None if key in there else f"{name}.{key} is not declared"
        there, key = (self.data, ".".join(parts[1:3])) if root == "data" else (self.resources, ".".join(parts[:2]))
        full = f"data.{key}" if root == "data" else key
        if key not in there:
            return full, f"{full} is not declared"
        body = there[key]
        if "count" in body and not index:
            return full, f"{full} has a count, and is used without an index"
        if index and "count" not in body and "for_each" not in body:
            return full, f"{full} has no count, and is used with an index"
        return full, None

    def references(self):
        """(faults, names that are used)"""
        faults, used = [], set()
        for where, value, own in self.parts():
            for text in expressions(value):
                found = Expression(text)
                faults += [f"{where}: {call} is not a function that is known here" for call in sorted(found.calls - FUNCTIONS)]
                for chain in found.chains:
                    root = re.split(r"[.\[]", chain)[0]
                    if root in own | found.own | {"each", "count", "path"} or (root in {"string", "number", "bool"} and root == chain):
                        continue
                    name, fault = self._declared(chain)
                    used.add(name)
                    whole = fault and "without an index" in fault and (f"length({chain})" in text or where in self._dependants(name))
                    if fault and not whole:
                        faults.append(f"{where}: {fault}")
        return faults, used

    def _dependants(self, name):
        """Parts whose depends_on has the whole of a counted resource."""
        return {where for where, value, _ in self.parts()
                if isinstance(value, dict) and any(name == text for text in expressions(value.get("depends_on", [])))}

    def faults(self):
        """What is wrong with the names of the module."""
        faults, used = self.references()
        declared = {f"var.{n}" for n in self.variables} | {f"local.{n}" for n in self.locals} | {f"data.{n}" for n in self.data}
        faults += [f"{name} is not used" for name in sorted(declared - used)]
        for name, body in self.variables.items():
            faults += [f"var.{name} has no {what}" for what in ("description", "type") if what not in body]
            faults += [f"var.{name}: a validation has no error_message" for v in body.get("validation", []) if "error_message" not in v]
        for name, body in self.outputs.items():
            chains = [chain for text in expressions(body["value"]) for chain in Expression(text).chains]
            if not any(chain.startswith(("aws_", "data.aws_", "module.")) for chain in chains):
                faults.append(f"output.{name} is not of a resource")
            faults += [] if "description" in body else [f"output.{name} has no description"]
        return faults

    def call_faults(self, name, called):
        """Of a call of another module: arguments that it has not, arguments that are missing, outputs that it has not."""
        body = self.modules[name]
        given = {n for n in body if not is_own(n)} - META - {"source", "providers", "version"}
        required = {n for n, v in called.variables.items() if "default" not in v}
        faults = [f"module.{name}: there is no variable {n}" for n in sorted(given - set(called.variables))]
        faults += [f"module.{name}: {n} is missing" for n in sorted(required - given)]
        for _, value, _ in self.parts():
            for text in expressions(value):
                faults += [f"there is no output {output}" for output in re.findall(rf"module\.{name}\.(\w+)", text)
                           if output not in called.outputs]
        return faults


def evaluated(value, names):
    """A parsed value with its expressions replaced: `names` has the value of each. KeyError: an expression that it has not."""
    if isinstance(value, dict):
        return {bare(name): evaluated(member, names) for name, member in value.items() if not is_own(name)}
    if isinstance(value, list):
        return [evaluated(member, names) for member in value]
    if isinstance(value, str) and value.startswith("${") and value.endswith("}"):
        return names[value[2:-1]]
    if isinstance(value, str) and value.startswith('"'):
        text = re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r", "t": "\t"}.get(m[1], m[1]), bare(value))
        return re.sub(r"(?<!\$)\$\{([^}]*)\}", lambda m: str(names[m[1]]), text)
    return value

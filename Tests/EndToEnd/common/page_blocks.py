"""Reads pages: their fenced blocks, commands with the output that is shown, headings and links. `pages_run.py` runs what this finds.

A fence's first line says what becomes of the block:

    ```yaml pipeline=NAME             written to NAME.yaml, which `weir check` must accept without a warning
    ```yaml pipeline=NAME from=BASE   only the sections that differ: the others are those of BASE.yaml
    ```csv file=NAME                  written to the file NAME (any language)
    ```console                        commands, each after `$ `, with the output that they must have
    ```console eventually             the same, repeated until the output is as shown
    ```console exit=1                 the last command must exit with 1 instead of 0
    ```console untried                not run; the driver counts them
    ```text                           not run: a picture, an extract of a log

In README.md a block is marked `run` (the whole block is one script) or `untried`.
"""
import re

LINK = re.compile(r"(?<!!)\[(?:[^\]\[]|\[[^\]]*\])*\]\(<?([^)\s>]+)>?\)")
DOC = re.compile(r"<doc:([A-Za-z0-9-]+)(?:#([^>]*))?>")
INLINE = re.compile(r"`[^`\n]*`")
PATH = re.compile(r"`((?:Deploy|Scripts|Tests|Sources)/[A-Za-z0-9_./-]+)`")


class Block:
    """A fenced block: where it begins, its language, its words and NAME=VALUE pairs, and its text."""

    def __init__(self, line, info):
        words = info.split()
        self.line, self.language = line, words[0] if words else ""
        self.words = {w for w in words[1:] if "=" not in w}
        self.values = dict(w.split("=", 1) for w in words[1:] if "=" in w)
        self.text = ""


def split(text):
    """(blocks, the page's lines outside them: (number, line))."""
    blocks, prose, open_block, fence = [], [], None, ""
    for number, line in enumerate(text.split("\n"), 1):
        found = re.match(r"\s*(```+|~~~+)(.*)$", line)
        if open_block:
            if found and found[1].startswith(fence) and not found[2].strip():
                blocks.append(open_block)
                open_block = None
            else:
                open_block.text += line + "\n"
        elif found:
            fence, open_block = found[1], Block(number, found[2])
        else:
            prose.append((number, line))
    if open_block:
        raise ValueError(f"line {open_block.line}: the block does not end")
    return blocks, prose


def commands(block):
    """[(line, command, expected lines)]. A command continues while a line ends with a backslash, or after `> `."""
    out = []
    for number, line in enumerate(block.text.rstrip("\n").split("\n"), block.line + 1):
        if line.startswith("$ "):
            out.append((number, line[2:], []))
        elif not out:
            raise ValueError(f"line {number}: output before the first command")
        else:
            at, command, shown = out[-1]
            if not shown and (command.endswith("\\") or line.startswith("> ")):
                out[-1] = (at, command + "\n" + (line[2:] if line.startswith("> ") else line), shown)
            else:
                shown.append(line)
    return out


def shown_as(expected, actual):
    """Whether output is what the page shows: `…` is any text in a line, and alone any number of lines."""
    parts = [r"(?:.*\n)*?" if line.strip() == "…" else re.escape(line.rstrip()).replace("…", ".*") + r"[ \t]*\n" for line in expected]
    return re.fullmatch("".join(parts), actual) is not None


def anchors(prose):
    """The anchors that a code host makes of a page's headings."""
    found, counts = set(), {}
    for _, line in prose:
        heading = re.match(r"#{1,6}\s+(.*?)\s*#*$", line)
        if heading:
            slug = re.sub(r"[^\w\- ]", "", heading[1].lower().replace("`", "")).replace(" ", "-")
            again = counts.get(slug, 0)
            counts[slug] = again + 1
            found.add(f"{slug}-{again}" if again else slug)
    return found


def bare_laws(prose):
    """[(line, citation)] of laws that are cited without a link."""
    return [(number, found) for number, line in prose for found in re.findall(r"\blaws? \d", LINK.sub("", line))]


def links(prose):
    """[(line, target)] of a page: Markdown's and DocC's; [(line, path)] of files of the project that it names."""
    targets, paths = [], []
    for number, line in prose:
        # A part in capitals stands for any name.
        paths += [(number, path) for path in PATH.findall(line) if not any(part.isupper() for part in path.split("/"))]
        bare = INLINE.sub("", line)
        targets += [(number, target) for target in LINK.findall(re.sub(r"`", "", line) if "](" in line else bare)]
        targets += [(number, f"{page}.md" + (f"#{anchor}" if anchor else "")) for page, anchor in DOC.findall(bare)]
    return targets, paths

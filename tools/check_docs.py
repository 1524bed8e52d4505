#!/usr/bin/env python3
"""Checks what the Markdown pages promise: links lead somewhere, files and the names in them exist,
prose keeps to 100 columns, commands use verbs and flags that the programs list, and the version is
that of CMakeLists.txt.

Run from anywhere: tools/check_docs.py [BIN], where BIN is the folder of nestvit; commands are left
out without it. Prints each mistake with its line, and exits 1.

In a block between fences each line that starts nestvit is a command, or only those after "$ " where
the block has such; a block of other things says what it is: ```text, ```cpp."""

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 100
FORMULAS = ["docs/reference.md"]  # lines as long as a formula
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")
ROOTS = "bench cmake configs docs include scripts src tests tools".split()
PROGRAMS = ("nestvit", "nestvit-train")


def pages():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT,
                            capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split()]


def parts(text):
    """(line number, line) of the prose, and (info, [(line number, line)]) of each fenced block."""
    prose, blocks, block = [], [], None
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            if block is None:
                block = (line.strip("` "), [])
            else:
                blocks.append(block)
                block = None
        elif block is None:
            prose.append((number, line))
        else:
            block[1].append((number, line))
    return prose, blocks


@cache
def anchors(page):
    """As GitHub makes them of the headings."""
    found = set()
    for _, line in parts(page.read_text())[0]:
        if line.startswith("#"):
            words = LINK.sub(lambda link: link[0][1:].partition("]")[0], line).lstrip("# ").lower()
            slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
            again = sum(1 for other in found if re.fullmatch(rf"{slug}(-\d+)?", other))
            found.add(f"{slug}-{again}" if again else slug)
    return found


def broken_links(page, prose):
    for number, line in prose:
        for target in LINK.findall(CODE.sub("", line)):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = (page.parent / name).resolve() if name else page
            if not file.exists():
                yield number, f"links to {target}: there is no such file"
            elif anchor and file.suffix == ".md" and anchor not in anchors(file):
                yield number, f"links to {target}: no heading makes that anchor"


def missing_names(prose):
    """`src/a/b.cpp`, `src/a/*.h`, or `src/a/b.cpp:word`, a word of that file."""
    for number, line in prose:
        for code in CODE.findall(line):
            path, _, word = code.partition(" ")[0].partition(":")
            if path.partition("/")[0] not in ROOTS or "/" not in path or "<" in path or "{" in path:
                continue
            if not list(ROOT.glob(path.replace("NAME", "*"))):
                yield number, f"names `{path}`, which does not exist"
            elif word and not re.search(rf"\b{re.escape(word)}\b", (ROOT / path).read_text()):
                yield number, f"names `{code}`: the file has no such word"


def long_lines(prose):
    for number, line in prose:
        if len(LINK.sub("", line)) > COLUMNS and not line.lstrip().startswith("|"):
            yield number, f"has {len(line)} columns: break it before {COLUMNS}"


def commands(blocks):
    """(line number, words from the program's name on) of each nestvit in a block."""
    for info, lines in blocks:
        prompted = any(line.startswith("$ ") for _, line in lines)
        if info not in ("", "sh", "bash"):
            continue
        start, whole = 0, ""
        for number, line in lines:
            start = start if whole else number
            whole += line
            if whole.endswith("\\"):
                whole = whole[:-1]
                continue
            if not prompted or whole.startswith("$ "):
                text = whole.removeprefix("$ ").replace('"$(', "; ").replace("$(", "; ")
                yield from ((start, words) for words in programs_in(text))
            whole = ""


def programs_in(text):
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # half a quotation
        words = text.split()
    for at, word in enumerate(words):
        starts = at == 0 or words[at - 1] in (";", "|", "&&", "(") or "=" in words[at - 1]
        if Path(word).name in PROGRAMS and starts:
            end = next((i for i in range(at, len(words)) if set(words[i]) <= set(";|&()<>")), None)
            yield [Path(word).name, *words[at + 1 : end]]


@cache
def help_of(binaries, *words):
    command = [binaries / words[0], *words[1:], "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


def wrong_commands(binaries, blocks):
    has_train = (binaries / "nestvit-train").exists()
    for number, (program, *words) in commands(blocks):
        verb, rest = words[:1], words[1:]
        if not verb or verb[0].startswith("-"):
            continue
        if not has_train and (program == "nestvit-train" or verb == ["train"]):
            continue
        if "ACTION" in help_of(binaries, program, *verb).partition("\n")[0]:
            verb, rest = words[:2], words[2:]
        text = help_of(binaries, program, *verb)
        if len(verb) == 2 and text == help_of(binaries, program, verb[0]):  # of no known action
            text = ""
        listed = set(re.findall(r"(?<![\w-])--?\w[\w-]*", text))
        if not listed:
            yield number, f"has `{program} {' '.join(verb)}`: {program} lists no such verb"
        for word in rest:
            flag = word.partition("=")[0]
            if flag.startswith("--config."):  # of every verb that reads a model or a recipe
                continue
            if re.match(r"--?[a-z]", flag) and listed and flag not in listed:
                said = " ".join([program, *verb])
                yield number, f"has `{said} … {word}`: `{said} --help` does not list {flag}"


def other_versions():
    """CMakeLists.txt has the version; what repeats it must say the same."""
    cmake = (ROOT / "CMakeLists.txt").read_text()
    version = re.search(r"project\(nestvit VERSION (\S+)", cmake)[1]
    lines = {"CITATION.cff": f"version: {version}", "CHANGELOG.md": f"## [{version}]"}
    for name, line in lines.items():
        file = ROOT / name
        if file.exists() and not re.search(f"^{re.escape(line)}", file.read_text(), re.M):
            yield f"{name}:1 has no line '{line}', the version of CMakeLists.txt"


def main():
    binaries = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
    if binaries and not (binaries / "nestvit").exists():
        sys.exit(f"there is no nestvit in {binaries}: build it, or leave the folder out")
    mistakes = list(other_versions())
    for page in pages():
        prose, blocks = parts(page.read_text())
        name = page.relative_to(ROOT).as_posix()
        found = [*broken_links(page, prose), *missing_names(prose)]
        if name not in FORMULAS:
            found += long_lines(prose)
        if binaries:
            found += wrong_commands(binaries, blocks)
        mistakes += [f"{name}:{number} {mistake}" for number, mistake in sorted(found)]
    print("\n".join(mistakes) or f"docs: {len(pages())} pages keep their promises")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())

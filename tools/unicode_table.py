#!/usr/bin/env python3
"""Writes src/core/base/unicode_table.inc: how letters with marks are put together.

    tools/unicode_table.py > src/core/base/unicode_table.inc

From Python's copy of the Unicode Character Database. Left out are Hangul, which is computed, the
compatibility ideographs, and what is beyond the Basic Multilingual Plane (musical notes and a few
letters of Indic scripts)."""

import unicodedata

LETTERS = [c for c in range(0x10000) if not 0xF900 <= c < 0xFB00]
PER_LINE = 5


def parts(code):
    text = unicodedata.decomposition(chr(code))
    return [] if text.startswith("<") else [int(part, 16) for part in text.split()]


def table(name, type_name, rows, note):
    print(f"// {note}\nconstexpr {type_name} {name}[] = {{")
    for begin in range(0, len(rows), PER_LINE):
        row = rows[begin : begin + PER_LINE]
        print("    " + ", ".join("{" + ", ".join(f"0x{n:X}" for n in r) + "}" for r in row) + ",")
    print("};")


def main():
    split = {c: parts(c) for c in LETTERS if parts(c)}
    whole = [c for c in split if unicodedata.normalize("NFC", chr(c)) == chr(c)]
    rest = [c for c in split if c not in whole]
    marks = sorted({m for p in split.values() for m in p if unicodedata.combining(chr(m))})
    print(f"// Made by tools/unicode_table.py from Unicode {unicodedata.unidata_version}.")
    composed = "Letters that the composed form keeps: letter, its two parts."
    table("kComposed", "Composition", [[c, *split[c]] for c in whole], composed)
    apart = "Letters that it does not keep: letter, one or two parts."
    table("kApart", "Composition", [[c, *(split[c] + [0])[:2]] for c in rest], apart)
    order = "Marks, with the class that orders several of them on one letter."
    table("kMarks", "Mark", [[m, unicodedata.combining(chr(m))] for m in marks], order)


main()

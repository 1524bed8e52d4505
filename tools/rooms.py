#!/usr/bin/env python3
"""Draws docs/pictures/rooms.svg, the rooms of the sources and who may include whom, from the table
ROOMS of tools/check_layers.py. An arrow that follows from others is left out.

tools/rooms.py writes the picture; tools/rooms.py --check says whether it is the table's."""

import sys
from functools import cache
from html import escape
from itertools import pairwise

from check_layers import ROOMS, ROOT, found

PICTURE = ROOT / "docs/pictures/rooms.svg"
# Where a room stands from left to right, in columns; how far up follows from what it includes.
COLUMNS = {
    "base": 1.35,
    "nestvit": 3,
    "model": 0,
    "metrics": 1,
    "kernels": 2,
    "hub": 3,
    "image": 0,
    "weights": 1.3,
    "data": 0,
    "report": 1,
    "runtime": 2.3,
    "explain": 1.9,
    "run": 0.5,
    "api": 3,
    "train": 1,
    "bench": 0,
    "cuda": 1,
    "cli": 2.2,
}
COLOURS = {  # kind: (fill, frame, what it says)
    "core": ("#e8f1f8", "#3b7ea1", "src/core: libraries without libtorch"),
    "torch": ("#fbeadf", "#c2703d", "src/train, src/cuda: libtorch"),
    "program": ("#ebf3e6", "#5f8f4e", "programs and libnestvit.so"),
}
KINDS = {"train": "torch", "cuda": "torch", "cli": "program", "api": "program"}
KINDS |= {"bench": "program", "nestvit": "program"}

PITCH, WIDTH, LINE, GAP, MARGIN = 262, 244, 17, 46, 14
INK, PAPER, GREY = "#1d2b33", "#fcfcfa", "#6c7a82"


def hall(name):
    return name.partition("/")[0]


HALLS = list(dict.fromkeys(map(hall, ROOMS)))
MAY = {
    at: {hall(to) for room in ROOMS if hall(room) == at for to in ROOMS[room][0].split()} - {at}
    for at in HALLS
}


@cache
def reach(at):
    """All halls that `at` may see, through others too."""
    return MAY[at].union(*(reach(to) for to in MAY[at]))


@cache
def storey(at):
    return 1 + max(map(storey, MAY[at]), default=-1)


def lines_of(at):
    """(name, what lives there) of the hall and of the rooms in it."""
    rooms = [room for room in ROOMS if hall(room) == at and not room.endswith(".cpp")]
    rooms.sort(key=lambda room: room != at)
    return [(room.removeprefix(at + "/"), ROOMS[room][1]) for room in rooms]


def arrows():
    for at in HALLS:
        yield from ((at, to) for to in MAY[at] if not any(to in reach(via) for via in MAY[at]))


def heights():
    """Of each storey: as many lines as its fullest hall needs."""
    count = {}
    for at in HALLS:
        count[storey(at)] = max(count.get(storey(at), 0), len(lines_of(at)))
    return {level: LINE * lines + 18 for level, lines in count.items()}


def places():
    """hall -> (left, top, height); a storey's halls stand on its floor."""
    height, top, at_storey = heights(), MARGIN, {}
    for level in sorted(height, reverse=True):
        at_storey[level] = top
        top += height[level] + GAP
    return {
        at: (
            MARGIN + round(COLUMNS[at] * PITCH),
            at_storey[storey(at)],
            LINE * len(lines_of(at)) + 18,
        )
        for at in HALLS
    }


def way(at, to, place):
    """Points from the foot of `at` to the head of `to`, past the halls of the storeys between."""
    height = heights()
    (left, top, tall), (end_left, end_top, _) = place[at], place[to]
    start, end = (left + WIDTH / 2, top + tall), (end_left + WIDTH / 2, end_top)
    points = [start]
    for level in range(storey(at) - 1, storey(to), -1):
        halls = sorted(place[h][0] for h in HALLS if storey(h) == level)
        head = next(place[h][1] for h in HALLS if storey(h) == level)
        share = (head + height[level] / 2 - start[1]) / (end[1] - start[1])
        straight = start[0] + share * (end[0] - start[0])
        free = [straight] if all(not x - 8 < straight < x + WIDTH + 8 for x in halls) else []
        free += [x - 9 for x in halls] + [x + WIDTH + 9 for x in halls]
        free = [x for x in free if all(not h < x < h + WIDTH for h in halls)]
        x = min(free, key=lambda x: (abs(x - straight), x))
        points += [(x, head), (x, head + height[level])]
    return [*points, end]


def path(points):
    text = f"M{points[0][0]:.0f},{points[0][1]:.0f}"
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (y0 + y1) / 2
        text += f" C{x0:.0f},{middle:.0f} {x1:.0f},{middle:.0f} {x1:.0f},{y1:.0f}"
    return text


def rectangle(left, top, width, height, radius, fill, frame):
    return (
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="{radius}" '
        f'fill="{fill}" stroke="{frame}"/>'
    )


def box(at, place):
    left, top, tall = place
    fill, frame, _ = COLOURS[KINDS.get(at, "core")]
    yield rectangle(left, top, WIDTH, tall, 6, fill, frame)
    for i, (name, what) in enumerate(lines_of(at)):
        weight = ' font-weight="bold" font-size="14"' if i == 0 else ""
        yield (
            f'<text x="{left + 9}" y="{top + 21 + LINE * i}"><tspan{weight}>{escape(name)}</tspan>'
            f'<tspan dx="6" fill="{GREY if i else INK}">{escape(what)}</tspan></text>'
        )


def legend(bottom):
    yield f'<g fill="{GREY}">'
    for i, (fill, frame, what) in enumerate(COLOURS.values()):
        y = bottom - LINE * (3 - i)
        yield rectangle(MARGIN, y - 9, 14, 10, 2, fill, frame)
        yield f'<text x="{MARGIN + 22}" y="{y}">{escape(what)}</text>'
    yield f'<text x="{MARGIN}" y="{bottom}">An arrow: may include, and all below.</text></g>'


def picture():
    place = places()
    width = max(left for left, _, _ in place.values()) + WIDTH + MARGIN
    height = max(top + tall for _, top, tall in place.values()) + MARGIN
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="DejaVu Sans, Verdana, sans-serif" font-size="11" '
        f'fill="{INK}">'
    )
    yield "<title>The rooms of nestvit's sources and who may include whom</title>"
    yield (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
        f'markerHeight="8" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="{GREY}"/></marker></defs>'
    )
    yield f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>'
    yield f'<g fill="none" stroke="{GREY}" stroke-width="1.3">'
    for at, to in sorted(arrows()):
        yield f'<path d="{path(way(at, to, place))}" marker-end="url(#head)"/>'
    yield "</g>"
    for at in HALLS:
        yield from box(at, place[at])
    yield from legend(height - MARGIN - 4)
    yield "</svg>"


def main():
    missing = [at for at in HALLS if at not in COLUMNS or not found(at)]
    if missing:
        sys.exit(f"tools/rooms.py: give {', '.join(missing)} a column in COLUMNS")
    text = "\n".join(picture()) + "\n"
    if sys.argv[1:] != ["--check"]:
        PICTURE.write_text(text)
    elif not PICTURE.exists() or PICTURE.read_text() != text:
        sys.exit(f"{PICTURE.relative_to(ROOT)} is not what the table gives: run tools/rooms.py")


if __name__ == "__main__":
    main()

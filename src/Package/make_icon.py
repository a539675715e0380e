"""Draws icon.png, the packages' icon: five tokens on a line, and the arcs along which information flows to the last. Python's own library and nothing else.

    python3 make_icon.py icon.png
"""

import math
import struct
import sys
import zlib

SIZE = 128
OVERSAMPLED = 4
NIGHT, SAND, SPICE = (24, 22, 34), (226, 196, 142), (217, 108, 44)
GROUND = 92
TOKENS = [20, 42, 64, 86, 108]
# From which token to which, and how strong: the width of the arc.
ARCS = [(0, 2, 2.2, SAND), (1, 3, 1.6, SAND), (2, 4, 4.2, SPICE), (0, 4, 2.2, SPICE), (3, 4, 1.6, SAND)]


def colour(x, y):
    """The colour of a point, sharp; averaging over points makes it smooth."""
    for token in TOKENS:
        if math.hypot(x - token, y - GROUND) <= 6.5:
            return SPICE if token == TOKENS[-1] else SAND
    for first, last, width, tint in ARCS:
        centre, radius = (TOKENS[first] + TOKENS[last]) / 2, (TOKENS[last] - TOKENS[first]) / 2
        if y <= GROUND and abs(math.hypot(x - centre, (y - GROUND) * 0.72) - radius) <= width / 2 + 0.4:
            return tint
    return NIGHT


def inside(x, y):
    """Whether a point is within the rounded square."""
    corner = 22
    dx, dy = max(corner - x, x - (SIZE - corner), 0), max(corner - y, y - (SIZE - corner), 0)
    return math.hypot(dx, dy) <= corner


def pixel(column, row):
    """Red, green, blue and opacity of a pixel, averaged over a grid of points."""
    total, covered = [0, 0, 0], 0
    for i in range(OVERSAMPLED):
        for j in range(OVERSAMPLED):
            x, y = column + (i + 0.5) / OVERSAMPLED, row + (j + 0.5) / OVERSAMPLED
            if inside(x, y):
                covered += 1
                total = [t + c for t, c in zip(total, colour(x, y))]
    mean = [round(t / max(covered, 1)) for t in total]
    return bytes(mean + [round(255 * covered / OVERSAMPLED**2)])


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def main():
    rows = b"".join(b"\0" + b"".join(pixel(column, row) for column in range(SIZE)) for row in range(SIZE))
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 6, 0, 0, 0)
    with open(sys.argv[1], "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


if __name__ == "__main__":
    main()

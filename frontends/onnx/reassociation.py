"""How two shapes of one size line up: the groups of collapse_shape and expand_shape."""

from collections.abc import Sequence

Segment = tuple[tuple[int, ...], tuple[int, ...]]


def segments(source: Sequence[int], target: Sequence[int]) -> list[Segment]:
    """Cut both shapes into the most pieces of equal products; returns dim numbers."""
    parts: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(source) and j < len(target):
        left, right = [i], [j]
        a, b = source[i], target[j]
        i, j = i + 1, j + 1
        while a != b:
            if a < b:
                a *= source[i]
                left.append(i)
                i += 1
            else:
                b *= target[j]
                right.append(j)
                j += 1
        parts.append((left, right))
    if parts:
        parts[-1][0].extend(range(i, len(source)))
        parts[-1][1].extend(range(j, len(target)))
    return [(tuple(left), tuple(right)) for left, right in parts]


def groups_of(groups: Sequence[Sequence[int]]) -> str:
    return "[" + ", ".join("[" + ", ".join(map(str, g)) + "]" for g in groups) + "]"

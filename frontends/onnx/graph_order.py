"""Order of nodes: each behind those it reads; cycles and values without a producer are errors."""

import heapq
from collections.abc import Iterator

import onnx

from ansorc.frontends.errors import CyclicGraphError, DanglingInputError, InvalidModelError


def label(node: onnx.NodeProto) -> str:
    return node.name or f"{node.op_type}:{next(iter(node.output), '')}"


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """Names that the node needs, with those its subgraphs take from outside."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield from captured(graph)


def captured(graph: onnx.GraphProto) -> Iterator[str]:
    own = {v.name for v in (*graph.input, *graph.initializer)}
    own |= {name for node in graph.node for name in node.output}
    needed = [name for node in graph.node for name in reads(node)]
    needed += [o.name for o in graph.output]
    return (name for name in needed if name not in own)


def node_order(graph: onnx.GraphProto) -> list[int]:
    """Positions of the nodes in a topological order, as near to the given one as can be."""
    given = {v.name for v in (*graph.input, *graph.initializer)}
    given |= {s.values.name for s in graph.sparse_initializer}
    producer = producers(graph, given)
    dangling = [
        (f"node '{label(node)}'", name)
        for node in graph.node
        for name in dict.fromkeys(reads(node))
        if name not in given and name not in producer
    ]
    dangling += [("the graph's output", o.name) for o in graph.output if o.name not in given and o.name not in producer]
    if dangling:
        raise DanglingInputError(tuple(dangling))
    before = [{producer[n] for n in reads(node) if n in producer} for node in graph.node]
    after: list[list[int]] = [[] for _ in before]
    for position, needed in enumerate(before):
        for p in needed:
            after[p].append(position)
    missing = [len(needed) for needed in before]
    ready = [p for p, count in enumerate(missing) if count == 0]
    order: list[int] = []
    while ready:
        position = heapq.heappop(ready)
        order.append(position)
        for p in after[position]:
            missing[p] -= 1
            if missing[p] == 0:
                heapq.heappush(ready, p)
    if len(order) < len(before):
        raise CyclicGraphError(tuple(label(graph.node[p]) for p in cycle(before, set(order))))
    return order


def producers(graph: onnx.GraphProto, given: set[str]) -> dict[str, int]:
    producer: dict[str, int] = {}
    for position, node in enumerate(graph.node):
        for name in node.output:
            if name and (name in given or name in producer):
                raise InvalidModelError(f"node '{label(node)}' produces '{name}', which exists already")
            if name:
                producer[name] = position
    return producer


def cycle(before: list[set[int]], done: set[int]) -> list[int]:
    """Some cycle among the nodes that are not done, in the order of the data's flow."""
    path: list[int] = [next(p for p in range(len(before)) if p not in done)]
    while True:
        previous = min(p for p in before[path[-1]] if p not in done)
        if previous in path:
            return path[path.index(previous) :][::-1]
        path.append(previous)

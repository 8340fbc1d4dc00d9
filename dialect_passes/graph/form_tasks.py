"""Group the operations of @main into tasks, one function for each unique computation.

    %a = conv ...; %b = generic (bias + relu) %a; %c = tensor.pad %b
    -->
    %c = call @task_3f2a(...)        func @task_3f2a { conv; generic; tensor.pad }

Operations are visited from the last to the first. One joins the task of its users if all of them are in one task and
the rules below allow it; otherwise it becomes the result of a new task. So a task has one result, and no value is
computed twice.

    anchor (convolution, matmul, pooling)   joins elementwise users of its own shape, with a trailing pad; one a task
    collapse_shape                          joins a trailing pad
    elementwise                             joins elementwise users, row reductions and a pad
    row reduction (softmax, layer norm)     joins elementwise users and reductions over the same rows
    extract_slice, insert_slice             join elementwise users and each other; the former joins an anchor, too, or
                                            is a view (see place_parts); slices of concatenations are where they can
    transpose                               joins a pad
    pad                                     joins the anchor that reads it, if whoever makes its source cannot write it;
                                            starts a task otherwise
    concat                                  is none: see place_parts
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from mlir import ir
from mlir.dialects import linalg, tensor

from ansorc.dialect_passes.graph import join_chains, place_parts
from ansorc.dialect_passes.graph.groups import (
    SHADOWS,
    VIEWS,
    Group,
    before_collapse,
    is_anchor,
    is_elementwise,
    is_leading,
    is_row_reduction,
)
from ansorc.dialect_passes.graph.outline import LOAD, Outliner
from ansorc.dialect_passes.ir_walk import body, collect, functions, indexing_maps, pad_amounts, shape

SLICES = ("tensor.extract_slice", "tensor.insert_slice")
MAX_ROWS_DEPTH = 12
"""Most operations of a chain over rows."""


Fuse = Callable[[str, Sequence[str]], bool]
"""Whether a chain is to be one task: its text, and those of the tasks that it would replace."""


def never(fused: str, parts: Sequence[str]) -> bool:
    """Fuse no chains."""
    return False


def run(module: ir.Module, weights: dict[str, np.ndarray], fuse: Fuse = never) -> None:
    """Replace the operations of @main by calls of tasks; weights stay as they are.

    `fuse` decides about chains of several tasks that could be one (see join_chains).
    """
    main = next(f for f in functions(module) if ir.StringAttr(f.attributes["sym_name"]).value == "main")
    _copy_returned_values(main)
    place_parts.run(main)
    outline = Outliner(module, main)
    groups = _join(_group(main), outline, fuse)
    for group in groups:
        outline.add(group)
    outline.finish()


def _copy_returned_values(main: ir.Operation) -> None:
    """Give the return values of their own: not an input, a weight, a constant or one that is returned twice."""
    ret = list(body(main).operations)[-1].operation
    seen: set[ir.Value] = set()
    for k, value in enumerate(list(ret.operands)):
        source = value
        while not isinstance(source.owner, ir.Block) and source.owner.operation.name in VIEWS:
            source = source.owner.operation.operands[0]
        made = None if isinstance(source.owner, ir.Block) else source.owner.operation.name
        if made is None or made == LOAD or made in SHADOWS or source in seen:
            with ir.InsertionPoint(ret), ret.location:
                kind = ir.RankedTensorType(value.type)
                out = tensor.EmptyOp(list(kind.shape), kind.element_type).result
                copied = linalg.copy(value, outs=[out])
            ret.operands[k] = copied
            source = copied
        seen.add(source)


def _group(main: ir.Operation) -> list[Group]:
    operations = [o.operation for o in body(main).operations]
    member_of: dict[ir.Operation, Group] = {}
    groups: list[Group] = []
    for op in reversed(operations[:-1]):
        users = [use.owner.operation for use in op.results[0].uses]
        # A view stays in @main, so what it looks at has to be a value there.
        if op.name == LOAD or (op.name in SHADOWS and not any(u.name in VIEWS for u in users)):
            continue
        joined = {id(member_of[u]) if u in member_of else 0 for u in users}
        target = member_of[users[0]] if len(joined) == 1 and users[0] in member_of else None
        if op.name == place_parts.CONCAT or (op.name in VIEWS and not _inside_border(op, target)):
            continue  # they cost nothing between tasks
        joins = target is not None and _may_join(op, users, target)
        if (not joins or place_parts.is_cut_from_parts(op)) and place_parts.view_slice(op):
            continue
        if target is None or not joins:
            target = Group(op)
            groups.append(target)
        target.members.append(op)
        target.anchors += is_anchor(op)
        target.reductions += is_row_reduction(op)
        target.slices += op.name in SLICES
        target.pads += op.name == "tensor.pad"
        member_of[op] = target
    groups.reverse()
    return groups


def _join(groups: list[Group], outline: Outliner, fuse: Fuse) -> list[Group]:
    """Make one group of those that `fuse` wants to be one."""
    taken: set[int] = set()
    instead: dict[int, Group] = {}
    for parts in join_chains.candidates(groups):
        if any(id(part) in taken for part in parts):
            continue
        chain = join_chains.joined(parts)
        _own_constants(parts)
        if fuse(outline.text(chain), [outline.text(part) for part in parts]):
            taken |= {id(part) for part in parts}
            instead[id(parts[-1])] = chain
    return [instead.get(id(g), g) for g in groups if id(g) in instead or id(g) not in taken]


def _own_constants(parts: Sequence[Group]) -> None:
    """Let every part load its constants itself: what two read, each by its own loops, one schedule could not split."""
    loaded: set[ir.Value] = set()
    for part in parts:
        mine: dict[ir.Value, ir.Value] = {}
        for op in part.members:
            for k, operand in enumerate(op.operands):
                if isinstance(operand.owner, ir.Block) or operand.owner.operation.name != LOAD:
                    continue
                if operand in loaded and operand not in mine:
                    mine[operand] = operand.owner.operation.clone(ir.InsertionPoint(operand.owner)).results[0]
                if operand in mine:
                    op.operands[k] = mine[operand]
        loaded |= {v for op in part.members for v in op.operands if not isinstance(v.owner, ir.Block)}


def _may_join(op: ir.Operation, users: list[ir.Operation], group: Group) -> bool:
    if group.fixed:
        return False
    if op.name == "tensor.pad":
        source = op.operands[0]
        alone = all(value != source for member in group.members for value in member.operands)
        return group.anchors == 1 and alone and _pads_input(op, users) and not _written_with_border(source)
    if op.name in VIEWS:
        return True
    if any(u.name == "tensor.pad" and u != group.root for u in users):
        return False
    if op.name == "linalg.transpose":
        return len(group.members) == 1 and group.pads == 1
    if op.name == "tensor.extract_slice" and all(is_anchor(u) and u.name != "linalg.generic" for u in users):
        return True  # an anchor reads a part of its input where it lies
    if op.name in SLICES:
        return (
            group.anchors == 0 and group.reductions == 0 and all(is_elementwise(u) or u.name in SLICES for u in users)
        )
    if is_anchor(op):
        simple = group.anchors == 0 and group.reductions == 0 and group.slices == 0
        return simple and all(_same_points(op, u) for u in users)
    if is_row_reduction(op):
        if group.anchors or group.slices or group.pads or len(group.members) >= MAX_ROWS_DEPTH:
            return False
        return all(is_row_reduction(u) or is_elementwise(u) for u in users) and all(_reads_rows(op, u) for u in users)
    if not is_elementwise(op) or len(group.members) >= MAX_ROWS_DEPTH:
        return False
    if group.reductions:
        return all(_reads_rows(op, u) for u in users)
    return all(_same_points(op, u) for u in users)


def _pads_input(op: ir.Operation, users: list[ir.Operation]) -> bool:
    """Whether anchors read a pad first, and read nothing else of it; channels are no border."""
    first = all(is_anchor(u) and u.operands[0] == op.results[0] for u in users)
    once = all(sum(v == op.results[0] for v in u.operands) == 1 for u in users)
    return first and once and not any(amounts[-1] for amounts in pad_amounts(op))


def _written_with_border(source: ir.Value) -> bool:
    """Whether the operation that makes what is padded may write it into a larger buffer: nobody else reads it."""
    source = before_collapse(source)
    if isinstance(source.owner, ir.Block) or source.owner.operation.name in (*VIEWS, LOAD, place_parts.CONCAT):
        return False
    return len(list(source.uses)) == 1


def _inside_border(view: ir.Operation, group: Group | None) -> bool:
    """Whether a view stands between what a task computes and the border that it ends with."""
    value = view.results[0]
    users = [use.owner.operation for use in value.uses]
    ends = group is not None and group.root.name == "tensor.pad" and users == [group.root]
    return ends and before_collapse(value) != value


def _same_points(op: ir.Operation, user: ir.Operation) -> bool:
    """Whether a pad or an elementwise user reads every element of the result once, in order."""
    if user.name in ("tensor.pad", "tensor.collapse_shape"):
        return True
    if not is_elementwise(user):
        return False
    if user.name == "linalg.copy":
        return True
    result = op.results[0]
    for operand, m in zip(user.operands, indexing_maps(user), strict=True):
        if operand == result and m != ir.AffineMap.get_identity(m.n_dims, op.context):
            return False
    return shape(user.results[0]) == shape(result) and not collect(user, "tensor.extract")


def _reads_rows(op: ir.Operation, user: ir.Operation) -> bool:
    """Whether a user reads the result by its own leading loops."""
    if user.name != "linalg.generic" or collect(user, "tensor.extract"):
        return False
    result = op.results[0]
    maps = indexing_maps(user)
    return is_leading(maps[-1]) and all(
        is_leading(m) for operand, m in zip(user.operands, maps, strict=True) if operand == result
    )

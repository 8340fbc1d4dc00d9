"""Make functions of groups of operations, and calls in their place."""

from __future__ import annotations

import hashlib

from mlir import ir

from ansorc.dialect_passes import zero_border
from ansorc.dialect_passes.graph import place_parts
from ansorc.dialect_passes.graph.groups import SHADOWS, VIEWS, Group, is_anchor
from ansorc.dialect_passes.ir_walk import body, pad_amounts, text_of, value_of
from ansorc.dialect_passes.pitch import ATTRIBUTE
from ansorc.dialect_passes.schedule.skip_taps import is_zero

LOAD = "ml_program.global_load_const"


class Outliner:
    """Makes functions of groups; equal functions are one."""

    def __init__(self, module: ir.Module, main: ir.Operation) -> None:
        self.module = module
        self.main = main
        self.known: dict[str, ir.Operation] = {}
        self.borders: dict[ir.Value, ir.Attribute] = {}
        """Results of calls that end in zeros on some sides, and how many."""
        self.weight: dict[str, int] = {}

    def add(self, group: Group) -> None:
        members = group.members[::-1]  # they were found from the last to the first
        arguments = _arguments(members)
        function = self._function(members, arguments, group)
        text = text_of(function)
        symbol = symbol_of(text)
        if symbol in self.known:
            function.erase()
        else:
            self.known[symbol] = function
            attributes = function.attributes
            attributes["sym_name"] = ir.StringAttr.get(symbol)
            attributes["ansorc.node"] = ir.StringAttr.get(_node_name(group))
        self.weight[symbol] = self.weight.get(symbol, 0) + 1
        root = group.root
        with ir.InsertionPoint(root), root.location:
            call = ir.Operation.create(
                "func.call", [root.results[0].type], arguments, {"callee": ir.FlatSymbolRefAttr.get(symbol)}
            )
        zeros = _zeros_around(root.results[0])
        if zeros is not None:
            self.borders[call.results[0]] = zeros
        root.results[0].replace_all_uses_with(call.results[0])
        for op in reversed(members):
            op.erase()

    def text(self, group: Group) -> str:
        """Return the function that a group would become."""
        members = group.members[::-1]
        function = self._function(members, _arguments(members), group)
        text = text_of(function)
        function.erase()
        return text

    def _function(self, members: list[ir.Operation], arguments: list[ir.Value], group: Group) -> ir.Operation:
        result = group.root.results[0].type
        kind = ir.FunctionType.get([a.type for a in arguments], [result])
        entries = [ir.DictAttr.get(_place(a) | _constant(a) | self._border(a, members)) for a in arguments]
        attributes: dict[str, ir.Attribute] = {
            "sym_name": ir.StringAttr.get("task"),
            "function_type": ir.TypeAttr.get(kind),
            "sym_visibility": ir.StringAttr.get("private"),
            "arg_attrs": ir.ArrayAttr.get(entries),
            "ansorc.task": ir.UnitAttr.get(),
        }
        if place := _place(group.root.results[0]):
            attributes["res_attrs"] = ir.ArrayAttr.get([ir.DictAttr.get(place)])
        with ir.InsertionPoint(self.module.body), group.root.location:
            function = ir.Operation.create("func.func", [], [], attributes, regions=1)
            block = function.regions[0].blocks.append(*[a.type for a in arguments])
        mapped: dict[ir.Value, ir.Value] = dict(zip(arguments, block.arguments, strict=True))
        with ir.InsertionPoint(block):
            for op in members:
                _clone(op, mapped)
            with group.root.location:
                ir.Operation.create("func.return", [], [mapped[group.root.results[0]]])
        return function

    def _border(self, value: ir.Value, members: list[ir.Operation]) -> dict[str, ir.Attribute]:
        """Tell a convolution what it reads nothing but zeros of."""
        zeros = self.borders.get(value) or _zeros_around(value)
        windows = [m for m in members if m.name.startswith("linalg.conv_") and m.operands[0] == value]
        return {zero_border.ATTRIBUTE: zeros} if windows and zeros is not None else {}

    def finish(self) -> None:
        for symbol, function in self.known.items():
            kind = ir.IntegerType.get_signless(64)
            function.attributes["ansorc.weight"] = ir.IntegerAttr.get(kind, self.weight[symbol])
        for op in reversed([o.operation for o in body(self.main).operations]):
            if op.name in (*SHADOWS, *VIEWS, LOAD) and not list(op.results[0].uses):
                op.erase()


def symbol_of(text: str) -> str:
    """Return the name of the task that a function becomes: equal functions have equal names."""
    return f"task_{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _node_name(group: Group) -> str:
    anchor = next((m for m in group.members if is_anchor(m)), group.root)
    return str(anchor.location).removeprefix("loc(").removesuffix(")").strip('"')


def _clone(op: ir.Operation, mapped: dict[ir.Value, ir.Value]) -> None:
    for operand in _operands(op):
        if operand not in mapped:
            _clone(operand.owner.operation, mapped)
    clone = op.clone()
    _map_operands(clone, mapped)
    mapped.update(zip(op.results, clone.results, strict=True))


def _map_operands(clone: ir.Operation, mapped: dict[ir.Value, ir.Value]) -> None:
    for k, operand in enumerate(list(clone.operands)):
        if operand in mapped:
            clone.operands[k] = mapped[operand]
    for region in clone.regions:
        for block in region.blocks:
            for inner in block.operations:
                _map_operands(inner.operation, mapped)


def _operands(op: ir.Operation) -> list[ir.Value]:
    """Values from outside that an operation or its regions use, in order, without repetition."""
    found: dict[ir.Value, None] = {}
    inside: set[ir.Value] = set()

    def visit(current: ir.Operation) -> None:
        for operand in current.operands:
            if operand not in inside:
                found[operand] = None
        for region in current.regions:
            for block in region.blocks:
                inside.update(block.arguments)
                for inner in block.operations:
                    visit(inner.operation)
        inside.update(current.results)

    visit(op)
    return list(found)


def _arguments(members: list[ir.Operation]) -> list[ir.Value]:
    made = {r for m in members for r in m.results}
    found: dict[ir.Value, None] = {}

    def visit(op: ir.Operation) -> None:
        for operand in _operands(op):
            if operand in made:
                continue
            owner = operand.owner
            if not isinstance(owner, ir.Block) and owner.operation.name in SHADOWS:
                visit(owner.operation)
            else:
                found[operand] = None

    for op in members:
        visit(op)
    return list(found)


def _place(value: ir.Value) -> dict[str, ir.Attribute]:
    pitch = place_parts.place_of(value)[2]
    return {} if pitch is None else {ATTRIBUTE: pitch.attribute()}


def _zeros_around(value: ir.Value) -> ir.Attribute | None:
    pad = None if isinstance(value.owner, ir.Block) else value.owner.operation
    if pad is None or pad.name != "tensor.pad" or not is_zero(value_of(pad)):
        return None
    low, high = pad_amounts(pad)
    return ir.DenseI64ArrayAttr.get([*low, *high])


def _constant(value: ir.Value) -> dict[str, ir.Attribute]:
    source = place_parts.viewed(value)
    loaded = not isinstance(source.owner, ir.Block) and source.owner.operation.name == LOAD
    return {"ansorc.constant": ir.UnitAttr.get()} if loaded else {}

"""Where the values that a function returns or yields come from, within that function."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from flowc_dsl import limits
from flowc_dsl.pysource.facts import Dotted, Made
from flowc_dsl.source import Span

FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_ADDING: Final = frozenset({"add", "append", "appendleft", "extend", "extendleft", "insert"})
_PASSING: Final = frozenset(
    {"chain", "cycle", "deque", "filter", "from_iterable", "islice", "iter", "list", "next",
     "reversed", "sorted", "tuple"}
)  # fmt: skip

SpanOf = Callable[[ast.expr], Span]


def dotted(node: ast.AST | None) -> Dotted | None:
    """`a.b.c`, if the expression is only that, and no longer than a name can be."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute) and len(parts) < limits.PY_NAME_PARTS_MAX:
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return (node.id, *reversed(parts))


class Body:
    """One function: what is assigned to its variables, and what leaves it."""

    def __init__(
        self, function: ast.FunctionDef | ast.AsyncFunctionDef, nodes: Iterable[ast.AST]
    ) -> None:
        args = function.args
        given = (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg)
        self.params = {arg.arg for arg in given if arg} - {"self", "cls"}
        self.left: list[ast.expr] = []
        self.assigned: dict[str, list[ast.expr]] = {}
        for node in nodes:
            self._note(node)

    def _note(self, node: ast.AST) -> None:
        match node:
            case ast.Return(value=value) | ast.Yield(value=value) if value is not None:
                self.left.append(value)
            case ast.YieldFrom(value=value):
                self.left.append(value)
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._assign(target, value)
            case ast.AnnAssign(target=target, value=value) if value is not None:
                self._assign(target, value)
            case (
                ast.NamedExpr(target=target, value=value)
                | ast.AugAssign(target=target, value=value)
            ):
                self._assign(target, value)
            case (
                ast.For(target=target, iter=value)
                | ast.AsyncFor(target=target, iter=value)
                | ast.comprehension(target=target, iter=value)
            ):
                self._assign(target, value)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method), args=args):
                if method in _ADDING:
                    self.assigned.setdefault(name, []).extend(args)

    def _assign(self, target: ast.AST, value: ast.expr) -> None:
        match target:
            case ast.Name(id=name):
                self.assigned.setdefault(name, []).append(value)
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                match value:
                    case ast.Tuple(elts=values) if len(values) == len(targets):
                        for each, part in zip(targets, values, strict=True):
                            self._assign(each, part)
                    case _:
                        for each in targets:
                            self._assign(each, value)

    def emitted(self, span_of: SpanOf) -> tuple[Made, ...]:
        """The calls whose values leave the function, in the order of the text."""
        seen: set[str] = set()
        found = {made for value in self.left for made in self._origins(value, seen, span_of)}
        return tuple(sorted(found, key=lambda made: (made.span, made.callee)))

    def _origins(self, value: ast.expr, seen: set[str], span_of: SpanOf) -> Iterator[Made]:
        pending = [value]
        while pending:
            node = pending.pop()
            match node:
                case ast.Name(id=name) if name in self.assigned and name not in seen:
                    seen.add(name)
                    pending += self.assigned[name]
                case ast.Call():
                    pending += self._passed(node)
                    yield from self._made(node, span_of)
                case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
                    pending += parts
                case ast.BoolOp(values=parts):
                    pending += parts
                case ast.ListComp(elt=part) | ast.GeneratorExp(elt=part) | ast.SetComp(elt=part):
                    pending.append(part)
                case ast.IfExp(body=body, orelse=other):
                    pending += [body, other]
                case ast.BinOp(left=left, op=ast.Add(), right=right):  # of lists
                    pending += [left, right]
                case ast.Await(value=part) | ast.Starred(value=part) | ast.NamedExpr(value=part):
                    pending.append(part)

    @staticmethod
    def _passed(call: ast.Call) -> list[ast.expr]:
        """Arguments that come out again: of `list(…)`, `chain(…)`."""
        name = dotted(call.func)
        return list(call.args) if name is not None and name[-1] in _PASSING else []

    def _made(self, call: ast.Call, span_of: SpanOf) -> Iterator[Made]:
        name = dotted(call.func)
        if name is None or name[0] in self.params or name[0] in self.assigned:
            return
        if name[-1] == "Batch" or name[-2:] == ("Batch", "of"):
            given = [*call.args[:1], *(k.value for k in call.keywords if k.arg == "event")]
            for event in given:
                of = dotted(event)
                if of is not None:
                    yield Made(of, span_of(event), batch=True)
        elif name == ("map",) and call.args:
            of = dotted(call.args[0])
            if of is not None:
                yield Made(of, span_of(call.args[0]))
        else:
            yield Made(name, span_of(call.func))

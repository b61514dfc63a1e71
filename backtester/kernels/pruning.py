"""A kernel's source without what known rules rule out: the same function for those rules, smaller."""

from __future__ import annotations

import ast
from typing import Any

_COMPARE: dict[type, Any] = {
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
}


def pruned(
    function: ast.FunctionDef, groups: set[str], known: dict[str, int], numbers: dict[str, int]
) -> ast.FunctionDef:
    """The function with `group.field` of known fields as numbers, and branches that cannot be taken left out.

    groups   parameters that are rules
    known    field -> number
    numbers  global constants, which decide comparisons too
    """
    stored = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return _Pruner(groups, known, {n: v for n, v in numbers.items() if n not in stored}).visit_FunctionDef(function)


class _Pruner(ast.NodeTransformer):
    def __init__(self, groups: set[str], known: dict[str, int], numbers: dict[str, int]) -> None:
        self.groups, self.known, self.numbers = groups, known, numbers

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:  # the name ast looks for, as those below
        is_rule = isinstance(node.value, ast.Name) and node.value.id in self.groups and node.attr in self.known
        return ast.copy_location(ast.Constant(self.known[node.attr]), node) if is_rule else node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        left, right = self._number(node.left), self._number(node.comparators[0])
        compare = _COMPARE.get(type(node.ops[0]))
        if len(node.ops) > 1 or compare is None or left is None or right is None:
            return node
        return ast.copy_location(ast.Constant(bool(compare(left, right))), node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        value = _truth(node.operand)
        if not isinstance(node.op, ast.Not) or value is None:
            return node
        return ast.copy_location(ast.Constant(not value), node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        decisive = isinstance(node.op, ast.Or)
        kept: list[ast.expr] = []
        for value in node.values:
            truth = _truth(value)
            if truth is None:
                kept.append(value)
            elif truth == decisive:
                # Kernels' conditions only look, so those before it need not be asked.
                return ast.copy_location(ast.Constant(decisive), node)
        if not kept:
            return ast.copy_location(ast.Constant(not decisive), node)
        node.values = kept
        return node if len(kept) > 1 else kept[0]

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        truth = _truth(node.test)
        return node if truth is None else node.body if truth else node.orelse

    def visit_If(self, node: ast.If) -> Any:
        node.test = self.visit(node.test)
        truth = _truth(node.test)
        if truth is None:
            node.body = self._block(node.body) or [ast.copy_location(ast.Pass(), node)]
            node.orelse = self._block(node.orelse)
            return node
        return self._block(node.body if truth else node.orelse)

    def visit_For(self, node: ast.For) -> ast.AST:
        node.iter = self.visit(node.iter)
        node.body = self._block(node.body) or [ast.copy_location(ast.Pass(), node)]
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        node.test = self.visit(node.test)
        node.body = self._block(node.body) or [ast.copy_location(ast.Pass(), node)]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.body = self._block(node.body)
        return node

    def _block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """The statements that can be reached."""
        made: list[ast.stmt] = []
        for statement in statements:
            found = self.visit(statement)
            made += found if isinstance(found, list) else [found]
            if made and isinstance(made[-1], (ast.Return, ast.Break, ast.Continue)):
                break
        return made

    def _number(self, node: ast.expr) -> float | None:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return node.value
        return self.numbers.get(node.id) if isinstance(node, ast.Name) else None


def _truth(node: ast.expr) -> bool | None:
    return bool(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, (int, bool)) else None

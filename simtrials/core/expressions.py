"""Small formulas over named columns: filters, strata and covariates such as ``phq9_total >= 10 and 18 <= age_years <= 65`` or ``ln(crp)``.

A whitelist over Python's syntax tree: numbers, texts, names (also dotted), arithmetic, comparison, and / or / not, in, and three functions.
Nothing else can be written, so a scenario stays data.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np

from simtrials.core.arrays import AnyArray, BoolArray, FloatArray
from simtrials.core.errors import SimtrialsError, did_you_mean

MAX_LENGTH, MAX_NODES = 500, 200


class ExpressionError(SimtrialsError):
    """A formula that cannot be read, or that names a column which does not exist."""


@dataclass(frozen=True, slots=True)
class Category:
    """A column of categories: whole-number codes into `levels`, -1 where missing."""

    codes: AnyArray
    levels: tuple[str, ...]

    def __getitem__(self, index: Any) -> "Category":
        return Category(self.codes[index], self.levels)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.codes.shape


Column = FloatArray | Category
_ARITHMETIC: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_COMPARE: dict[type, Callable[..., Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_SIGNS: dict[type, str] = {
    ast.BitAnd: "'&' (write 'and')",
    ast.BitOr: "'|' (write 'or')",
    ast.Invert: "'~' (write 'not')",
    ast.BitXor: "'^' (write '**')",
    ast.Mod: "'%'",
    ast.FloorDiv: "'//'",
}
"""Signs of other languages, and what to write."""
_FUNCTIONS: dict[str, Callable[..., Any]] = {"ln": np.log, "sqrt": np.sqrt, "abs": np.abs}
_ALLOWED: tuple[type, ...] = (
    ast.Expression,
    ast.BoolOp,
    ast.And,
    ast.Or,
    ast.UnaryOp,
    ast.Not,
    ast.USub,
    ast.UAdd,
    ast.BinOp,
    ast.Compare,
    ast.In,
    ast.NotIn,
)
_ALLOWED += (ast.Call, ast.Name, ast.Attribute, ast.Constant, ast.List, ast.Tuple, ast.Load, *_ARITHMETIC, *_COMPARE)


@dataclass(frozen=True, slots=True)
class Expression:
    """A formula that was read: its text, the columns it names, and `evaluate`."""

    text: str
    names: frozenset[str]
    tree: ast.expr

    def evaluate(self, columns: Mapping[str, Column]) -> Any:
        """The value over the columns: a float array, a bool array or a `Category`.

        Raises
        ------
        ExpressionError
            When a column does not exist, or a category meets a number.
        """
        unknown = sorted(self.names - columns.keys())
        if unknown:
            raise ExpressionError(f"no column called {unknown[0]!r} in {self.text!r}{did_you_mean(unknown[0], columns)}")
        with np.errstate(all="ignore"):
            return _value(self.tree, columns)

    def truth(self, columns: Mapping[str, Column]) -> BoolArray:
        """The value as true or false per row; a formula that is not a condition is an error."""
        value = self.evaluate(columns)
        if not (isinstance(value, np.ndarray) and value.dtype == np.bool_):
            raise ExpressionError(f"{self.text!r} is not a condition; compare something, as in 'crp >= 3'")
        return value


@lru_cache(maxsize=512)
def parse(text: str) -> Expression:
    """Read a formula; everything that is not on the whitelist is refused with the place."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"a formula has at most {MAX_LENGTH} characters, this one has {len(text)}")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ExpressionError(f"{text!r} is no formula; write for instance 'phq9_total >= 10 and 18 <= age_years <= 65'") from None
    names: set[str] = set()
    if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
        raise ExpressionError(f"{text!r} is too long a formula")
    _read(tree.body, names, text)
    return Expression(text, frozenset(names), tree.body)


def _read(node: ast.AST, names: set[str], text: str) -> None:
    if not isinstance(node, _ALLOWED):
        what = _SIGNS.get(type(node)) or repr(ast.unparse(node))
        raise ExpressionError(f"{what} is not allowed in a formula ({text!r})")
    if isinstance(node, ast.Name | ast.Attribute):
        names.add(_dotted(node, text))
        return
    if isinstance(node, ast.Constant) and not (isinstance(node.value, int | float | str) and not isinstance(node.value, bool)):
        raise ExpressionError(f"{node.value!r} is not allowed in a formula ({text!r})")
    if isinstance(node, ast.Call):
        known = isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
        if not known or len(node.args) != 1 or node.keywords:
            raise ExpressionError(f"{ast.unparse(node)!r}: the functions are ln(x), sqrt(x) and abs(x)")
        _read(node.args[0], names, text)
        return
    for child in ast.iter_child_nodes(node):
        _read(child, names, text)


def _dotted(node: ast.AST, text: str) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, text)}.{node.attr}"
    raise ExpressionError(f"{ast.unparse(node)!r} is not a name ({text!r})")


def _value(node: ast.AST, columns: Mapping[str, Column]) -> Any:
    match node:
        case ast.Name() | ast.Attribute():
            return columns[_dotted(node, "")]
        case ast.Constant():
            return node.value if isinstance(node.value, str) else np.float64(cast(float, node.value))
        case ast.List() | ast.Tuple():
            return [_value(item, columns) for item in node.elts]
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            return _FUNCTIONS[name](_number(_value(argument, columns), node))
        case ast.UnaryOp(op=ast.Not()):
            return ~_condition(_value(node.operand, columns), node.operand)
        case ast.UnaryOp(op=op):
            operand = _number(_value(node.operand, columns), node.operand)
            return -operand if isinstance(op, ast.USub) else operand
        case ast.BinOp():
            left, right = (_number(_value(side, columns), side) for side in (node.left, node.right))
            return _ARITHMETIC[type(node.op)](left, right)
        case ast.BoolOp():
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return join.reduce([_condition(_value(item, columns), item) for item in node.values])
        case ast.Compare():
            sides = [node.left, *node.comparators]
            values = [_value(side, columns) for side in sides]
            steps = [_compare(op, values[i], values[i + 1], node) for i, op in enumerate(node.ops)]
            return steps[0] if len(steps) == 1 else np.logical_and.reduce(steps)
    raise ExpressionError(f"{ast.unparse(node)!r} is not allowed in a formula")


def _compare(op: ast.cmpop, left: Any, right: Any, node: ast.AST) -> Any:
    if isinstance(op, ast.In | ast.NotIn):
        if not isinstance(right, list):
            raise ExpressionError(f"{ast.unparse(node)!r}: write a list after 'in', as in sex in ['female']")
        inside = np.logical_or.reduce([_equal(left, item, node) for item in right])
        return ~inside if isinstance(op, ast.NotIn) else inside
    if isinstance(op, ast.Eq):
        return _equal(left, right, node)
    if isinstance(op, ast.NotEq):
        return ~_equal(left, right, node)
    return _COMPARE[type(op)](_number(left, node), _number(right, node))


def _equal(left: Any, right: Any, node: ast.AST) -> Any:
    if isinstance(right, Category):
        left, right = right, left
    if isinstance(left, Category):
        if not isinstance(right, str):
            raise ExpressionError(f"{ast.unparse(node)!r} compares a category with a number; its levels are {', '.join(left.levels)}")
        if right not in left.levels:
            raise ExpressionError(f"{ast.unparse(node)!r}: no level {right!r}{did_you_mean(right, left.levels)}")
        return left.codes == left.levels.index(right)
    return np.asarray(_number(left, node) == _number(right, node))


def _number(value: Any, node: ast.AST) -> Any:
    if isinstance(value, Category):
        raise ExpressionError(f"{ast.unparse(node)!r} takes a category for a number; its levels are {', '.join(value.levels)}")
    if isinstance(value, str):
        raise ExpressionError(f"{ast.unparse(node)!r} takes the text {value!r} for a number")
    return value


def _condition(value: Any, node: ast.AST) -> BoolArray:
    if not (isinstance(value, np.ndarray) and value.dtype == np.bool_):
        raise ExpressionError(f"{ast.unparse(node)!r} is not a condition; compare something, as in 'crp >= 3'")
    return value

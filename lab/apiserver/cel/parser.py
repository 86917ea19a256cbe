"""The Common Expression Language's syntax: text to a tree. Macros are recognised here, names and types are not.

Grammar: the CEL specification (cel-spec, langdef.md), with the optional syntax `a.?b`, `a[?b]`, `[?a]`, `{?k: v}`.
"""

from __future__ import annotations

from typing import Final

from lab.apiserver.cel.nodes import Call, CelSyntaxError, ListNode, Literal, Macro, MapNode, Name, Node, Select
from lab.apiserver.cel.tokens import RESERVED, Token, number_of, text_of, tokens

# name -> (number of bound variables, number of further arguments) it is a macro with
_MACROS: Final = {
    "all": {(1, 1), (2, 1)},
    "exists": {(1, 1), (2, 1)},
    "exists_one": {(1, 1), (2, 1)},
    "existsOne": {(1, 1), (2, 1)},
    "map": {(1, 1), (1, 2)},
    "filter": {(1, 1)},
    "sortBy": {(1, 1)},
    "transformList": {(2, 1), (2, 2)},
    "transformMap": {(2, 1), (2, 2)},
    "transformMapEntry": {(2, 1), (2, 2)},
    "optMap": {(1, 1)},
    "optFlatMap": {(1, 1)},
}

_PRECEDENCE: Final = {
    "||": 1,
    "&&": 2,
    "<": 3,
    "<=": 3,
    ">": 3,
    ">=": 3,
    "==": 3,
    "!=": 3,
    "in": 3,
    "+": 4,
    "-": 4,
    "*": 5,
    "/": 5,
    "%": 5,
}
_OPERATORS: Final = {symbol: f"_{symbol}_" for symbol in _PRECEDENCE} | {"in": "@in"}


def parse(text: str) -> Node:
    """The tree of an expression. Raises CelSyntaxError."""
    parser = _Parser(tokens(text), len(text))
    node = parser.expression()
    parser.expect_end()
    return node


class _Parser:
    def __init__(self, tokens: list[Token], length: int) -> None:
        self._tokens = tokens
        self._next = 0
        self._end = Token("end", "<EOF>", length)

    def _peek(self) -> Token:
        return self._tokens[self._next] if self._next < len(self._tokens) else self._end

    def _take(self) -> Token:
        token = self._peek()
        self._next += 1
        return token

    def _at(self, symbol: str) -> bool:
        token = self._peek()
        return token.kind == "op" and token.text == symbol

    def _accept(self, symbol: str) -> Token | None:
        return self._take() if self._at(symbol) else None

    def _expect(self, symbol: str) -> Token:
        token = self._accept(symbol)
        if token is None:
            raise self._unexpected(f"'{symbol}'")
        return token

    def _unexpected(self, wanted: str) -> CelSyntaxError:
        token = self._peek()
        return CelSyntaxError(f"Syntax error: mismatched input '{token.text}' expecting {wanted}", token.position)

    def expect_end(self) -> None:
        if self._peek().kind != "end":
            raise self._unexpected("<EOF>")

    def expression(self) -> Node:
        condition = self._binary(1)
        mark = self._accept("?")
        if mark is None:
            return condition
        then = self._binary(1)
        self._expect(":")
        return Call(mark.position, "_?_:_", (condition, then, self.expression()))

    def _binary(self, lowest: int) -> Node:
        left = self._unary()
        while True:
            token = self._peek()
            precedence = _PRECEDENCE.get(token.text) if token.kind in ("op", "name") else None
            if precedence is None or precedence < lowest:
                return left
            self._take()
            right = self._binary(precedence + 1)
            left = Call(token.position, _OPERATORS[token.text], (left, right))

    def _unary(self) -> Node:
        token = self._peek()
        if self._accept("!"):
            return Call(token.position, "!_", (self._unary(),))
        if self._accept("-"):
            following = self._peek()
            if following.kind in ("int", "float") and following.position == token.position + 1:
                self._take()
                return self._postfix(number_of(following, token.position, negative=True))
            return Call(token.position, "-_", (self._unary(),))
        return self._postfix(self._primary())

    def _postfix(self, node: Node) -> Node:
        while True:
            if self._at("."):
                node = self._member(node)
            elif self._at("["):
                bracket = self._take()
                optional = self._accept("?") is not None
                index = self.expression()
                self._expect("]")
                node = Call(bracket.position, "_[?_]" if optional else "_[_]", (node, index))
            else:
                return node

    def _member(self, node: Node) -> Node:
        dot = self._take()
        optional = self._accept("?") is not None
        token = self._take()
        if token.kind == "quoted":
            return Select(dot.position, node, token.text[1:-1], optional)
        if token.kind != "name":
            self._next -= 1
            raise self._unexpected("IDENTIFIER")
        if self._at("(") and not optional:
            return self._call(token.text, node)
        return Select(dot.position, node, token.text, optional)

    def _call(self, name: str, target: Node | None) -> Node:
        position = self._expect("(").position
        args = self._arguments(")")
        if target is None and name == "has":
            return _has(args, position)
        if target is not None:
            if isinstance(target, Name) and target.name == "cel" and name == "bind" and len(args) == 3:
                return Macro(position, "bind", args[1], (_variable(args[0]),), (args[2],))
            macro = _macro(position, name, target, args)
            if macro is not None:
                return macro
        return Call(position, name, tuple(args), target)

    def _arguments(self, closing: str) -> list[Node]:
        args: list[Node] = []
        while not self._accept(closing):
            args.append(self.expression())
            if not self._accept(","):
                self._expect(closing)
                break
        return args

    def _primary(self) -> Node:
        token = self._take()
        match token.kind:
            case "int" | "uint" | "float":
                return number_of(token, token.position)
            case "string":
                return Literal(token.position, text_of(token))
            case "name":
                return self._named(token)
            case "op" if token.text == "(":
                inner = self.expression()
                self._expect(")")
                return inner
            case "op" if token.text == "[":
                return self._list(token)
            case "op" if token.text == "{":
                return self._map(token)
            case "op" if token.text == ".":
                return self._named(self._take())
        self._next -= 1
        raise self._unexpected(
            "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, "
            "IDENTIFIER}"
        )

    def _named(self, token: Token) -> Node:
        match token.text:
            case "true" | "false":
                return Literal(token.position, token.text == "true")
            case "null":
                return Literal(token.position, None)
            case text if text in RESERVED:
                raise CelSyntaxError(f"reserved identifier: {text}", token.position)
        if token.kind != "name" or token.text == "in":
            self._next -= 1
            raise self._unexpected("IDENTIFIER")
        if self._at("("):
            return self._call(token.text, None)
        return Name(token.position, token.text)

    def _list(self, bracket: Token) -> Node:
        items: list[Node] = []
        optionals: set[int] = set()
        while not self._accept("]"):
            if self._accept("?"):
                optionals.add(len(items))
            items.append(self.expression())
            if not self._accept(","):
                self._expect("]")
                break
        return ListNode(bracket.position, tuple(items), frozenset(optionals))

    def _map(self, brace: Token) -> Node:
        entries: list[tuple[Node, Node, bool]] = []
        while not self._accept("}"):
            optional = self._accept("?") is not None
            key = self.expression()
            self._expect(":")
            entries.append((key, self.expression(), optional))
            if not self._accept(","):
                self._expect("}")
                break
        return MapNode(brace.position, tuple(entries))


def _has(args: list[Node], position: int) -> Node:
    if len(args) == 1 and isinstance(args[0], Select) and not args[0].optional:
        return Select(position, args[0].operand, args[0].field, test=True)
    raise CelSyntaxError("invalid argument to has() macro", args[0].position if args else position)


def _macro(position: int, name: str, target: Node, args: list[Node]) -> Node | None:
    for bound, further in _MACROS.get(name, ()):
        if len(args) == bound + further and all(isinstance(arg, Name) for arg in args[:bound]):
            variables = tuple(_variable(arg) for arg in args[:bound])
            return Macro(position, name, target, variables, tuple(args[bound:]))
    return None


def _variable(node: Node) -> str:
    if isinstance(node, Name):
        return node.name
    raise CelSyntaxError("argument must be a simple name", node.position)

"""CEL: what expressions come to, what does not compile, and agreement with another implementation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.apiserver.cel import types as t
from lab.apiserver.cel.program import CompileError, Environment
from lab.apiserver.cel.types import from_schema
from lab.apiserver.cel.values import CelError
from tests.examples import examples

SELF = Environment({"self": t.DYN})


def value_of(text: str, self: Any = None) -> Any:
    return SELF.compile(text).evaluate({"self": self})


TRUE = [
    "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9",
    "-7 / 2 == -3 && -7 % 2 == -1",
    "5.0 / 2.0 == 2.5",
    "'a' + \"b\" == 'ab' && r'\\d' == '\\\\d'",
    "'''it's''' == \"it's\"",
    "[1, 2] + [3] == [1, 2, 3]",
    "{'a': 1}.a == 1 && {'a': 1}['a'] == 1",
    "2 in [1, 2] && 'k' in {'k': 1} && !(3 in [1, 2])",
    "size('abc') == 3 && [1, 2].size() == 2 && {'a': 1}.size() == 1",
    "true ? 1 == 1 : 1 / 0 == 1",
    "true || 1 / 0 == 1",
    "1 / 0 == 1 || true",
    "!(1 / 0 == 1 && false)",
    "[1, 2, 3].all(x, x > 0) && [1, 2, 3].exists(x, x == 2) && [1, 2, 3].exists_one(x, x > 2)",
    "[1, 2, 3].filter(x, x > 1) == [2, 3]",
    "[1, 2].map(x, x * 2) == [2, 4] && [1, 2, 3].map(x, x > 1, x * 2) == [4, 6]",
    "[0, 1].exists(x, 1 / x == 1)",  # an error in one element is outweighed
    "[1, 2].all(i, v, i < v) && {'a': 1}.all(k, v, k == 'a' && v == 1)",
    "[5, 6].transformList(i, v, v + i) == [5, 7]",
    "{'a': 1}.transformMap(k, v, v + 1) == {'a': 2}",
    "{'a': 1, 'b': 2}.exists(k, k == 'b')",
    "cel.bind(x, 2, x * x) == 4",
    "has({'a': 1}.a) && !has({'a': 1}.b)",
    "type(1) == int && type('a') == string && type([]) == list",
    "int('5') == 5 && string(5) == '5' && double(1) == 1.0 && string(1.5) == '1.5' && int(2.9) == 2",
    "dyn(1) == dyn(1.0) && dyn(true) != dyn(1)",
    "timestamp('2026-01-01T00:00:00Z') + duration('1h') == timestamp('2026-01-01T01:00:00Z')",
    "timestamp('2026-01-02T03:04:05Z').getHours() == 3 && duration('90s').getMinutes() == 1",
    "duration('1h30m') > duration('89m')",
    # strings
    "'abc'.contains('b') && 'abc'.startsWith('a') && 'abc'.endsWith('c') && 'abc'.matches('^a.c$')",
    "'a,b'.split(',') == ['a', 'b'] && ['a', 'b'].join('-') == 'a-b' && 'a,b,c'.split(',', 2) == ['a', 'b,c']",
    "'AbC'.lowerAscii() == 'abc' && ' x '.trim() == 'x' && 'aXa'.replace('a', 'b', 1) == 'bXa'",
    "'hello'.substring(1, 3) == 'el' && 'hello'.charAt(1) == 'e'",
    "'hello'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3",
    "'%s is %d, %.1f, %x'.format(['a', 3, 2.25, 255]) == 'a is 3, 2.2, ff'",
    "'a1b22'.find('[0-9]+') == '1' && 'a1b22'.findAll('[0-9]+') == ['1', '22']",
    # lists
    "[1, 2, 2].isSorted() && [1, 2].sum() == 3",
    "[3, 1].min() == 1 && [3, 1].max() == 3 && ['a', 'b'].indexOf('b') == 1",
    "[3, 1, 2].sort() == [1, 2, 3] && [1, 1].distinct() == [1] && [1, 2, 3].slice(1, 3) == [2, 3]",
    "[{'n': 2}, {'n': 1}].sortBy(x, x.n)[0].n == 1",
    "sets.contains([1, 2], [2]) && sets.intersects([1], [1, 2]) && sets.equivalent([1, 1], [1])",
    # addresses
    "isIP('192.0.2.1') && isIP('2001:db8::1') && !isIP('192.0.2.256') && !isIP('::ffff:192.0.2.1') && !isIP('1.2.3')",
    "ip('192.0.2.1').family() == 4 && ip('2001:db8::1').family() == 6 && ip('127.0.0.1').isLoopback()",
    "ip('0.0.0.0').isUnspecified() && ip('169.254.0.1').isLinkLocalUnicast() && ip('192.0.2.1').isGlobalUnicast()",
    "ip('224.0.0.1').isLinkLocalMulticast() && !ip('255.255.255.255').isGlobalUnicast()",
    "ip.isCanonical('2001:db8::1') && !ip.isCanonical('2001:db8:0::1') && string(ip('2001:DB8::1')) == '2001:db8::1'",
    "isCIDR('192.0.2.0/24') && !isCIDR('192.0.2.0/33') && !isCIDR('192.0.2.0') && !isCIDR('192.0.2.0/024')",
    "cidr('192.0.2.0/24').containsIP('192.0.2.9') && !cidr('192.0.2.0/24').containsIP(ip('2001:db8::1'))",
    "cidr('192.0.2.0/24').containsCIDR('192.0.2.128/25') && !cidr('192.0.2.0/24').containsCIDR(cidr('192.0.0.0/16'))",
    "cidr('192.0.2.7/24').masked() == cidr('192.0.2.0/24') && cidr('192.0.2.7/24') != cidr('192.0.2.0/24')",
    "cidr('192.0.2.7/24').prefixLength() == 24 && cidr('192.0.2.7/24').ip() == ip('192.0.2.7')",
    # quantities, URLs, formats
    "isQuantity('1.5Gi') && !isQuantity('1.5GiB') && quantity('1Ki') == quantity('1024')",
    "quantity('2').isGreaterThan(quantity('1500m')) && quantity('1').add(quantity('1')).asInteger() == 2",
    "isURL('https://a.example:80/p?q=1') && url('https://a.example:80/p?q=1').getHostname() == 'a.example'",
    "url('https://a.example:80/p?q=1').getPort() == '80' && url('https://a/p?q=1').getQuery()['q'] == ['1']",
    "!format.dns1123Label().validate('a-b').hasValue()",
    "format.named('dns1123Label').value().validate('A').hasValue()",
    # optionals
    "{'a': 1}.?a.hasValue() && !{'a': 1}.?b.hasValue()",
    "{'a': 1}.?b.orValue(5) == 5 && {'a': {'b': 2}}.?a.?b.value() == 2",
    "{'a': 1}[?'a'].value() == 1 && [1][?3].orValue(0) == 0 && optional.none().or(optional.of(2)).value() == 2",
    "[1, ?optional.none(), ?optional.of(2)] == [1, 2] && {?'a': optional.none()} == {}",
    "optional.of(2).optMap(x, x * 2).value() == 4",
]


@pytest.mark.parametrize("text", TRUE)
def test_it_is_true(text: str) -> None:
    assert value_of(text) is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("self.x == 1", "no such key: x"),
        ("self['x'] == 1", "no such key: x"),
        ("[1][2] == 1", "index out of bounds: 2"),
        ("1 / 0 == 1", "division by zero"),
        ("1 % 0 == 1", "modulus by zero"),
        ("9223372036854775807 + 1 == 0", "integer overflow"),
        ("dyn('a') + dyn(1) == dyn(2)", "no such overload"),
        ("dyn(1) && true", "no such overload"),
        ("ip('x').family() == 4", "IP Address parse error"),
        ("'abc'.substring(5) == ''", "index out of range: 5"),
        ("optional.none().value() == 1", r"optional.none\(\) dereference"),
        ("[1, 2].all(x, 1 / (x - 1) > 0)", "division by zero"),
    ],
)
def test_it_fails_when_evaluated(text: str, message: str) -> None:
    with pytest.raises(CelError, match=message):
        value_of(text, {})


SCHEMA = {
    "type": "object",
    "properties": {
        "size": {"type": "integer"},
        "ratio": {"type": "number"},
        "name": {"type": "string"},
        "namespace": {"type": "string"},
        "foo.bar": {"type": "string"},
        "a-b": {"type": "string"},
        "since": {"type": "string", "format": "date-time"},
        "port": {"x-kubernetes-int-or-string": True},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
    },
}
TYPED = Environment({"self": from_schema(SCHEMA, root=True)})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("self.siz < 1", "ERROR: <input>:1:5: undefined field 'siz'\n | self.siz < 1\n | ....^"),
        ("other == 1", "ERROR: <input>:1:1: undeclared reference to 'other' (in container '')\n | other == 1\n | ^"),
        (
            "isFoo(self)",
            "ERROR: <input>:1:6: undeclared reference to 'isFoo' (in container '')\n | isFoo(self)\n | .....^",
        ),
        (
            "self.size < 'a'",
            "ERROR: <input>:1:11: found no matching overload for '_<_' applied to '(int, string)'\n"
            " | self.size < 'a'\n | ..........^",
        ),
        (
            "self.size == self.name",
            "ERROR: <input>:1:11: found no matching overload for '_==_' applied to '(int, string)'\n"
            " | self.size == self.name\n | ..........^",
        ),
        (
            "self.size.matches('a')",
            "ERROR: <input>:1:18: found no matching overload for 'matches' applied to 'int.(string)'\n"
            " | self.size.matches('a')\n | .................^",
        ),
        ("self.size <", "Syntax error: mismatched input '<EOF>'"),
        ("self.size == 'a", "Syntax error: token recognition error"),
        ("1 +\n  true && true", "ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, bool)'"),
        ("self.size.all(x, true)", "cannot be range of a comprehension"),
        ("self.namespace == 'a'", "undefined field 'namespace'"),
        ("has(self)", "invalid argument to has() macro"),
        ("self.tags.all(t, t.size())", "expected type 'bool' but found 'int'"),
    ],
)
def test_it_does_not_compile(text: str, error: str) -> None:
    with pytest.raises(CompileError) as raised:
        TYPED.compile(text)
    assert error in str(raised.value)


def test_fields_come_with_the_types_of_their_schema() -> None:
    obj = {
        "size": 1,
        "ratio": 2,
        "namespace": "n",
        "foo.bar": "f",
        "a-b": "d",
        "since": "2026-01-01T00:00:00Z",
        "port": "http",
        "labels": {"x": "y"},
        "tags": ["a", "b"],
        "metadata": {"name": "me"},
    }
    for text in (
        "self.__namespace__ == 'n' && self.foo__dot__bar == 'f' && self.a__dash__b == 'd'",
        "self.since < timestamp('2026-06-01T00:00:00Z')",
        "string(self.ratio / 4.0) == '0.5'",
        "self.port == 'http' && type(self.port) == string",
        "self.labels.all(k, k == 'x') && self.labels.x == 'y'",
        "self.tags == ['b', 'a']",  # a set
        "self.metadata.name == 'me' && !has(self.metadata.generateName)",
    ):
        assert TYPED.compile(text).evaluate({"self": obj}) is True, text


def test_a_program_knows_the_variables_it_reads() -> None:
    environment = Environment({"self": t.INT, "oldSelf": t.INT})
    assert environment.compile("self > oldSelf").uses == {"self", "oldSelf"}
    assert environment.compile("[self].all(oldSelf, oldSelf > 0)").uses == {"self"}


def test_nested_bound_variables_do_not_disturb_each_other() -> None:
    assert value_of("[1, 2].all(x, [3].all(x, x == 3) && x < 3)") is True
    assert value_of("[[1, 2], [3]].map(l, l.map(x, x * l.size()))") == [[2, 4], [3]]


_ATOMS = st.sampled_from(["a", "b", "1", "2", "-3", "7"])
_NUMERIC = st.recursive(
    _ATOMS,
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "%"]), inner).map(
        lambda x: f"({x[0]} {x[1]} {x[2]})"
    ),
    max_leaves=5,
)
_TESTS = st.recursive(
    st.tuples(_NUMERIC, st.sampled_from(["<", "<=", "==", "!=", ">", ">="]), _NUMERIC).map(" ".join),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda x: f"({x[0]} {x[1]} {x[2]})"),
        inner.map(lambda x: f"!({x})"),
        inner.map(lambda x: f"[a, b, 3].exists(i, i > 0 && {x})"),
        inner.map(lambda x: f"[a, b].all(i, i < 5 || {x})"),
    ),
    max_leaves=4,
)


@given(text=_TESTS, a=st.integers(-5, 5), b=st.integers(-5, 5))
@settings(max_examples=examples(300), deadline=None)
def test_it_agrees_with_the_rust_implementation(text: str, a: int, b: int) -> None:
    cel = pytest.importorskip("cel")
    environment = Environment({"a": t.INT, "b": t.INT})
    try:
        ours: Any = environment.compile(text).evaluate({"a": a, "b": b})
    except CelError:
        ours = "error"
    try:
        theirs: Any = cel.evaluate(text, {"a": a, "b": b})
    except (RuntimeError, ValueError, TypeError, ArithmeticError):
        theirs = "error"
    if theirs != "error":  # it does not let the other side of `||` outweigh an error everywhere
        assert ours == theirs, text

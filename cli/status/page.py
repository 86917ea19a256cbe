"""The state of a cluster as one page of HTML, to look at or to send: it needs no network and runs no script. Pure.

It is built of elements, which write themselves: what objects say is text whatever is in it. A policy in the page
(Content Security Policy 3) forbids a browser all but its own style.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from cli.printing import cell
from cli.seen import World
from cli.status.picture import Picture, address_rows, judged, picture_of
from cli.status.state import State
from cli.status.svg import drawn
from kube.times import rfc3339

MOST_WRONG = 200
MOST_ROWS = 1000
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --text: #1c2330; --quiet: #5b6575; --rim: #d8dde5;
  --well: #1a7f4b; --wrong: #c2332b; --idle: #8a94a3; --layer2: #2563c9; --bgp: #8246c4; }
@media (prefers-color-scheme: dark) { :root { --page: #12161d; --card: #1b212b; --text: #e6e9ef; --quiet: #9aa4b4;
  --rim: #323b49; --well: #4cc38a; --wrong: #ff7b72; --idle: #6b7686; --layer2: #6ea8fe; --bgp: #c297f5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 24px 16px 48px; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 22px; margin: 0; } h2 { font-size: 16px; margin: 0 0 12px; } p { margin: 2px 0; }
header p, .small, td.none { color: var(--quiet); }
section { background: var(--card); border: 1px solid var(--rim); border-radius: 8px; padding: 16px 18px;
  margin-top: 16px; }
.well { border-left: 6px solid var(--well); } .wrong { border-left: 6px solid var(--wrong); }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); column-gap: 16px; }
.wide { overflow-x: auto; }
ul { margin: 0; padding-left: 18px; } li { margin: 6px 0; overflow-wrap: anywhere; }
code { font: 13px ui-monospace, monospace; color: var(--wrong); }
.counts { display: flex; flex-wrap: wrap; gap: 8px 28px; } .counts b { font-size: 20px; margin-right: 6px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--rim); vertical-align: top;
  white-space: nowrap; }
th { color: var(--quiet); font-weight: 600; }
svg { display: block; width: 100%; font-family: system-ui, sans-serif; } svg text { fill: var(--text); }
svg .head { font-size: 14px; font-weight: 600; fill: var(--quiet); } svg .title { font-size: 14px; font-weight: 600; }
svg .small { font-size: 12px; fill: var(--quiet); }
.box { border: 0; } .box rect { fill: var(--card); stroke: var(--rim); } .box .edge { stroke: none; }
.box.well .edge { fill: var(--well); } .box.wrong .edge { fill: var(--wrong); } .box.idle .edge { fill: var(--idle); }
.line { fill: none; stroke-width: 1.6; stroke: var(--idle); } .line.layer2 { stroke: var(--layer2); }
.line.bgp { stroke: var(--bgp); } .line.session { stroke: var(--well); }
.line.down { stroke: var(--wrong); stroke-dasharray: 5 4; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 13px; color: var(--quiet); margin-top: 10px; }
.legend i { display: inline-block; width: 22px; border-top: 3px solid; margin: 0 6px 3px 0; vertical-align: middle; }
.legend .layer2 { color: var(--layer2); } .legend .bgp { color: var(--bgp); } .legend .session { color: var(--well); }
.legend .down { color: var(--wrong); border-top-style: dashed; }
"""
LEGEND = (
    ("layer2", "answers for it on layer 2"),
    ("bgp", "announces it by BGP"),
    ("session", "session is up"),
    ("down", "session is down"),
)


def page(state: State, world: World) -> str:
    """A document (HTML Living Standard), with a newline at the end."""
    html = Element("html", lang="en")
    head = SubElement(html, "head")
    SubElement(head, "meta", charset="utf-8")
    SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": POLICY})
    SubElement(head, "meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"})
    SubElement(head, "title").text = "Berth: who announces what"
    SubElement(head, "style").text = STYLE
    body = SubElement(html, "body")
    header = SubElement(body, "header")
    SubElement(header, "h1").text = "Berth: who announces what"
    SubElement(header, "p").text = f"As the cluster was at {rfc3339(world.seen.now)}, by berth status -o html"
    _wrong(body, state)
    pair = SubElement(body, "div", {"class": "pair"})
    _counts(pair, "Addresses", state.addresses)
    _counts(pair, "Services", state.services)
    if not world.blind:
        addresses = judged(world)
        _picture(body, picture_of(world, addresses))
        rows, more = address_rows(world, addresses, MOST_ROWS)
        _table(body, "Each address", rows, more)
    for title, rows in (
        ("Allocator", state.allocators),
        ("Speakers", state.speakers),
        ("Pools", state.pools),
        ("BGP peers", state.peers),
    ):
        _table(body, title, rows[:MOST_ROWS], max(len(rows) - MOST_ROWS, 0))
    return f"<!DOCTYPE html>\n{tostring(html, encoding='unicode', method='html')}\n"


def _section(body: Element, title: str, tone: str = "") -> Element:
    made = SubElement(body, "section", {"class": tone} if tone else {})
    SubElement(made, "h2").text = title
    return made


def _wrong(body: Element, state: State) -> None:
    if not state.wrong:
        _section(body, "All is well", "well")
        return
    made = _section(body, "What is wrong", "wrong")
    items = SubElement(made, "ul")
    for one in state.wrong[:MOST_WRONG]:
        item = SubElement(items, "li")
        reason = SubElement(item, "code")
        reason.text = one.reason
        reason.tail = f" {one.message}"
    if len(state.wrong) > MOST_WRONG:
        SubElement(made, "p").text = f"and {len(state.wrong) - MOST_WRONG} more"


def _counts(body: Element, title: str, counts: Mapping[str, int]) -> None:
    line = SubElement(_section(body, title), "div", {"class": "counts"})
    for kind, number in counts.items() or [("none", 0)]:
        one = SubElement(line, "span")
        count = SubElement(one, "b")
        count.text, count.tail = str(number), kind


def _picture(body: Element, picture: Picture) -> None:
    made = _section(body, "Who announces what")
    SubElement(made, "div", {"class": "wide"}).append(drawn(picture))
    legend = SubElement(made, "div", {"class": "legend"})
    for kind, text in LEGEND:
        one = SubElement(legend, "span")
        SubElement(one, "i", {"class": kind}).tail = text


def _table(body: Element, title: str, rows: Sequence[Mapping[str, Any]], more: int) -> None:
    if not rows:
        return
    made = _section(body, title)
    table = SubElement(SubElement(made, "div", {"class": "wide"}), "table")
    head = SubElement(table, "tr")
    for name in rows[0]:
        SubElement(head, "th").text = name
    for row in rows:
        line = SubElement(table, "tr")
        for value in row.values():
            SubElement(line, "td").text = cell(value)
    if more:
        SubElement(made, "p", {"class": "small"}).text = f"and {more} more"

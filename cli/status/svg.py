"""Draws the picture of a cluster as SVG, within a page: three columns of boxes and the lines between them. Pure.

Elements are built, never text: what objects say can't become markup. Colours are the page's.
"""

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement

from cli.status.picture import Box, Column, Line, Picture

BOX_WIDTH, BOX_HEIGHT, GAP, BETWEEN, TOP = 300, 46, 12, 110, 30
"""In units of the picture, which is as wide as the page lets it be."""
MOST_LETTERS = 40
"""Of a box's second line: what is longer is in its title, which a browser shows under the pointer."""


def drawn(picture: Picture) -> Element:
    """An `svg` element. Columns that are empty are left out, but for the first two."""
    columns = [picture.addresses, picture.nodes, *([picture.routers] if picture.routers.boxes else [])]
    width = len(columns) * BOX_WIDTH + (len(columns) - 1) * BETWEEN
    height = TOP + max(len(one.boxes) + bool(one.more) for one in columns) * (BOX_HEIGHT + GAP)
    svg = Element("svg", viewBox=f"0 0 {width} {height}", role="img")
    svg.set("aria-label", "Which nodes announce which addresses, and with which routers they have sessions")
    svg.set("style", f"min-width: {width * 0.7:.0f}px; max-width: {width}px")
    for place, lines in enumerate((picture.announced, picture.sessions)[: len(columns) - 1]):
        _lines(svg, lines, place * (BOX_WIDTH + BETWEEN) + BOX_WIDTH)
    for place, column in enumerate(columns):
        _column(svg, column, place * (BOX_WIDTH + BETWEEN))
    return svg


def _lines(svg: Element, lines: Sequence[Line], left: int) -> None:
    for line in lines:
        start, end = _middle(line.left), _middle(line.right)
        bend = left + BETWEEN // 2
        path = f"M{left} {start} C{bend} {start} {bend} {end} {left + BETWEEN} {end}"
        SubElement(svg, "path", {"d": path, "class": f"line {line.kind}"})


def _middle(place: int) -> int:
    return TOP + place * (BOX_HEIGHT + GAP) + BOX_HEIGHT // 2


def _column(svg: Element, column: Column, left: int) -> None:
    _text(svg, column.name, left, TOP - 12, "head")
    if not column.boxes:
        _text(svg, "none", left, TOP + 16, "small")
    for place, box in enumerate(column.boxes):
        _box(svg, box, left, TOP + place * (BOX_HEIGHT + GAP))
    if column.more:
        _text(svg, f"and {column.more} more", left, TOP + len(column.boxes) * (BOX_HEIGHT + GAP) + 16, "small")


def _box(svg: Element, box: Box, left: int, top: int) -> None:
    group = SubElement(svg, "g", {"class": f"box {box.tone}"})
    SubElement(group, "title").text = f"{box.title}: {box.line}"
    frame = {"x": str(left), "y": str(top), "width": str(BOX_WIDTH), "height": str(BOX_HEIGHT), "rx": "6"}
    SubElement(group, "rect", frame)
    SubElement(group, "rect", {**frame, "width": "6", "rx": "3", "class": "edge"})
    _text(group, _short(box.title, MOST_LETTERS * 3 // 4), left + 16, top + 20, "title")
    _text(group, _short(box.line, MOST_LETTERS), left + 16, top + 37, "small")


def _text(into: Element, text: str, x: int, y: int, kind: str) -> None:
    SubElement(into, "text", {"x": str(x), "y": str(y), "class": kind}).text = text


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"

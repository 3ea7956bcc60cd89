"""
A figure as SVG for a page: text stays text, and nothing in it is a style, a script or an address.
"""

from __future__ import annotations

import io
import re
import threading
from hashlib import blake2b
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure

__all__ = ["Plot", "figure_svg"]

_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
# Settings of matplotlib are those of the process.
_settings = threading.Lock()
_LONG_NUMBER = re.compile(r"(\d\.\d\d)\d+")
_FONT_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)px")


class Plot(Figure):
    """
    A figure that a notebook shows by itself, as SVG with a background of its own.
    """

    def _repr_svg_(self) -> str:
        return figure_svg(self, standalone=True)


def figure_svg(figure: Figure, *, standalone: bool = False) -> str:
    """
    Give a figure as an ``<svg>`` element to put into a page. Takes some 50 ms; any thread may call it.

    The same figure gives the same text. What it says is text in the page's own font, its size comes from *viewBox*
    (it is as wide as the page lets it), and it is shown under any content security policy: it has no style, no script,
    no link. Its *aria-label* is the figure's label.

    Args:
        figure: Any figure; those of this package have a label.
        standalone: For a file of its own, or a notebook: it has a size, a background and a font.
    """
    file = io.StringIO()
    with _settings, matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "rollout", "svg.id": None}):
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=not standalone, metadata=metadata)
    # Of matplotlib's own making: no entities.
    root = ElementTree.fromstring(file.getvalue())  # noqa: S314
    _tidy(root)
    _number(root, "")
    _number(root, blake2b(ElementTree.tostring(root), digest_size=4).hexdigest())
    for name in ("version",) if standalone else ("version", "width", "height"):
        root.attrib.pop(name, None)
    root.set("font-family", "sans-serif" if standalone else "inherit")
    root.set("role", "img")
    if figure.get_label():
        root.set("aria-label", str(figure.get_label()))
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
    root.set("xmlns", _SVG[1:-1])
    return ElementTree.tostring(root, encoding="unicode")


def _tidy(root: ElementTree.Element) -> None:
    """
    Turn styles into attributes, leave the font to the page, and drop what only tells where things came from.
    """
    for element in root.iter():
        if not element.text or element.text.isspace():
            element.text = None
        element.tail = None
        for child in element.findall(f"{_SVG}defs"):
            if child.find(f"{_SVG}style") is not None:
                element.remove(child)
        for name, _, value in (part.partition(":") for part in element.attrib.pop("style", "").split(";")):
            element.attrib.update(_attributes(name.strip(), value.strip()))
        if element.tag == f"{_SVG}g":
            element.attrib.pop("id", None)
        if _LINK in element.attrib:
            element.set("href", element.attrib.pop(_LINK))
        if element.get("transform", "").startswith("rotate(-0 "):
            del element.attrib["transform"]
        for name in {"d", "x", "y"} & element.attrib.keys():
            # Hundredths of a point: half the size.
            element.set(name, " ".join(_LONG_NUMBER.sub(r"\1", element.attrib[name]).split()))
    # What the style says of everything.
    root.set("stroke-linejoin", "round")


def _attributes(name: str, value: str) -> dict[str, str]:
    if name == "font":
        # All in one, as matplotlib before 3.10 writes it.
        found = _FONT_SIZE.search(value)
        size = {"font-size": f"{found[1]}px"} if found else {}
        return {**size, "font-weight": "bold"} if "bold" in value.split() else size
    return {} if name in ("", "font-family") else {name: value}


def _number(root: ElementTree.Element, own: str) -> None:
    """
    Give what is referred to names that no other figure on a page has.
    """
    elements = [element for element in root.iter() if "id" in element.attrib]
    names = {element.attrib["id"]: f"p{own}-{number}" for number, element in enumerate(elements)}
    for element in elements:
        element.set("id", names[element.attrib["id"]])
    for element in root.iter():
        if "href" in element.attrib:
            element.set("href", f"#{names[element.attrib['href'][1:]]}")
        if "clip-path" in element.attrib:
            element.set("clip-path", f"url(#{names[element.attrib['clip-path'][5:-1]]})")

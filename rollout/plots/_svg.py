"""
A figure as SVG for a page: text stays text, and the SVG contains no style, script or address.
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
# matplotlib's settings are global to the process.
_settings = threading.Lock()
_LONG_NUMBER = re.compile(r"(\d\.\d\d)\d+")
_FONT_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)px")


class Plot(Figure):
    """
    A figure that a notebook shows as SVG with its own background.
    """

    def _repr_svg_(self) -> str:
        return figure_svg(self, standalone=True)


def figure_svg(figure: Figure, *, standalone: bool = False) -> str:
    """
    Return a figure as an ``<svg>`` element for a page. Takes some 50 ms; any thread may call it.

    The same figure always returns the same SVG. Its text uses the page's font, and its width adapts to its container
    (*viewBox*). Every content security policy permits it: it has no style, no script and no link. Its *aria-label* is
    the figure's label.

    Args:
        figure: Any figure; those of this package have a label.
        standalone: Whether the SVG is for a file or a notebook: it then has a size, a background and a font.
    """
    file = io.StringIO()
    with _settings, matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "rollout", "svg.id": None}):
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=not standalone, metadata=metadata)
    # matplotlib created this XML, so it has no entities.
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
    Replace styles with attributes, and remove fonts and metadata.
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
    # The removed style set this for all elements.
    root.set("stroke-linejoin", "round")


def _attributes(name: str, value: str) -> dict[str, str]:
    if name == "font":
        # matplotlib before 3.10 writes all properties of a font in one attribute.
        found = _FONT_SIZE.search(value)
        size = {"font-size": f"{found[1]}px"} if found else {}
        return {**size, "font-weight": "bold"} if "bold" in value.split() else size
    return {} if name in ("", "font-family") else {name: value}


def _number(root: ElementTree.Element, own: str) -> None:
    """
    Replace the ids of elements with ids that are unique on a page with several figures.
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

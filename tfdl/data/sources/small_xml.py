"""Parses an XML file of some thousand elements that may be meant to do harm.

Refused are document types and with them all entities (a kilobyte of them can stand for
gigabytes, or for another file), more bytes, tags or depth than annotations have.
"""

import pathlib
from xml.etree import ElementTree

from defusedxml import ElementTree as DefusedTree, common

from tfdl import errors

_MAX_BYTES = 2_000_000  # six thousand objects
_MAX_TAGS = 140_000  # of six thousand objects, opening and closing
_MAX_DEPTH = 20  # VOC has 5
_MAX_ATTRIBUTES = 10_000  # VOC has none


def parse(path: pathlib.Path) -> ElementTree.Element:
    """Parse a whole file.

    Args:
        path: an XML file of at most 2 MB.

    Returns:
        Its root.

    Raises:
        DataError: it is missing, not well-formed, or refused.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"it has more than {_MAX_BYTES} bytes")
        content = path.read_bytes()
        if content.count(b"<") > _MAX_TAGS:
            raise ValueError(f"it has more than {_MAX_TAGS} tags")
        if content.count(b"=") > _MAX_ATTRIBUTES:  # before an element gathers them all
            raise ValueError(f"it has more than {_MAX_ATTRIBUTES} attributes")
        parser = DefusedTree.XMLParser(target=_Builder(), forbid_dtd=True)
        parser.feed(content)
        return parser.close()
    except OSError as error:
        raise _refusal(path, error.strerror) from error
    except common.DefusedXmlException as error:
        raise _refusal(path, "it has a document type, as no annotation has") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise _refusal(path, error) from error


def write(root: ElementTree.Element, path: pathlib.Path) -> None:
    """Write an element and all below it, indented.

    Args:
        root: the outermost element.
        path: where to write it to; missing folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.indent(root, "\t")
    ElementTree.ElementTree(root).write(path, "utf-8")


class _Builder(ElementTree.TreeBuilder):
    """Builds the tree while it is flat."""

    def __init__(self):
        super().__init__()
        self._depth = 0

    def start(self, tag, attributes):
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ValueError(f"its elements are nested more than {_MAX_DEPTH} deep")
        return super().start(tag, attributes)

    def end(self, tag):
        self._depth -= 1
        return super().end(tag)


def _refusal(path: pathlib.Path, reason) -> errors.DataError:
    return errors.DataError(
        f"{path} cannot be read as annotations: {reason}", "mend or remove the file"
    )

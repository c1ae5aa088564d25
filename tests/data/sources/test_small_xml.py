import time
import tracemalloc
from xml.etree import ElementTree

import pytest

from tfdl import errors
from tfdl.data.sources import small_xml

LAUGHS = "".join(
    f'<!ENTITY lol{n} "{f"&lol{n - 1};" * 10}">' for n in range(1, 10)
).join(['<!DOCTYPE lolz [<!ENTITY lol0 "lol">', "]><a>&lol9;</a>"])
HOSTILE = {
    "document type": ("<!DOCTYPE annotation><annotation/>", "document type"),
    "billion laughs": (LAUGHS, "document type"),
    "external entity": (
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        "document type",
    ),
    "external document type": (
        '<!DOCTYPE a SYSTEM "http://localhost/a.dtd"><a/>',
        "document type",
    ),
    "unknown entity": ("<a>&nbsp;</a>", "undefined entity"),
    "a token of 100 MB": ("<a>" + "x" * 100_000_000 + "</a>", "more than 2000000"),
    "a token of 2 MB": ("<a>" + "x" * 1_900_000, "no element found"),
    "a name of 2 MB": ("<" + "x" * 1_900_000, "unclosed token"),
    "depth": ("<a>" * 60_000 + "</a>" * 60_000, "nested more than 20 deep"),
    "elements": ("<a>" + "<b/>" * 200_000 + "</a>", "more than 140000 tags"),
    "attributes": (
        "<a " + " ".join(f'a{n}=""' for n in range(180_000)) + "><b></a>",
        "more than 10000 attributes",
    ),
    "empty": ("", "no element found"),
    "not closed": ("<annotation><object>", "no element found"),
    "two roots": ("<a/><b/>", "junk after document element"),
    "another encoding": ('<?xml version="1.0" encoding="utf-7"?><a/>', "encoding"),
    "no encoding": ('<?xml version="1.0" encoding="klingon"?><a/>', "encoding"),
    "a picture": ("\x89PNG\r\n\x1a\n", "not well-formed"),
}


@pytest.mark.parametrize(("text", "words"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused_by_name_in_little_time_and_memory(
    tmp_path, text, words
):
    path = tmp_path / "hostile.xml"
    path.write_text(text, "latin-1")
    del text
    start = time.process_time()
    with pytest.raises(errors.DataError, match=words) as caught:
        small_xml.parse(path)
    assert time.process_time() - start < 1
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 500
    tracemalloc.start()
    with pytest.raises(errors.DataError):
        small_xml.parse(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(errors.DataError, match=r"missing\.xml .*No such file"):
        small_xml.parse(tmp_path / "missing.xml")


def test_what_is_written_is_read(tmp_path):
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "name").text = 'a <b> & "café" 血小板'
    path = tmp_path / "new" / "file.xml"
    small_xml.write(root, path)
    assert small_xml.parse(path).findtext("name") == 'a <b> & "café" 血小板'


def test_damaged_files_are_refused_or_read(tmp_path):
    text = b"<annotation><object><name>cat</name><x>1</x></object></annotation>"
    outcomes = {"read": 0, "refused": 0}
    path = tmp_path / "damaged.xml"
    for position in range(len(text)):
        for byte in (b"\xff", b"<", b"&", b"\0"):
            path.write_bytes(text[:position] + byte + text[position + 1 :])
            try:
                small_xml.parse(path)
            except errors.DataError:
                outcomes["refused"] += 1
            else:
                outcomes["read"] += 1
    assert sum(outcomes.values()) == 4 * len(text)
    assert outcomes["refused"] > outcomes["read"]

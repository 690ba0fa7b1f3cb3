"""Bytes of the web as text: the encodings that browsers know, under the names that they know them by.

Their names and what they mean are those of the WHATWG Encoding Standard, in which Latin-1 is Windows-1252 and GB 2312
is GB 18030. Python's other codecs (`punycode`, `unicode_escape`) are no encodings of the web and are never used.
"""

import codecs
import re

from penstock.gateway.inference.attachments.plain_text import decoded

_BEGINNING_BYTES = 4096
_DECLARED = re.compile(rb"<meta[^>]{0,500}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_DECLARED_XML = re.compile(rb"^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{1,40})")
_BROWSERS_MEAN = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "utf-16": "utf-16-le",
}
_KNOWN = frozenset(
    """
    utf-8 utf-16-le utf-16-be gb18030 big5hkscs euc_jp iso2022_jp cp932 cp949 cp866 cp874 koi8-r koi8-u mac-roman
    mac-cyrillic cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258
    """.split()  # noqa: SIM905
) | {f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)}
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def decoded_as(data: bytes, charset: str, *, is_html: bool = False) -> str:
    """By its mark, else as `charset` says, else (HTML) as the page says of itself, else by its look. Never fails."""
    codec = next((name for mark, name in _MARKS if data.startswith(mark)), None) or codec_of(charset)
    if codec is None and is_html:
        codec = _declared(data[:_BEGINNING_BYTES])
    if codec is None:
        return decoded(data)
    return data.decode(codec, "replace").replace("\r\n", "\n").replace("\0", "")


def codec_of(label: str) -> str | None:
    """Python's name of an encoding of the web; None for everything else."""
    name = re.sub("^windows-", "cp", re.sub("^x-", "", label.strip().lower()))
    name = {"cp31j": "cp932", "sjis": "cp932", "mac": "mac-roman"}.get(name, name)
    if not re.fullmatch(r"[a-z0-9_.:-]{1,40}", name):
        return None
    try:
        found = codecs.lookup(name).name
    except LookupError:
        return None
    found = _BROWSERS_MEAN.get(found, found)
    return found if found in _KNOWN else None


def _declared(beginning: bytes) -> str | None:
    found = _DECLARED.search(beginning) or _DECLARED_XML.match(beginning)
    codec = codec_of(found[1].decode("ascii", "replace")) if found else None
    # Who can read the declaration byte by byte has not met UTF-16.
    return "utf-8" if codec is not None and codec.startswith("utf-16") else codec

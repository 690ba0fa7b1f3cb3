"""The reading process: one file in, its text out, and little that a hostile file could reach from here.

Started by `extraction.py` with nothing of the service's environment. It limits itself before it reads a byte, reads the
file from its input, writes one `Outcome` as JSON, and ends.
"""

import contextlib
import os
import resource
import sys
from pathlib import Path

import msgspec

from penstock.gateway.inference.attachments.extracted import Extracted, Outcome, Refused, Unreadable


def main() -> None:
    kind, most_chars, memory_bytes, cpu_s = sys.argv[1], *map(int, sys.argv[2:5])
    charset = sys.argv[5]
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    _limit(memory_bytes, cpu_s)
    try:
        outcome = Outcome(extracted=_read(kind, sys.stdin.buffer.read(), most_chars, charset))
    except Unreadable as error:
        outcome = Outcome(refused=Refused(error.reason, pages=error.pages))
    except (MemoryError, RecursionError):
        outcome = Outcome(refused=Refused("too_large"))
    except Exception:  # libraries that read a damaged file fail in every way there is
        outcome = Outcome(refused=Refused("too_large" if _was_full(memory_bytes) else "broken"))
    try:
        written = msgspec.json.encode(outcome)
    except (MemoryError, UnicodeEncodeError):
        written = msgspec.json.encode(Outcome(refused=Refused("broken")))
    answer.write(written)
    answer.close()


def _limit(memory_bytes: int, cpu_s: int) -> None:
    os.nice(10)  # answers that stream go before files that are read
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # when memory runs out, this process is the one to end
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))  # its signal first, the end a second later
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _was_full(memory_bytes: int) -> bool:
    """Whether memory has run out, which a parser may report as anything."""
    with contextlib.suppress(OSError), Path("/proc/self/status").open("rb") as status:
        peak = next((line.split()[1] for line in status if line.startswith(b"VmPeak:")), b"0")
        return int(peak) * 1024 > memory_bytes * 0.75
    return False


def _read(kind: str, data: bytes, most_chars: int, charset: str) -> Extracted:
    match kind:
        case "pdf":
            from penstock.gateway.inference.attachments.pdf_text import read_pdf

            return read_pdf(data, most_chars)
        case "zip":
            from penstock.gateway.inference.attachments.office_text import read_office

            return read_office(data, most_chars)
        case "html":
            from penstock.gateway.inference.attachments.html_text import read_html

            return read_html(data, most_chars)
        case "page":
            from penstock.gateway.inference.attachments.page_text import read_page

            return read_page(data, charset, most_chars)
        case "whole page":
            from penstock.gateway.inference.attachments.page_text import read_whole_page

            return read_whole_page(data, charset, most_chars)
        case _:
            raise Unreadable("unknown")


if __name__ == "__main__":
    main()

"""The files and pictures of a call, made ready for the model that is to read them, before any wire sees them.

Pictures at an address are fetched and sent as their bytes. A file that the model does not read as it is goes as its
text, with a note that says so (S062). What can be neither read nor turned into text is refused by name; nothing is
dropped.
"""

import asyncio
from base64 import b64encode
from collections.abc import Sequence

import msgspec

from penstock.gateway.inference.attachments.data_uris import DataUri, read_data_uri
from penstock.gateway.inference.attachments.extracted import WHY, Extracted, Unreadable
from penstock.gateway.inference.attachments.extraction import Extraction
from penstock.gateway.inference.attachments.kinds import image_type, stated_type
from penstock.http.outbound import Fetched, Outbound, shown
from penstock.providers.base import Audio, Call, Document, Image, Message, Part, Text
from penstock.providers.facts import PDF, Facts
from penstock.providers.failures import Unsupported

_MOST_NAME_CHARS = 120


class FetchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one call may have fetched."""

    most_files: int = 20
    file_bytes: int = 10 * 1024 * 1024
    total_bytes: int = 40 * 1024 * 1024
    within_s: float = 15.0
    at_a_time: int = 4


class Attachments:
    def __init__(self, outbound: Outbound, extraction: Extraction, limits: FetchLimits | None = None) -> None:
        self._outbound = outbound
        self._extraction = extraction
        self._limits = limits or FetchLimits()

    async def prepared(self, call: Call, facts: Facts, fetched: dict[str, Fetched] | None = None) -> Call:
        """`call` as a model of these `facts` can be given it; the same object when nothing has to be done.

        `fetched` keeps what was fetched, by its address, for another model that is asked the same.
        Raises Unsupported, naming the file, with `other_backend` where another model could read it; and what
        `Outbound.fetch` and `Extraction.extract` raise.
        """
        if not any(_needs_work(message, facts) for message in call.messages):
            return call
        work = _Work(self._outbound, self._extraction, self._limits, facts, {} if fetched is None else fetched)
        return msgspec.structs.replace(call, messages=await work.messages(call.messages))


def _needs_work(message: Message, facts: Facts) -> bool:
    if isinstance(message.content, str):
        return False
    return any(not isinstance(part, Text) and not _is_ready(part, facts) for part in message.content)


def _is_ready(part: Part, facts: Facts) -> bool:
    """A picture's own bytes and sound go as they are to whoever may take them; files are looked at."""
    if isinstance(part, Image):
        return facts.images is not False and part.url[:11].lower() == "data:image/"
    return isinstance(part, Audio) and facts.audio is not False


class _Work:
    """One call on its way to one model."""

    def __init__(
        self,
        outbound: Outbound,
        extraction: Extraction,
        limits: FetchLimits,
        facts: Facts,
        fetched: dict[str, Fetched],
    ) -> None:
        self._outbound = outbound
        self._extraction = extraction
        self._limits = limits
        self._facts = facts
        self._fetched = fetched
        self._left_bytes = limits.total_bytes - sum(len(one.body) for one in fetched.values())
        self._documents = 0

    async def messages(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        await self._fetch_all([part for message in messages for part in _parts(message)])
        return tuple([await self._message(message) for message in messages])

    async def _message(self, message: Message) -> Message:
        if isinstance(message.content, str):
            return message
        parts = [part if isinstance(part, Text) else await self._part(part) for part in message.content]
        return msgspec.structs.replace(message, content=tuple(parts))

    async def _part(self, part: Image | Document | Audio) -> Part:
        match part:
            case Audio():
                return self._audio(part)
            case Image():
                return await self._image(part)
            case Document():
                return await self._document(part)

    def _audio(self, audio: Audio) -> Audio:
        if self._facts.audio is False:
            raise _cannot(
                f"The sound (`{_cleaned(audio.format)}`) cannot be sent: this model does not take audio.",
                "Use a model that hears, or send a transcript.",
            )
        return audio

    # --- pictures -----------------------------------------------------------------------------------------------------

    async def _image(self, image: Image) -> Part:
        uri = read_data_uri(image.url)
        if uri is not None and not uri.mime.startswith("image/") and image_type(uri.beginning()) is None:
            return await self._document(Document(image.url))
        if self._facts.images is False:
            raise _cannot("The picture cannot be sent: this model does not see.", "Use a model that reads images.")
        if uri is not None:
            return image
        fetched = self._fetched.get(image.url)
        if fetched is None:
            return image  # the provider fetches it by itself
        mime = image_type(fetched.body)
        if mime is None:
            raise _refused(
                f"What stands at {shown(image.url)} is no picture that models read.",
                "Use the address of a PNG, JPEG, GIF or WebP file, not of a page that shows it.",
            )
        return Image(await _as_uri(mime, fetched.body), image.detail)

    # --- files --------------------------------------------------------------------------------------------------------

    async def _document(self, document: Document) -> Part:
        name = _cleaned(document.name) or "document"
        fetched = self._fetched.get(document.url)
        if fetched is not None:
            mime = fetched.content_type.partition(";")[0].strip().lower()
            document = Document(await _as_uri(mime, fetched.body), document.name)
        uri = read_data_uri(document.url)
        if uri is None:
            raise _refused(f"The file “{name}” cannot be read: it comes without its content.", "Send it as a data URI.")
        picture = image_type(uri.beginning())
        if picture is not None:
            return await self._image(Image(_renamed(uri, picture)))
        mime = PDF if uri.beginning().startswith(b"%PDF-") else stated_type(uri.mime, document.name)
        if self._goes_as_it_is(mime, uri):
            self._documents += 1
            return document if mime == uri.mime else Document(_renamed(uri, mime), document.name)
        return await self._text(uri, mime, name)

    def _goes_as_it_is(self, mime: str, uri: DataUri) -> bool:
        facts = self._facts
        is_read = facts.documents is not False if mime == PDF else mime in facts.document_types
        has_room = facts.most_documents is None or self._documents < facts.most_documents
        return is_read and has_room and (facts.document_bytes is None or uri.size_bytes <= facts.document_bytes)

    async def _text(self, uri: DataUri, mime: str, name: str) -> Text:
        try:
            content = await asyncio.to_thread(uri.content)
        except ValueError as error:
            raise _refused(
                f"The file “{name}” cannot be read: its content is not proper base64.", "Encode it again."
            ) from error
        try:
            extracted = await self._extraction.extract(content, mime=mime, name=name)
        except Unreadable as error:
            why, action = WHY[error.reason]
            refuse = _cannot if error.reason in ("no_text", "old_office", "unknown", "too_large") else _refused
            raise refuse(f"The file “{name}” cannot be read: {why}.", action) from error
        return Text(_note(name, extracted) + extracted.text + f"\n[End of the file “{name}”]")

    # --- what has to be fetched ---------------------------------------------------------------------------------------

    async def _fetch_all(self, parts: Sequence[Part]) -> None:
        """Every address once. Raises the first failure, when nothing is under way any more."""
        urls = [url for url in dict.fromkeys(map(self._address_of, parts)) if url is not None]
        if len(urls) > self._limits.most_files:
            raise _refused(
                f"The call has {len(urls)} files to be fetched; {self._limits.most_files} are the most.",
                "Send fewer, or send their content.",
            )
        places = asyncio.Semaphore(self._limits.at_a_time)
        missing = [url for url in urls if url not in self._fetched]
        outcomes = await asyncio.gather(*(self._fetch(url, places) for url in missing), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    def _address_of(self, part: Part) -> str | None:
        """Where a part is to be fetched from."""
        match part:
            case Image(url):
                is_needed = not self._facts.fetches_images and self._facts.images is not False
            case Document(url):
                is_needed = True
            case _:
                return None
        return url if is_needed and url[:5].lower() != "data:" else None

    async def _fetch(self, url: str, places: asyncio.Semaphore) -> None:
        async with places:
            if self._left_bytes <= 0:
                raise _refused(
                    f"The files to be fetched for this call are larger than {self._limits.total_bytes} bytes together.",
                    "Send fewer or smaller ones.",
                )
            most_bytes = min(self._limits.file_bytes, self._left_bytes)
            fetched = await self._outbound.fetch(url, max_bytes=most_bytes, within_s=self._limits.within_s)
            self._left_bytes -= len(fetched.body)
            self._fetched[url] = fetched


def _parts(message: Message) -> Sequence[Part]:
    return () if isinstance(message.content, str) else message.content


def _note(name: str, extracted: Extracted) -> str:
    """What the model is told before the text, so that neither it nor its reader takes it for the file itself."""
    unit = _UNITS.get(extracted.kind, "page") + ("" if extracted.pages == 1 else "s")
    pages = "" if extracted.pages is None else f", {extracted.pages} {unit}"
    notes = [f"The file “{name}” ({extracted.kind}{pages}) follows as its text; pictures and layout are left out."]
    if extracted.empty_pages:
        notes.append(f"{extracted.empty_pages} of its pages hold no text that can be read.")
    if extracted.is_cut:
        notes.append("Only its beginning is given, because it is very long.")
    return f"[{' '.join(notes)}]\n\n"


_UNITS = {"PowerPoint": "slide", "Excel": "sheet"}


def _cleaned(name: str) -> str:
    """A name for sentences: on one line, short, without what could end the sentence that it stands in."""
    plain = "".join(sign for sign in name.replace("”", "'").replace("]", ")") if sign.isprintable())
    return plain.strip()[:_MOST_NAME_CHARS]


def _renamed(uri: DataUri, mime: str) -> str:
    return f"data:{mime}{';base64' if uri.is_base64 else ''},{uri.data}"


async def _as_uri(mime: str, content: bytes) -> str:
    encoded = await asyncio.to_thread(b64encode, content)
    return f"data:{mime};base64,{encoded.decode()}"


def _refused(message: str, action: str) -> Unsupported:
    return Unsupported(message, action=action)


def _cannot(message: str, action: str) -> Unsupported:
    """This model cannot; another one may."""
    failure = _refused(message, action)
    failure.other_backend = True
    return failure

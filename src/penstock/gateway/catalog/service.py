"""The catalog that is in force. Watched files replace it whole; calls in flight keep the snapshot they began with."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec

from penstock.gateway.catalog.documents import Refused, Source
from penstock.gateway.catalog.reading import CatalogOptions, load_catalog
from penstock.gateway.catalog.snapshot import Problem, Snapshot
from penstock.telemetry.logs import log

OnChange = Callable[[Snapshot], Awaitable[None]]


def log_problems(problems: Iterable[Problem]) -> None:
    """One line for each, at its own level, so that nothing is wrong in silence."""
    for problem in problems:
        write = {"error": log.error, "warning": log.warning, "info": log.info}[problem.severity]
        write(
            f"{problem.variable}{problem.path}: {problem.message}",
            source=problem.source or None,
            line=problem.line,
            action=problem.fix,
        )


class Catalog:
    """`current` is read on the hot path: one attribute, never awaited, replaced as a whole.

    `refused` says what is wrong with sources that were changed and cannot be used; then `current` is what they gave
    before.
    """

    def __init__(self, options: CatalogOptions, snapshot: Snapshot) -> None:
        """`snapshot` is what `options` give."""
        self.current = snapshot
        self.refused: tuple[Problem, ...] = ()
        self._options = options
        self._reading = asyncio.Lock()
        self._callbacks: list[OnChange] = []
        self._discovered: Mapping[str, Sequence[str]] = {}
        self._sources = tuple(one for one in (options.providers, options.models) if one is not None and one.path)
        # Nothing counts as applied yet: the files may have changed since the snapshot was made.
        self._applied: tuple[str | None, ...] = ()
        self._seen: tuple[str | None, ...] = ()

    @classmethod
    def open(cls, options: CatalogOptions) -> "Catalog":
        """Raises Refused."""
        return cls(options, load_catalog(options))

    def on_change(self, callback: OnChange) -> None:
        """Call back with each new snapshot, once it is in force; in the order of subscription."""
        self._callbacks.append(callback)

    @property
    def is_watched(self) -> bool:
        return bool(self._sources)

    @property
    def takes_discovered(self) -> bool:
        """PROVIDERS is set and MODELS is not: what providers list is what there is."""
        return self._options.models is None and self._options.providers is not None

    async def offer(self, provider_key: str, names: Sequence[str]) -> None:
        """These are the models that a provider lists."""
        self._discovered = {**self._discovered, provider_key: tuple(names)}
        await self.reload()

    async def watch(self, interval_s: float = 1.0) -> None:
        """Follow the files for ever, by content: links that are swapped and files that are replaced count alike."""
        while self.is_watched:
            await asyncio.sleep(interval_s)
            seen = await asyncio.to_thread(self._contents)
            # A text counts when it stood still for one round: writers are met half-way, and two files one by one.
            if seen == self._seen and seen != self._applied:
                self._applied = seen
                await self.reload()
            self._seen = seen

    async def read_again(self, why: str) -> bool:
        """`reload` because somebody asked for it, with a line in the log whatever comes of it."""
        version = self.current.version
        is_usable = await self.reload()
        if is_usable and self.current.version == version:
            watched = "nothing has changed" if self.is_watched else "no file of them is configured"
            log.warning(f"providers and models were read again: {watched}", asked_by=why)
        return is_usable

    async def reload(self) -> bool:
        """Read the sources again. What cannot be used is logged, and the present catalog goes on; then False.

        What says the same as before changes nothing and calls nobody.
        """
        async with self._reading:
            return await self._reload()

    async def _reload(self) -> bool:
        try:
            snapshot = await asyncio.to_thread(load_catalog, self._options, self.current.version + 1, self._discovered)
        except Refused as refused:
            self.refused = tuple(refused.problems)
            log.error("the changed catalog is refused; the previous one goes on", problems=len(refused.problems))
            log_problems(refused.problems)
            return False
        self.refused = ()
        if msgspec.structs.replace(snapshot, version=self.current.version) == self.current:
            return True
        self.current = snapshot
        log.warning("the catalog has changed", version=snapshot.version, models=len(snapshot.models))
        log_problems(snapshot.problems)
        for callback in self._callbacks:
            await callback(snapshot)
        return True

    def _contents(self) -> tuple[str | None, ...]:
        """The texts of the watched files; None for one that cannot be read now."""
        return tuple(_content(source) for source in self._sources)


def _content(source: Source) -> str | None:
    try:
        return source.read().text
    except Refused:
        return None

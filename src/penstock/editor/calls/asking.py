"""One call to a model whose answer is text."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from penstock.editor.calls.choosing import Chosen
from penstock.editor.calls.stash import Restoring, Stash
from penstock.gateway.inference.service import CallRecord, Inference
from penstock.providers.base import Call, Finish, FinishReason, Message, TextDelta, Warning_
from penstock.telemetry.logs import log


class Asking:
    """`finish` is known once `texts` has ended. `stash` has the files that `messages` only name."""

    def __init__(
        self, inference: Inference, chosen: Chosen, messages: Sequence[Message], stash: Stash, record: CallRecord
    ) -> None:
        self._inference = inference
        self._chosen = chosen
        self._call = Call(messages=messages, reasoning="off")
        self._stash = stash
        self._record = record
        self.finish: FinishReason = "stop"

    async def texts(self) -> AsyncGenerator[str, None]:
        """The pieces of the answer as they come. Close it: that ends the upstream. Raises what inference raises."""
        chosen = self._chosen
        stream = self._inference.stream(
            chosen.caller, chosen.model, self._call, feature=chosen.feature, record=self._record, found=chosen.found
        )
        restoring = Restoring(self._stash)
        async with aclosing(stream) as deltas:
            async for delta in deltas:
                match delta:
                    case TextDelta(text=text) if piece := restoring.feed(text):
                        yield piece
                    case Finish(reason=reason):
                        self.finish = reason
                    case Warning_():
                        log.warning("the model's answer came with a warning", code=delta.code, reason=delta.message)
        if rest := restoring.end():
            yield rest

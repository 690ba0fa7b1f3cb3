"""The token inspector: every check that a request would go through, in words (S020 to S027)."""

import json

from fastapi import APIRouter, Depends, Form, Request, Response

from penstock.panel.desk import Desk
from penstock.panel.gate import Operator
from penstock.panel.pages import wants_part

_LONGEST = 20_000


def token_routes(desk: Desk) -> APIRouter:
    router, identity = desk.router(), desk.services.identity
    reading, changing = Depends(desk.gate.signed_in), Depends(desk.gate.form)

    @router.get("/panel/token")
    async def form(request: Request, operator: Operator = reading) -> Response:
        return desk.show(request, operator, "token.html", found=None)

    @router.post("/panel/token")
    async def inspect(request: Request, token: str = Form(""), operator: Operator = changing) -> Response:
        """The token is looked at and forgotten: no page, log or audit line has it."""
        found = await identity.explain_token(token[:_LONGEST])
        return desk.show(
            request,
            operator,
            "_token_findings.html" if wants_part(request) else "token.html",
            found=found,
            header=_written(found.header),
            claims=_written(found.claims),
        )

    return router


def _written(part: dict[str, object] | None) -> str:
    return "" if part is None else json.dumps(part, indent=2, ensure_ascii=False)

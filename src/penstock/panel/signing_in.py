"""Signing in and out."""

from fastapi import APIRouter, Depends, Request, Response

from penstock.errors import LimitReached, PenstockError, Unauthenticated
from penstock.panel.audit import audit
from penstock.panel.desk import Desk
from penstock.panel.gate import Gate, Operator
from penstock.panel.pages import SIGN_IN, go, render
from penstock.panel.sessions import COOKIE, LIFETIME_S


def sign_in_routes(desk: Desk) -> APIRouter:
    router, gate = desk.router(), desk.gate
    changing = Depends(desk.gate.form)

    @router.get(SIGN_IN)
    async def form(request: Request) -> Response:
        if await gate.sessions.find(request.cookies.get(COOKIE)):
            return go(request, "/panel/")
        return _form(request, gate)

    @router.post(SIGN_IN)
    async def sign_in(request: Request) -> Response:
        secret = str((await request.form()).get("secret", ""))
        try:
            await gate.recognise(request, secret)
        except (Unauthenticated, LimitReached) as error:
            return _form(request, gate, error)
        answer = go(request, "/panel/")
        begin_session(request, answer, gate)
        return answer

    @router.post("/panel/sign-out")
    async def sign_out(request: Request, operator: Operator = changing) -> Response:
        answer = go(request, SIGN_IN)
        await end_session(request, answer, gate, operator)
        return answer

    return router


def begin_session(request: Request, answer: Response, gate: Gate) -> None:
    session, cookie = gate.sessions.begin()
    audit(request, f"session {session.id}", "signed in", gate.address(request))
    answer.set_cookie(
        COOKIE,
        cookie,
        max_age=LIFETIME_S,
        path="/panel",
        httponly=True,
        samesite="strict",
        secure=gate.is_https(request),
    )


async def end_session(request: Request, answer: Response, gate: Gate, operator: Operator) -> None:
    if operator.session is not None:
        await gate.sessions.end(operator.session)
        operator.changed(request, "signed out")
    answer.delete_cookie(COOKIE, path="/panel", httponly=True, samesite="strict", secure=gate.is_https(request))


def _form(request: Request, gate: Gate, error: PenstockError | None = None) -> Response:
    page = render(request, "sign_in.html", error.status if error else 200, error=error, is_locked=gate.is_locked)
    if error is not None and error.retry_after_s is not None:
        page.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return page

"""What every page behind the sign-in needs: who is there, and how a page is shown to them."""

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from penstock.panel.base import PanelServices
from penstock.panel.gate import Gate, Operator
from penstock.panel.pages import PageRoute, render


@dataclass(frozen=True)
class Desk:
    gate: Gate
    services: PanelServices

    def router(self) -> APIRouter:
        """For pages: refusals are pages too, and the OpenAPI document does not list them."""
        return APIRouter(
            route_class=PageRoute,
            include_in_schema=False,
            dependencies=[Depends(self.gate.from_here), Depends(self.gate.own_pages)],
        )

    def show(self, request: Request, operator: Operator, template: str, status: int = 200, **about: Any) -> Response:
        assert operator.session is not None
        form_token = self.gate.sessions.form_token(operator.session)
        return render(request, template, status, operator=operator, form_token=form_token, **about)

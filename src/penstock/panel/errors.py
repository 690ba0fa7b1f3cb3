"""How the panel and the management API refuse. Texts name what was sent, never a secret."""

import math

from penstock.errors import Conflict, Forbidden, InvalidRequest, LimitReached, Unauthenticated

VARIABLE = "ENVIRONMENTS_MANAGEMENT_SECRET_KEY"


class NotSignedIn(Unauthenticated):
    code = "not_signed_in"

    def __init__(self) -> None:
        super().__init__(
            "You are not signed in.",
            explanation="There is no session, or it has ended: one lasts an hour.",
            action="Sign in at /panel/, or send `Authorization: Bearer <management secret>`.",
        )


class WrongManagementSecret(Unauthenticated):
    code = "wrong_management_secret"

    def __init__(self) -> None:
        super().__init__(
            "That is not the management secret.",
            explanation=f"It is the value of {VARIABLE}, exactly, without spaces or quotes around it.",
            action="Look it up where the service is configured.",
        )


class NoManagementSecret(Unauthenticated):
    code = "no_management_secret"

    def __init__(self) -> None:
        super().__init__(
            "The panel is locked: no management secret is configured.",
            explanation=f"{VARIABLE} is not set, so nobody can be recognised.",
            action=f"Set {VARIABLE} to the output of `openssl rand -hex 32`, and start the service again.",
        )


class TooManyAttempts(LimitReached):
    code = "too_many_attempts"

    def __init__(self, again_in_s: float) -> None:
        super().__init__(
            "Too many wrong attempts from your address.",
            explanation="Ten a minute are looked at; then the right secret is refused too.",
            action=f"Wait {max(1, math.ceil(again_in_s))} seconds, and try again.",
            retry_after_s=again_in_s,
        )


class AddressNotAllowed(Forbidden):
    code = "address_not_allowed"

    def __init__(self, addresses: tuple[str, ...]) -> None:
        through = f" through {', '.join(addresses[1:])[:200]}" if len(addresses) > 1 else ""
        super().__init__(
            "The panel is not open to your address.",
            explanation=f"You come from {addresses[0]}{through}. PANEL_ALLOWED_CIDRS lists who may enter; behind a "
            "reverse proxy, TRUSTED_PROXIES has to name the proxy.",
            action="Use the network that is allowed, or have the operator add yours.",
        )


class FromElsewhere(Forbidden):
    """Another site, or another application on a neighbouring host, made the browser ask."""

    code = "cross_site_request"

    def __init__(self) -> None:
        super().__init__(
            "The request came from another site.",
            explanation="The panel answers its own pages only.",
            action="Open /panel/ itself. If a proxy changes the Host header, set APPLICATION_EXTERNAL_ENDPOINT to the "
            "address that users see.",
        )


class FormExpired(Forbidden):
    code = "form_expired"

    def __init__(self) -> None:
        super().__init__(
            "The form has expired.",
            explanation="It belongs to a session that has ended.",
            action="Load the page again, and send the form once more.",
        )


class NotConfirmed(InvalidRequest):
    code = "not_confirmed"

    def __init__(self, tenant_id: str) -> None:
        super().__init__(
            "The deletion was not confirmed.",
            explanation="Its conversations and keys go with an environment, and nothing brings them back.",
            action=f"Repeat the id: `?confirm={tenant_id}`, or type it into the form.",
            param="confirm",
        )


class WrongSignature(Unauthenticated):
    code = "invalid_signature"


class Replayed(Conflict):
    code = "request_replayed"

    def __init__(self) -> None:
        super().__init__(
            "The request was seen before.",
            explanation="A signature counts once.",
            action="Sign the request again, with a new timestamp.",
        )

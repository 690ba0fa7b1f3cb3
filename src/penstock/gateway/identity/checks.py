"""What management accepts as ids, names, subjects and permissions. Everything raises InvalidRequest."""

from collections.abc import Sequence

from penstock.errors import InvalidRequest
from penstock.gateway.identity.api_keys import ParsedKey, parse_key
from penstock.gateway.identity.errors import InvalidApiKey
from penstock.gateway.identity.permissions import fault
from penstock.gateway.identity.tables import ID_LENGTH, NAME_LENGTH
from penstock.gateway.identity.tokens import MAX_SUBJECT_LENGTH

MAX_PERMISSIONS = 200
MIN_SECRET_LENGTH = 10
MAX_SECRET_LENGTH = 120


def is_possible_id(text: str) -> bool:
    return 0 < len(text) <= ID_LENGTH and text.isprintable()


def checked_id(text: str) -> str:
    if not is_possible_id(text) or text != text.strip():
        raise InvalidRequest(
            "The id is not usable.",
            explanation=f"An id has 1 to {ID_LENGTH} printable characters, without spaces around them.",
            action="Choose another id, or leave it out and get a new one.",
            param="id",
        )
    return text


def checked_name(text: str) -> str:
    if not 0 < len(text) <= NAME_LENGTH or not text.isprintable() or not text.strip():
        raise InvalidRequest(
            "The name is not usable.",
            explanation=f"A name is one line of 1 to {NAME_LENGTH} printable characters.",
            action="Choose another name.",
            param="name",
        )
    return text


def checked_secret(text: str) -> str:
    """The secret of an access key that was made elsewhere (`spec/editor-api.md` 6.16)."""
    if not MIN_SECRET_LENGTH <= len(text) <= MAX_SECRET_LENGTH or not text.isprintable():
        raise InvalidRequest(
            "The secret is not usable.",
            explanation=f"A secret has {MIN_SECRET_LENGTH} to {MAX_SECRET_LENGTH} printable characters.",
            action="Choose another secret, or leave it out and get a new one.",
            param="accessKeys",
        )
    return text


def checked_subject(text: str) -> str:
    if not 0 < len(text) <= MAX_SUBJECT_LENGTH or not text.isprintable():
        raise InvalidRequest(
            "The user is not usable.",
            explanation=f"A user is named by 1 to {MAX_SUBJECT_LENGTH} printable characters.",
            action="Give the id that the tenant itself uses for the user.",
            param="user",
        )
    return text


def checked_permissions(entries: Sequence[str]) -> tuple[str, ...]:
    """Every entry must be valid: a key is made once, and a dropped entry would be found out much later."""
    if len(entries) > MAX_PERMISSIONS:
        raise InvalidRequest(f"At most {MAX_PERMISSIONS} permissions are accepted.", param="permissions")
    for entry in entries:
        if (reason := fault(entry)) is not None:
            raise InvalidRequest(
                "A permission is not valid.",
                explanation=f"`{ascii(entry[:80])[1:-1]}`: {reason}.",
                action="Give permissions such as `models:use`, `models:*` or `ai:conversations:*`.",
                param="permissions",
            )
    return tuple(dict.fromkeys(entries))


def checked_key(text: str) -> ParsedKey:
    try:
        return parse_key(text)
    except InvalidApiKey as error:
        raise InvalidRequest(
            "The given API key has not the right form.",
            explanation=error.explanation,
            action="Leave it out and get a new one.",
            param="key",
        ) from error

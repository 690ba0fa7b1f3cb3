"""What can be wrong with a credential, and with the ids and names that management is given."""

from penstock.errors import Conflict, Forbidden, NotFound, PenstockError, Unauthenticated


class InvalidToken(Unauthenticated):
    """No credential, not readable as one, or out of its time."""

    code = "invalid_jwt"


class CredentialMissing(InvalidToken):
    """The request came without any credential. Same code: the editor clients know no other."""


class InvalidTokenPayload(Unauthenticated):
    """The claims name no environment of ours, or a required one is missing or of the wrong type."""

    code = "invalid_jwt_payload"


class InvalidTokenSignature(Unauthenticated):
    """Not HS256, or signed with a secret that is no active access key of the environment."""

    code = "invalid_jwt_signature"


class InvalidApiKey(Unauthenticated):
    """`data["reason"]` is `unknown`, `revoked`, `expired` or `mistyped`."""

    code = "invalid_api_key"


class NotForTokens(Forbidden):
    """Tenants write the permissions of their tokens themselves."""

    def __init__(self, permission: str) -> None:
        super().__init__(
            "This is for operators.",
            explanation="Whoever signs tokens for an environment could put any permission into them.",
            action=f"Use the management secret, or an API key that was created with `{permission}`.",
        )


class TenantNotFound(NotFound):
    code = "tenant_not_found"


class TenantExists(Conflict):
    code = "tenant_exists"


class AccessKeyNotFound(NotFound):
    code = "access_key_not_found"


class AccessKeyExists(Conflict):
    code = "access_key_exists"


class ApiKeyNotFound(NotFound):
    code = "api_key_not_found"


class ApiKeyExists(Conflict):
    code = "api_key_exists"


class SecretsUnreadable(PenstockError):
    """Stored secrets were sealed with a key that is not configured any more. Only the operator can mend it."""

    status, code = 500, "secrets_unreadable"

    def __init__(self) -> None:
        super().__init__(
            "Stored keys cannot be read.",
            explanation="They were stored under another key: SECRETS_ENCRYPTION_KEY, or without it "
            "ENVIRONMENTS_MANAGEMENT_SECRET_KEY, or without both the file secret.key in STATE_DIR, changed since.",
            action="Put the file back, or add the former value to SECRETS_ENCRYPTION_KEY, after the present one and a "
            "comma, and restart; or create new keys and revoke the old ones.",
        )

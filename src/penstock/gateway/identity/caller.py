"""Who is asking. Every credential ends in one `Caller`; rooms decide by it and by nothing else."""

from typing import Literal, NewType

import msgspec

from penstock.errors import Forbidden
from penstock.gateway.identity.permissions import Permissions

TenantId = NewType("TenantId", str)
UserId = NewType("UserId", str)

CredentialKind = Literal["editor_token", "api_key"]


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """`user_id` is our id of the user (`user_…`), `subject` what the tenant calls it (the token's `sub`).

    An API key that was made for nobody in particular acts for the user `key:<key id>`.
    `credential_id` is the access key's or API key's id: what logs and usage records name instead of the secret.
    """

    tenant_id: TenantId
    user_id: UserId
    subject: str
    credential: CredentialKind
    credential_id: str
    permissions: Permissions

    def require(self, *alternatives: str) -> None:
        """Raise Forbidden unless at least one of the permissions is granted."""
        for one in alternatives:
            if self.permissions.allows(one):
                return
        raise MissingPermission(alternatives, self.permissions, self.credential)


class MissingPermission(Forbidden):
    """Names what is missing and what was found wrong in the list that came with the token (S026)."""

    def __init__(
        self, alternatives: tuple[str, ...], found: Permissions, credential: CredentialKind = "editor_token"
    ) -> None:
        needed = " or ".join(f"`{one}`" for one in alternatives)
        super().__init__(
            "No permissions to the resource",
            explanation=f"This needs the permission {needed}. {found.describe()}",
            action=f"Add {needed} to `auth.ai.permissions` (an array of strings) where the token is made."
            if credential == "editor_token"
            else f"Use an API key that was created with {needed}.",
            data={"missing": list(alternatives), "dropped": [entry for entry, _ in found.dropped]},
        )

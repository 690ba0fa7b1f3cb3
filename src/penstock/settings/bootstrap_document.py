"""What `docs/configuration.md` says of the JSON in BOOTSTRAP_ENVIRONMENTS."""

BOOTSTRAP_SECTION = """
## The JSON of BOOTSTRAP_ENVIRONMENTS

An array of environments; several replicas may start with it at once.

```text
[
  {
    "id": "acme-docs",
    "name": "Acme documentation",
    "accessKeys": [{"id": "key-2026", "name": "Token endpoint", "secret": "10 to 120 characters"}]
  }
]
```

An environment that is missing is made. A declared `name` and `secret` replace what is stored; keys that are not named
stay, and one that was revoked stays revoked. A key without an `id` is known by its secret. Better than the variable
itself is `BOOTSTRAP_ENVIRONMENTS_FILE`, the path of a mounted secret.
"""

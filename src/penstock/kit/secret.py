"""A string that is not shown by accident."""


class Secret(str):
    """A string that does not show itself when printed. `reveal` gives the value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def reveal(self) -> str:
        return str.__str__(self)

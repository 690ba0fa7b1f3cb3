"""Planted secrets, in the places where providers echo them."""

import pytest

from penstock.providers.masking import mask

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJDQU5BUlkifQ.CANARYsignature"
PEM = "-----BEGIN PRIVATE KEY-----\nCANARYCANARY\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-CANARY12345. You can find your key",
        "Incorrect API key provided: CANA*******ARY1.",
        'Incorrect API key provided: "CANARY with words".',
        "key sk-CANARY1234567 is wrong",
        "key sk_live_CANARY1234567 is wrong",
        "gsk_CANARY1234567890",
        "AIzaCANARY0123456789",
        "user AKIACANARY123456 and ASIACANARY123456",
        "Authorization: Bearer CANARY.token-value",
        "authorization: bearer CANARYtoken",
        "X-Amz-Security-Token=CANARYtoken&x=1",
        '{"x-api-key": "CANARYkey"}',
        f"token {JWT} expired",
        f"the key {PEM} is broken",
        "cut off: -----BEGIN RSA PRIVATE KEY-----\nCANARY",
    ],
)
def test_what_has_the_form_of_a_secret_is_replaced(text: str) -> None:
    masked = mask(text)
    assert "CANA" not in masked
    assert "***" in masked


def test_configured_secrets_of_any_form_are_replaced_the_longer_one_first() -> None:
    assert mask("a=abcdefgh b=abcdefghij", ["abcdefgh", "abcdefghij"]) == "a=*** b=***"


def test_a_short_secret_does_not_garble_the_sentence() -> None:
    assert mask("the model is not found", ["the", "", "a"]) == "the model is not found"


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/x",
        "The task-force of skilled workers",
        "model sky-high not found",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert mask(text) == text


def test_a_page_of_blanks_is_read_once() -> None:
    """Going back over them would take minutes: the time limit of the tests would strike."""
    text = "Incorrect API key provided" + " " * 100_000
    assert mask(text) == text


@pytest.mark.parametrize("end", ["", "…"])
def test_what_is_left_of_a_secret_where_a_text_was_cut_is_masked_too(end: str) -> None:
    assert mask(f"The key was canary-of-a-k{end}", ["canary-of-a-key"]) == f"The key was ***{end}"
    assert mask(f"The key was canar{end}", ["canary-of-a-key"]) == f"The key was canar{end}"
    assert mask(f"canary-of-a-k of another word{end}", ["canary-of-a-key"]) == f"canary-of-a-k of another word{end}"

"""Chats over every deployment (`spec/editor-api.md` 17.11)."""

from tests.acceptance.checks import checks
from tests.editor import test_chat_edits, test_contract, test_files, test_models, test_stop_and_continue

globals().update(
    checks(
        test_contract, "t_01", "t_02", "t_03", "t_08", "t_09", "t_10", "t_11", "t_13", "t_16", "t_26", "t_34", "t_35"
    )
)
globals().update(checks(test_chat_edits, "t_12", "t_13", "t_14", "t_33", "t_34"))
globals().update(checks(test_files, "t_34"))
globals().update(checks(test_models, "t_05"))
globals().update(checks(test_stop_and_continue, "t_15", "s083_a_message_right_after_the_stop"))

"""One line per request, whichever replica answers it (`spec/editor-api.md` 16.1)."""

from tests.acceptance.checks import checks
from tests.telemetry import test_metric_log

globals().update(checks(test_metric_log, "s085"))
globals().update(checks(test_metric_log, "t_32_every", "t_32_the_path", "t_32_health", "t_32_a_client_that_hangs_up"))

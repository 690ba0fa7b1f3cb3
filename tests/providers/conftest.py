"""Generated examples may take their time: the machine is shared, and no test here measures anything."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

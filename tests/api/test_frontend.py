"""The public name of the front ends."""

import tidegate.export.frontend
import tidegate.frontend


def test_the_public_name_has_the_modules_themselves() -> None:
    assert tidegate.frontend.__all__ == tidegate.export.frontend.__all__
    for name in tidegate.frontend.__all__:
        assert getattr(tidegate.frontend, name) is getattr(tidegate.export.frontend, name)

"""``python -m bamopipe`` is the ``bamopipe`` command."""

import sys

from bamopipe.cli import main

sys.exit(main())

"""`python -m utils.runner`: what `make tutorial` calls."""

import sys

from .tutorial import main

sys.exit(main())

"""Many devices and machines: the driver's own pool of Ray actors, of which the driver alone writes the answers."""

import os

# Ray's own words on a lost worker would come between what a command prints, on standard output. It reads this when it
# is imported, as the modules beside do.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "^(A worker died or was killed|The node with node id)")

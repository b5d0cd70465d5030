"""Many devices and machines: the driver's own pool of Ray actors, of which the driver alone writes the answers."""

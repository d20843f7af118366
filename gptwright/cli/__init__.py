"""The command line: one thin file per command group, the only place that wires layers together."""

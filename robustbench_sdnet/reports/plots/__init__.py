"""Figures of a report, drawn with matplotlib's object-oriented interface: no display, no global state."""

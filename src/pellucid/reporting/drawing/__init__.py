"""Figures as SVG: each draws numbers that others computed, for colour-blind eyes and for grey."""

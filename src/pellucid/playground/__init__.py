"""The lecture alive: each of its ideas run on one image or a few numbers, and drawn."""

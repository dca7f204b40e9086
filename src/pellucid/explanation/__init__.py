"""Inside a trained network: anatomy, feature maps, attribution, and whether it means something.

Stands on the bundle, never on the training code. It computes; drawing is `reporting`'s.
"""

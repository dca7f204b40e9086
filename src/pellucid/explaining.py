"""Explaining what a model says of images: pictures, pages, and the explanations of a run."""

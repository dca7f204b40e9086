"""The page and the section of a comparison of models."""

"""The page that explains one image, and the pictures that it is made of."""

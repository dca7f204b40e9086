"""Many image files become one table: sources, splits, audit, decoded pixels, phantoms."""

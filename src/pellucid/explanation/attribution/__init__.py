"""Which pixels of an image a score depends on, by four methods with one result."""

"""How sure a figure is: by which method its interval is found, and the methods themselves."""

"""The sections of the page as plain data: which words, tables and figures stand in each."""

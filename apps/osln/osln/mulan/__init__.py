"""The end-to-end baseline of Table 2, on its own: nobody but the tables and the command line asks for it."""

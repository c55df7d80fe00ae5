"""Who may use a server: names, roles and password hashes in a file."""

"""Images, arrays and JSON as files, written whole or not at all."""

"""Small inputs and real components that the tests share."""

"""Work as artifacts that are made once, by processes of this computer or by a Ray cluster."""

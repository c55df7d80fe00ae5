"""Cases, labels and their revisions behind MONAI Label's datastore."""
